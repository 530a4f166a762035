//! Why numbers allow no estimate.

/// Why numbers allow no estimate or test.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum DataError {
    /// There are too few of them.
    #[error("this needs at least {least} {what}, got {got}")]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// The fewest that do.
        least: usize,
        /// How many there are.
        got: usize,
    },
    /// There are too many to enumerate.
    #[error("all signs of {got} differences are too many to enumerate; at most {most} can be")]
    TooMany {
        /// The most that can be enumerated.
        most: usize,
        /// How many there are.
        got: usize,
    },
    /// A number is infinite, or not a number.
    #[error("{what}: value {index} (counted from 0) is {value}; mend what made it")]
    NotFinite {
        /// What the list holds.
        what: &'static str,
        /// Its index in the list.
        index: usize,
        /// The number.
        value: f64,
    },
    /// Two lists that belong together have different lengths.
    #[error("{first} values cannot be paired with {second}")]
    Lengths {
        /// Values of the first list.
        first: usize,
        /// Values of the second list.
        second: usize,
    },
    /// All values are equal, so that nothing can be compared with their spread.
    #[error("all {what} are equal, and this compares with their spread")]
    NoSpread {
        /// What is equal.
        what: &'static str,
    },
    /// The level asks for more certainty than so few differences can give.
    #[error(
        "{got} differences give no bounded interval at level {level}; the highest level of theirs is {highest}"
    )]
    LevelTooHigh {
        /// The level that was asked for.
        level: f64,
        /// The highest level at which the interval is bounded.
        highest: f64,
        /// How many differences there are.
        got: usize,
    },
}

/// That there are at least `least` values, and all are finite.
pub(crate) fn check(values: &[f64], what: &'static str, least: usize) -> Result<(), DataError> {
    if values.len() < least {
        return Err(DataError::TooFew { what, least, got: values.len() });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(DataError::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

/// Whether all values are the same number, but for rounding.
pub(crate) fn all_equal(values: &[f64]) -> bool {
    let first = values.first().copied().unwrap_or_default();
    values.iter().all(|value| (value - first).abs() <= 1e-12 * first.abs())
}

/// Ranks from 1; equal values share the mean of theirs.
pub(crate) fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    // In this order no value is below the one before it, so what is not above it is equal.
    for tied in order.chunk_by(|a, b| values[*b] <= values[*a]) {
        let rank = before as f64 + f64::midpoint(1.0, tied.len() as f64);
        for index in tied {
            ranks[*index] = rank;
        }
        before += tied.len();
    }
    ranks
}
