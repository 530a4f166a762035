//! What a run is: everything that was settled before its first sample.

use std::collections::BTreeMap;

use lapwing_core::Digest;
use serde::{Deserialize, Serialize};

/// The settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Name of the scenario.
    pub scenario: String,
    /// Digest of the scenario folder; the folder itself is kept in the run.
    pub digest: Digest,
    /// Models or policies under test.
    pub models: Vec<String>,
    /// Whether scripted policies stood in for a model.
    pub instrument_check: bool,
    /// Factor levels that were chosen on the command line.
    pub chosen: BTreeMap<String, Vec<String>>,
    /// Seeds, from 0.
    pub seeds: u64,
    /// Repeats of each seed.
    pub epochs: u32,
    /// Settings that are recorded for the reader (limits, sampling, host).
    pub settings: BTreeMap<String, String>,
    /// Version of lapwing.
    pub version: String,
    /// When the run began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every sample was run.
    Finished,
    /// The user stopped it.
    Stopped,
}

/// What state a run is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its process is alive.
    Running,
    /// It ended by itself or was stopped.
    Ended(Ending),
    /// Its process died before it could end it. Everything committed is there.
    Killed,
}
