//! The mean of paired differences.

use crate::{Interval, quantile};

/// The fewest pairs from which an interval is computed.
pub const MIN_PAIRS: usize = 5;

/// The mean of differences, one a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// How many pairs there are.
    pub pairs: usize,
    /// The mean of their differences.
    pub mean: f64,
    /// The interval of the mean, or why there is none.
    pub interval: Result<Interval, NoInterval>,
}

/// Why there is no interval of a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoInterval {
    /// There are too few pairs to see how they spread.
    #[error("an interval needs at least {MIN_PAIRS} pairs, got {pairs}")]
    TooFewPairs {
        /// How many there are.
        pairs: usize,
    },
    /// All differences are equal. Student's interval would have no width, as if nothing were uncertain.
    #[error(
        "all pairs differ by the same amount; without spread between them Student's t gives no interval"
    )]
    NoSpread,
}

/// The mean of `differences` between rates, each from -1 to 1, as [`paired`] has it. Where every pair differs by the same whole
/// number there is no spread, but as a difference of two outcomes it has an exact bound all the same: with all of n pairs alike,
/// the probability of such a pair is at least `p = (α/2)^(1/n)` (Clopper and Pearson 1934), and all others together have no more
/// than `1 - p`. So the difference is at least `2 p - 1` away on that side; and if no pair differs, less than `1 - α^(1/n)` from 0.
///
/// # Panics
/// If `level` is not between 0 and 1.
pub fn paired_rates(differences: &[f64], level: f64) -> Option<Paired> {
    let estimate = paired(differences, level)?;
    let alpha = 1.0 - level;
    let root = |x: f64| x.powf(1.0 / estimate.pairs as f64);
    let least = 2.0 * root(alpha / 2.0) - 1.0;
    let most = 1.0 - root(alpha);
    let first = differences.first().copied().unwrap_or_default();
    let exact = [(1.0, least, 1.0), (0.0, -most, most), (-1.0, -1.0, -least)];
    let exact = exact.into_iter().find(|(all, ..)| (all - first).abs() < 1e-12);
    match (estimate.interval, exact) {
        (Err(NoInterval::NoSpread), Some((_, low, high))) => {
            Some(Paired { interval: Ok(Interval { low, high }), ..estimate })
        }
        _ => Some(estimate),
    }
}

/// The mean of `differences` with Student's interval `mean ± t s / √n` (Student 1908), `t` having `n - 1` degrees of
/// freedom. `None` without a difference.
///
/// # Panics
/// If `level` is not between 0 and 1.
pub fn paired(differences: &[f64], level: f64) -> Option<Paired> {
    quantile::assert_level(level);
    let (pairs, n) = (differences.len(), differences.len() as f64);
    let first = differences.first()?;
    let mean = differences.iter().sum::<f64>() / n;
    let interval = if pairs < MIN_PAIRS {
        Err(NoInterval::TooFewPairs { pairs })
    } else if differences.iter().all(|difference| (difference - first).abs() <= 1e-12 * first.abs())
    {
        Err(NoInterval::NoSpread)
    } else {
        let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
        let error = (squares / (n - 1.0) / n).sqrt();
        let half = quantile::two_sided_student(level, n - 1.0) * error;
        Ok(Interval { low: mean - half, high: mean + half })
    };
    Some(Paired { pairs, mean, interval })
}
