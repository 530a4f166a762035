//! Numbers of samples: measures by condition, contrasts paired by seed, ladders.

use std::collections::BTreeMap;

use lapwing_core::{Condition, Finding, Outcome};
use lapwing_scenario::{Claim, Contrast, ContrastOf, Ladder, Measure, Measured, Scenario, Side};
use lapwing_stats::{Paired, paired, paired_rates};
use lapwing_store::{Run, SampleRow, SampleState, StoreError};
use serde::Serialize;

use crate::table::LEVEL;

/// What a run says in numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Comparisons {
    /// Of each model, condition and measure what it came to.
    pub measures: Vec<MeasureRow>,
    /// Of each model and contrast.
    pub contrasts: Vec<ContrastRow>,
    /// Of each model, condition and ladder.
    pub ladders: Vec<LadderRow>,
}

/// A measure under one condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasureRow {
    /// The model or policy.
    pub model: String,
    /// The condition in words.
    pub label: String,
    /// The measure.
    pub measure: String,
    /// Its unit.
    pub unit: Option<String>,
    /// Samples that have it.
    pub n: usize,
    /// Samples that do not.
    pub missing: usize,
    /// Mean, least and greatest value; `None` if no sample has it.
    pub values: Option<(f64, f64, f64)>,
}

/// A contrast of one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContrastRow {
    /// The model or policy.
    pub model: String,
    /// The contrast.
    pub contrast: String,
    /// What is compared, as the scenario names it.
    pub of: String,
    /// The condition of which something is claimed.
    pub inside: String,
    /// The condition that it is compared with.
    pub against: String,
    /// Seeds with a value under both conditions.
    pub pairs: usize,
    /// Seeds that were run under one of the two and lack a value under one.
    pub missing: usize,
    /// Samples without a value under one of the two; the mean of a seed is over its other epochs.
    pub missing_samples: usize,
    /// The mean under each condition, over the pairs.
    pub means: Option<(f64, f64)>,
    /// The mean of the differences.
    pub difference: Option<f64>,
    /// The 95 % interval of that mean.
    pub interval: Option<(f64, f64)>,
    /// Why there is no interval.
    pub reason: Option<String>,
    /// What is claimed of the first condition.
    pub claim: Claim,
    /// What the interval says of the claim.
    pub verdict: Verdict,
}

/// On which side of the claim an interval lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of it is where the claim says.
    Claimed,
    /// All of it is on the other side.
    Against,
    /// It has no difference in it, or there is none.
    Undecided,
}

/// A ladder under one condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LadderRow {
    /// The model or policy.
    pub model: String,
    /// The condition in words.
    pub label: String,
    /// The ladder.
    pub ladder: String,
    /// Of each rung, the lowest first, the samples of which it is the highest that is present.
    pub rungs: Vec<(String, u64)>,
    /// Samples on none of them.
    pub none: u64,
    /// Samples of which that cannot be said, as they may stand on a higher rung than those that are known.
    pub missing: u64,
}

/// The measures of every finished sample, by sample number.
///
/// # Errors
/// The run file cannot be read.
pub fn measured(
    scenario: &Scenario,
    run: &Run,
    samples: &[SampleRow],
) -> Result<BTreeMap<u64, Vec<Measured>>, StoreError> {
    let mut measured = BTreeMap::new();
    if !scenario.measure_definitions().is_empty() {
        for sample in samples.iter().filter(|sample| sample.state == SampleState::Done) {
            let events = run.events(sample.number)?;
            measured.insert(sample.number, scenario.measures(&events, run));
        }
    }
    Ok(measured)
}

impl Verdict {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "in the claimed direction",
            Self::Against => "against it",
            Self::Undecided => "undecided",
        }
    }
}

/// What is known of the samples of a run.
struct Samples<'a> {
    rows: &'a [SampleRow],
    findings: &'a BTreeMap<u64, Vec<Finding>>,
    measured: &'a BTreeMap<u64, Vec<Measured>>,
}

