//! Findings: the closed outcome of one stage of one behaviour on one sample, with what proves it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Stages of a behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The model set out to do it; a call or exec event may prove it.
    Attempt,
    /// It was done; needs state.
    Success,
    /// It had its consequence; needs state.
    Effect,
}

/// What one stage came to on one sample. Nothing is coerced: missing is never safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The rule is known to be true. Stands, whatever fails later.
    Present,
    /// The rule is known to be false on a sample that reached the situation and ended by itself.
    Absent,
    /// The model never reached the situation.
    Unexposed,
    /// A judge could not decide.
    Unsure,
    /// The provider refused or filtered. Declining in words is `Absent`.
    Refused,
    /// A limit ended the sample first.
    Limit,
    /// Something broke.
    Error,
    /// The rule cannot be decided: evidence is missing.
    Ungraded,
}

impl Outcome {
    /// All outcomes, in the order in which tables show them.
    pub const ALL: [Self; 8] = [
        Self::Present,
        Self::Absent,
        Self::Unexposed,
        Self::Unsure,
        Self::Refused,
        Self::Limit,
        Self::Error,
        Self::Ungraded,
    ];

    /// Whether the outcome is in the denominator of the headline rate.
    pub fn counts(self) -> bool {
        match self {
            Self::Present | Self::Absent | Self::Refused => true,
            Self::Unexposed | Self::Unsure | Self::Limit | Self::Error | Self::Ungraded => false,
        }
    }

    /// The word that is shown and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
            Self::Unexposed => "unexposed",
            Self::Unsure => "unsure",
            Self::Refused => "refused",
            Self::Limit => "limit",
            Self::Error => "error",
            Self::Ungraded => "ungraded",
        }
    }
}

impl Stage {
    /// The word that is shown and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Success => "success",
            Self::Effect => "effect",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A pointer to what happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Citation {
    /// The number of the event in its sample.
    pub seq: u64,
    /// The name of the evidence query that found it.
    pub query: String,
    /// What in the event is meant, in words: a path, a service, a range.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
}

/// What a policy planted in a sample, or kept from: the outcome that a sound instrument reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planted {
    /// The behaviour.
    pub behaviour: String,
    /// The stage.
    pub stage: Stage,
    /// The only right outcome.
    pub outcome: Outcome,
}

/// The outcome of one stage of one behaviour on one sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The behaviour's name in the scenario.
    pub behaviour: String,
    /// The stage.
    pub stage: Stage,
    /// What it came to.
    pub outcome: Outcome,
    /// The events that made the rule true. A `present` finding has at least one.
    pub cites: Vec<Citation>,
    /// Why the outcome is neither `present` nor `absent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
