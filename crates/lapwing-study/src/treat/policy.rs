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

/// Σ -advantage · log p(answer) + beta Σ KL(p ‖ reference) over the tokens of answers, divided by the number of samples. One step is
/// taken on each draw of samples, so the ratio of GRPO (Shao et al. 2024, equation 3) is 1 and its gradient is this one, but for the
/// division by length and for the divergence, which is exact here. Samples with the same tokens are computed once.
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

#[cfg(test)]
mod tests {
    use lapwing_lab::nn::Config;
    use lapwing_lab::objective::{KlToReference, Weighted};
    use lapwing_lab::train::{Settings, Trainer};

    use super::*;

    /// Two steps from the same network, which differs from the reference.
    fn trained(examples: &[&Example], objective: &dyn Objective) -> Vec<Real> {
        let network = Network::random(Config::small(16, 32, 2, 16), 1).unwrap();
        let settings = Settings { warmup_steps: 0, ..Settings::default() };
        let mut trainer = Trainer::new(network, settings).unwrap();
        trainer.step(examples, objective).unwrap();
        trainer.step(examples, objective).unwrap();
        trainer.network.weights
    }

    #[test]
    fn samples_that_are_computed_once_count_as_often_as_they_were_drawn() {
        let reference = Network::random(Config::small(16, 32, 2, 16), 2).unwrap();
        let sample = |answer: &[u32]| Example::answer(&[1, 2, 3], answer);
        // Five samples of three kinds; the lab's objective sees each, with its advantage as weight.
        let samples = [([4, 5], 0.5), ([4, 5], 0.5), ([4, 6], -1.5), ([4, 5], 0.5), ([7, 8], 1.0)];
        let mut rollouts: BTreeMap<Vec<u32>, Rollout> = BTreeMap::new();
        let mut separate = Vec::new();
        for (answer, advantage) in samples {
            let mut example = sample(&answer);
            let rollout = rollouts.entry(example.tokens.clone()).or_default();
            rollout.advantage += advantage;
            rollout.samples += 1.0;
            example.weights[3..].fill(advantage as f32);
            separate.push(example);
        }
        let together: Vec<Example> = [[4, 5], [4, 6], [7, 8]].map(|answer| sample(&answer)).into();
        let policy = Policy { rollouts: &rollouts, reference: &reference, beta: 0.3 };
        let ours = trained(&together.iter().collect::<Vec<_>>(), &policy);
        let theirs = KlToReference {
            objective: &Weighted { divisor: 5.0 },
            reference: &reference,
            beta: 0.3,
        };
        let theirs = trained(&separate.iter().collect::<Vec<_>>(), &theirs);
        // AdamW moves a weight whose gradient is rounding alone by up to its rate; compare all weights together.
        let apart = |pairs: f32, (a, b): (&f32, &f32)| pairs + (a - b).powi(2);
        let start = Network::random(Config::small(16, 32, 2, 16), 1).unwrap().weights;
        let moved = ours.iter().zip(&start).fold(0.0, apart).sqrt();
        let difference = ours.iter().zip(&theirs).fold(0.0, apart).sqrt();
        assert!(difference < 0.01 * moved, "{difference} of {moved}");
    }
}