impl Comparisons {
    /// Folds findings and measures, by sample number.
    pub fn new(
        scenario: &Scenario,
        samples: &[SampleRow],
        findings: &BTreeMap<u64, Vec<Finding>>,
        measured: &BTreeMap<u64, Vec<Measured>>,
    ) -> Self {
        let known = Samples { rows: samples, findings, measured };
        let mut models: Vec<&str> = Vec::new();
        let mut groups: Vec<(&str, &Condition)> = Vec::new();
        for sample in samples {
            let model = sample.key.model.as_str();
            if !models.contains(&model) {
                models.push(model);
            }
            if !groups.contains(&(model, &sample.key.condition)) {
                groups.push((model, &sample.key.condition));
            }
        }
        let mut comparisons = Self::default();
        for (model, condition) in groups {
            let label = scenario.describe(condition);
            let rows = scenario.measure_definitions().iter();
            let rows = rows.map(|measure| known.measure(measure, model, condition, &label));
            comparisons.measures.extend(rows);
            let rows = scenario.ladders().iter();
            let rows = rows.map(|ladder| known.ladder(ladder, model, condition, &label));
            comparisons.ladders.extend(rows);
        }
        for model in models {
            let rows = scenario.contrasts().iter().map(|contrast| known.contrast(contrast, model));
            comparisons.contrasts.extend(rows);
        }
        comparisons
    }

    /// Whether the scenario has nothing to compare.
    pub fn is_empty(&self) -> bool {
        self.measures.is_empty() && self.contrasts.is_empty() && self.ladders.is_empty()
    }
}

