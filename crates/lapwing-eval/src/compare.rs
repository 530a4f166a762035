//! Two models, or one model in two runs, on the same scenario: what differs, sample by sample and in rates.

use std::collections::{BTreeMap, BTreeSet};

use lapwing_core::{Condition, Finding, Outcome, Stage};
use lapwing_scenario::{Measured, Scenario};
use lapwing_stats::{
    FourWay, Interval, Paired, fisher, holm, independent, mcnemar, newcombe_paired, paired,
    paired_rates,
};
use lapwing_store::{SampleRow, SampleState};
use serde::Serialize;

use crate::table::{LEVEL, Rate, best_and_worst, rate};

/// One side of a comparison: the samples of one model in one run.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The model or policy.
    pub model: &'a str,
    /// The samples of its run, also those of other models.
    pub samples: &'a [SampleRow],
    /// Findings by sample number.
    pub findings: &'a BTreeMap<u64, Vec<Finding>>,
    /// Measures by sample number.
    pub measured: &'a BTreeMap<u64, Vec<Measured>>,
}

/// What two sides come to, always the second against the first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Compared {
    /// By condition as the first side orders them, then behaviour and stage as the scenario does.
    pub rates: Vec<RateChange>,
    /// By condition, then measure.
    pub measures: Vec<MeasureChange>,
    /// Samples of equal condition, seed and epoch whose outcomes differ; those first that went from absent to present or back.
    pub flips: Vec<Flip>,
    /// Conditions, in words, that only the first or only the second side has.
    pub only: [Vec<String>; 2],
}

/// One stage of one behaviour under one condition.
#[derive(Clone, Debug, Serialize)]
pub struct RateChange {
    /// The condition in words.
    pub label: String,
    /// The behaviour.
    pub behaviour: String,
    /// The stage.
    pub stage: Stage,
    /// The headline rate of each side.
    pub rates: [Option<Rate>; 2],
    /// Pairs of samples of equal seed and epoch that count on both sides: present on both, on the first alone, on the second
    /// alone, on neither.
    pub pairs: [u64; 4],
    /// Samples that count on one side and have no such partner on the other.
    pub unpaired: u64,
    /// How the difference was estimated.
    pub method: Method,
    /// The second rate less the first: over pairs, where there are any.
    pub difference: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// Why there is no interval.
    pub reason: Option<String>,
    /// The differences that all samples without a counted outcome could make, if they were all absent or all present.
    pub bounds: (f64, f64),
    /// Two-sided p-value, where a test applies.
    pub p: Option<f64>,
    /// The same, adjusted for all rows by Holm's method.
    pub adjusted_p: Option<f64>,
}

/// How a difference was estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Pairs of one sample a seed: Newcombe's interval of paired rates, McNemar's exact test.
    Pairs,
    /// Pairs of seeds with several samples each: Student's interval of the mean difference over seeds.
    Seeds,
    /// No seed on both sides: Newcombe's interval of independent rates; Fisher's exact test where no seed repeats.
    Independent,
    /// One side has no counted sample.
    None,
}

/// A measure under one condition.
#[derive(Clone, Debug, Serialize)]
pub struct MeasureChange {
    /// The condition in words.
    pub label: String,
    /// The measure.
    pub measure: String,
    /// Its unit.
    pub unit: Option<String>,
    /// Seeds with a value on both sides.
    pub pairs: usize,
    /// Seeds with a value on one side alone.
    pub unpaired: usize,
    /// The mean of each side, over pairs.
    pub means: Option<(f64, f64)>,
    /// The mean of second less first.
    pub difference: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// Why there is no interval.
    pub reason: Option<String>,
}

/// A sample that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// The condition in words.
    pub label: String,
    /// The seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
    /// The behaviour.
    pub behaviour: String,
    /// The stage.
    pub stage: Stage,
    /// The sample's number in each run.
    pub samples: [u64; 2],
    /// Its outcome on each side.
    pub outcomes: [Outcome; 2],
}

/// Sample number and outcome by seed and epoch.
type Outcomes = BTreeMap<(u64, u32), (u64, Outcome)>;

/// What both sides came to in one stage under one condition.
struct Found {
    outcomes: [Outcomes; 2],
    unfinished: [u64; 2],
}

