//! Treatments: training that is meant to remove a behaviour, and the training that puts one in.
//!
//! `fit` is supervised (pretraining, backdoors, safety data, unlearning with a known trigger, reversal), `reinforce` is reinforcement
//! learning, and `adversarial` trains against a red team that does not know the trigger. Each starts from a network and a seed and
//! returns a network; the weights do not depend on the number of threads.

mod adversarial;
mod fit;
mod policy;
mod red_team;
mod reinforce;
mod watch;

pub use adversarial::{Adversarial, AdversarialReport, Round, Target, adversarial};
pub use fit::{Fit, fit};
pub use red_team::{Attack, RedTeam};
pub use reinforce::{Reinforce, reinforce, reward};
pub use watch::{Point, Watch};

use lapwing_lab::nn::Network;
use lapwing_lab::sample::SampleError;
use lapwing_lab::train::{Settings, TrainError, Trainer};

/// What a treatment made.
pub struct Treated {
    /// The network.
    pub network: Network,
    /// Settings of the optimiser.
    pub settings: Settings,
    /// The loss of each step that was taken.
    pub losses: Vec<f64>,
    /// Whether the watch broke it off.
    pub stopped: bool,
}

impl Treated {
    fn new(trainer: Trainer, stopped: bool) -> Self {
        Self {
            settings: trainer.settings().clone(),
            losses: trainer.losses().to_vec(),
            network: trainer.network,
            stopped,
        }
    }
}

/// What stops a treatment.
#[derive(Debug, thiserror::Error)]
pub enum TreatError {
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The network cannot be asked.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A setting cannot be.
    #[error("{key} is {value}; it must be {must}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        must: &'static str,
    },
}

/// Refuses a count below the least that works.
fn at_least(key: &'static str, value: usize, least: usize) -> Result<(), TreatError> {
    let must = if least == 1 { "at least 1" } else { "at least 2" };
    if value < least {
        return Err(TreatError::Setting { key, value: value as f64, must });
    }
    Ok(())
}

/// A network with the same weights.
#[expect(clippy::expect_used, reason = "the shape was checked when the network was made")]
fn copy(network: &Network) -> Network {
    let mut copy = Network::zeros(network.config.clone()).expect("a shape that was checked");
    copy.weights.copy_from_slice(&network.merged_weights());
    copy
}
