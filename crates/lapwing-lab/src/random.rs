//! Random numbers that are the same on every machine and in every version: SplitMix64 (Steele, Lea and Flood 2014).

/// A stream of random numbers; its whole state is one number.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream called `name` of a seed. Streams of different names or seeds do not depend on one another.
    pub fn new(seed: u64, name: &str) -> Self {
        let mut state = mixed(seed ^ 0x6c61_7077_696e_6721);
        for byte in name.bytes() {
            state = mixed(state ^ u64::from(byte));
        }
        Self { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.state)
    }

    /// A number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from 0 to `end`, which is not among them.
    pub fn below(&mut self, end: usize) -> usize {
        // The bias of a product's upper half is below 2^-32 for any length that fits into memory here.
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }

    /// A number with mean 0 and standard deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Puts a slice into random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        // The first outputs for state 1234567, from the reference code of the generator's authors.
        let mut random = Random { state: 1_234_567 };
        let expected =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.bits(), random.bits(), random.bits()], expected);
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let mut random = Random::new(1, "test");
        let numbers: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let moment = |power| numbers.iter().map(|x| x.powi(power)).sum::<f64>() / 1e5;
        assert!(
            moment(1).abs() < 0.02
                && (moment(2) - 1.0).abs() < 0.03
                && (moment(4) - 3.0).abs() < 0.2
        );
    }
}
