//! Gates and claims: when they hold, decided over seeds.
//!
//! The unit is the seed: prompts are never pooled over seeds. A condition compares one number a seed with a bound fixed in the file,
//! by an exact sign-flip test (at least or at most) or by two one-sided tests (within). A claim in one direction needs all of its
//! conditions, so its p is their largest (an intersection-union test); over claims p is adjusted by Holm among the primary ones and by
//! Benjamini and Hochberg among the others.

use std::collections::BTreeMap;
use std::fmt;

use lapwing_stats::{
    DataError, benjamini_hochberg, cochran_armitage, holm, sign_flip, sign_flip_interval, spearman,
    tost_sign_flip,
};
use serde::{Deserialize, Serialize};

/// Reporting seeds that a verdict needs: five cannot give a two-sided p below 0.0625.
pub const VERDICT_SEEDS: usize = 8;
/// A claim is decided at this level.
const LEVEL: f64 = 0.05;
/// Primary claims, at most: Holm's adjustment of the smallest p that eight seeds can give, 2/256, stays within the level for six.
pub const MOST_PRIMARY: usize = 6;

/// What was measured: for each seed, `stage/figure` and its value.
pub type Figures = BTreeMap<u64, BTreeMap<String, f64>>;

/// What is compared with a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawCondition", into = "RawCondition")]
pub struct Condition {
    /// One number a seed.
    pub of: Quantity,
    /// What it must be.
    pub bound: Bound,
}

/// One number a seed.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    /// A figure.
    Figure(String),
    /// A figure less another of the same seed.
    Difference(String, String),
    /// A figure divided by another of the same seed; nothing where that is 0.
    Ratio(String, String),
    /// Spearman's rank correlation of these figures with their order.
    Trend(Vec<String>),
}

/// What a quantity must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// No further from 0 than this.
    Within(f64),
}

impl Bound {
    /// Whether a value lies within it.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Within(margin) => value.abs() <= margin,
        }
    }
}

/// A condition as it is written.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCondition {
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minus: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    over: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trend: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<f64>,
}

impl TryFrom<RawCondition> for Condition {
    type Error = &'static str;

    fn try_from(raw: RawCondition) -> Result<Self, Self::Error> {
        let of = match (raw.of, raw.minus, raw.over, raw.trend) {
            (Some(of), None, None, None) => Quantity::Figure(of),
            (Some(of), Some(other), None, None) => Quantity::Difference(of, other),
            (Some(of), None, Some(other), None) => Quantity::Ratio(of, other),
            (None, None, None, Some(figures)) if figures.len() > 2 => Quantity::Trend(figures),
            _ => {
                return Err(
                    "give `of`, with `minus` or `over` or neither, or a `trend` of at least three figures",
                );
            }
        };
        let bound = match (raw.at_least, raw.at_most, raw.within) {
            (Some(bound), None, None) => Bound::AtLeast(bound),
            (None, Some(bound), None) => Bound::AtMost(bound),
            (None, None, Some(margin)) if margin > 0.0 => Bound::Within(margin),
            _ => return Err("give one of `at_least`, `at_most` and `within` (above 0)"),
        };
        Ok(Self { of, bound })
    }
}

impl From<Condition> for RawCondition {
    fn from(condition: Condition) -> Self {
        let mut raw = Self::default();
        match condition.of {
            Quantity::Figure(of) => raw.of = Some(of),
            Quantity::Difference(of, other) => (raw.of, raw.minus) = (Some(of), Some(other)),
            Quantity::Ratio(of, other) => (raw.of, raw.over) = (Some(of), Some(other)),
            Quantity::Trend(figures) => raw.trend = Some(figures),
        }
        match condition.bound {
            Bound::AtLeast(bound) => raw.at_least = Some(bound),
            Bound::AtMost(bound) => raw.at_most = Some(bound),
            Bound::Within(margin) => raw.within = Some(margin),
        }
        raw
    }
}

impl Condition {
    /// The figures that it needs, each as `stage/figure`.
    pub fn references(&self) -> Vec<&str> {
        match &self.of {
            Quantity::Figure(of) => vec![of],
            Quantity::Difference(of, other) | Quantity::Ratio(of, other) => vec![of, other],
            Quantity::Trend(figures) => figures.iter().map(String::as_str).collect(),
        }
    }

    /// Decides it from figures, of which rates are parts of so many `prompts`.
    pub fn decide(&self, figures: &Figures, prompts: usize) -> Decided {
        let values: Vec<(u64, f64)> = figures
            .iter()
            .filter_map(|(seed, figures)| Some((*seed, self.of.value(figures)?)))
            .filter(|(_, value)| value.is_finite())
            .collect();
        let numbers: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let p = match self.bound {
            Bound::AtLeast(bound) | Bound::AtMost(bound) => beyond(&numbers, bound),
            Bound::Within(margin) => tost_sign_flip(&numbers, margin).ok().map(|found| found.p()),
        };
        Decided {
            condition: self.clone(),
            mean: (!numbers.is_empty()).then_some(mean),
            interval: interval(&numbers),
            p: p.filter(|_| self.bound.holds(mean)),
            missing: figures.len() - values.len(),
            values,
            deviates: figures
                .iter()
                .filter_map(|(seed, figures)| Some((*seed, self.of.deviate(figures, prompts)?)))
                .collect(),
        }
    }
}

