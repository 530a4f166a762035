//! What missing outcomes could change.

use crate::Interval;

/// The rate of `present` among `counted` samples if all `missing` ones had been absent (low) and if all had been
/// present (high). Not a confidence interval: it holds whatever the reason for missing is.
///
/// # Panics
/// If `present > counted`.
pub fn bounds(present: u64, counted: u64, missing: u64) -> Interval {
    assert!(present <= counted, "{present} of {counted} samples is no rate");
    let all = (counted + missing) as f64;
    if all == 0.0 {
        return Interval::ALL;
    }
    Interval { low: present as f64 / all, high: (present + missing) as f64 / all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_count_all_missing_as_absent_and_as_present() {
        assert_eq!(bounds(3, 8, 2), Interval { low: 0.3, high: 0.5 });
    }

    #[test]
    fn bounds_without_missing_samples_are_the_rate() {
        assert_eq!(bounds(1, 4, 0), Interval { low: 0.25, high: 0.25 });
    }

    #[test]
    fn bounds_without_counted_samples_say_nothing() {
        assert_eq!(bounds(0, 0, 5), Interval::ALL);
        assert_eq!(bounds(0, 0, 0), Interval::ALL);
    }
}
