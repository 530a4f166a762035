//! The backward pass: `forward` read from the end.

use std::ops::Range;

use super::activations::{Activations, Gradients};
use super::hook::{Hooks, Point, read_gradient};
use super::kernels::{
    Direction, attention_backward, bias_backward, embed_backward, head_norm_backward, rms_norm,
    rms_norm_backward, rotate, swiglu_backward,
};
use super::lora::Merged;
use super::{Batch, Network, Real, Span};

impl Network {
    /// Adds the gradient of a loss to `gradients`, which are laid out as `trainable`, and returns the loss.
    ///
    /// `activations` come from `forward` on the same batch. `loss` is called for some rows at a time with their logits
    /// `[rows, vocab]`, replaces them by the gradient on them and returns its loss.
    ///
    /// # Panics
    /// If `gradients` has another length, or if a hook replaced an attention pattern: that has no gradient here.
    pub fn backward(
        &self,
        activations: &mut Activations,
        batch: &Batch,
        gradients: &mut [Real],
        hooks: &mut dyn Hooks,
        loss: &mut dyn FnMut(Range<usize>, &mut [Real]) -> f64,
    ) -> f64 {
        assert_eq!(gradients.len(), self.trainable().len(), "one gradient for each trained weight");
        assert!(
            !activations.replaced_pattern,
            "no gradient flows through a replaced attention pattern"
        );
        let (config, heads, rows) = (&self.config, self.config.heads(), batch.rows());
        let epsilon = config.rms_norm_eps as Real;
        activations.resize_gradients(config, rows);
        let total = self.head_backward(activations, gradients, hooks, loss);

        let Activations { layers, residuals, normed, product, branch, gradients: d, .. } =
            activations;
        let Gradients {
            residual: d_residual,
            normed_output,
            normed: d_normed,
            qkv: d_qkv,
            heads: d_heads,
            gate_up: d_gate_up,
        } = d;
        let weight = |span: Span| span.of(&self.weights);
        d_residual.fill(0.0);
        let d_final = self.frozen_or(gradients, self.layout.final_norm);
        rms_norm_backward(
            d_residual,
            d_final,
            normed_output,
            &residuals[config.n_layers],
            weight(self.layout.final_norm),
            epsilon,
        );

        for (index, spans) in self.layout.layers.iter().enumerate().rev() {
            let (kept, input) = (&layers[index], &residuals[index]);
            read_gradient(hooks, Point::ResidPost(index), rows, d_residual);

            let down = self.linear(index, Merged::Down);
            let d_mlp = branch_gradient(hooks, Point::MlpOut(index), rows, d_residual, branch);
            down.input_gradient(product, d_mlp);
            swiglu_backward(d_gate_up, product, &kept.gate_up, config.intermediate_size);
            down.weight_gradient(gradients, d_mlp, product);
            let gate_up = self.linear(index, Merged::GateUp);
            rms_norm(normed, &kept.middle, weight(spans.mlp_norm), epsilon);
            gate_up.weight_gradient(gradients, d_gate_up, normed);
            gate_up.input_gradient(d_normed, d_gate_up);
            let d_norm = self.frozen_or(gradients, spans.mlp_norm);
            rms_norm_backward(
                d_residual,
                d_norm,
                d_normed,
                &kept.middle,
                weight(spans.mlp_norm),
                epsilon,
            );
            read_gradient(hooks, Point::ResidMid(index), rows, d_residual);

            let o = self.linear(index, Merged::O);
            let d_attn = branch_gradient(hooks, Point::AttnOut(index), rows, d_residual, branch);
            o.weight_gradient(gradients, d_attn, &kept.heads);
            o.input_gradient(d_heads, d_attn);
            attention_backward(
                d_qkv,
                d_heads,
                &kept.heads,
                &kept.log_sums,
                &kept.qkv,
                batch.starts(),
                heads,
            );
            rotate(d_qkv, batch.positions(), &self.rotary, heads, Direction::Backward);
            if let Some(norms) = spans.qk_norms {
                let d_norms = self.lora.is_none().then(|| two(gradients, norms));
                head_norm_backward(
                    d_qkv,
                    d_norms,
                    &kept.raw_qkv,
                    norms.map(weight),
                    heads,
                    epsilon,
                );
            }
            if let Some(bias) = spans.qkv_bias
                && let Some(d_bias) = self.frozen_or(gradients, bias)
            {
                bias_backward(d_bias, d_qkv);
            }
            let qkv = self.linear(index, Merged::Qkv);
            rms_norm(normed, input, weight(spans.attn_norm), epsilon);
            qkv.weight_gradient(gradients, d_qkv, normed);
            qkv.input_gradient(d_normed, d_qkv);
            let d_norm = self.frozen_or(gradients, spans.attn_norm);
            rms_norm_backward(
                d_residual,
                d_norm,
                d_normed,
                input,
                weight(spans.attn_norm),
                epsilon,
            );
            read_gradient(hooks, Point::ResidPre(index), rows, d_residual);
        }
        read_gradient(hooks, Point::Embed, rows, d_residual);
        if let Some(d_embed) = self.frozen_or(gradients, self.layout.embed) {
            embed_backward(d_embed, d_residual, batch.tokens(), config.hidden_size);
        }
        total
    }

    /// The gradient of a weight, unless adapters are trained and it is frozen.
    fn frozen_or<'a>(&self, gradients: &'a mut [Real], span: Span) -> Option<&'a mut [Real]> {
        self.lora.is_none().then(|| span.of_mut(gradients))
    }
}

/// The gradient on what a branch added to the residual stream: that on the stream, or a copy that a hook may change.
fn branch_gradient<'a>(
    hooks: &mut dyn Hooks,
    point: Point,
    rows: usize,
    d_residual: &'a [Real],
    copy: &'a mut [Real],
) -> &'a [Real] {
    if !hooks.wants(point) {
        return d_residual;
    }
    copy.copy_from_slice(d_residual);
    read_gradient(hooks, point, rows, copy);
    copy
}

/// Two neighbouring parts of a buffer.
fn two(buffer: &mut [Real], spans: [Span; 2]) -> [&mut [Real]; 2] {
    let both = Span { start: spans[0].start, len: spans[0].len + spans[1].len };
    both.of_mut(buffer).split_at_mut(spans[0].len).into()
}
