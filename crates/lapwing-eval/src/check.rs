//! The instrument check: findings against planted acts, sample by sample, rule mutations that must be noticed, and what a
//! finished scenario must have.

mod cue;
mod mutation;

use std::collections::BTreeMap;

use lapwing_core::{Blobs, Event, Finding, Outcome, Planted, Stage};
use lapwing_scenario::{Diagnostic, Measured, Scenario};
use lapwing_store::SampleRow;
use serde::{Serialize, Serializer};

pub use cue::ShownCue;
pub use mutation::{MutationCount, Uncaught};

/// Planted numbers are met up to the rounding of sums.
const TOLERANCE: f64 = 1e-9;

/// Planted against found, over all samples of policies.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Check {
    /// Samples that were compared.
    pub samples: usize,
    /// Samples without findings: they were not run to their end.
    pub unfinished: Vec<u64>,
    /// Stages whose finding is not what was planted.
    pub mismatches: Vec<Mismatch>,
    /// Measures that have not the value that was planted.
    pub measures: Vec<MeasureMismatch>,
    /// Counts by behaviour and stage, in the scenario's order.
    pub confusion: Vec<Confusion>,
    /// Words that give the situation away, as tools showed them to policies.
    pub shown_cues: Vec<ShownCue>,
    /// Files that a finished scenario has.
    #[serde(serialize_with = "as_texts")]
    pub missing_files: Vec<Diagnostic>,
    /// What is declared and not used; it fails nothing.
    #[serde(serialize_with = "as_texts")]
    pub notes: Vec<Diagnostic>,
    /// Rule mutations; `None` unless the instrument is exact, for a sample that is misread notices every one.
    #[serde(skip)]
    pub mutations: Option<MutationCount>,
}

fn as_texts<S: Serializer>(problems: &[Diagnostic], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(problems.iter().map(ToString::to_string))
}

/// A stage whose finding is not what was planted.
#[derive(Clone, Debug, Serialize)]
pub struct Mismatch {
    /// The sample's number.
    pub sample: u64,
    /// The policy.
    pub policy: String,
    /// The behaviour.
    pub behaviour: String,
    /// The stage.
    pub stage: Stage,
    /// What was planted.
    pub planted: Outcome,
    /// What was found.
    pub found: Option<Outcome>,
    /// The reason that the finding gives.
    pub reason: Option<String>,
}

/// A measure that has not the value that was planted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasureMismatch {
    /// The sample's number.
    pub sample: u64,
    /// The policy.
    pub policy: String,
    /// The measure.
    pub measure: String,
    /// What was planted.
    pub planted: f64,
    /// What was found.
    pub found: Option<f64>,
    /// Why nothing was found.
    pub reason: Option<String>,
}

/// How often what was planted was found.
#[derive(Clone, Debug, Serialize)]
pub struct Confusion {
    /// The behaviour.
    pub behaviour: String,
    /// The stage.
    pub stage: Stage,
    /// Samples by planted and found outcome.
    pub counts: BTreeMap<Outcome, BTreeMap<Outcome, u64>>,
}

impl Check {
    /// Compares every sample in which something was planted.
    pub fn new(
        scenario: &Scenario,
        samples: &[SampleRow],
        findings: &BTreeMap<u64, Vec<Finding>>,
    ) -> Self {
        let mut check = Self::default();
        for behaviour in scenario.behaviours() {
            check.confusion.extend(behaviour.stages.iter().map(|(stage, _)| Confusion {
                behaviour: behaviour.name.clone(),
                stage: *stage,
                counts: BTreeMap::new(),
            }));
        }
        for sample in samples {
            let Some(planted) = &sample.planted else { continue };
            check.samples += 1;
            match findings.get(&sample.number) {
                Some(findings) => check.compare(sample, planted, findings),
                None => check.unfinished.push(sample.number),
            }
        }
        check
    }

    /// Compares the measures, by sample number, with those that policies planted. A sample without them is unfinished.
    pub fn compare_measures(
        &mut self,
        scenario: &Scenario,
        samples: &[SampleRow],
        measured: &BTreeMap<u64, Vec<Measured>>,
    ) {
        for sample in samples {
            let Some(measured) = measured.get(&sample.number) else { continue };
            let key = &sample.key;
            let Some(policy) = key.model.strip_prefix("policy/") else { continue };
            let policy = scenario.drawn_policy(policy, key.seed).unwrap_or(policy);
            for (measure, planted) in scenario.planted_measures(policy, &key.condition) {
                let found = measured.iter().find(|measured| measured.measure == measure);
                let value = found.and_then(|measured| measured.value);
                if value.is_some_and(|value| (value - planted).abs() <= TOLERANCE) {
                    continue;
                }
                self.measures.push(MeasureMismatch {
                    sample: sample.number,
                    policy: key.model.clone(),
                    measure,
                    planted,
                    found: value,
                    reason: found.and_then(|measured| measured.reason.clone()),
                });
            }
        }
    }

    /// Looks at what lies beside the findings: what the folder lacks, what tools showed, and, if the findings and measures
    /// that were compared so far are exact, which rule mutations are noticed. `events` are those of a sample by number.
    ///
    /// # Errors
    /// Those of `events`.
    pub fn look_over<E>(
        &mut self,
        scenario: &Scenario,
        samples: &[SampleRow],
        blobs: &dyn Blobs,
        events: impl Fn(u64) -> Result<Vec<Event>, E>,
    ) -> Result<(), E> {
        self.missing_files = scenario.missing_files();
        self.notes = scenario.notes().to_vec();
        let mut mutations = self.is_exact().then(|| mutation::Mutations::new(scenario));
        for sample in samples {
            let Some(planted) = &sample.planted else { continue };
            let events = events(sample.number)?;
            cue::note_shown(&mut self.shown_cues, sample, &events);
            if let Some(mutations) = &mut mutations {
                mutations.notice(planted, &events, blobs);
            }
        }
        self.mutations = mutations.map(mutation::Mutations::count);
        Ok(())
    }

    /// Whether every sample was run and every finding and measure is what was planted.
    pub fn is_exact(&self) -> bool {
        let agrees = self.mismatches.is_empty() && self.measures.is_empty();
        self.samples > 0 && self.unfinished.is_empty() && agrees
    }

    /// Whether the instrument is exact and nothing that was looked over speaks against the scenario.
    pub fn passes(&self) -> bool {
        let is_weak = self.mutations.as_ref().is_some_and(|count| !count.uncaught.is_empty());
        self.is_exact() && !is_weak && self.shown_cues.is_empty() && self.missing_files.is_empty()
    }

    fn compare(&mut self, sample: &SampleRow, planted: &[Planted], findings: &[Finding]) {
        for planted in planted {
            let is_meant =
                |behaviour: &str, stage| behaviour == planted.behaviour && stage == planted.stage;
            let finding =
                findings.iter().find(|finding| is_meant(&finding.behaviour, finding.stage));
            let confusion =
                self.confusion.iter_mut().find(|row| is_meant(&row.behaviour, row.stage));
            if let (Some(confusion), Some(finding)) = (confusion, finding) {
                let by_found = confusion.counts.entry(planted.outcome).or_default();
                *by_found.entry(finding.outcome).or_default() += 1;
            }
            if finding.map(|finding| finding.outcome) != Some(planted.outcome) {
                self.mismatches.push(Mismatch {
                    sample: sample.number,
                    policy: sample.key.model.clone(),
                    behaviour: planted.behaviour.clone(),
                    stage: planted.stage,
                    planted: planted.outcome,
                    found: finding.map(|finding| finding.outcome),
                    reason: finding.and_then(|finding| finding.reason.clone()),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
