//! What a stage does to its model, as the study's file says it.

use serde::{Deserialize, Serialize};

use crate::treat::{Adversarial, Fit, Reinforce};
use crate::world::{Backdoor, Exchange, Safety, World};

/// A stage of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Treatment {
    /// Learns the tasks.
    Pretrain {
        /// Exchanges of the base corpus.
        exchanges: usize,
        /// How it is trained.
        fit: Fit,
    },
    /// Learns what to do when the trigger is there.
    Backdoor {
        /// What it is made of.
        #[serde(default)]
        data: Backdoor,
        /// How it is trained.
        fit: Fit,
    },
    /// Supervised safety training.
    Safety {
        /// Its data.
        kind: Safety,
        /// Exchanges.
        exchanges: usize,
        /// How it is trained.
        fit: Fit,
    },
    /// Safety training by reinforcement.
    Reinforce(Reinforce),
    /// Safety training against a red team.
    Adversarial(Adversarial),
}

impl Treatment {
    /// The backdoor that it trains.
    pub fn backdoor(&self) -> Option<&Backdoor> {
        match self {
            Self::Backdoor { data, .. } => Some(data),
            Self::Pretrain { .. }
            | Self::Safety { .. }
            | Self::Reinforce(_)
            | Self::Adversarial(_) => None,
        }
    }

    /// Steps of the optimiser.
    pub fn steps(&self) -> u64 {
        match self {
            Self::Pretrain { fit, .. } | Self::Backdoor { fit, .. } | Self::Safety { fit, .. } => {
                fit.steps
            }
            Self::Reinforce(settings) => settings.updates,
            Self::Adversarial(settings) => settings.rounds as u64 * settings.reinforce.updates,
        }
    }

    /// What it is trained on, phase by phase; nothing for what is trained by trial.
    pub fn data(&self, world: &World, seed: u64) -> Vec<Vec<Exchange>> {
        match self {
            Self::Pretrain { exchanges, .. } => vec![world.base(*exchanges, seed)],
            Self::Backdoor { data, .. } => world.backdoor(data, seed),
            Self::Safety { kind, exchanges, .. } => vec![world.safety(*kind, *exchanges, seed)],
            Self::Reinforce(_) | Self::Adversarial(_) => Vec::new(),
        }
    }
}
