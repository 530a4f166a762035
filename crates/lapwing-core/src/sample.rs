//! What identifies a sample inside a run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One combination of factor levels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Condition {
    /// The control that this condition is (`benign`, `competence`), if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// Level of every factor.
    pub levels: BTreeMap<String, String>,
}

impl fmt::Display for Condition {
    /// `instruction=allow slot=system`, the levels in the factors' alphabetical order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.levels.is_empty() {
            return f.write_str("base");
        }
        let levels = self.levels.iter().map(|(factor, level)| format!("{factor}={level}"));
        f.write_str(&levels.collect::<Vec<_>>().join(" "))
    }
}

/// The identity of a sample: no two samples of a run share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SampleKey {
    /// Name of the model or policy.
    pub model: String,
    /// The condition.
    pub condition: Condition,
    /// One drawing of names, wording, world values and nonce: the statistical cluster.
    pub seed: u64,
    /// Repeat of the same seed, from 1.
    pub epoch: u32,
}
