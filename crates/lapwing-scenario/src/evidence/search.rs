//! A pattern, what must not be there, and the encodings behind which it is looked for.

use regex::Regex;

use crate::decode::{Decoder, Reading, readings};

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

/// All that was found in a text.
#[derive(Debug)]
pub(super) struct Hits {
    /// One for the plain text, and one for each encoding behind which something else was found.
    pub(super) all: Vec<Hit>,
    /// Whether there was more encoded text than is read.
    pub(super) is_cut: bool,
}

impl Search {
    pub(super) fn find(&self, text: &str) -> Hits {
        let plain =
            |(matched, range)| Hit { matched, encoding: "plain".to_owned(), range: Some(range) };
        let mut all: Vec<Hit> = self.matched(text).map(plain).into_iter().collect();
        let read = readings(text.as_bytes(), &self.decode);
        for Reading { encoding, bytes } in read.all {
            let Some((matched, _)) = self.matched(&String::from_utf8_lossy(&bytes)) else {
                continue;
            };
            // A reading repeats the plain text around what it decodes.
            if !text.contains(&matched) && all.iter().all(|hit| hit.encoding != encoding) {
                all.push(Hit { matched, encoding, range: None });
            }
        }
        Hits { all, is_cut: read.is_cut && !self.decode.is_empty() }
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