/// p of the exact sign-flip test that values lie about `bound`. Nothing for none.
fn beyond(values: &[f64], bound: f64) -> Option<f64> {
    let distances: Vec<f64> = values.iter().map(|value| value - bound).collect();
    sign_flip(&distances).ok().map(|found| found.p)
}

/// The exact 95 % interval of the centre of one number a seed; nothing for fewer than six seeds, which exclude no value.
pub fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let interval = sign_flip_interval(values, 1.0 - LEVEL).ok()?;
    Some((interval.low, interval.high))
}

impl Quantity {
    fn value(&self, figures: &BTreeMap<String, f64>) -> Option<f64> {
        match self {
            Self::Figure(of) => figures.get(of).copied(),
            Self::Difference(of, other) => Some(figures.get(of)? - figures.get(other)?),
            Self::Ratio(of, other) => {
                let divisor = *figures.get(other)?;
                (divisor != 0.0).then_some(figures.get(of)? / divisor)
            }
            Self::Trend(of) => {
                let values: Option<Vec<f64>> =
                    of.iter().map(|name| figures.get(name).copied()).collect();
                let order: Vec<f64> = (0..of.len()).map(|index| index as f64).collect();
                match spearman(&order, &values?) {
                    Ok(found) => Some(found.rho),
                    // Figures that are all equal have no trend.
                    Err(DataError::NoSpread { .. }) => Some(0.0),
                    Err(_) => None,
                }
            }
        }
    }

    /// The normal deviate of the Cochran-Armitage test of a trend of rates; nothing where there is none.
    fn deviate(&self, figures: &BTreeMap<String, f64>, prompts: usize) -> Option<f64> {
        let Self::Trend(of) = self else { return None };
        let rung = |(index, name): (usize, &String)| {
            let rate = figures.get(name).filter(|rate| (0.0..=1.0).contains(*rate))?;
            Some((index as f64, (rate * prompts as f64).round() as u64, prompts as u64))
        };
        let rungs: Option<Vec<_>> = of.iter().enumerate().map(rung).collect();
        Some(cochran_armitage(&rungs?).ok()?.z)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Quantity::Figure(of) => write!(f, "{of}")?,
            Quantity::Difference(of, other) => write!(f, "{of} - {other}")?,
            Quantity::Ratio(of, other) => write!(f, "{of} / {other}")?,
            Quantity::Trend(figures) => write!(f, "trend of {}", figures.join(", "))?,
        }
        match self.bound {
            Bound::AtLeast(bound) => write!(f, " >= {bound}"),
            Bound::AtMost(bound) => write!(f, " <= {bound}"),
            Bound::Within(margin) => write!(f, " within {margin}"),
        }
    }
}

/// What was found of a condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The condition.
    pub condition: Condition,
    /// One number a seed.
    pub values: Vec<(u64, f64)>,
    /// Seeds that have no number.
    pub missing: usize,
    /// Their mean.
    pub mean: Option<f64>,
    /// Its exact 95 % interval, from six seeds on.
    pub interval: Option<(f64, f64)>,
    /// Of a trend of rates the normal deviate of the Cochran-Armitage test among the prompts of each seed.
    #[serde(default)]
    pub deviates: Vec<(u64, f64)>,
    /// How likely such a distance from the bound were if there was none; nothing where the mean lies on the other side.
    pub p: Option<f64>,
}

/// What must hold before a claim is tested: for every seed, or, where two rates are to lie `within` a margin of each other, in the mean,
/// since the rates of one seed differ by chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Why.
    pub about: String,
    /// The condition.
    #[serde(flatten)]
    pub condition: Condition,
}

/// Whether a claim could come out otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It could.
    Free,
    /// It follows from how the organism was made: it can only show that the instrument works.
    ByConstruction,
}

/// A published claim and when its direction is found here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// In a line.
    pub title: String,
    /// What the publication found.
    pub paper: String,
    /// Whether it could come out otherwise.
    pub kind: Kind,
    /// Whether it is one of the few that the study was made for.
    #[serde(default)]
    pub primary: bool,
    /// Gates that must be passed.
    #[serde(default)]
    pub gates: Vec<String>,
    /// The same direction is found if all of these hold.
    pub same: Vec<Condition>,
    /// The opposite direction is found if all of these hold.
    #[serde(default)]
    pub opposite: Vec<Condition>,
    /// What must be known to read it.
    pub note: Option<String>,
}

impl Claim {
    /// The figures that it needs, each as `stage/figure`.
    pub fn references(&self) -> Vec<&str> {
        self.same.iter().chain(&self.opposite).flat_map(Condition::references).collect()
    }
}

