//! Agreement of two raters beyond what chance would give.

use crate::interval::{Interval, wilson};
use crate::quantile;

/// Cohen's kappa with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kappa {
    /// `(agreement - chance) / (1 - chance)`: 1 where the raters always agree, 0 where they agree as often as by chance.
    pub estimate: f64,
    /// Its interval, within -1 and 1.
    pub interval: Interval,
}

/// Cohen's kappa (Cohen 1960) of a square table of counts, the categories of one rater as rows and those of the other as
/// columns; the interval rests on the large-sample variance of Fleiss, Cohen and Everitt (1969). `None` where chance alone
/// would always agree, as it would if there were one category, or no item.
///
/// Where the raters agree on every item that variance is 0. The lower end is then that of Wilson's interval of the
/// agreement, at the same chance. This rule is ours: without it thirty items would look as certain as thirty thousand.
///
/// # Panics
/// If `level` is not between 0 and 1.
pub fn kappa<const K: usize>(table: &[[u64; K]; K], level: f64) -> Option<Kappa> {
    let z = quantile::two_sided_normal(level);
    let items: u64 = table.iter().flatten().sum();
    let n = items as f64;
    let share = |count: u64| count as f64 / n;
    let rows: [f64; K] = table.map(|row| share(row.iter().sum()));
    let columns: [f64; K] = std::array::from_fn(|j| share(table.iter().map(|row| row[j]).sum()));
    let agreed: u64 = (0..K).map(|i| table[i][i]).sum();
    let chance: f64 = rows.iter().zip(&columns).map(|(row, column)| row * column).sum();
    if items == 0 || chance >= 1.0 {
        return None;
    }
    let at = |agreement: f64| (agreement - chance) / (1.0 - chance);
    let estimate = at(share(agreed));
    if agreed == items {
        let low = at(wilson(agreed, items, level).low).max(-1.0);
        return Some(Kappa { estimate, interval: Interval { low, high: 1.0 } });
    }
    let disagreement = 1.0 - estimate;
    let mut variance = -(estimate - chance * disagreement).powi(2);
    for (i, row) in table.iter().enumerate() {
        for (j, count) in row.iter().enumerate() {
            let weight = if i == j {
                1.0 - (rows[i] + columns[i]) * disagreement
            } else {
                (columns[i] + rows[j]) * disagreement
            };
            variance += share(*count) * weight.powi(2);
        }
    }
    let half = z * (variance.max(0.0) / n).sqrt() / (1.0 - chance);
    let interval = Interval { low: (estimate - half).max(-1.0), high: (estimate + half).min(1.0) };
    Some(Kappa { estimate, interval })
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "rows stand as the reference prints them")]
mod tests {
    use super::*;

    /// `(table, [kappa, low, high])` at 0.95, printed by `fixtures/reference.py` (statsmodels 0.15.0, SciPy 1.17.1).
    const REFERENCE: [([[u64; 3]; 3], [f64; 3]); 5] = [
        ([[20, 5, 0], [10, 15, 0], [0, 0, 0]], [0.4, 0.151092290477, 0.648907709523]),
        ([[18, 2, 0], [1, 9, 0], [0, 0, 0]], [0.780487804878, 0.545969826459, 1.0]),
        ([[53, 5, 2], [11, 14, 5], [1, 6, 3]], [0.428571428571, 0.279694854456, 0.577448002687]),
        ([[10, 3, 2], [1, 12, 2], [0, 0, 0]], [0.529411764706, 0.282615846813, 0.776207682599]),
        ([[1, 14, 0], [13, 2, 0], [0, 0, 0]], [-0.8, -1.0, -0.585774352505]),
    ];

    #[test]
    fn kappa_equals_the_reference() {
        for (table, expected) in REFERENCE {
            let Kappa { estimate, interval } = kappa(&table, 0.95).unwrap();
            for (got, expected) in [estimate, interval.low, interval.high].iter().zip(expected) {
                assert!((got - expected).abs() < 1e-9, "{got} is not {expected} for {table:?}");
            }
        }
    }

    #[test]
    fn where_chance_always_agrees_there_is_no_kappa() {
        assert_eq!(kappa(&[[5, 0], [0, 0]], 0.95), None);
        assert_eq!(kappa(&[[0; 3]; 3], 0.95), None);
    }

    #[test]
    fn full_agreement_on_few_items_is_less_certain_than_on_many() {
        let low = |n| kappa(&[[n, 0], [0, n]], 0.95).unwrap().interval.low;
        // Wilson's lower end of 30 of 30 is 0.8865, and chance is one half.
        assert!((low(15) - 0.7730).abs() < 1e-4, "{}", low(15));
        assert!(low(1500) > 0.99);
    }
}
