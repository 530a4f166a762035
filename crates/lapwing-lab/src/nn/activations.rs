//! What a forward pass keeps for the backward pass, and the buffers that both work in.

use super::{Config, Real};

/// What one layer keeps. Normalised inputs and the MLP's product are computed again on the way back.
#[derive(Default)]
pub(super) struct Kept {
    /// Queries, keys and values before their norms `[rows, q + 2 kv]`; empty without norms.
    pub(super) raw_qkv: Vec<Real>,
    /// Queries and keys, turned, and values `[rows, q + 2 kv]`.
    pub(super) qkv: Vec<Real>,
    /// Output of the heads `[rows, q]`.
    pub(super) heads: Vec<Real>,
    /// Logarithm of each attention row's sum of exponentials `[heads, rows]`.
    pub(super) log_sums: Vec<Real>,
    /// Residual stream between attention and MLP `[rows, hidden]`.
    pub(super) middle: Vec<Real>,
    /// Gate and up `[rows, 2 ff]`.
    pub(super) gate_up: Vec<Real>,
}

/// The activations of one batch. Made once and used again for every batch of a worker.
#[derive(Default)]
pub struct Activations {
    pub(super) layers: Vec<Kept>,
    /// Residual stream before each layer, and after the last `[rows, hidden]`.
    pub(super) residuals: Vec<Vec<Real>>,
    /// Norm of the last, which the head reads `[rows, hidden]`.
    pub(super) normed_output: Vec<Real>,
    /// Normalised input of a projection, or its gradient `[rows, hidden]`.
    pub(super) normed: Vec<Real>,
    /// Product of gate and up, or its gradient `[rows, ff]`.
    pub(super) product: Vec<Real>,
    /// What a branch adds to the residual stream, where a hook wants it `[rows, hidden]`.
    pub(super) branch: Vec<Real>,
    /// Logits of a chunk of rows.
    pub(super) logits: Vec<Real>,
    /// Whether a hook replaced an attention pattern, which has no gradient.
    pub(super) replaced_pattern: bool,
    pub(super) gradients: Gradients,
}

/// Gradients on activations.
#[derive(Default)]
pub(super) struct Gradients {
    /// On the residual stream `[rows, hidden]`.
    pub(super) residual: Vec<Real>,
    /// On the normalised output `[rows, hidden]`.
    pub(super) normed_output: Vec<Real>,
    /// On a projection's normalised input `[rows, hidden]`.
    pub(super) normed: Vec<Real>,
    /// On queries, keys and values `[rows, q + 2 kv]`.
    pub(super) qkv: Vec<Real>,
    /// On the output of the heads `[rows, q]`.
    pub(super) heads: Vec<Real>,
    /// On gate and up `[rows, 2 ff]`.
    pub(super) gate_up: Vec<Real>,
}

impl Activations {
    /// The rows that the head reads: the last residual stream, normalised `[rows, hidden]`.
    pub fn normed_output(&self) -> &[Real] {
        &self.normed_output
    }

    /// Makes room for a forward pass over `rows`.
    pub(super) fn resize(&mut self, config: &Config, rows: usize) {
        let (hidden, ff, heads) = (config.hidden_size, config.intermediate_size, config.heads());
        self.layers.resize_with(config.n_layers, Kept::default);
        for kept in &mut self.layers {
            kept.raw_qkv.resize(if config.qk_norm { rows * heads.row_width() } else { 0 }, 0.0);
            kept.qkv.resize(rows * heads.row_width(), 0.0);
            kept.heads.resize(rows * heads.q_width(), 0.0);
            kept.log_sums.resize(rows * heads.n_heads, 0.0);
            kept.middle.resize(rows * hidden, 0.0);
            kept.gate_up.resize(rows * 2 * ff, 0.0);
        }
        self.residuals.resize_with(config.n_layers + 1, Vec::new);
        self.residuals.iter_mut().for_each(|residual| residual.resize(rows * hidden, 0.0));
        self.normed_output.resize(rows * hidden, 0.0);
        self.normed.resize(rows * hidden, 0.0);
        self.product.resize(rows * ff, 0.0);
        self.branch.resize(rows * hidden, 0.0);
        self.replaced_pattern = false;
    }

    /// Makes room for a backward pass over `rows`.
    pub(super) fn resize_gradients(&mut self, config: &Config, rows: usize) {
        let heads = config.heads();
        let gradients = &mut self.gradients;
        gradients.residual.resize(rows * config.hidden_size, 0.0);
        gradients.normed_output.resize(rows * config.hidden_size, 0.0);
        gradients.normed.resize(rows * config.hidden_size, 0.0);
        gradients.qkv.resize(rows * heads.row_width(), 0.0);
        gradients.heads.resize(rows * heads.q_width(), 0.0);
        gradients.gate_up.resize(rows * 2 * config.intermediate_size, 0.0);
    }
}
