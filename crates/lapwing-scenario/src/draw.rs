//! Draws of a seed: one SHA-256 stream for each named thing, so that no draw depends on another or on the condition.

use lapwing_core::Digest;

/// A stream of numbers that depends on a seed and a name only.
pub(crate) struct Stream<'a> {
    seed: u64,
    name: &'a str,
    block: u64,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(seed: u64, name: &'a str) -> Self {
        Self { seed, name, block: 0 }
    }

    /// `n` distinct numbers below `end`, at most `end` of them.
    pub(crate) fn distinct(&mut self, n: usize, end: usize) -> Vec<usize> {
        let mut rest: Vec<usize> = (0..end).collect();
        (0..n.min(end)).map(|_| rest.remove(self.below(rest.len()))).collect()
    }

    /// A number from 0 up to but without `end`.
    fn below(&mut self, end: usize) -> usize {
        // The bias of the product is below 2^-40 for lists shorter than 2^24.
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// A number from 0 up to but without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// 16 hexadecimal digits.
    pub(crate) fn hex(&mut self) -> String {
        format!("{:016x}", self.next())
    }

    fn next(&mut self) -> u64 {
        let mut bytes = b"lapwing draw\0".to_vec();
        bytes.extend(self.seed.to_le_bytes());
        bytes.extend(self.block.to_le_bytes());
        bytes.extend(self.name.as_bytes());
        self.block += 1;
        let digest = Digest::of(&bytes);
        digest.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The streams are part of every recorded result: a seed must give the same world in every version.
    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        assert_eq!(Stream::new(7, "nonce").hex(), "1ad46cfa17817e30");
        assert_eq!(Stream::new(7, "names").distinct(5, 20), [11, 12, 14, 18, 6]);
    }

    #[test]
    fn every_index_is_drawn_about_equally_often() {
        let mut counts = [0; 5];
        for seed in 0..5000 {
            counts[Stream::new(seed, "x").distinct(1, 5)[0]] += 1;
        }
        // The standard deviation of a count is 28.
        assert!(counts.iter().all(|count| (860..1140).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn distinct_numbers_are_distinct_and_below_the_end(seed: u64, n in 0_usize..30, end in 0_usize..30) {
            let drawn = Stream::new(seed, "x").distinct(n, end);
            prop_assert_eq!(drawn.len(), n.min(end));
            prop_assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), drawn.len());
            prop_assert!(drawn.iter().all(|index| *index < end));
        }
    }
}
