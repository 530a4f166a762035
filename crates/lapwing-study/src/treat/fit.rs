//! Supervised training.

use lapwing_lab::data::Dataset;
use lapwing_lab::nn::Network;
use lapwing_lab::objective::CrossEntropy;
use lapwing_lab::train::{Settings, Trainer};
use serde::{Deserialize, Serialize};

use super::{Point, TreatError, Treated, Watch, at_least};

/// Settings of supervised training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Fit {
    /// Steps of the optimiser.
    pub steps: u64,
    /// Examples of a step.
    pub batch: usize,
    /// The highest learning rate; it rises over a twentieth of the steps and falls to a tenth as a cosine.
    pub learning_rate: f64,
}

impl Default for Fit {
    fn default() -> Self {
        Self { steps: 600, batch: 64, learning_rate: 3e-4 }
    }
}

impl Fit {
    /// The settings of the optimiser.
    pub fn settings(&self, seed: u64) -> Settings {
        Settings {
            steps: self.steps,
            batch_size: self.batch,
            learning_rate: self.learning_rate,
            warmup_steps: self.steps / 20,
            weight_decay: 0.01,
            seed,
            ..Settings::default()
        }
    }
}

/// Trains on answers, for an equal number of steps on each phase in turn; most data have one.
pub fn fit(
    network: Network,
    phases: &[Dataset],
    fit: &Fit,
    seed: u64,
    watch: &mut Watch<'_>,
) -> Result<Treated, TreatError> {
    at_least("phases", phases.len(), 1)?;
    let mut trainer = Trainer::new(network, fit.settings(seed))?;
    trainer.set_threads(watch.threads);
    for step in 0..fit.steps {
        let phase = &phases[(step as usize * phases.len()) / fit.steps as usize];
        let report = trainer.step(&phase.batch(seed, step, fit.batch), &CrossEntropy)?;
        let point = Point {
            step: report.step,
            steps: fit.steps,
            loss: report.loss,
            reward: None,
            trigger_on: None,
            trigger_off: None,
        };
        if !watch.report(&trainer.network, point)? {
            return Ok(Treated::new(trainer, true));
        }
    }
    Ok(Treated::new(trainer, false))
}
