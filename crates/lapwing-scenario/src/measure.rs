//! Numbers per sample, and what they are compared by.

use std::collections::BTreeMap;

use lapwing_core::{Citation, Stage};
use serde::Serialize;

use crate::expr::Expr;

/// A number that every sample has, or has not for a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Its name.
    pub name: String,
    /// The expression, as written.
    pub value: String,
    /// Its unit, if it has one.
    pub unit: Option<String>,
    /// What readers should know about it.
    pub note: Option<String>,
}

/// The value of a measure in one sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The measure.
    pub measure: String,
    /// The number; `None` where it is missing.
    pub value: Option<f64>,
    /// The events that it rests on.
    pub cites: Vec<Citation>,
    /// Why it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A comparison of two conditions over seeds. It has an estimate and an interval, never a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contrast {
    /// Its name.
    pub name: String,
    /// What is compared.
    pub of: ContrastOf,
    /// The condition of which something is claimed.
    pub inside: Side,
    /// The condition that it is compared with.
    pub against: Side,
    /// What is claimed.
    pub claim: Claim,
    /// What readers should know about it.
    pub note: Option<String>,
}

/// What a contrast compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContrastOf {
    /// A measure, by name.
    Measure(String),
    /// How often a stage of a behaviour is present.
    Stage {
        /// The behaviour.
        behaviour: String,
        /// The stage.
        stage: Stage,
    },
}

/// One of the two conditions of a contrast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// The condition as the file names it.
    pub label: String,
    /// The level of every factor.
    pub levels: BTreeMap<String, String>,
}

/// What is claimed of the first condition of a contrast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Its mean is below the other one's.
    Lower,
    /// Its mean is above the other one's.
    Higher,
    /// Its mean is another one.
    Differs,
}

/// Behaviours in an order: the highest that happens is what a sample comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// Its name.
    pub name: String,
    /// Behaviours with the stage that counts, the lowest first.
    pub rungs: Vec<(String, Stage)>,
}

impl Claim {
    /// All claims.
    pub const ALL: [Self; 3] = [Self::Lower, Self::Higher, Self::Differs];

    /// The word for it in a scenario.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
            Self::Differs => "differs",
        }
    }
}

/// All that is computed from findings and numbers of samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measures {
    pub(crate) all: Vec<Measure>,
    /// Of each measure its expression.
    pub(crate) values: Vec<Expr>,
    pub(crate) contrasts: Vec<Contrast>,
    pub(crate) ladders: Vec<Ladder>,
}