impl Compared {
    /// Compares `sides`, whose conditions and behaviours are those of `scenario`.
    pub fn new(scenario: &Scenario, sides: [Side<'_>; 2]) -> Self {
        let [first, second] = sides.map(Side::conditions);
        let missing = |these: &[&Condition], those: &[&Condition]| {
            let only = these.iter().filter(|condition| !those.contains(condition));
            only.map(|condition| scenario.describe(condition)).collect()
        };
        let mut compared =
            Self { only: [missing(&first, &second), missing(&second, &first)], ..Self::default() };
        for condition in first.iter().filter(|condition| second.contains(condition)) {
            let label = scenario.describe(condition);
            for behaviour in scenario.behaviours() {
                for (stage, _) in &behaviour.stages {
                    let of = |side: Side<'_>| side.outcomes(condition, &behaviour.name, *stage);
                    let outcomes = sides.map(of);
                    if outcomes.iter().any(BTreeMap::is_empty) {
                        continue;
                    }
                    compared.flips.extend(flips(&label, &behaviour.name, *stage, &outcomes));
                    let unfinished = sides.map(|side| side.unfinished(condition));
                    let found = Found { outcomes, unfinished };
                    compared.rates.push(change(&label, &behaviour.name, *stage, &found));
                }
            }
            for measure in scenario.measure_definitions() {
                let values = sides.map(|side| side.values(condition, &measure.name));
                let unit = measure.unit.clone();
                compared.measures.extend(measure_change(&label, &measure.name, unit, &values));
            }
        }
        compared.flips.sort_by_key(|flip| !flip.is_change());
        adjust(&mut compared.rates);
        compared
    }
}

impl<'a> Side<'a> {
    fn conditions(self) -> Vec<&'a Condition> {
        let mut seen = BTreeSet::new();
        let of_model = self.samples.iter().filter(|sample| sample.key.model == self.model);
        of_model.map(|sample| &sample.key.condition).filter(|key| seen.insert(*key)).collect()
    }

    fn under(self, condition: &Condition) -> impl Iterator<Item = &'a SampleRow> {
        self.samples.iter().filter(move |sample| {
            sample.key.model == self.model && sample.key.condition == *condition
        })
    }

    fn outcomes(self, condition: &Condition, behaviour: &str, stage: Stage) -> Outcomes {
        let found = self.under(condition).filter_map(|sample| {
            let findings = self.findings.get(&sample.number)?;
            let is_meant =
                |finding: &&Finding| finding.behaviour == behaviour && finding.stage == stage;
            let outcome = findings.iter().find(is_meant)?.outcome;
            Some(((sample.key.seed, sample.key.epoch), (sample.number, outcome)))
        });
        found.collect()
    }

    /// Samples that were begun and not finished.
    fn unfinished(self, condition: &Condition) -> u64 {
        self.under(condition).filter(|sample| sample.state == SampleState::Begun).count() as u64
    }

    /// Of each seed the mean over its epochs, as far as they have a value.
    fn values(self, condition: &Condition, measure: &str) -> BTreeMap<u64, f64> {
        let mut seeds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for sample in self.under(condition) {
            let measured = self.measured.get(&sample.number).into_iter().flatten();
            let value = measured.filter(|measured| measured.measure == measure);
            seeds.entry(sample.key.seed).or_default().extend(value.filter_map(|it| it.value));
        }
        seeds.retain(|_, values| !values.is_empty());
        seeds.into_iter().map(|(seed, values)| (seed, mean(values.into_iter()))).collect()
    }
}

impl Flip {
    /// Whether the behaviour was there on one side and not on the other, both being known.
    pub fn is_change(&self) -> bool {
        let [first, second] = self.outcomes;
        let is_present = |outcome| outcome == Outcome::Present;
        first.counts() && second.counts() && is_present(first) != is_present(second)
    }
}

fn flips(label: &str, behaviour: &str, stage: Stage, [first, second]: &[Outcomes; 2]) -> Vec<Flip> {
    let pairs = first.iter().filter_map(|(key, one)| Some((key, one, second.get(key)?)));
    pairs
        .filter(|(_, (_, one), (_, other))| one != other)
        .map(|(&(seed, epoch), one, other)| Flip {
            label: label.to_owned(),
            seed,
            epoch,
            behaviour: behaviour.to_owned(),
            stage,
            samples: [one.0, other.0],
            outcomes: [one.1, other.1],
        })
        .collect()
}

fn change(label: &str, behaviour: &str, stage: Stage, found: &Found) -> RateChange {
    let of_side = |side: usize| -> Vec<(u64, Outcome)> {
        let outcomes = found.outcomes[side].iter();
        outcomes.map(|((seed, _), (_, outcome))| (*seed, *outcome)).collect()
    };
    let sides = [of_side(0), of_side(1)];
    let rates = [rate(&sides[0]), rate(&sides[1])];
    let first = best_and_worst(&sides[0], found.unfinished[0]);
    let second = best_and_worst(&sides[1], found.unfinished[1]);
    let pairs = pairs(&found.outcomes);
    let table = four_way(&pairs);
    let counted: u64 = rates.iter().flatten().map(|rate| rate.n).sum();
    let estimate = estimate(&pairs, table, rates);
    RateChange {
        label: label.to_owned(),
        behaviour: behaviour.to_owned(),
        stage,
        rates,
        pairs: [table.both, table.first, table.second, table.neither],
        unpaired: counted - 2 * table.pairs(),
        method: estimate.method,
        difference: estimate.difference,
        interval: estimate.interval.map(|interval| (interval.low, interval.high)),
        reason: estimate.reason,
        bounds: (second.0 - first.1, second.1 - first.0),
        p: estimate.p,
        adjusted_p: None,
    }
}

