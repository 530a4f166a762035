//! Whether two things are equal but for a margin that was stated beforehand: a large p-value of a test for a difference says no such
//! thing.

use std::f64::consts::PI;

use crate::data::{DataError, all_equal, check};
use crate::sign_flip::sign_flip_above;
use crate::{MIN_PAIRS, quantile};

/// Two one-sided tests (Schuirmann 1987) of a difference against both ends of a margin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equivalence {
    /// The difference that was seen.
    pub estimate: f64,
    /// The p-value of the difference being at or below `-margin`.
    pub below: f64,
    /// The p-value of the difference being at or above `margin`.
    pub above: f64,
}

impl Equivalence {
    /// The p-value of the two not being equivalent: the greater one. Below α exactly where the interval of the difference at level
    /// `1 - 2 α` lies within the margin.
    pub fn p(&self) -> f64 {
        self.below.max(self.above)
    }
}

/// Whether the mean of paired `differences`, one a seed, lies within `± margin`, by Student's t: `t = (mean ± margin) / (s / √n)` with
/// `n - 1` degrees of freedom.
///
/// # Errors
/// With fewer than [`MIN_PAIRS`] differences, or one that is not finite. Where all are equal, as they are if a rate was 1 on either side of
/// every seed, they have no spread: [`tost_sign_flip`] needs none.
///
/// # Panics
/// If the margin is not above 0.
pub fn tost_paired(differences: &[f64], margin: f64) -> Result<Equivalence, DataError> {
    assert_margin(margin);
    check(differences, "differences", MIN_PAIRS)?;
    if all_equal(differences) {
        return Err(DataError::NoSpread { what: "differences" });
    }
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
    let error = (squares / (n - 1.0) / n).sqrt();
    Ok(Equivalence {
        estimate: mean,
        below: quantile::student_above((mean + margin) / error, n - 1.0),
        above: quantile::student_above((margin - mean) / error, n - 1.0),
    })
}

/// Whether the centre of paired `differences`, one a seed, lies within `± margin`, by one-sided sign-flip tests of the differences moved
/// by the margin: exact if their distribution is symmetric. The smallest p-value is `1 / 2ⁿ`.
///
/// # Errors
/// As [`crate::sign_flip`].
///
/// # Panics
/// If the margin is not above 0.
pub fn tost_sign_flip(differences: &[f64], margin: f64) -> Result<Equivalence, DataError> {
    assert_margin(margin);
    let inside = |side: f64| -> Vec<f64> {
        differences.iter().map(|difference| margin + side * difference).collect()
    };
    let (below, above) = (sign_flip_above(&inside(1.0))?, sign_flip_above(&inside(-1.0))?);
    let estimate = differences.iter().sum::<f64>() / differences.len() as f64;
    Ok(Equivalence { estimate, below, above })
}

/// Whether the second of two independent rates, each `(hits, samples)`, less the first lies within `± margin`, by the score tests of Farrington
/// and Manning (1990): `z = (p₂ - p₁ ± margin) / √(q₁ (1 - q₁) / n₁ + q₂ (1 - q₂) / n₂)`, `q` being the most likely rates whose difference is the
/// end of the margin. The samples must be independent: over seeds of training use [`tost_paired`].
///
/// # Errors
/// Where a rate has no sample.
///
/// # Panics
/// If there are more hits than samples, or the margin is not between 0 and 1.
pub fn tost_rates(
    first: (u64, u64),
    second: (u64, u64),
    margin: f64,
) -> Result<Equivalence, DataError> {
    assert_margin(margin);
    assert!(margin < 1.0, "two rates always lie within a margin of {margin}");
    let ((k1, n1), (k2, n2)) = (first, second);
    assert!(k1 <= n1 && k2 <= n2, "{k1} of {n1} and {k2} of {n2} are no rates");
    if n1 == 0 || n2 == 0 {
        return Err(DataError::TooFew { what: "samples of either rate", least: 1, got: 0 });
    }
    let [k1, n1, k2, n2] = [k1, n1, k2, n2].map(|count| count as f64);
    let estimate = k2 / n2 - k1 / n1;
    let deviate = |end: f64| {
        let q1 = restricted_rate(k1, n1, k2, n2, end);
        let q2 = q1 + end;
        let variance = q1 * (1.0 - q1) / n1 + q2 * (1.0 - q2) / n2;
        (estimate - end) / variance.max(0.0).sqrt()
    };
    Ok(Equivalence {
        estimate,
        below: quantile::normal_above(deviate(-margin)),
        above: quantile::normal_above(-deviate(margin)),
    })
}

/// The most likely first rate if the second is `difference` above it: the root of the likelihood's cubic equation in closed form
/// (Miettinen and Nurminen 1985, appendix 1).
fn restricted_rate(k1: f64, n1: f64, k2: f64, n2: f64, difference: f64) -> f64 {
    let (n, hits) = (n1 + n2, k1 + k2);
    let square = (n2 + 2.0 * n1) * difference - n - hits;
    let linear = (n1 * difference - n - 2.0 * k1) * difference + hits;
    let constant = k1 * difference * (1.0 - difference);
    let third = square / (3.0 * n);
    let q = third.powi(3) - linear * square / (6.0 * n * n) + constant / (2.0 * n);
    let p = (third * third - linear / (3.0 * n)).max(0.0).sqrt().copysign(q);
    let cosine = if p == 0.0 { 0.0 } else { (q / p.powi(3)).clamp(-1.0, 1.0) };
    let rate = 2.0 * p * ((PI + cosine.acos()) / 3.0).cos() - third;
    rate.clamp((-difference).max(0.0), (1.0 - difference).min(1.0))
}

fn assert_margin(margin: f64) {
    assert!(margin > 0.0, "a margin lies above 0, got {margin}");
}
