//! How many positives a threshold catches, and at the price of how many false alarms.

use serde::{Deserialize, Serialize};

use crate::data::{DataError, check};
use crate::{Interval, clopper_pearson};

/// The false positives that are to be expected before a false-positive rate is worth speaking of: 1000 negatives for 1 %. With fewer
/// the threshold hangs on a handful of scores.
pub const MIN_FALSE_POSITIVES: f64 = 10.0;

/// A point of a receiver operating characteristic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// A score is flagged if it is at least this; infinite where nothing is.
    pub threshold: f64,
    /// The share of negatives that are flagged.
    pub fpr: f64,
    /// The share of positives that are flagged.
    pub tpr: f64,
}

/// The receiver operating characteristic: a point for nothing flagged, and one for each different score as threshold, from the
/// highest to the lowest, at which all is flagged.
///
/// # Errors
/// Without a positive or a negative, or with a score that is not finite.
pub fn roc_curve(positives: &[f64], negatives: &[f64]) -> Result<Vec<RocPoint>, DataError> {
    check(positives, "positives", 1)?;
    check(negatives, "negatives", 1)?;
    let (positives, negatives) = (descending(positives), descending(negatives));
    let mut thresholds = [&positives[..], &negatives].concat();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    let share = |scores: &[f64], threshold: f64| {
        scores.partition_point(|score| *score >= threshold) as f64 / scores.len() as f64
    };
    let points = [f64::INFINITY].into_iter().chain(thresholds).map(|threshold| RocPoint {
        threshold,
        fpr: share(&negatives, threshold),
        tpr: share(&positives, threshold),
    });
    Ok(points.collect())
}

/// How many positives are caught at a bounded price.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TprAtFpr {
    /// The false-positive rate that was asked for.
    pub asked_fpr: f64,
    /// A score is flagged if it is at least this. `None` where nothing is flagged.
    pub threshold: Option<f64>,
    /// The share of negatives that are flagged at this threshold, at most the one that was asked for.
    pub fpr: f64,
    /// What the false-positive rate of this threshold may be (Clopper and Pearson). Its upper end holds although the threshold was chosen
    /// on the same negatives: the share above the `k + 1`-th largest of `n` follows Beta(`k + 1`, `n - k`), whose quantile it is.
    pub fpr_interval: Interval,
    /// The share of positives that are flagged.
    pub tpr: f64,
    /// Its interval at this threshold (Clopper and Pearson). That another sample of negatives would give another threshold is not in it.
    pub tpr_interval: Interval,
    /// Positives.
    pub positives: usize,
    /// Negatives.
    pub negatives: usize,
}

impl TprAtFpr {
    /// The smallest false-positive rate other than 0 that so many negatives can show.
    pub fn resolution(&self) -> f64 {
        1.0 / self.negatives as f64
    }

    /// Whether there are enough negatives to speak of the rate that was asked for: [`MIN_FALSE_POSITIVES`] are expected at it.
    pub fn resolved(&self) -> bool {
        self.asked_fpr * self.negatives as f64 >= MIN_FALSE_POSITIVES
    }
}

/// The most positives that a threshold catches while it flags at most the share `fpr` of negatives, with exact intervals.
///
/// # Errors
/// As [`roc_curve`].
///
/// # Panics
/// If `fpr` is not in `[0, 1]`, or `level` not between 0 and 1.
pub fn tpr_at_fpr(
    positives: &[f64],
    negatives: &[f64],
    fpr: f64,
    level: f64,
) -> Result<TprAtFpr, DataError> {
    assert!((0.0..=1.0).contains(&fpr), "a false-positive rate lies between 0 and 1, got {fpr}");
    let curve = roc_curve(positives, negatives)?;
    let point = curve[curve.partition_point(|point| point.fpr <= fpr) - 1];
    let interval = |scores: &[f64]| {
        let flagged = scores.iter().filter(|score| **score >= point.threshold).count();
        clopper_pearson(flagged as u64, scores.len() as u64, level)
    };
    Ok(TprAtFpr {
        asked_fpr: fpr,
        threshold: Some(point.threshold).filter(|threshold| threshold.is_finite()),
        fpr: point.fpr,
        fpr_interval: interval(negatives),
        tpr: point.tpr,
        tpr_interval: interval(positives),
        positives: positives.len(),
        negatives: negatives.len(),
    })
}

fn descending(scores: &[f64]) -> Vec<f64> {
    let mut scores = scores.to_vec();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores
}
