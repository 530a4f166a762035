//! The objective of reinforcement learning: a policy gradient over groups of samples, close to the model that it began with.

use std::collections::BTreeMap;

use lapwing_lab::Real;
use lapwing_lab::data::Example;
use lapwing_lab::kernels;
use lapwing_lab::nn::{Activations, Network, NoHooks};
use lapwing_lab::objective::{LogitGradient, MicroBatch, Objective};

/// Samples of one update that have the same tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rollout {
    /// Sum of their advantages.
    pub(super) advantage: f64,
    /// How many they are.
    pub(super) samples: f64,
}

/// Σ -advantage · log p(answer) + beta Σ KL(p ‖ reference) over the tokens of answers, divided by the number of samples. As every sample is as
/// likely as it is, the gradient is that of GRPO's first step (Shao et al. 2024, equation 3), without the division by length. Samples with the same
/// tokens are computed once.
pub(super) struct Policy<'a> {
    pub(super) rollouts: &'a BTreeMap<Vec<u32>, Rollout>,
    pub(super) reference: &'a Network,
    pub(super) beta: f64,
}

impl Objective for Policy<'_> {
    fn divisor(&self, _examples: &[&Example]) -> f64 {
        self.rollouts.values().map(|rollout| rollout.samples).sum()
    }

    fn gradient<'a>(&'a self, micro: &'a MicroBatch<'_>) -> LogitGradient<'a> {
        let mut activations = Activations::default();
        self.reference.forward(&mut activations, &micro.batch, &mut NoHooks);
        let (mut advantages, mut pulls) = (Vec::new(), Vec::new());
        for example in &micro.examples {
            let rollout = self.rollouts.get(&example.tokens).copied().unwrap_or_default();
            let masks = &example.weights[1..];
            advantages.extend(masks.iter().map(|mask| mask * rollout.advantage as Real));
            pulls.extend(masks.iter().map(|mask| mask * (self.beta * rollout.samples) as Real));
        }
        let vocab = self.reference.config.vocab_size;
        Box::new(move |rows, logits| {
            let reference = self.reference.logits(&activations, rows.clone(), &mut NoHooks);
            let (mut kl, mut kl_losses) = (logits.to_vec(), vec![0.0; rows.len()]);
            kernels::kl_divergence(
                &mut kl,
                &mut kl_losses,
                &reference,
                &pulls[rows.clone()],
                vocab,
            );
            let mut losses = vec![0.0; rows.len()];
            let targets = &micro.targets[rows.clone()];
            kernels::cross_entropy(logits, &mut losses, targets, &advantages[rows], vocab);
            kernels::add(logits, &kl);
            losses.iter().chain(&kl_losses).map(|loss| f64::from(*loss)).sum()
        })
    }
}
