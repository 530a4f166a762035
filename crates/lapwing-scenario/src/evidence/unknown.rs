//! Why something is not known.

use std::collections::BTreeSet;
use std::fmt;

/// The reason for which a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unknown {
    /// Evidence is missing or makes no sense.
    Missing(String),
    /// A judge looked and could not tell.
    Unsure(String),
}

impl Unknown {
    /// All reasons in one. It is unsure only where every one of them is: missing evidence is not a judge's doubt.
    pub(crate) fn all(reasons: impl IntoIterator<Item = Self>) -> Option<Self> {
        let reasons: BTreeSet<Self> = reasons.into_iter().collect();
        let is_unsure = |reason: &Self| matches!(reason, Self::Unsure(_));
        let unsure = reasons.iter().all(is_unsure);
        let texts: BTreeSet<&str> = reasons.iter().map(Self::reason).collect();
        let text = texts.into_iter().collect::<Vec<_>>().join("; ");
        let combined = if unsure { Self::Unsure(text) } else { Self::Missing(text) };
        (!reasons.is_empty()).then_some(combined)
    }

    /// Keeps the first reason in `gap`, but one for missing evidence rather than a doubt.
    pub(crate) fn note(self, gap: &mut Option<Self>) {
        if matches!((&gap, &self), (None, _) | (Some(Self::Unsure(_)), Self::Missing(_))) {
            *gap = Some(self);
        }
    }

    /// The reason in words.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Missing(reason) | Self::Unsure(reason) => reason,
        }
    }
}

impl From<String> for Unknown {
    fn from(reason: String) -> Self {
        Self::Missing(reason)
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}
