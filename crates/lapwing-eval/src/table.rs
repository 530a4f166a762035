//! The table of a run: rates by model, condition, behaviour and stage, with what must stand beside a rate.

use std::collections::{BTreeMap, BTreeSet};

use lapwing_core::{Condition, Finding, Outcome, Stage};
use lapwing_scenario::Scenario;
use lapwing_stats::{Interval, bounds, clustered, wilson};
use lapwing_store::{RunSpec, SampleRow, SampleState};
use serde::Serialize;

use crate::Target;

/// Nominal coverage of every interval in a table.
pub(crate) const LEVEL: f64 = 0.95;

/// All rows of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// By model, then condition as the design orders them, then behaviour and stage as the scenario does.
    pub rows: Vec<Row>,
}

/// One stage of one behaviour under one condition.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The model or policy.
    pub model: String,
    /// Whether it was asked in words of its own, and its answers read through the scenario's codebook.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub via_codebook: bool,
    /// The condition.
    pub condition: Condition,
    /// The condition in words: what differs from the base.
    pub label: String,
    /// The behaviour.
    pub behaviour: String,
    /// The stage.
    pub stage: Stage,
    /// Samples by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// The headline rate; `None` if no sample counts.
    pub rate: Option<Rate>,
    /// Samples that were begun and not finished: the run was stopped or killed in them.
    pub unfinished: u64,
    /// Rates if all samples outside the headline rate, unfinished ones too, were absent or present.
    pub bounds: (f64, f64),
    /// Why this stage cannot happen under this condition, if the scenario says so.
    pub impossible: Option<String>,
}

/// A rate with its uncertainty.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rate {
    /// Samples with outcome `present`.
    pub present: u64,
    /// Samples in the denominator: present, absent and refused.
    pub n: u64,
    /// Seeds among them.
    pub clusters: usize,
    /// `present / n`.
    pub estimate: f64,
    /// 95 % interval: Wilson's where every seed occurs once, else clustered by seed; `None` with fewer than 10 repeated seeds.
    pub interval: Option<(f64, f64)>,
}

/// The setting of a run that names the models whose answers are read through the scenario's codebook.
const CODEBOOK: &str = "via codebook";

/// Between the names of several models.
const BETWEEN: &str = ", ";

/// Keeps in the settings of a run which of its targets are asked in words of their own.
pub fn note_codebook(spec: &mut RunSpec, scenario: &Scenario, targets: &[Target]) {
    let mut names = via_codebook(spec);
    let asked = targets.iter().filter(|target| target.is_via_codebook(scenario));
    names.extend(asked.map(Target::name));
    if !names.is_empty() {
        let names = names.into_iter().collect::<Vec<_>>().join(BETWEEN);
        spec.settings.insert(CODEBOOK.to_owned(), names);
    }
}

/// The models of a run whose answers are read through the scenario's codebook.
pub fn via_codebook(spec: &RunSpec) -> BTreeSet<String> {
    let names = spec.settings.get(CODEBOOK);
    names.into_iter().flat_map(|names| names.split(BETWEEN)).map(str::to_owned).collect()
}

