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