/// What is said of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The direction of the published claim.
    SameDirection,
    /// The other one.
    Opposite,
    /// Neither could be shown.
    Inconclusive,
    /// A gate was not passed.
    Untestable,
    /// By construction, and so it came out.
    InstrumentWorks,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameDirection => "same direction",
            Self::Opposite => "opposite",
            Self::Inconclusive => "inconclusive",
            Self::Untestable => "untestable",
            Self::InstrumentWorks => "instrument works",
        })
    }
}

/// What was found of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// Its name.
    pub name: String,
    /// Why there is one.
    pub about: String,
    /// What was found.
    pub decided: Decided,
    /// Whether it holds.
    pub passed: bool,
    /// Seeds that do not, or have no number.
    pub failed: Vec<u64>,
}

/// What was found of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimResult {
    /// Its name.
    pub name: String,
    /// The claim.
    pub claim: Claim,
    /// Gates that were not passed.
    pub failed_gates: Vec<String>,
    /// Conditions of the same direction.
    pub same: Vec<Decided>,
    /// Conditions of the opposite direction.
    pub opposite: Vec<Decided>,
    /// p, adjusted for the number of claims.
    pub p: Option<f64>,
    /// Nothing where there are too few reporting seeds for one.
    pub verdict: Option<Verdict>,
}

/// Decides gates.
pub fn gates(gates: &BTreeMap<String, Gate>, figures: &Figures, prompts: usize) -> Vec<GateResult> {
    let decide = |(name, gate): (&String, &Gate)| {
        let decided = gate.condition.decide(figures, prompts);
        let holds = |seed: &u64| {
            decided
                .values
                .iter()
                .any(|(of, value)| of == seed && gate.condition.bound.holds(*value))
        };
        let failed: Vec<u64> = figures.keys().filter(|seed| !holds(seed)).copied().collect();
        let passed = match gate.condition.bound {
            Bound::AtLeast(_) | Bound::AtMost(_) => failed.is_empty() && !figures.is_empty(),
            Bound::Within(_) => decided.mean.is_some_and(|mean| gate.condition.bound.holds(mean)),
        };
        GateResult { name: name.clone(), about: gate.about.clone(), decided, passed, failed }
    };
    gates.iter().map(decide).collect()
}

/// Decides claims. `verdicts` says whether there are enough reporting seeds for verdicts.
pub fn claims(
    claims: &BTreeMap<String, Claim>,
    gates: &[GateResult],
    figures: &Figures,
    prompts: usize,
    verdicts: bool,
) -> Vec<ClaimResult> {
    let mut results: Vec<ClaimResult> = claims
        .iter()
        .map(|(name, claim)| {
            let passed =
                |gate: &&String| gates.iter().any(|result| result.name == **gate && result.passed);
            let decide = |conditions: &[Condition]| -> Vec<Decided> {
                conditions.iter().map(|condition| condition.decide(figures, prompts)).collect()
            };
            let (same, opposite) = (decide(&claim.same), decide(&claim.opposite));
            ClaimResult {
                name: name.clone(),
                claim: claim.clone(),
                failed_gates: claim.gates.iter().filter(|gate| !passed(gate)).cloned().collect(),
                p: largest_p(&same).or_else(|| largest_p(&opposite)),
                same,
                opposite,
                verdict: None,
            }
        })
        .collect();
    adjust(&mut results);
    if verdicts {
        for result in &mut results {
            result.verdict = Some(verdict(result));
        }
    }
    results
}

/// The p of conditions that must all hold; nothing if one lies on its other side or was not measured for every seed.
fn largest_p(conditions: &[Decided]) -> Option<f64> {
    let p: Option<Vec<f64>> =
        conditions.iter().map(|decided| decided.p.filter(|_| decided.missing == 0)).collect();
    p?.into_iter().reduce(f64::max)
}

/// Adjusts p for the number of claims. A claim that failed a gate is not tested, and one by construction is none.
fn adjust(results: &mut [ClaimResult]) {
    for primary in [true, false] {
        let family: Vec<usize> = (0..results.len())
            .filter(|index| {
                let ClaimResult { claim, failed_gates, .. } = &results[*index];
                claim.primary == primary && claim.kind == Kind::Free && failed_gates.is_empty()
            })
            .collect();
        let raw: Vec<f64> = family.iter().map(|index| results[*index].p.unwrap_or(1.0)).collect();
        let adjusted = if primary { holm(&raw) } else { benjamini_hochberg(&raw) };
        for (index, p) in family.into_iter().zip(adjusted) {
            results[index].p = results[index].p.map(|_| p);
        }
    }
}

fn verdict(result: &ClaimResult) -> Verdict {
    if !result.failed_gates.is_empty() {
        return Verdict::Untestable;
    }
    let shown = result.p.is_some_and(|p| p <= LEVEL);
    match result.claim.kind {
        Kind::ByConstruction if shown && largest_p(&result.same).is_some() => {
            Verdict::InstrumentWorks
        }
        Kind::Free if shown && largest_p(&result.same).is_some() => Verdict::SameDirection,
        Kind::Free if shown => Verdict::Opposite,
        Kind::ByConstruction | Kind::Free => Verdict::Inconclusive,
    }
}
