//! What training lowers. Each objective is its gradient on the logits.

use std::ops::Range;

use crate::data::Example;
use crate::kernels;
use crate::nn::{Activations, Batch, BatchError, Config, Hooks, Network, NoHooks};
use crate::real::Real;

/// Examples that a worker runs at once.
pub struct MicroBatch<'a> {
    /// The examples.
    pub examples: Vec<&'a Example>,
    /// All tokens but the last of each, packed into rows.
    pub batch: Batch,
    /// The token after each row.
    pub targets: Vec<u32>,
    /// Its weight.
    pub weights: Vec<Real>,
}

impl<'a> MicroBatch<'a> {
    /// Packs examples for a network of this shape.
    pub fn new(config: &Config, examples: Vec<&'a Example>) -> Result<Self, BatchError> {
        let inputs = examples.iter().map(|example| &example.tokens[..example.rows()]);
        let batch = Batch::new(config, inputs)?;
        let mut targets = Vec::with_capacity(batch.rows());
        let mut weights = Vec::with_capacity(batch.rows());
        for (sequence, example) in examples.iter().enumerate() {
            let vocab_size = config.vocab_size;
            if let Some(token) = example.tokens.iter().find(|token| **token as usize >= vocab_size)
            {
                return Err(BatchError::Token { sequence, token: *token, vocab_size });
            }
            targets.extend_from_slice(&example.tokens[1..]);
            weights.extend_from_slice(&example.weights[1..]);
        }
        Ok(Self { examples, batch, targets, weights })
    }
}

/// Turns the logits of some rows `[rows, vocab]` into the gradient on them and returns the loss of these rows.
pub type LogitGradient<'a> = Box<dyn FnMut(Range<usize>, &mut [Real]) -> f64 + 'a>;

/// A loss: a sum over rows, divided by a number that is known before.
pub trait Objective: Sync {
    /// What the sums of loss and gradient over a batch are divided by.
    fn divisor(&self, examples: &[&Example]) -> f64 {
        let weights = examples.iter().flat_map(|example| &example.weights[1..]);
        weights.map(|weight| f64::from(*weight)).sum()
    }

    /// The gradient on the logits of a micro-batch.
    fn gradient<'a>(&'a self, micro: &'a MicroBatch<'_>) -> LogitGradient<'a>;

    /// What reads or penalises activations on the way.
    fn hooks(&self, _micro: &MicroBatch<'_>) -> Box<dyn Hooks + '_> {
        Box::new(NoHooks)
    }
}

/// Σ weight · -log p(token) / Σ weight: maximum likelihood, with masks.
pub struct CrossEntropy;

impl Objective for CrossEntropy {
    fn gradient<'a>(&'a self, micro: &'a MicroBatch<'_>) -> LogitGradient<'a> {
        Box::new(move |rows, logits| {
            weighted(logits, &micro.targets[rows.clone()], &micro.weights[rows])
        })
    }
}

/// Σ -log p(token) · weight, and its gradient in place of the logits.
fn weighted(logits: &mut [Real], targets: &[u32], weights: &[Real]) -> f64 {
    let mut losses = vec![0.0; targets.len()];
    let vocab = logits.len() / targets.len();
    kernels::cross_entropy(logits, &mut losses, targets, weights, vocab);
    losses.iter().map(|loss| f64::from(*loss)).sum()
}

/// The log-probability that a network gives to each token of each example but the first.
pub fn log_probabilities(
    network: &Network,
    activations: &mut Activations,
    examples: &[&Example],
) -> Result<Vec<Vec<Real>>, BatchError> {
    let micro = MicroBatch::new(&network.config, examples.to_vec())?;
    network.forward(activations, &micro.batch, &mut NoHooks);
    let mut all = Vec::with_capacity(micro.batch.rows());
    network.each_logits(activations, &mut NoHooks, &mut |rows, logits| {
        let vocab = network.config.vocab_size;
        kernels::log_softmax(logits, vocab);
        let targets = logits.chunks_exact(vocab).zip(&micro.targets[rows]);
        all.extend(targets.map(|(row, target)| row[*target as usize]));
    });
    let starts = micro.batch.starts().windows(2);
    Ok(starts.map(|pair| all[pair[0]..pair[1]].to_vec()).collect())
}
