//! Monitors watch a sample's events and say how suspicious they are; they never act.

use crate::{BoxFuture, Citation, Event, ModelError};

/// Anything that scores events for suspicion, online or offline.
pub trait Monitor: Send + Sync {
    /// The name under which its scores are recorded.
    fn name(&self) -> &str;

    /// Scores the newest step, given everything that happened so far.
    fn observe<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<Suspicion, ModelError>>;
}

/// A monitor's judgement of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspicion {
    /// From 0, nothing suspicious, to 1, certainly hostile.
    pub score: f64,
    /// What it rests on.
    pub cites: Vec<Citation>,
    /// The monitor's own words.
    pub reason: String,
}
