//! The number type of the engine and its exponential.

/// What weights, activations and gradients are made of. The gradient checks compile the same kernels and the same network
/// once more with `f64` here (`double` in `lib.rs`).
pub type Real = f32;

/// e^x without a call, so that loops over it vectorise. Relative error below 2.5e-7; x is clamped to [-87, 88].
///
/// e^x = 2^n e^r with n = round(x / ln 2), |r| ≤ ln 2 / 2, and a polynomial of degree six for e^r.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// 1.5 · 2^23: a float of this size has no fraction, so adding it rounds, and leaves n in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// The upper bits of ln 2, and the rest.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], x));
    let mut sum = 1.0 / 720.0_f32;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum.mul_add(r, coefficient);
    }
    f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn the_exponential_is_exact_to_a_few_units_in_the_last_place() {
        for step in -870_000..=880_000_i32 {
            let x = step as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.5e-7, "exp({x}) is off by {error:e}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
    }
}
