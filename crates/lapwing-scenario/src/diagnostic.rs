//! What is wrong with a scenario, where, and what to do about it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

/// One mistake in a scenario folder or in a question put to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, in words.
    pub message: String,
    /// The file, relative to the scenario's folder; empty if no file is to blame.
    pub file: String,
    /// Line in the file, from 1.
    pub line: Option<u32>,
    /// Column in the line, in characters from 1.
    pub column: Option<u32>,
    /// The dotted key, for example `factor.slot`.
    pub key: Option<String>,
    /// What to do next.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake that belongs to no place in a file.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            file: String::new(),
            line: None,
            column: None,
            key: None,
            help: None,
        }
    }

    /// A mistake somewhere in `file`.
    pub(crate) fn in_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), ..Self::new(message) }
    }

    pub(crate) fn at_line(mut self, line: Option<u32>) -> Self {
        self.line = line;
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    /// ``scenario.toml:12:5: `factor.slot`: message``, the help on the next line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            for number in [self.line, self.column].into_iter().flatten() {
                write!(f, ":{number}")?;
            }
            f.write_str(": ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// A place in a file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) key: String,
}

impl Place {
    pub(crate) fn diagnostic(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            message: message.into(),
            file: self.file.clone(),
            line: Some(self.line),
            column: Some(self.column),
            key: (!self.key.is_empty()).then(|| self.key.clone()),
            help: None,
        }
    }
}

/// A text of a TOML file that remembers where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) place: Place,
    /// Line and column of the first character inside the quotes.
    pub(crate) start: (u32, u32),
}

impl Text {
    pub(crate) fn diagnostic(&self, message: impl Into<String>) -> Diagnostic {
        self.place.diagnostic(message)
    }

    /// A mistake at byte `offset` of the text.
    pub(crate) fn diagnostic_at(&self, offset: usize, message: impl Into<String>) -> Diagnostic {
        let before = self.value.get(..offset).unwrap_or(&self.value);
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() as u32;
        let lines = before.matches('\n').count() as u32;
        let (line, first) = self.start;
        let column = if lines == 0 { first + column } else { 1 + column };
        Place { line: line + lines, column, ..self.place.clone() }.diagnostic(message)
    }
}

/// Collects the mistakes of a folder, so that one reading reports them all.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: RefCell<Vec<Diagnostic>>,
    /// Names whose own definition is unsound: what refers to them is not reported again.
    unsound: RefCell<BTreeSet<String>>,
}

impl Problems {
    pub(crate) fn push(&self, problem: Diagnostic) {
        self.found.borrow_mut().push(problem);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    pub(crate) fn into_inner(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }

    /// The value, or `None` after its mistake was collected.
    pub(crate) fn keep<T>(&self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|problem| self.push(problem)).ok()
    }

    /// Remembers names that are declared, but not as they must be.
    pub(crate) fn note_unsound(&self, names: impl IntoIterator<Item = String>) {
        self.unsound.borrow_mut().extend(names);
    }

    /// The text of `name` if it is among `known`.
    pub(crate) fn known<'k>(
        &self,
        what: &str,
        name: &Text,
        known: impl Iterator<Item = &'k str> + Clone,
    ) -> Option<String> {
        if known.clone().any(|known| known == name.value) {
            return Some(name.value.clone());
        }
        if !self.unsound.borrow().contains(&name.value) {
            let problem = name.diagnostic(format!("unknown {what} `{}`", name.value));
            self.push(problem.help(near(&name.value, known)));
        }
        None
    }
}

/// Names that a help lists before it only counts the rest.
const MAX_LISTED: usize = 20;

/// The help for a name that is not among `known`: the nearest one if it is near, and the list.
pub(crate) fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut distinct: Vec<&str> = Vec::new();
    for name in known {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    if distinct.is_empty() {
        return "none is declared".to_owned();
    }
    let nearest = distinct
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance * 3 <= known.chars().count().max(3))
        .min_by_key(|(distance, _)| *distance);
    let suggestion = match nearest {
        Some((_, nearest)) if !name.is_empty() => format!("did you mean `{nearest}`? "),
        Some(_) | None => String::new(),
    };
    let listed: Vec<String> =
        distinct.iter().take(MAX_LISTED).map(|name| format!("`{name}`")).collect();
    let rest = match distinct.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("{suggestion}known: {}{rest}", listed.join(", "))
}
