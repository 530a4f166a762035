//! The difference of two rates, of independent samples or of pairs.

use crate::interval::{Interval, wilson};

/// A difference of two rates, from -1 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The second rate less the first.
    pub estimate: f64,
    /// Its interval.
    pub interval: Interval,
}

/// Pairs of outcomes: the same thing was tried under two conditions, once each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FourWay {
    /// Hits under both.
    pub both: u64,
    /// Hits under the first alone.
    pub first: u64,
    /// Hits under the second alone.
    pub second: u64,
    /// Hits under neither.
    pub neither: u64,
}

impl FourWay {
    /// All pairs.
    pub fn pairs(self) -> u64 {
        self.both + self.first + self.second + self.neither
    }
}

/// The second of two independent rates less the first, each given with its own interval of the same level: the hybrid of
/// score intervals of Newcombe (1998, "Interval estimation for the difference between independent proportions", method 10)
/// where both are [`wilson`]'s, and its extension to other intervals (Zou and Donner 2008) where they are clustered.
pub fn independent(first: (f64, Interval), second: (f64, Interval)) -> Difference {
    combine(first, second, 0.0)
}

/// The second rate of pairs less the first, with the interval of Newcombe (1998, "Improved confidence intervals for the
/// difference between binomial proportions based on paired data", method 10): Wilson's intervals of both rates, combined at the
/// correlation of the pairs, which is corrected towards 0. `None` without a pair.
///
/// # Panics
/// If `level` is not between 0 and 1.
pub fn newcombe_paired(table: FourWay, level: f64) -> Option<Difference> {
    let n = table.pairs();
    if n == 0 {
        return None;
    }
    let side = |hits: u64| (hits as f64 / n as f64, wilson(hits, n, level));
    let (first, second) = (side(table.both + table.first), side(table.both + table.second));
    Some(combine(first, second, correlation(table)))
}

/// `δ - √((p₂-l₂)² - 2φ(p₂-l₂)(u₁-p₁) + (u₁-p₁)²)` to `δ + √((u₂-p₂)² - 2φ(u₂-p₂)(p₁-l₁) + (p₁-l₁)²)`, `δ` being `p₂ - p₁`.
fn combine(first: (f64, Interval), second: (f64, Interval), correlation: f64) -> Difference {
    let ((p1, one), (p2, two)) = (first, second);
    let estimate = p2 - p1;
    let away = |a: f64, b: f64| (a * a - 2.0 * correlation * a * b + b * b).max(0.0).sqrt();
    let low = estimate - away(p2 - two.low, one.high - p1);
    let high = estimate + away(two.high - p2, p1 - one.low);
    Difference { estimate, interval: Interval { low: low.max(-1.0), high: high.min(1.0) } }
}

/// Newcombe's φ: that of the table, its numerator less half the pairs where it is positive, yet not below 0.
fn correlation(table: FourWay) -> f64 {
    let [both, first, second, neither] =
        [table.both, table.first, table.second, table.neither].map(|count| count as f64);
    let margins = (both + first) * (second + neither) * (both + second) * (first + neither);
    if margins == 0.0 {
        return 0.0;
    }
    let product = both * neither - first * second;
    let half = (both + first + second + neither) / 2.0;
    let corrected = if product > 0.0 { (product - half).max(0.0) } else { product };
    corrected / margins.sqrt()
}
