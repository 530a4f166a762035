//! Softmax over the vocabulary.

use super::Real;
use super::simd::{dot, exp_and_sum, maximum};

vectorised! {
    /// Replaces logits `[rows, vocab]` by the gradient of Σ weight · -log p(target), which is weight (p - 1 at the target), and
    /// writes the terms of the sum to `losses [rows]`. Rows with weight 0 get gradient 0.
    pub fn cross_entropy(
        logits: &mut [Real],
        losses: &mut [Real],
        targets: &[u32],
        weights: &[Real],
        vocab: usize,
    ) {
        let rows = logits.chunks_exact_mut(vocab).zip(losses).zip(targets.iter().zip(weights));
        for ((row, loss), (target, weight)) in rows {
            if *weight == 0.0 {
                row.fill(0.0);
                *loss = 0.0;
                continue;
            }
            let target = *target as usize;
            let (most, logit) = (maximum(row), row[target]);
            let sum = exp_and_sum(row, 1.0, most);
            *loss = weight * (most + sum.ln() - logit);
            let scale = weight / sum;
            for value in row.iter_mut() {
                *value *= scale;
            }
            row[target] -= weight;
        }
    }
}

vectorised! {
    /// Replaces logits `[rows, vocab]` by the gradient of Σ weight · KL(p ‖ q), where q are the probabilities of the logits
    /// `reference [rows, vocab]`: weight p (log p - log q - KL). Writes the terms of the sum to `losses [rows]`.
    pub fn kl_divergence(
        logits: &mut [Real],
        losses: &mut [Real],
        reference: &[Real],
        weights: &[Real],
        vocab: usize,
    ) {
        let mut p = vec![0.0; vocab];
        let mut q = vec![0.0; vocab];
        let rows = logits.chunks_exact_mut(vocab).zip(reference.chunks_exact(vocab));
        for ((row, reference), (loss, weight)) in rows.zip(losses.iter_mut().zip(weights)) {
            p.copy_from_slice(row);
            q.copy_from_slice(reference);
            let shifts = [maximum(&p), maximum(&q)];
            let sums = [exp_and_sum(&mut p, 1.0, shifts[0]), exp_and_sum(&mut q, 1.0, shifts[1])];
            let offset = shifts[1] + sums[1].ln() - shifts[0] - sums[0].ln();
            for ((value, reference), p) in row.iter_mut().zip(reference).zip(&mut p) {
                *value += offset - reference;
                *p /= sums[0];
            }
            let kl = dot(&p, row);
            for (value, p) in row.iter_mut().zip(&p) {
                *value = weight * p * (*value - kl);
            }
            *loss = weight * kl;
        }
    }
}

vectorised! {
    /// Replaces logits `[rows, vocab]` by log-probabilities.
    pub fn log_softmax(logits: &mut [Real], vocab: usize) {
        let mut copy = vec![0.0; vocab];
        for row in logits.chunks_exact_mut(vocab) {
            copy.copy_from_slice(row);
            let most = maximum(row);
            let log_sum = most + exp_and_sum(&mut copy, 1.0, most).ln();
            for value in row.iter_mut() {
                *value -= log_sum;
            }
        }
    }
}

vectorised! {
    /// Writes e^(scale (x - max x)) for each log-probability x to `weights` and returns their sum.
    pub fn tempered(weights: &mut [Real], log_probabilities: &[Real], scale: Real) -> Real {
        weights.copy_from_slice(log_probabilities);
        let most = maximum(weights) * scale;
        exp_and_sum(weights, scale, most)
    }
}
