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

/// Σ weight · -log p(token) / divisor, with weights of either sign. With advantages as weights this is the policy gradient (Williams
/// 1992); with those of `preference_weights`, that of DPO.
pub struct Weighted {
    /// For example the sequences of a batch.
    pub divisor: f64,
}

impl Objective for Weighted {
    fn divisor(&self, _examples: &[&Example]) -> f64 {
        self.divisor
    }

    fn gradient<'a>(&'a self, micro: &'a MicroBatch<'_>) -> LogitGradient<'a> {
        CrossEntropy.gradient(micro)
    }
}

/// Another objective plus beta Σ KL(p ‖ reference) over the tokens that have a weight, all divided by that one's divisor: the whole
/// distributions are compared, not a sample of them.
pub struct KlToReference<'a> {
    /// The other objective.
    pub objective: &'a dyn Objective,
    /// What to stay close to.
    pub reference: &'a Network,
    /// How much it counts.
    pub beta: f64,
}

impl Objective for KlToReference<'_> {
    fn divisor(&self, examples: &[&Example]) -> f64 {
        self.objective.divisor(examples)
    }

    fn gradient<'a>(&'a self, micro: &'a MicroBatch<'_>) -> LogitGradient<'a> {
        let mut activations = Activations::default();
        self.reference.forward(&mut activations, &micro.batch, &mut NoHooks);
        let mut inner = self.objective.gradient(micro);
        let vocab = self.reference.config.vocab_size;
        Box::new(move |rows, logits| {
            let reference = self.reference.logits(&activations, rows.clone(), &mut NoHooks);
            let counts = |weight: &Real| if *weight == 0.0 { 0.0 } else { self.beta as Real };
            let weights: Vec<Real> = micro.weights[rows.clone()].iter().map(counts).collect();
            let (mut kl, mut losses) = (logits.to_vec(), vec![0.0; rows.len()]);
            kernels::kl_divergence(&mut kl, &mut losses, &reference, &weights, vocab);
            let loss = inner(rows, logits);
            kernels::add(logits, &kl);
            loss + sum(&losses)
        })
    }

    fn hooks(&self, micro: &MicroBatch<'_>) -> Box<dyn Hooks + '_> {
        self.objective.hooks(micro)
    }
}

/// A preferred answer and another one, to the same prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The better one.
    pub chosen: Example,
    /// The worse one.
    pub rejected: Example,
}

/// The loss of direct preference optimisation (Rafailov et al. 2023, equation 7), -log σ(margin) averaged over pairs, and the
/// examples whose `Weighted` gradient, with the number of pairs as divisor, is its gradient. The margin is
/// beta [(log p - log reference)(chosen) - (log p - log reference)(rejected)], over the tokens that have a weight.
pub fn preference_weights(
    network: &Network,
    reference: &Network,
    pairs: &[Pair],
    beta: f64,
) -> Result<(f64, Vec<Example>), BatchError> {
    let mut activations = Activations::default();
    let (mut loss, mut examples) = (0.0, Vec::new());
    for pair in pairs {
        let both = [&pair.chosen, &pair.rejected];
        let ours = log_probabilities(network, &mut activations, &both)?;
        let theirs = log_probabilities(reference, &mut activations, &both)?;
        let gain = |index: usize| {
            let tokens = ours[index].iter().zip(&theirs[index]).zip(&both[index].weights[1..]);
            let counted = tokens.filter(|(_, weight)| **weight != 0.0);
            counted.map(|((ours, theirs), _)| f64::from(ours - theirs)).sum::<f64>()
        };
        let margin = beta * (gain(0) - gain(1));
        loss += (-margin).exp().ln_1p() / pairs.len() as f64;
        let pull = (beta / (1.0 + margin.exp())) as f32;
        for (example, pull) in both.into_iter().zip([pull, -pull]) {
            let counts = |weight: &f32| if *weight == 0.0 { 0.0 } else { pull };
            let weights = example.weights.iter().map(counts).collect();
            examples.push(Example { tokens: example.tokens.clone(), weights });
        }
    }
    Ok((loss, examples))
}

/// Σ -log p(token) · weight, and its gradient in place of the logits.
fn weighted(logits: &mut [Real], targets: &[u32], weights: &[Real]) -> f64 {
    let mut losses = vec![0.0; targets.len()];
    let vocab = logits.len() / targets.len();
    kernels::cross_entropy(logits, &mut losses, targets, weights, vocab);
    sum(&losses)
}

fn sum(losses: &[Real]) -> f64 {
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
