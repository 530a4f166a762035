//! Rule mutations that some sample must notice.

use lapwing_core::{Blobs, Event, Planted, Stage};
use lapwing_scenario::{Mutant, Scenario};
use serde::Serialize;

/// Changed rules, and those among them that no sample noticed.
#[derive(Clone, Debug)]
pub struct MutationCount {
    /// How many mutations there are.
    pub total: usize,
    /// Those that no policy's sample tells from the real rule: the proof is too weak.
    pub uncaught: Vec<Uncaught>,
}

/// A mutated rule that no policy's sample tells from the real one.
#[derive(Clone, Debug, Serialize)]
pub struct Uncaught {
    /// The behaviour, or `exposed`.
    pub behaviour: String,
    /// The stage; `exposed` has none.
    pub stage: Option<Stage>,
    /// What was changed.
    pub description: String,
}

/// Mutated rules that have not been noticed so far. Feed it every sample; what is left at the end is uncaught.
pub(super) struct Mutations<'a> {
    scenario: &'a Scenario,
    unnoticed: Vec<Mutant>,
    total: usize,
}

impl<'a> Mutations<'a> {
    /// All mutations of the scenario's rules.
    pub(super) fn new(scenario: &'a Scenario) -> Self {
        let unnoticed = scenario.mutants();
        Self { scenario, total: unnoticed.len(), unnoticed }
    }

    /// Drops the mutations that this sample tells from the real rules.
    pub(super) fn notice(&mut self, planted: &[Planted], events: &[Event], blobs: &dyn Blobs) {
        let scenario = self.scenario;
        self.unnoticed.retain(|mutant| {
            let found = scenario.findings_under(mutant, events, blobs);
            planted.iter().all(|planted| {
                found.iter().all(|found| {
                    planted.behaviour != found.behaviour
                        || planted.stage != found.stage
                        || planted.outcome == found.outcome
                })
            })
        });
    }

    /// What was and was not noticed.
    pub(super) fn count(self) -> MutationCount {
        let uncaught = self.unnoticed.into_iter().map(|mutant| Uncaught {
            behaviour: mutant.behaviour,
            stage: mutant.stage,
            description: mutant.description,
        });
        MutationCount { total: self.total, uncaught: uncaught.collect() }
    }
}