impl Table {
    /// Folds the findings of a run, by sample number, into rows.
    pub fn new(
        scenario: &Scenario,
        spec: &RunSpec,
        samples: &[SampleRow],
        findings: &BTreeMap<u64, Vec<Finding>>,
    ) -> Self {
        let via_codebook = via_codebook(spec);
        let mut groups: Vec<(&str, &Condition)> = Vec::new();
        for sample in samples {
            let group = (sample.key.model.as_str(), &sample.key.condition);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        let mut rows = Vec::new();
        for (model, condition) in groups {
            let of_group: Vec<&SampleRow> = samples
                .iter()
                .filter(|sample| sample.key.model == model && sample.key.condition == *condition)
                .collect();
            for behaviour in scenario.behaviours() {
                for (stage, _) in &behaviour.stages {
                    let found = of_group.iter().filter_map(|sample| {
                        let finding = findings.get(&sample.number)?.iter().find(|finding| {
                            finding.behaviour == behaviour.name && finding.stage == *stage
                        })?;
                        Some((sample.key.seed, finding.outcome))
                    });
                    let found: Vec<(u64, Outcome)> = found.collect();
                    let is_unfinished = |sample: &&&SampleRow| sample.state == SampleState::Begun;
                    let unfinished = of_group.iter().filter(is_unfinished).count() as u64;
                    let impossible = behaviour.impossible.iter().find(|impossible| {
                        *stage >= impossible.stage
                            && impossible
                                .condition
                                .iter()
                                .all(|(factor, level)| condition.levels.get(factor) == Some(level))
                    });
                    rows.push(Row {
                        model: model.to_owned(),
                        via_codebook: via_codebook.contains(model),
                        condition: condition.clone(),
                        label: scenario.describe(condition),
                        behaviour: behaviour.name.clone(),
                        stage: *stage,
                        outcomes: count(&found),
                        rate: rate(&found),
                        unfinished,
                        bounds: best_and_worst(&found, unfinished),
                        impossible: impossible.map(|impossible| impossible.why.clone()),
                    });
                }
            }
        }
        Self { rows }
    }
}

fn count(found: &[(u64, Outcome)]) -> BTreeMap<Outcome, u64> {
    let mut outcomes = BTreeMap::new();
    for (_, outcome) in found {
        *outcomes.entry(*outcome).or_default() += 1;
    }
    outcomes
}

pub(crate) fn best_and_worst(found: &[(u64, Outcome)], unfinished: u64) -> (f64, f64) {
    let outcomes = found.iter().map(|(_, outcome)| *outcome);
    let present = outcomes.clone().filter(|outcome| *outcome == Outcome::Present).count() as u64;
    let counted = outcomes.filter(|outcome| outcome.counts()).count() as u64;
    let bounds = bounds(present, counted, found.len() as u64 + unfinished - counted);
    (bounds.low, bounds.high)
}

/// Present over counted samples. Samples of one seed are one cluster: they share names, wording and world.
pub(crate) fn rate(found: &[(u64, Outcome)]) -> Option<Rate> {
    let counted: Vec<(u64, Outcome)> =
        found.iter().copied().filter(|(_, outcome)| outcome.counts()).collect();
    let is_present = |outcome: Outcome| outcome == Outcome::Present;
    let present = counted.iter().filter(|(_, outcome)| is_present(*outcome)).count() as u64;
    let n = counted.len() as u64;
    if n == 0 {
        return None;
    }
    let mut seeds: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (seed, outcome) in &counted {
        let (present, n) = seeds.entry(*seed).or_default();
        *present += u64::from(is_present(*outcome));
        *n += 1;
    }
    let clusters: Vec<(u64, u64)> = seeds.into_values().collect();
    let interval: Option<Interval> = if clusters.len() as u64 == n {
        Some(wilson(present, n, LEVEL))
    } else {
        // Too few clusters say nothing about the spread between clusters.
        clustered(&clusters, LEVEL).ok().map(|clustered| clustered.interval)
    };
    Some(Rate {
        present,
        n,
        clusters: clusters.len(),
        estimate: present as f64 / n as f64,
        interval: interval.map(|interval| (interval.low, interval.high)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_counts_refusals_as_not_present_and_leaves_missing_outcomes_out() {
        let found = [
            (0, Outcome::Present),
            (1, Outcome::Absent),
            (2, Outcome::Refused),
            (3, Outcome::Absent),
            (4, Outcome::Unexposed),
            (5, Outcome::Error),
            (6, Outcome::Limit),
            (7, Outcome::Ungraded),
            (8, Outcome::Unsure),
        ];
        let rate = rate(&found).unwrap();
        assert_eq!((rate.present, rate.n, rate.clusters), (1, 4, 4));
        assert_eq!(best_and_worst(&found, 0), (1.0 / 9.0, 6.0 / 9.0));
    }

    #[test]
    fn samples_that_a_stopped_run_left_unfinished_widen_the_bounds() {
        let found = [(0, Outcome::Present), (1, Outcome::Absent)];
        assert_eq!(best_and_worst(&found, 2), (0.25, 0.75));
    }

    #[test]
    fn repeated_seeds_need_ten_clusters_for_an_interval() {
        let repeated = |seeds: u64| -> Vec<(u64, Outcome)> {
            (0..seeds)
                .flat_map(|seed| [(seed, Outcome::Present), (seed, Outcome::Absent)])
                .collect()
        };
        assert_eq!(rate(&repeated(9)).unwrap().interval, None);
        assert!(rate(&repeated(10)).unwrap().interval.is_some());
    }

    #[test]
    fn without_a_counted_sample_there_is_no_rate_and_bounds_are_wide() {
        let found = [(0, Outcome::Unexposed)];
        assert!(rate(&found).is_none());
        assert_eq!(best_and_worst(&found, 0), (0.0, 1.0));
    }
}
