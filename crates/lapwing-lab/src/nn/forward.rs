//! The forward pass.

use super::activations::Activations;
use super::hook::{Hooks, Place, Point, read};
use super::kernels::{
    self, Direction, Heads, Matrix, MatrixMut, Store, add_bias, attention, embed, head_norm,
    multiply, rms_norm, rotate, swiglu,
};
use super::lora::Merged;
use super::{Batch, Network, Real};

impl Network {
    /// Runs a batch, layer by layer, and keeps in `activations` what `logits` and `backward` need.
    pub fn forward(&self, activations: &mut Activations, batch: &Batch, hooks: &mut dyn Hooks) {
        let (config, heads, rows) = (&self.config, self.config.heads(), batch.rows());
        let epsilon = config.rms_norm_eps as Real;
        activations.resize(config, rows);
        let Activations { layers, residuals, normed_output, normed, product, branch, .. } =
            activations;

        embed(
            &mut residuals[0],
            self.layout.embed.of(&self.weights),
            batch.tokens(),
            config.hidden_size,
        );
        read(hooks, Point::Embed, rows, &mut residuals[0]);

        for (index, spans) in self.layout.layers.iter().enumerate() {
            let weight = |span: super::Span| span.of(&self.weights);
            let kept = &mut layers[index];
            let (before, after) = residuals.split_at_mut(index + 1);
            let (input, output) = (&mut before[index], &mut after[0]);
            read(hooks, Point::ResidPre(index), rows, input);

            rms_norm(normed, input, weight(spans.attn_norm), epsilon);
            self.linear(index, Merged::Qkv).forward(&mut kept.qkv, Store::Write, normed);
            if let Some(bias) = spans.qkv_bias {
                add_bias(&mut kept.qkv, weight(bias));
            }
            if let Some([q_norm, k_norm]) = spans.qk_norms {
                kept.raw_qkv.copy_from_slice(&kept.qkv);
                head_norm(&mut kept.qkv, weight(q_norm), weight(k_norm), heads, epsilon);
            }
            rotate(&mut kept.qkv, batch.positions(), &self.rotary, heads, Direction::Forward);
            attention(&mut kept.heads, &mut kept.log_sums, &kept.qkv, batch.starts(), heads);
            if hooks.wants(Point::Pattern(index)) {
                let replaced =
                    show_patterns(&mut kept.heads, &kept.qkv, index, batch, heads, hooks);
                activations.replaced_pattern |= replaced;
            }
            kept.middle.copy_from_slice(input);
            let o = self.linear(index, Merged::O);
            if hooks.wants(Point::AttnOut(index)) {
                o.forward(branch, Store::Write, &kept.heads);
                read(hooks, Point::AttnOut(index), rows, branch);
                kernels::add(&mut kept.middle, branch);
            } else {
                o.forward(&mut kept.middle, Store::Add, &kept.heads);
            }
            read(hooks, Point::ResidMid(index), rows, &mut kept.middle);

            rms_norm(normed, &kept.middle, weight(spans.mlp_norm), epsilon);
            self.linear(index, Merged::GateUp).forward(&mut kept.gate_up, Store::Write, normed);
            swiglu(product, &kept.gate_up, config.intermediate_size);
            output.copy_from_slice(&kept.middle);
            let down = self.linear(index, Merged::Down);
            if hooks.wants(Point::MlpOut(index)) {
                down.forward(branch, Store::Write, product);
                read(hooks, Point::MlpOut(index), rows, branch);
                kernels::add(output, branch);
            } else {
                down.forward(output, Store::Add, product);
            }
            read(hooks, Point::ResidPost(index), rows, output);
        }
        let output = &residuals[config.n_layers];
        rms_norm(normed_output, output, self.layout.final_norm.of(&self.weights), epsilon);
    }
}

/// Shows every pattern of a layer to a hook; where it replaced one, computes that head's output `[rows, q]` again. Says whether it did.
fn show_patterns(
    out: &mut [Real],
    qkv: &[Real],
    layer: usize,
    batch: &Batch,
    heads: Heads,
    hooks: &mut dyn Hooks,
) -> bool {
    let mut replaced = false;
    for pair in batch.starts().windows(2) {
        let rows = pair[0]..pair[1];
        let mut pattern = vec![0.0; rows.len() * rows.len()];
        for head in 0..heads.n_heads {
            kernels::attention_pattern(&mut pattern, qkv, rows.clone(), head, heads);
            let before = pattern.clone();
            let place =
                Place { point: Point::Pattern(layer), rows: rows.clone(), head: Some(head) };
            hooks.forward(&place, &mut pattern);
            if pattern != before {
                replaced = true;
                let values = Matrix::new(qkv, heads.row_width())
                    .columns(heads.value(head))
                    .rows(rows.clone());
                let out = MatrixMut::new(out, heads.q_width())
                    .columns(heads.query(head))
                    .rows(rows.clone());
                multiply(out, Store::Write, Matrix::new(&pattern, rows.len()), values);
            }
        }
    }
    replaced
}
