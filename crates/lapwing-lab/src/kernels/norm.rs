//! RMSNorm (Zhang and Sennrich 2019, equation 4), over rows and over the heads of queries and keys.

use super::simd::dot;
use super::{Heads, Real};

vectorised! {
    /// y = x r w with r = 1 / √(mean x² + ε). x, y `[rows, width]`, w `[width]`.
    pub fn rms_norm(y: &mut [Real], x: &[Real], w: &[Real], epsilon: Real) {
        assert_eq!(y.len(), x.len(), "input and output of a norm");
        for (y, x) in y.chunks_exact_mut(w.len()).zip(x.chunks_exact(w.len())) {
            normalise(y, x, w, epsilon);
        }
    }
}

vectorised! {
    /// dx += the gradient of `rms_norm` at x for dy; d_w += Σ over rows of dy x r, where wanted.
    pub fn rms_norm_backward(
        dx: &mut [Real],
        d_w: Option<&mut [Real]>,
        dy: &[Real],
        x: &[Real],
        w: &[Real],
        epsilon: Real,
    ) {
        let mut d_w = d_w;
        let rows = x.chunks_exact(w.len()).zip(dy.chunks_exact(w.len()));
        for (dx, (x, dy)) in dx.chunks_exact_mut(w.len()).zip(rows) {
            let (r, pull) = pull(dy, x, w, epsilon);
            for (((dx, dy), x), w) in dx.iter_mut().zip(dy).zip(x).zip(w) {
                *dx += r * (dy * w - x * pull);
            }
            if let Some(d_w) = &mut d_w {
                add_to_weight(d_w, dy, x, r);
            }
        }
    }
}

vectorised! {
    /// Normalises each query and key head of qkv `[rows, q + 2 kv]` by itself, in place: q_norm and k_norm `[head_dim]`.
    pub fn head_norm(qkv: &mut [Real], q_norm: &[Real], k_norm: &[Real], heads: Heads, epsilon: Real) {
        let mut x = vec![0.0; heads.head_dim];
        for row in qkv.chunks_exact_mut(heads.row_width()) {
            let rotated = row.chunks_exact_mut(heads.head_dim).take(heads.n_heads + heads.n_kv_heads);
            for (index, head) in rotated.enumerate() {
                x.copy_from_slice(head);
                normalise(head, &x, if index < heads.n_heads { q_norm } else { k_norm }, epsilon);
            }
        }
    }
}

vectorised! {
    /// Turns the gradient on the normalised heads into that on the heads, in place, and adds to those of the norms, where wanted.
    /// d_qkv `[rows, q + 2 kv]`; raw `[rows, q + 2 kv]` is qkv before the norm.
    pub fn head_norm_backward(
        d_qkv: &mut [Real],
        d_norms: Option<[&mut [Real]; 2]>,
        raw: &[Real],
        norms: [&[Real]; 2],
        heads: Heads,
        epsilon: Real,
    ) {
        let mut d_norms = d_norms;
        let width = heads.row_width();
        for (d_row, row) in d_qkv.chunks_exact_mut(width).zip(raw.chunks_exact(width)) {
            let pairs = d_row.chunks_exact_mut(heads.head_dim).zip(row.chunks_exact(heads.head_dim));
            for (index, (dy, x)) in pairs.take(heads.n_heads + heads.n_kv_heads).enumerate() {
                let which = usize::from(index >= heads.n_heads);
                let w = norms[which];
                let (r, pull) = pull(dy, x, w, epsilon);
                if let Some(d_norms) = &mut d_norms {
                    add_to_weight(d_norms[which], dy, x, r);
                }
                for ((dy, x), w) in dy.iter_mut().zip(x).zip(w) {
                    *dy = r * (*dy * w - x * pull);
                }
            }
        }
    }
}

#[inline(always)]
fn normalise(y: &mut [Real], x: &[Real], w: &[Real], epsilon: Real) {
    let r = inverse_rms(x, epsilon);
    for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
        *y = x * r * w;
    }
}

/// r, and r² Σ(dy w x) / width: what pulls the gradient back to the sphere.
#[inline(always)]
fn pull(dy: &[Real], x: &[Real], w: &[Real], epsilon: Real) -> (Real, Real) {
    let r = inverse_rms(x, epsilon);
    let mut lanes = [0.0; super::simd::LANES];
    let blocks = dy.chunks(lanes.len()).zip(x.chunks(lanes.len())).zip(w.chunks(lanes.len()));
    for ((dy, x), w) in blocks {
        for (((lane, dy), x), w) in lanes.iter_mut().zip(dy).zip(x).zip(w) {
            *lane = (dy * w).mul_add(*x, *lane);
        }
    }
    (r, r * r * super::simd::sum(lanes) / x.len() as Real)
}

#[inline(always)]
fn inverse_rms(x: &[Real], epsilon: Real) -> Real {
    1.0 / (dot(x, x) / x.len() as Real + epsilon).sqrt()
}

#[inline(always)]
fn add_to_weight(d_w: &mut [Real], dy: &[Real], x: &[Real], r: Real) {
    for ((d_w, dy), x) in d_w.iter_mut().zip(dy).zip(x) {
        *d_w += dy * x * r;
    }
}
