//! Training: gradients of shards, summed in a fixed tree; clipping; AdamW.
//!
//! A batch is cut into `Settings::shards`, each of which one thread works through from start to end. The number of shards decides
//! the order of every sum, the number of threads does not: for one seed, machine type and instruction set the weights are the
//! same to the bit on any number of threads.

mod checkpoint;
mod run;
mod settings;
mod step;

pub use checkpoint::Checkpoints;
pub use run::{Progress, run};
pub use settings::{Settings, SettingsError};
pub use step::{Report, Trainer};

use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::nn::BatchError;

/// What stops training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The network cannot take an example.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Loss or gradient is not a number. The weights are those before the step.
    #[error(
        "the {what} of step {step} is not finite; {}; lower the learning rate, lengthen the warm-up, or look for examples with a \
         huge weight",
        last_good.as_ref().map_or_else(
            || "no checkpoint was written".to_owned(),
            |path| format!("the last good checkpoint is {}", path.display())
        )
    )]
    NotFinite {
        /// Loss or gradient.
        what: &'static str,
        /// The step, from 1.
        step: u64,
        /// The last checkpoint, if there is one.
        last_good: Option<PathBuf>,
    },
    /// No token of a batch counts.
    #[error("the weights of the examples of step {step} sum to {sum}; something must count")]
    NoWeight {
        /// The step, from 1.
        step: u64,
        /// The sum.
        sum: f64,
    },
    /// A checkpoint belongs to other data.
    #[error(
        "the checkpoint was trained on data {expected}, and this is {found}; resume with the same data"
    )]
    OtherData {
        /// Digest in the checkpoint.
        expected: String,
        /// Digest of the data at hand.
        found: String,
    },
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}
