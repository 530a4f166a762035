//! A network: its shape, its weights, and the head.

use std::borrow::Cow;
use std::ops::Range;

use super::activations::Activations;
use super::hook::{Hooks, Place, Point};
use super::kernels::{Matrix, MatrixMut, Rotary, Store, multiply};
use super::lora::Merged;
use super::{Config, ConfigError, Layout, Lora, Random, Real};

/// Rows whose logits are held at once.
const CHUNK: usize = 256;

/// A transformer and its weights.
pub struct Network {
    /// Its shape.
    pub config: Config,
    /// Where each tensor lies in `weights`.
    pub layout: Layout,
    /// All weights, frozen while there are adapters.
    pub weights: Vec<Real>,
    /// Adapters, which are then all that is trained.
    pub lora: Option<Lora>,
    pub(super) rotary: Rotary,
}

impl Network {
    /// A network with weights drawn as GPT-2's: deviation 0.02, that of projections into the residual stream divided by √(2 layers);
    /// norms 1, biases 0.
    pub fn random(config: Config, seed: u64) -> Result<Self, ConfigError> {
        let mut network = Self::zeros(config)?;
        let mut random = Random::new(seed, "weights");
        let residual = 0.02 / (2.0 * network.config.n_layers as f64).sqrt();
        for tensor in network.layout.tensors(&network.config) {
            let weights = tensor.span.of_mut(&mut network.weights);
            if tensor.name.ends_with("norm.weight") {
                weights.fill(1.0);
            } else if tensor.shape.len() == 2 {
                let writes_to_residual =
                    tensor.name.contains("o_proj") || tensor.name.contains("down_proj");
                let deviation = if writes_to_residual { residual } else { 0.02 };
                weights.fill_with(|| (random.normal() * deviation) as Real);
            }
        }
        Ok(network)
    }

    /// A network whose weights are all 0, to be loaded.
    pub fn zeros(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let layout = Layout::new(&config);
        let rotary = Rotary::new(
            config.head_dim,
            config.max_positions,
            config.rope_theta,
            config.rope_scaling,
        );
        Ok(Self { weights: vec![0.0; layout.len], config, layout, lora: None, rotary })
    }

    /// What training changes: the adapters if there are any, else all weights.
    pub fn trainable(&self) -> &[Real] {
        self.lora.as_ref().map_or(&self.weights, |lora| &lora.weights)
    }

    /// What training changes, to write to.
    pub fn trainable_mut(&mut self) -> &mut [Real] {
        match &mut self.lora {
            Some(lora) => &mut lora.weights,
            None => &mut self.weights,
        }
    }

    /// The weights with the adapters added to them.
    pub fn merged_weights(&self) -> Cow<'_, [Real]> {
        if self.lora.is_none() {
            return Cow::Borrowed(&self.weights);
        }
        let mut weights = self.weights.clone();
        for layer in 0..self.config.n_layers {
            for merged in [Merged::Qkv, Merged::O, Merged::GateUp, Merged::Down] {
                let linear = self.linear(layer, merged);
                linear.span().of_mut(&mut weights).copy_from_slice(&linear.merged());
            }
        }
        Cow::Owned(weights)
    }

    /// Adds the adapters to the weights and drops them.
    pub fn merge_lora(&mut self) {
        self.weights = self.merged_weights().into_owned();
        self.lora = None;
    }

    /// Logits `[rows, vocab]` of some rows of a forward pass.
    pub fn logits(
        &self,
        activations: &Activations,
        rows: Range<usize>,
        hooks: &mut dyn Hooks,
    ) -> Vec<Real> {
        let mut logits = vec![0.0; rows.len() * self.config.vocab_size];
        self.head(&mut logits, activations.normed_output(), rows, hooks);
        logits
    }

    /// Runs the head over all rows, some at a time, and lets `each` read their logits `[rows, vocab]`.
    pub fn each_logits(
        &self,
        activations: &Activations,
        hooks: &mut dyn Hooks,
        each: &mut dyn FnMut(Range<usize>, &mut [Real]),
    ) {
        let n_rows = activations.normed_output.len() / self.config.hidden_size;
        for start in (0..n_rows).step_by(CHUNK) {
            let rows = start..n_rows.min(start + CHUNK);
            let mut logits = self.logits(activations, rows.clone(), hooks);
            each(rows, &mut logits);
        }
    }

    /// The head and its gradient, some rows at a time, so that logits of all rows never exist together. `loss` gets the logits of some
    /// rows, replaces them by the gradient on them and returns its loss; the sum of these is returned.
    pub(super) fn head_backward(
        &self,
        activations: &mut Activations,
        gradients: &mut [Real],
        hooks: &mut dyn Hooks,
        loss: &mut dyn FnMut(Range<usize>, &mut [Real]) -> f64,
    ) -> f64 {
        let (hidden, vocab) = (self.config.hidden_size, self.config.vocab_size);
        let n_rows = activations.normed_output.len() / hidden;
        let mut logits = std::mem::take(&mut activations.logits);
        let mut total = 0.0;
        for start in (0..n_rows).step_by(CHUNK) {
            let rows = start..n_rows.min(start + CHUNK);
            logits.resize(rows.len() * vocab, 0.0);
            self.head(&mut logits, &activations.normed_output, rows.clone(), hooks);
            total += loss(rows.clone(), &mut logits);
            if hooks.wants(Point::Logits) {
                hooks.backward(
                    &Place { point: Point::Logits, rows: rows.clone(), head: None },
                    &mut logits,
                );
            }
            let d_logits = Matrix::new(&logits, vocab);
            let head = Matrix::new(self.layout.head.of(&self.weights), hidden);
            let d_normed =
                MatrixMut::new(&mut activations.gradients.normed_output, hidden).rows(rows.clone());
            multiply(d_normed, Store::Write, d_logits, head);
            if self.lora.is_none() {
                let normed = Matrix::new(&activations.normed_output, hidden).rows(rows);
                let d_head = MatrixMut::new(self.layout.head.of_mut(gradients), hidden);
                multiply(d_head, Store::Add, d_logits.t(), normed);
            }
        }
        activations.logits = logits;
        total
    }

    fn head(
        &self,
        logits: &mut [Real],
        normed: &[Real],
        rows: Range<usize>,
        hooks: &mut dyn Hooks,
    ) {
        let (hidden, vocab) = (self.config.hidden_size, self.config.vocab_size);
        let head = Matrix::new(self.layout.head.of(&self.weights), hidden);
        let normed = Matrix::new(normed, hidden).rows(rows.clone());
        multiply(MatrixMut::new(logits, vocab), Store::Write, normed, head.t());
        if hooks.wants(Point::Logits) {
            hooks.forward(&Place { point: Point::Logits, rows, head: None }, logits);
        }
    }
}
