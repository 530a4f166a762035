//! Sums over whole buffers and rows.

use super::Real;
use super::simd::dot;

vectorised! {
    /// y += x.
    pub fn add(y: &mut [Real], x: &[Real]) {
        assert_eq!(y.len(), x.len(), "two buffers that are added");
        for (y, x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

vectorised! {
    /// y `[rows, columns]` += bias `[columns]` in each row.
    pub fn add_bias(y: &mut [Real], bias: &[Real]) {
        for row in y.chunks_exact_mut(bias.len()) {
            for (y, bias) in row.iter_mut().zip(bias) {
                *y += bias;
            }
        }
    }
}

vectorised! {
    /// d_bias `[columns]` += Σ over rows of dy `[rows, columns]`.
    pub fn bias_backward(d_bias: &mut [Real], dy: &[Real]) {
        for row in dy.chunks_exact(d_bias.len()) {
            for (sum, dy) in d_bias.iter_mut().zip(row) {
                *sum += dy;
            }
        }
    }
}

/// Σ x², in pieces of fixed length that are added in order in double precision.
pub fn sum_of_squares(x: &[Real]) -> f64 {
    x.chunks(4096).map(|piece| f64::from(squares(piece))).sum()
}

vectorised! {
    fn squares(x: &[Real]) -> Real {
        dot(x, x)
    }
}
