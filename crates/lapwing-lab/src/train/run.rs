//! The loop over steps, with checkpoints.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{Checkpoints, Report, TrainError, Trainer};
use crate::data::Dataset;
use crate::objective::Objective;

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The step just done.
    pub report: Report,
    /// Steps of the whole run.
    pub steps: u64,
    /// Tokens a second since this process began to train.
    pub tokens_per_second: f64,
    /// Time left at this speed.
    pub remaining: Duration,
}

/// Trains until `Settings::steps` are done, or until `progress` breaks off. With `checkpoints`, one is written every so many steps and
/// at the end; what resumes from one ends with the same weights, to the bit.
pub fn run(
    trainer: &mut Trainer,
    data: &Dataset,
    objective: &dyn Objective,
    checkpoints: Option<&Checkpoints>,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<(), TrainError> {
    let digest = data.digest();
    let settings = trainer.settings().clone();
    let (started, mut tokens, first) = (Instant::now(), 0, trainer.steps_done());
    let mut saved = None;
    while trainer.steps_done() < settings.steps {
        let batch = data.batch(settings.seed, trainer.steps_done(), settings.batch_size);
        let report = trainer.step(&batch, objective)?;
        if let Some(checkpoints) = checkpoints
            && report.step.is_multiple_of(checkpoints.every)
        {
            trainer.save(checkpoints, &digest)?;
            saved = Some(report.step);
        }
        tokens += report.tokens;
        let elapsed = started.elapsed();
        let left = (settings.steps - report.step) as f64 / (report.step - first) as f64;
        let shown = Progress {
            report,
            steps: settings.steps,
            tokens_per_second: tokens as f64 / elapsed.as_secs_f64(),
            remaining: elapsed.mul_f64(left),
        };
        if progress(&shown).is_break() {
            break;
        }
    }
    if let Some(checkpoints) = checkpoints
        && saved != Some(trainer.steps_done())
    {
        trainer.save(checkpoints, &digest)?;
    }
    Ok(())
}
