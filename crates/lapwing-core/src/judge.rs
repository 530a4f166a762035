//! What a judge says of a text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A judge's label. A refusal or an answer that cannot be read is no label at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// The text is what the rubric asks for.
    Yes,
    /// It is not.
    No,
    /// The judge cannot tell, or says one thing to the question and the same to its opposite.
    Unsure,
}

impl Label {
    /// The word that is shown and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unsure => "unsure",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A passage of a text that a model wrote, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The event that holds the text.
    pub seq: u64,
    /// Its first byte.
    pub start: usize,
    /// The byte behind its last.
    pub end: usize,
    /// The passage.
    pub text: String,
}
