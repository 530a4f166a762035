//! SwiGLU (Shazeer 2020, equation 6): gate and up lie side by side in one row.

use super::{Real, exp};

vectorised! {
    /// y `[rows, ff]` = silu(gate) up, with gate and up the halves of a row of gate_up `[rows, 2 ff]`; silu(x) = x / (1 + e^-x).
    pub fn swiglu(y: &mut [Real], gate_up: &[Real], ff: usize) {
        for (y, row) in y.chunks_exact_mut(ff).zip(gate_up.chunks_exact(2 * ff)) {
            let (gate, up) = row.split_at(ff);
            for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                let sigmoid = 1.0 / (1.0 + exp(-gate));
                *y = gate * sigmoid * up;
            }
        }
    }
}

vectorised! {
    /// From dy `[rows, ff]` the gradient on gate_up `[rows, 2 ff]`; dy is replaced by y, which the next product needs again.
    pub fn swiglu_backward(d_gate_up: &mut [Real], dy: &mut [Real], gate_up: &[Real], ff: usize) {
        let rows = dy.chunks_exact_mut(ff).zip(gate_up.chunks_exact(2 * ff));
        for (d_row, (dy, row)) in d_gate_up.chunks_exact_mut(2 * ff).zip(rows) {
            let (d_gate, d_up) = d_row.split_at_mut(ff);
            let (gate, up) = row.split_at(ff);
            let halves = gate.iter().zip(up).zip(d_gate.iter_mut().zip(d_up));
            for (dy, ((gate, up), (d_gate, d_up))) in dy.iter_mut().zip(halves) {
                let sigmoid = 1.0 / (1.0 + exp(-gate));
                let silu = gate * sigmoid;
                *d_gate = *dy * up * (sigmoid + silu * (1.0 - sigmoid));
                *d_up = *dy * silu;
                *dy = silu * up;
            }
        }
    }
}
