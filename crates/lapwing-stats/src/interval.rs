//! Intervals of a rate from independent samples.

use serde::{Deserialize, Serialize};

use crate::quantile;

/// A closed interval: of a rate, unless something else is said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Everything that a rate can be: what no data say.
    pub const ALL: Self = Self { low: 0.0, high: 1.0 };

    /// Whether `rate` lies inside, the ends included.
    pub fn contains(&self, rate: f64) -> bool {
        self.low <= rate && rate <= self.high
    }
}

/// Wilson's score interval of `k` in `n` (Wilson 1927): the default. Its coverage is close to `level` on average
/// over rates, and may be some points off at a single one.
///
/// # Panics
/// If `k > n`, or `level` is not between 0 and 1.
pub fn wilson(k: u64, n: u64, level: f64) -> Interval {
    assert_counts(k, n);
    let z = quantile::two_sided_normal(level);
    if n == 0 {
        return Interval::ALL;
    }
    score(k as f64 / n as f64, n as f64, z)
}

/// The exact interval of `k` in `n` by Clopper and Pearson (1934): its coverage is never below `level`.
///
/// # Panics
/// If `k > n`, or `level` is not between 0 and 1.
pub fn clopper_pearson(k: u64, n: u64, level: f64) -> Interval {
    assert_counts(k, n);
    quantile::assert_level(level);
    let (tail, hits, misses) = ((1.0 - level) / 2.0, k as f64, (n - k) as f64);
    Interval {
        low: if k == 0 { 0.0 } else { quantile::beta(hits, misses + 1.0, tail) },
        high: if k == n { 1.0 } else { quantile::beta(hits + 1.0, misses, 1.0 - tail) },
    }
}

/// The equal-tailed interval of `k` in `n` under Jeffreys' prior Beta(1/2, 1/2), with the lower end 0 at `k = 0`
/// and the upper end 1 at `k = n` (Brown, Cai and DasGupta 2001, section 4.1.2).
///
/// # Panics
/// If `k > n`, or `level` is not between 0 and 1.
pub fn jeffreys(k: u64, n: u64, level: f64) -> Interval {
    assert_counts(k, n);
    quantile::assert_level(level);
    let (tail, a, b) = ((1.0 - level) / 2.0, k as f64 + 0.5, (n - k) as f64 + 0.5);
    Interval {
        low: if k == 0 { 0.0 } else { quantile::beta(a, b, tail) },
        high: if k == n { 1.0 } else { quantile::beta(a, b, 1.0 - tail) },
    }
}

/// The score interval of a rate `p` seen in `n` samples, `n` not necessarily whole, at deviate `z`:
/// `(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)`.
pub(crate) fn score(p: f64, n: f64, z: f64) -> Interval {
    let shrink = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / shrink;
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / shrink;
    // Rounding must not push an end past the rate, which also makes the ends exact at the rates 0 and 1.
    Interval { low: (centre - half).clamp(0.0, p), high: (centre + half).clamp(p, 1.0) }
}

fn assert_counts(k: u64, n: u64) {
    assert!(k <= n, "{k} of {n} samples is no rate");
}
