//! Quantiles and tails of the distributions that intervals and tests rest on.

use std::f64::consts::SQRT_2;

use statrs::function::beta::{beta_reg, inv_beta_reg};
use statrs::function::erf::{erfc, erfc_inv};

/// The normal deviate that leaves `(1 - level) / 2` on either side.
pub(crate) fn two_sided_normal(level: f64) -> f64 {
    assert_level(level);
    SQRT_2 * erfc_inv(1.0 - level)
}

/// The deviate of Student's t with `freedom` degrees of freedom that leaves `(1 - level) / 2` on either side.
///
/// With `X ~ t(v)`, `v / (v + X²)` follows Beta(v/2, 1/2).
pub(crate) fn two_sided_student(level: f64, freedom: f64) -> f64 {
    assert_level(level);
    let y = inv_beta_reg(freedom / 2.0, 0.5, 1.0 - level);
    (freedom * (1.0 - y) / y).sqrt()
}

/// The probability that a standard normal number is above `z`.
pub(crate) fn normal_above(z: f64) -> f64 {
    erfc(z / SQRT_2) / 2.0
}

/// The probability that Student's t with `freedom` degrees of freedom is above `t`.
pub(crate) fn student_above(t: f64, freedom: f64) -> f64 {
    let outside = beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t));
    if t > 0.0 { outside / 2.0 } else { 1.0 - outside / 2.0 }
}

/// The `p` quantile of Beta(`a`, `b`).
pub(crate) fn beta(a: f64, b: f64, p: f64) -> f64 {
    inv_beta_reg(a, b, p)
}

pub(crate) fn assert_level(level: f64) {
    assert!(0.0 < level && level < 1.0, "a level lies between 0 and 1, got {level}");
}
