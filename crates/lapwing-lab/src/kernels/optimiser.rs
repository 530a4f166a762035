//! AdamW (Loshchilov and Hutter 2019, algorithm 2, as PyTorch writes it).

use super::Real;

/// What one step needs beside the gradient.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Learning rate of this step.
    pub rate: Real,
    /// Decay of the mean of gradients.
    pub beta_1: Real,
    /// Decay of the mean of squared gradients.
    pub beta_2: Real,
    /// Added to the root of the second mean.
    pub epsilon: Real,
    /// Decoupled weight decay, times the rate.
    pub weight_decay: Real,
    /// What the gradient is multiplied by first: 1 over the tokens, and clipping.
    pub gradient_scale: Real,
    /// Steps done, this one counted.
    pub step: u64,
}

vectorised! {
    /// w ← w - rate (decay w + m̂ / (√v̂ + ε)), with m and v the running means of g and g². All `[n]`.
    pub fn adamw(w: &mut [Real], g: &[Real], m: &mut [Real], v: &mut [Real], settings: AdamW) {
        assert_eq!((w.len(), m.len(), v.len()), (g.len(), g.len(), g.len()), "buffers of one step");
        let AdamW { rate, beta_1, beta_2, epsilon, weight_decay, gradient_scale, step } = settings;
        let steps = i32::try_from(step).unwrap_or(i32::MAX);
        let first = 1.0 / (1.0 - beta_1.powi(steps));
        let second = 1.0 / (1.0 - beta_2.powi(steps));
        let keep = 1.0 - rate * weight_decay;
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * gradient_scale;
            *m = beta_1 * *m + (1.0 - beta_1) * g;
            *v = beta_2 * *v + (1.0 - beta_2) * g * g;
            *w = *w * keep - rate * (*m * first) / ((*v * second).sqrt() + epsilon);
        }
    }
}
