//! Exact inference over a handful of seeds: every difference might as well have had the other sign.

use crate::data::{DataError, all_equal, check};
use crate::{Interval, quantile};

/// The most differences of which all signs are enumerated.
pub const MOST_FLIPPED: usize = 20;

/// A sign-flip test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignFlip {
    /// The mean of the differences.
    pub mean: f64,
    /// The two-sided p-value.
    pub p: f64,
    /// The smallest p-value that so many differences can give: `2 / 2ⁿ`.
    pub least_p: f64,
}

/// The two-sided sign-flip permutation test of paired `differences`, one a seed (Fisher 1935, "The Design of Experiments", section 21):
/// the share of all `2ⁿ` choices of signs whose sum is at least as far from 0 as the one that was seen. Exact if under the null
/// hypothesis each difference is as likely to have either sign, as it is if the two sides of a seed can be exchanged; nothing is
/// said about the shape of the distribution. Eight differences of one sign give 2/256, five 2/32: never below 0.05.
///
/// # Errors
/// Without a difference, with more than [`MOST_FLIPPED`], or with one that is not finite.
pub fn sign_flip(differences: &[f64]) -> Result<SignFlip, DataError> {
    enumerable(differences)?;
    let (n, sum) = (differences.len(), differences.iter().sum::<f64>());
    // The signs are symmetric, so either side has as many.
    let p = (2.0 * share_at_least(differences, sum.abs())).min(1.0);
    Ok(SignFlip { mean: sum / n as f64, p, least_p: least_p(n) })
}

/// The one-sided p-value: the share of all choices of signs whose sum is at least the one that was seen.
///
/// # Errors
/// As [`sign_flip`].
pub(crate) fn sign_flip_above(differences: &[f64]) -> Result<f64, DataError> {
    enumerable(differences)?;
    Ok(share_at_least(differences, differences.iter().sum()))
}

/// The exact interval of the centre of `differences`, one a seed: the values that [`sign_flip`] would not reject, at `1 - level`, as the
/// mean. Its coverage is at least `level` if the distribution of the differences is symmetric, whatever its shape;
/// [`crate::paired`] has Student's interval, which takes it to be normal. The ends are the `k`-th smallest and the `k`-th largest
/// of the means of all `2ⁿ - 1` non-empty subsets, `k` being `(1 - level) 2ⁿ⁻¹` rounded down (Hartigan 1969, "Using subsample
/// values as typical values").
///
/// # Errors
/// As [`sign_flip`]; where `k` is 0, as with 5 differences at 0.95: no value is then far enough away to be rejected; and where all
/// differences are equal, which would give an interval without width, as if nothing were uncertain.
///
/// # Panics
/// If `level` is not between 0 and 1.
pub fn sign_flip_interval(differences: &[f64], level: f64) -> Result<Interval, DataError> {
    quantile::assert_level(level);
    enumerable(differences)?;
    if all_equal(differences) {
        return Err(DataError::NoSpread { what: "differences" });
    }
    let n = differences.len();
    let k = ((1.0 - level) / least_p(n)).floor() as usize;
    if k == 0 {
        return Err(DataError::LevelTooHigh { level, highest: 1.0 - least_p(n), got: n });
    }
    let mut subsets = vec![(0.0, 0.0)];
    for difference in differences {
        let with: Vec<(f64, f64)> =
            subsets.iter().map(|(sum, size)| (sum + difference, size + 1.0)).collect();
        subsets.extend(with);
    }
    let mut means: Vec<f64> = subsets[1..].iter().map(|(sum, size)| sum / size).collect();
    means.sort_by(f64::total_cmp);
    Ok(Interval { low: means[k - 1], high: means[means.len() - k] })
}

/// The share of all `2ⁿ` choices of signs whose sum is at least `sum`, which one of them has.
fn share_at_least(differences: &[f64], sum: f64) -> f64 {
    let mut sums = vec![0.0];
    for difference in differences {
        let flipped: Vec<f64> = sums.iter().map(|sum| sum - difference).collect();
        for sum in &mut sums {
            *sum += difference;
        }
        sums.extend(flipped);
    }
    // Equal sums differ by rounding, which depends on the order of the signs.
    let rounding = 1e-12 * differences.iter().map(|difference| difference.abs()).sum::<f64>();
    let reached = sums.iter().filter(|reached| **reached >= sum - rounding).count();
    reached as f64 / sums.len() as f64
}

fn enumerable(differences: &[f64]) -> Result<(), DataError> {
    check(differences, "differences", 1)?;
    match differences.len() {
        got if got > MOST_FLIPPED => Err(DataError::TooMany { most: MOST_FLIPPED, got }),
        _ => Ok(()),
    }
}

fn least_p(n: usize) -> f64 {
    0.5_f64.powi(n as i32 - 1)
}
