//! Activations at the last token of each prompt.

use std::panic;
use std::thread;

use lapwing_lab::Real;
use lapwing_lab::nn::{Activations, Batch, BatchError, Hooks, Network, Place, Point};

use super::ProbeError;

/// Prompts that a thread runs at once: always the same ones together, so that no bit depends on the number of threads.
const AT_ONCE: usize = 32;

/// What flows through `point` at the last token of each prompt: `[prompts][hidden]`. The number of threads changes nothing.
///
/// # Errors
/// Where the network cannot take a prompt, or the point has no value for each token.
pub fn activations(
    network: &Network,
    prompts: &[Vec<u32>],
    point: Point,
    threads: usize,
) -> Result<Vec<Vec<f32>>, ProbeError> {
    let mut read = activations_at(network, prompts, &[point], threads)?;
    Ok(read.pop().unwrap_or_default())
}

/// [`activations`] at several points from one pass: `[points][prompts][hidden]`.
///
/// # Errors
/// As [`activations`].
pub fn activations_at(
    network: &Network,
    prompts: &[Vec<u32>],
    points: &[Point],
    threads: usize,
) -> Result<Vec<Vec<Vec<f32>>>, ProbeError> {
    let n_layers = network.config.n_layers;
    if let Some(point) = points.iter().find(|point| !has_tokens(**point, n_layers)) {
        return Err(ProbeError::Point { point: *point, n_layers });
    }
    // All at once, so that an error names the prompt by its index among all.
    Batch::new(&network.config, prompts.iter().map(Vec::as_slice))?;
    let share = prompts.len().div_ceil(threads.max(1)).next_multiple_of(AT_ONCE).max(AT_ONCE);
    let parts: Vec<Result<Vec<_>, BatchError>> = thread::scope(|scope| {
        let start = |prompts| scope.spawn(move || last_tokens(network, prompts, points));
        let workers: Vec<_> = prompts.chunks(share).map(start).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
        };
        workers.into_iter().map(join).collect()
    });
    let mut all = vec![Vec::with_capacity(prompts.len()); points.len()];
    for part in parts {
        for (all, part) in all.iter_mut().zip(part?) {
            all.extend(part);
        }
    }
    Ok(all)
}

/// Whether a point has a row `[hidden]` for each token.
fn has_tokens(point: Point, n_layers: usize) -> bool {
    match point {
        Point::Embed => true,
        Point::ResidPre(layer)
        | Point::AttnOut(layer)
        | Point::ResidMid(layer)
        | Point::MlpOut(layer)
        | Point::ResidPost(layer) => layer < n_layers,
        Point::Pattern(_) | Point::Logits => false,
    }
}

/// The work of one thread.
fn last_tokens(
    network: &Network,
    prompts: &[Vec<u32>],
    points: &[Point],
) -> Result<Vec<Vec<Vec<f32>>>, BatchError> {
    let mut activations = Activations::default();
    let mut all = vec![Vec::with_capacity(prompts.len()); points.len()];
    for prompts in prompts.chunks(AT_ONCE) {
        let batch = Batch::new(&network.config, prompts.iter().map(Vec::as_slice))?;
        let width = network.config.hidden_size;
        let mut reader = LastTokens { points, starts: batch.starts(), width, read: &mut all };
        network.forward(&mut activations, &batch, &mut reader);
    }
    Ok(all)
}

/// Copies the last row of each sequence at some points.
struct LastTokens<'a> {
    points: &'a [Point],
    starts: &'a [usize],
    width: usize,
    read: &'a mut [Vec<Vec<f32>>],
}

impl Hooks for LastTokens<'_> {
    fn wants(&self, point: Point) -> bool {
        self.points.contains(&point)
    }

    fn forward(&mut self, place: &Place, values: &mut [Real]) {
        for (point, read) in self.points.iter().zip(&mut *self.read) {
            if *point == place.point {
                let ends = &self.starts[1..];
                let row = |end: &usize| values[(end - 1) * self.width..end * self.width].to_vec();
                read.extend(ends.iter().map(row));
            }
        }
    }
}
