//! Exact tests of two rates, and the price of making several.

use statrs::function::beta::beta_reg;
use statrs::function::factorial::ln_binomial;

use crate::FourWay;

/// The two-sided p-value of McNemar's exact test (McNemar 1947): whether pairs that differ go either way equally often, by the
/// binomial distribution. 1 where no pair differs.
pub fn mcnemar(table: FourWay) -> f64 {
    let (less, differing) = (table.first.min(table.second), table.first + table.second);
    if differing == 0 {
        return 1.0;
    }
    // P(X ≤ k) of n fair draws is the regularised incomplete beta function at 1/2 of (n - k, k + 1).
    let tail = beta_reg((differing - less) as f64, less as f64 + 1.0, 0.5);
    (2.0 * tail).min(1.0)
}

/// The two-sided p-value of Fisher's exact test (Fisher 1935) of two rates, each `(hits, samples)`: the probability, with all
/// margins fixed, of the tables that are not more probable than this one.
///
/// # Panics
/// If there are more hits than samples.
pub fn fisher(first: (u64, u64), second: (u64, u64)) -> f64 {
    let ((k1, n1), (k2, n2)) = (first, second);
    assert!(k1 <= n1 && k2 <= n2, "{k1} of {n1} and {k2} of {n2} are no rates");
    let hits = k1 + k2;
    let all = ln_binomial(n1 + n2, hits);
    let probability = |k: u64| (ln_binomial(n1, k) + ln_binomial(n2, hits - k) - all).exp();
    // Equally probable tables differ by rounding.
    let most = probability(k1) * (1.0 + 1e-7);
    let tables = hits.saturating_sub(n2)..=hits.min(n1);
    tables.map(probability).filter(|p| *p <= most).sum::<f64>().min(1.0)
}

/// The p-values of several tests, adjusted so that the probability of any false claim among them stays below the level at
/// which they are read (Holm 1979).
///
/// # Panics
/// If a p-value is not between 0 and 1.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let order = ascending(p_values);
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(p_values[index] * (p_values.len() - rank) as f64).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

/// The p-values of several tests, adjusted so that of the claims made at the level at which they are read no greater share is expected
/// to be false (Benjamini and Hochberg 1995): the least `m p₍ᵢ₎ / i` from the `i`-th smallest of `m` on. Holds for independent tests, and
/// for those that err together.
///
/// # Panics
/// If a p-value is not between 0 and 1.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least: f64 = 1.0;
    for (rank, index) in ascending(p_values).into_iter().enumerate().rev() {
        least = least.min(p_values[index] * p_values.len() as f64 / (rank + 1) as f64);
        adjusted[index] = least;
    }
    adjusted
}

/// The indices of p-values from the smallest on.
fn ascending(p_values: &[f64]) -> Vec<usize> {
    for p in p_values {
        assert!((0.0..=1.0).contains(p), "a p-value lies between 0 and 1, got {p}");
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    order
}
