//! What is wrong with a study's file, and where.

use std::fmt;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use crate::study::Source;

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The key, for example `stage.tag.from`; empty where the file is no TOML.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Mistake {
    pub(crate) fn new(source: &Source, key: &str, what: String) -> Self {
        Self {
            path: source.path.clone(),
            line: line_of(&source.text, key),
            key: key.to_owned(),
            what,
        }
    }

    pub(crate) fn syntax(source: &Source, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        let (path, what) = (source.path.clone(), error.message().to_owned());
        Self { path, line: line_at(&source.text, start), key: String::new(), what }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.path.display(), self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

/// The line of the longest part of `key` that the file has. Keys that were made by `each` have the line of their table.
fn line_of(text: &str, key: &str) -> usize {
    let Ok(root) = DeTable::parse(text) else { return 1 };
    let mut table = root.get_ref();
    let mut line = 1;
    for part in key.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        let found = table.iter().find(|(name, _)| crate::expand::is_made_by(name.get_ref(), part));
        let Some((name, value)) = found else { break };
        line = line_at(text, name.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => break,
        }
    }
    line
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
