//! One step: gradients of shards in parallel, their sum, clipping, AdamW.

use std::num::NonZero;
use std::path::PathBuf;
use std::{mem, thread};

use super::{Settings, TrainError};
use crate::data::Example;
use crate::kernels::{self, AdamW};
use crate::nn::{Activations, Network};
use crate::objective::{MicroBatch, Objective};
use crate::parallel::{cut, each};
use crate::real::Real;

/// Elements that a thread sums or updates at once.
const PIECE: usize = 1 << 16;

/// A network in training.
pub struct Trainer {
    /// The network.
    pub network: Network,
    pub(super) settings: Settings,
    pub(super) steps_done: u64,
    /// AdamW's means of gradients and of their squares, laid out as the weights.
    pub(super) means: [Vec<Real>; 2],
    /// The loss of each step so far.
    pub(super) losses: Vec<f64>,
    /// The last checkpoint.
    pub(super) last_good: Option<PathBuf>,
    /// Gradients of each shard.
    gradients: Vec<Vec<Real>>,
    /// Lengths of neighbouring pieces, and whether their weights decay.
    pieces: Vec<(usize, bool)>,
    /// One for each thread.
    activations: Vec<Activations>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// The step, from 1.
    pub step: u64,
    /// The objective before the step.
    pub loss: f64,
    /// Norm of the whole gradient, before clipping.
    pub gradient_norm: f64,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Rows that were run.
    pub tokens: usize,
}

impl Trainer {
    /// Begins to train what is `trainable` in a network, on the cores of this machine.
    pub fn new(network: Network, settings: Settings) -> Result<Self, TrainError> {
        settings.check()?;
        let len = network.trainable().len();
        let means = [vec![0.0; len], vec![0.0; len]];
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let mut trainer = Self {
            pieces: pieces(&network),
            network,
            steps_done: 0,
            means,
            losses: Vec::new(),
            last_good: None,
            gradients: vec![vec![0.0; len]; settings.shards],
            activations: Vec::new(),
            settings,
        };
        trainer.set_threads(threads);
        Ok(trainer)
    }