/// Seed and presence on both sides, of samples of equal seed and epoch that count on both.
fn pairs([first, second]: &[Outcomes; 2]) -> Vec<(u64, [bool; 2])> {
    let pairs = first.iter().filter_map(|((seed, epoch), (_, one))| {
        let (_, other) = second.get(&(*seed, *epoch))?;
        let present = [one, other].map(|outcome| *outcome == Outcome::Present);
        (one.counts() && other.counts()).then_some((*seed, present))
    });
    pairs.collect()
}

fn four_way(pairs: &[(u64, [bool; 2])]) -> FourWay {
    let count = |wanted| pairs.iter().filter(|(_, present)| *present == wanted).count() as u64;
    FourWay {
        both: count([true, true]),
        first: count([true, false]),
        second: count([false, true]),
        neither: count([false, false]),
    }
}

struct Estimate {
    method: Method,
    difference: Option<f64>,
    interval: Option<Interval>,
    reason: Option<String>,
    p: Option<f64>,
}

fn estimate(pairs: &[(u64, [bool; 2])], table: FourWay, rates: [Option<Rate>; 2]) -> Estimate {
    let seeds: BTreeSet<u64> = pairs.iter().map(|(seed, _)| *seed).collect();
    if let Some(difference) = newcombe_paired(table, LEVEL).filter(|_| seeds.len() == pairs.len()) {
        return Estimate {
            method: Method::Pairs,
            difference: Some(difference.estimate),
            interval: Some(difference.interval),
            reason: None,
            p: Some(mcnemar(table)),
        };
    }
    let of_seed = |seed: &u64| {
        let of_seed = pairs.iter().filter(|(of, _)| of == seed);
        mean(of_seed.map(|(_, [one, other])| f64::from(*other) - f64::from(*one)))
    };
    let differences: Vec<f64> = seeds.iter().map(of_seed).collect();
    if let Some(Paired { mean, interval, .. }) = paired_rates(&differences, LEVEL) {
        return Estimate {
            method: Method::Seeds,
            difference: Some(mean),
            interval: interval.ok(),
            reason: interval.err().map(|reason| reason.to_string()),
            p: None,
        };
    }
    let [Some(first), Some(second)] = rates else {
        let reason = Some("one side has no sample that counts".to_owned());
        return Estimate {
            method: Method::None,
            difference: None,
            interval: None,
            reason,
            p: None,
        };
    };
    let side = |rate: Rate| {
        let interval = rate.interval.map(|(low, high)| Interval { low, high });
        interval.map(|interval| (rate.estimate, interval))
    };
    let of_both = side(first).zip(side(second)).map(|(one, other)| independent(one, other));
    let is_repeated = |rate: Rate| rate.clusters as u64 != rate.n;
    let p = (!is_repeated(first) && !is_repeated(second))
        .then(|| fisher((first.present, first.n), (second.present, second.n)));
    Estimate {
        method: Method::Independent,
        difference: Some(second.estimate - first.estimate),
        interval: of_both.map(|difference| difference.interval),
        reason: of_both
            .is_none()
            .then(|| "a rate over repeated seeds needs at least 10 of them".to_owned()),
        p,
    }
}

fn measure_change(
    label: &str,
    measure: &str,
    unit: Option<String>,
    [first, second]: &[BTreeMap<u64, f64>; 2],
) -> Option<MeasureChange> {
    if first.is_empty() && second.is_empty() {
        return None;
    }
    let pairs: Vec<(f64, f64)> =
        first.iter().filter_map(|(seed, one)| Some((*one, *second.get(seed)?))).collect();
    let differences: Vec<f64> = pairs.iter().map(|(one, other)| other - one).collect();
    let estimate = paired(&differences, LEVEL);
    let interval = estimate.and_then(|estimate| estimate.interval.ok());
    Some(MeasureChange {
        label: label.to_owned(),
        measure: measure.to_owned(),
        unit,
        pairs: pairs.len(),
        unpaired: first.len() + second.len() - 2 * pairs.len(),
        means: estimate.map(|_| {
            (mean(pairs.iter().map(|(one, _)| *one)), mean(pairs.iter().map(|(_, other)| *other)))
        }),
        difference: estimate.map(|estimate| estimate.mean),
        interval: interval.map(|interval| (interval.low, interval.high)),
        reason: match estimate {
            Some(estimate) => estimate.interval.err().map(|reason| reason.to_string()),
            None => Some("no seed has a value on both sides".to_owned()),
        },
    })
}

fn adjust(rows: &mut [RateChange]) {
    let p_values: Vec<f64> = rows.iter().filter_map(|row| row.p).collect();
    let tested = rows.iter_mut().filter(|row| row.p.is_some());
    tested.zip(holm(&p_values)).for_each(|(row, adjusted)| row.adjusted_p = Some(adjusted));
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    sum / n
}

#[cfg(test)]
mod tests;