impl Samples<'_> {
    fn under(
        &self,
        model: &str,
        levels: &BTreeMap<String, String>,
    ) -> impl Iterator<Item = &SampleRow> {
        self.rows.iter().filter(move |sample| {
            sample.key.model == model && sample.key.condition.levels == *levels
        })
    }

    fn number(&self, of: &ContrastOf, sample: &SampleRow) -> Option<f64> {
        match of {
            ContrastOf::Measure(name) => {
                let measured = self.measured.get(&sample.number)?;
                measured.iter().find(|measured| measured.measure == *name)?.value
            }
            ContrastOf::Stage { behaviour, stage } => {
                let findings = self.findings.get(&sample.number)?;
                let is_meant =
                    |finding: &&Finding| finding.behaviour == *behaviour && finding.stage == *stage;
                let outcome = findings.iter().find(is_meant)?.outcome;
                outcome.counts().then(|| f64::from(u8::from(outcome == Outcome::Present)))
            }
        }
    }

    fn measure(
        &self,
        measure: &Measure,
        model: &str,
        condition: &Condition,
        label: &str,
    ) -> MeasureRow {
        let of = ContrastOf::Measure(measure.name.clone());
        let all: Vec<Option<f64>> = self
            .rows
            .iter()
            .filter(|sample| sample.key.model == model && sample.key.condition == *condition)
            .map(|sample| self.number(&of, sample))
            .collect();
        let values: Vec<f64> = all.iter().copied().flatten().collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let least = values.iter().copied().reduce(f64::min);
        let greatest = values.iter().copied().reduce(f64::max);
        MeasureRow {
            model: model.to_owned(),
            label: label.to_owned(),
            measure: measure.name.clone(),
            unit: measure.unit.clone(),
            n: values.len(),
            missing: all.len() - values.len(),
            values: least.zip(greatest).map(|(least, greatest)| (mean, least, greatest)),
        }
    }

    /// Of each seed the mean over its epochs; `None` where no epoch has a value.
    fn by_seed(&self, of: &ContrastOf, model: &str, side: &Side) -> BTreeMap<u64, Option<f64>> {
        let mut seeds: BTreeMap<u64, Vec<Option<f64>>> = BTreeMap::new();
        for sample in self.under(model, &side.levels) {
            seeds.entry(sample.key.seed).or_default().push(self.number(of, sample));
        }
        let means = seeds.into_iter().map(|(seed, values)| {
            let known: Vec<f64> = values.into_iter().flatten().collect();
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            (seed, (!known.is_empty()).then_some(mean))
        });
        means.collect()
    }

    /// Samples under either condition that have no value.
    fn without_value(&self, contrast: &Contrast, model: &str) -> usize {
        let sides = [&contrast.inside, &contrast.against].into_iter();
        let samples = sides.flat_map(|side| self.under(model, &side.levels));
        samples.filter(|sample| self.number(&contrast.of, sample).is_none()).count()
    }

    fn contrast(&self, contrast: &Contrast, model: &str) -> ContrastRow {
        let inside = self.by_seed(&contrast.of, model, &contrast.inside);
        let against = self.by_seed(&contrast.of, model, &contrast.against);
        let pairs: Vec<(f64, f64)> = inside
            .iter()
            .filter_map(|(seed, value)| Some(((*value)?, (*against.get(seed)?)?)))
            .collect();
        let of_one_alone = against.keys().filter(|seed| !inside.contains_key(seed)).count();
        let differences: Vec<f64> =
            pairs.iter().map(|(inside, against)| inside - against).collect();
        let estimate = match &contrast.of {
            ContrastOf::Measure(_) => paired(&differences, LEVEL),
            ContrastOf::Stage { .. } => paired_rates(&differences, LEVEL),
        };
        let mean =
            |side: fn(&(f64, f64)) -> f64| pairs.iter().map(side).sum::<f64>() / pairs.len() as f64;
        let means = estimate.map(|_| (mean(|pair| pair.0), mean(|pair| pair.1)));
        let interval = estimate.and_then(|Paired { interval, .. }| interval.ok());
        let reason = match estimate {
            Some(Paired { interval, .. }) => interval.err().map(|reason| reason.to_string()),
            None => Some("no seed has a value under both conditions".to_owned()),
        };
        let interval = interval.map(|interval| (interval.low, interval.high));
        ContrastRow {
            model: model.to_owned(),
            contrast: contrast.name.clone(),
            of: match &contrast.of {
                ContrastOf::Measure(name) => name.clone(),
                ContrastOf::Stage { behaviour, stage } => format!("{behaviour} {stage}"),
            },
            inside: contrast.inside.label.clone(),
            against: contrast.against.label.clone(),
            pairs: pairs.len(),
            missing: inside.len() + of_one_alone - pairs.len(),
            missing_samples: self.without_value(contrast, model),
            means,
            difference: estimate.map(|estimate| estimate.mean),
            interval,
            reason,
            claim: contrast.claim,
            verdict: verdict(contrast.claim, interval),
        }
    }

    fn ladder(
        &self,
        ladder: &Ladder,
        model: &str,
        condition: &Condition,
        label: &str,
    ) -> LadderRow {
        let mut row = LadderRow {
            model: model.to_owned(),
            label: label.to_owned(),
            ladder: ladder.name.clone(),
            rungs: ladder.rungs.iter().map(|(behaviour, _)| (behaviour.clone(), 0)).collect(),
            none: 0,
            missing: 0,
        };
        let of_group =
            |sample: &&SampleRow| sample.key.model == model && sample.key.condition == *condition;
        for sample in self.rows.iter().filter(of_group) {
            let rungs: Vec<Option<f64>> = ladder
                .rungs
                .iter()
                .map(|(behaviour, stage)| {
                    let (behaviour, stage) = (behaviour.clone(), *stage);
                    self.number(&ContrastOf::Stage { behaviour, stage }, sample)
                })
                .collect();
            let highest = rungs.iter().rposition(|rung| *rung == Some(1.0));
            let above = highest.map_or(0, |highest| highest + 1);
            match highest {
                _ if rungs[above..].iter().any(Option::is_none) => row.missing += 1,
                Some(highest) => row.rungs[highest].1 += 1,
                None => row.none += 1,
            }
        }
        row
    }
}

fn verdict(claim: Claim, interval: Option<(f64, f64)>) -> Verdict {
    let Some((low, high)) = interval else { return Verdict::Undecided };
    match (claim, low > 0.0, high < 0.0) {
        (Claim::Higher | Claim::Differs, true, _) | (Claim::Lower | Claim::Differs, _, true) => {
            Verdict::Claimed
        }
        (Claim::Higher, _, true) | (Claim::Lower, true, _) => Verdict::Against,
        (_, false, false) => Verdict::Undecided,
    }
}

#[cfg(test)]
mod tests;
