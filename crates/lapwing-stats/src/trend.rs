//! Whether something grows or falls along an order.

use statrs::function::factorial::ln_factorial;

use crate::data::{DataError, all_equal, check, mid_ranks};
use crate::quantile;

/// The most pairs of which [`spearman`] enumerates all orders.
pub const MOST_PERMUTED: usize = 9;

/// A trend of rates over a ladder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// The normal deviate, above 0 where the rate grows with the score.
    pub z: f64,
    /// The two-sided p-value.
    pub p: f64,
}

/// The two-sided Cochran-Armitage test (Cochran 1954, Armitage 1955) for a linear trend of rates over `rungs`, each
/// `(score, hits, samples)`: `z = Σ s (k - n p) / √(p (1 - p) (Σ n s² - (Σ n s)² / N))`, `p` being the rate over all `N` samples. It is the score test
/// of the slope of a logistic regression. The samples must be independent; where they share seeds, use [`spearman`] on a value for
/// each seed. Rungs without samples do not count. Where all outcomes agree no trend is seen: `z` is 0 and `p` 1.
///
/// # Errors
/// With fewer than two rungs that have samples, with a score that is not finite, or where all scores are equal.
///
/// # Panics
/// If a rung has more hits than samples.
pub fn cochran_armitage(rungs: &[(f64, u64, u64)]) -> Result<Trend, DataError> {
    let rungs: Vec<_> = rungs.iter().filter(|(_, _, n)| *n > 0).collect();
    assert!(rungs.iter().all(|(_, k, n)| k <= n), "a rung has more hits than samples");
    let scores: Vec<f64> = rungs.iter().map(|(score, ..)| *score).collect();
    check(&scores, "rungs with samples", 2)?;
    if all_equal(&scores) {
        return Err(DataError::NoSpread { what: "scores" });
    }
    let hits: u64 = rungs.iter().map(|(_, k, _)| k).sum();
    let samples: u64 = rungs.iter().map(|(_, _, n)| n).sum();
    if hits == 0 || hits == samples {
        return Ok(Trend { z: 0.0, p: 1.0 });
    }
    let rate = hits as f64 / samples as f64;
    // Scores are taken from their mean, so that large ones lose no digits.
    let total = samples as f64;
    let mean = rungs.iter().map(|(score, _, n)| score * *n as f64).sum::<f64>() / total;
    let (mut sum, mut squares) = (0.0, 0.0);
    for (score, k, n) in rungs {
        let (away, k, n) = (score - mean, *k as f64, *n as f64);
        sum += away * (k - n * rate);
        squares += n * away * away;
    }
    let z = sum / (rate * (1.0 - rate) * squares).sqrt();
    Ok(Trend { z, p: 2.0 * quantile::normal_above(z.abs()) })
}

/// A rank correlation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spearman {
    /// From -1 to 1.
    pub rho: f64,
    /// The two-sided p-value.
    pub p: f64,
    /// Whether the p-value counts all orders; it is an approximation otherwise.
    pub exact: bool,
}

/// Spearman's rank correlation (Spearman 1904) of pairs `(x, y)`: Pearson's correlation of their ranks, equal values sharing the mean
/// of theirs. Up to [`MOST_PERMUTED`] pairs the two-sided p-value is the share of all orders of `y` whose `|rho|` is at least as large; above it is that
/// of `t = rho √((n - 2) / (1 - rho²))` by Student's t with `n - 2` degrees of freedom, yet not below `2 / n!`, the least that orders can give.
///
/// # Errors
/// With fewer than two pairs, lists of different lengths, a value that is not finite, or a list of equal values.
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Spearman, DataError> {
    if x.len() != y.len() {
        return Err(DataError::Lengths { first: x.len(), second: y.len() });
    }
    for values in [x, y] {
        check(values, "pairs", 2)?;
        if all_equal(values) {
            return Err(DataError::NoSpread { what: "values of a list" });
        }
    }
    let (x, mut y) = (centred_ranks(x), centred_ranks(y));
    let scale = (product(&x, &x) * product(&y, &y)).sqrt();
    let rho = (product(&x, &y) / scale).clamp(-1.0, 1.0);
    let pairs = x.len();
    if pairs <= MOST_PERMUTED {
        let observed = product(&x, &y).abs();
        let (mut extreme, mut orders) = (0_u64, 0_u64);
        // Halves of ranks are exact, products of centred ones are nearly so.
        each_order(&mut y, pairs, &mut |y| {
            orders += 1;
            extreme += u64::from(product(&x, y).abs() >= observed - 1e-9);
        });
        return Ok(Spearman { rho, p: extreme as f64 / orders as f64, exact: true });
    }
    let freedom = pairs as f64 - 2.0;
    let deviate = rho.abs() * (freedom / (1.0 - rho * rho)).sqrt();
    let least = 2.0 * (-ln_factorial(pairs as u64)).exp();
    let p = (2.0 * quantile::student_above(deviate, freedom)).max(least);
    Ok(Spearman { rho, p, exact: false })
}

fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let mean = f64::midpoint(1.0, values.len() as f64);
    mid_ranks(values).into_iter().map(|rank| rank - mean).collect()
}

fn product(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Shows every order of the first `n` values once (Heap 1963); leaves them in another.
fn each_order(values: &mut [f64], n: usize, show: &mut dyn FnMut(&[f64])) {
    if n <= 1 {
        return show(values);
    }
    for last in 0..n {
        each_order(values, n - 1, show);
        let other = if n.is_multiple_of(2) { last } else { 0 };
        values.swap(other, n - 1);
    }
}