    /// Works on so many threads, at most one for each shard. The weights do not depend on it.
    pub fn set_threads(&mut self, threads: usize) {
        let threads = threads.clamp(1, self.settings.shards);
        self.activations.resize_with(threads, Activations::default);
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Steps that were done.
    pub fn steps_done(&self) -> u64 {
        self.steps_done
    }

    /// The loss of each step so far.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// Takes one step on these examples. On an error nothing has changed.
    pub fn step(
        &mut self,
        examples: &[&Example],
        objective: &dyn Objective,
    ) -> Result<Report, TrainError> {
        let step = self.steps_done + 1;
        let divisor = objective.divisor(examples);
        if !(divisor > 0.0 && divisor.is_finite()) {
            return Err(TrainError::NoWeight { step, sum: divisor });
        }
        let shards = self.shards(examples)?;
        let loss = self.shard_gradients(&shards, objective) / divisor;
        let gradient_norm = self.sum_gradients().sqrt() / divisor;
        for (what, value) in [("loss", loss), ("gradient", gradient_norm)] {
            if !value.is_finite() {
                let last_good = self.last_good.clone();
                return Err(TrainError::NotFinite { what, step, last_good });
            }
        }
        let clipped = (self.settings.clip_norm / gradient_norm).min(1.0);
        let learning_rate = self.settings.rate(self.steps_done);
        self.update(learning_rate, clipped / divisor);
        self.steps_done = step;
        self.losses.push(loss);
        let tokens = examples.iter().map(|example| example.rows()).sum();
        Ok(Report { step, loss, gradient_norm, learning_rate, tokens })
    }

    /// Cuts a batch into shards, and each into micro-batches.
    fn shards<'a>(&self, examples: &[&'a Example]) -> Result<Vec<Vec<MicroBatch<'a>>>, TrainError> {
        let (n, n_shards) = (examples.len(), self.settings.shards);
        let shard = |index: usize| {
            let mut micros = Vec::new();
            let (mut micro, mut rows) = (Vec::new(), 0);
            for example in &examples[index * n / n_shards..(index + 1) * n / n_shards] {
                if rows > 0 && rows + example.rows() > self.settings.micro_tokens {
                    micros.push(MicroBatch::new(&self.network.config, mem::take(&mut micro))?);
                    rows = 0;
                }
                rows += example.rows();
                micro.push(*example);
            }
            if !micro.is_empty() {
                micros.push(MicroBatch::new(&self.network.config, micro)?);
            }
            Ok(micros)
        };
        (0..n_shards).map(shard).collect()
    }

    /// Computes the gradient of each shard and returns the loss of all.
    fn shard_gradients(
        &mut self,
        shards: &[Vec<MicroBatch<'_>>],
        objective: &dyn Objective,
    ) -> f64 {
        let mut losses = vec![0.0; shards.len()];
        let network = &self.network;
        let items = shards.iter().zip(&mut self.gradients).zip(&mut losses);
        each(&mut self.activations, items, |activations, ((micros, gradients), loss)| {
            gradients.fill(0.0);
            for micro in micros {
                let mut hooks = objective.hooks(micro);
                network.forward(activations, &micro.batch, &mut *hooks);
                let mut gradient = objective.gradient(micro);
                *loss += network.backward(
                    activations,
                    &micro.batch,
                    gradients,
                    &mut *hooks,
                    &mut *gradient,
                );
            }
        });
        losses.iter().sum()
    }

    /// Sums the gradients of all shards into the first, in pairs, pairs of pairs, and so on; returns the sum of squares.
    fn sum_gradients(&mut self) -> f64 {
        let lengths = || self.pieces.iter().map(|(len, _)| *len);
        let mut shards: Vec<_> =
            self.gradients.iter_mut().map(|shard| cut(shard, lengths()).into_iter()).collect();
        let mut squares = vec![0.0; self.pieces.len()];
        let piece_of_each = |square| {
            let piece: Vec<_> = shards.iter_mut().filter_map(Iterator::next).collect();
            (piece, square)
        };
        let items = squares.iter_mut().map(piece_of_each);
        each(&mut self.activations, items, |_, (mut piece, square)| {
            let mut distance = 1;
            while distance < piece.len() {
                for first in (0..piece.len() - distance).step_by(2 * distance) {
                    let (left, right) = piece.split_at_mut(first + distance);
                    kernels::add(left[first], right[0]);
                }
                distance *= 2;
            }
            *square = kernels::sum_of_squares(piece[0]);
        });
        squares.iter().sum()
    }

    /// Moves the weights.
    fn update(&mut self, learning_rate: f64, gradient_scale: f64) {
        let settings = &self.settings;
        let step = AdamW {
            rate: learning_rate as Real,
            beta_1: settings.beta_1 as Real,
            beta_2: settings.beta_2 as Real,
            epsilon: settings.epsilon as Real,
            weight_decay: settings.weight_decay as Real,
            gradient_scale: gradient_scale as Real,
            step: self.steps_done + 1,
        };
        let lengths = || self.pieces.iter().map(|(len, _)| *len);
        let [m, v] = &mut self.means;
        let buffers = cut(self.network.trainable_mut(), lengths())
            .into_iter()
            .zip(cut(&mut self.gradients[0], lengths()))
            .zip(cut(m, lengths()).into_iter().zip(cut(v, lengths())));
        let items = buffers.zip(&self.pieces);
        each(&mut self.activations, items, |_, (((w, g), (m, v)), (_, decays))| {
            let weight_decay = if *decays { step.weight_decay } else { 0.0 };
            kernels::adamw(w, g, m, v, AdamW { weight_decay, ..step });
        });
    }
}

/// Cuts what is trained into pieces that lie in one tensor, with whether it is a matrix, whose weights decay.
fn pieces(network: &Network) -> Vec<(usize, bool)> {
    let tensors: Vec<(usize, bool)> = if let Some(lora) = &network.lora {
        vec![(lora.weights.len(), true)]
    } else {
        let mut tensors = network.layout.tensors(&network.config);
        tensors.sort_by_key(|tensor| tensor.span.start);
        tensors.iter().map(|tensor| (tensor.span.len, tensor.shape.len() == 2)).collect()
    };
    let cut = |(len, decays): (usize, bool)| {
        (0..len).step_by(PIECE).map(move |start| (PIECE.min(len - start), decays))
    };
    tensors.into_iter().flat_map(cut).collect()
}
