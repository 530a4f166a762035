//! A pattern, what must not be there, and the encodings behind which it is looked for.

use regex::Regex;

use crate::decode::{Decoder, readings};

/// What a text is searched for.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) pattern: Option<Regex>,
    /// A reading in which this is found does not count.
    pub(crate) except: Option<Regex>,
    pub(crate) decode: Vec<Decoder>,
}

/// Where a pattern was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// What matched.
    pub(super) matched: String,
    /// `plain`, or the encodings behind which it was found.
    pub(super) encoding: String,
    /// Its first byte and the one behind its last, in a plain text.
    pub(super) range: Option<(usize, usize)>,
}

impl Search {
    /// The first reading of `text` in which the pattern is found, the plain text first.
    pub(super) fn find(&self, text: &str) -> Option<Hit> {
        if let Some((matched, range)) = self.matched(text) {
            return Some(Hit { matched, encoding: "plain".to_owned(), range: Some(range) });
        }
        readings(text.as_bytes(), &self.decode).into_iter().find_map(|reading| {
            let (matched, _) = self.matched(&String::from_utf8_lossy(&reading.bytes))?;
            Some(Hit { matched, encoding: reading.encoding, range: None })
        })
    }

    /// Without a pattern the whole text matches.
    fn matched(&self, text: &str) -> Option<(String, (usize, usize))> {
        if self.except.as_ref().is_some_and(|except| except.is_match(text)) {
            return None;
        }
        match &self.pattern {
            Some(pattern) => pattern
                .find(text)
                .map(|found| (found.as_str().to_owned(), (found.start(), found.end()))),
            None => Some((text.to_owned(), (0, text.len()))),
        }
    }
}

impl Hit {
    /// Where it stands, in words.
    pub(super) fn place(&self) -> String {
        match self.range {
            Some((start, end)) => format!("bytes {start} to {end}"),
            None => format!("in {}", self.encoding),
        }
    }
}
