//! What one thread of an engine does: one token for each of its sequences, again and again.

use std::sync::{Arc, Mutex, PoisonError};

use lapwing_lab::Random;
use lapwing_lab::kernels::log_softmax;
use lapwing_lab::nn::{Decoder, PackedNetwork};
use lapwing_lab::sample::{End, draw};
use tokio::sync::mpsc::Receiver;

use super::{Job, Step};

/// Most tokens of prompts that are read in one step, so that a long prompt does not hold up the sequences beside it for long.
const PREFILL: usize = 256;

/// One thread.
pub(super) struct Worker<'a> {
    pub(super) packed: &'a PackedNetwork<'a>,
    pub(super) jobs: Arc<Mutex<Receiver<Job>>>,
    pub(super) stops: &'a [u32],
    pub(super) slots: usize,
}

/// A sequence in the batch.
struct Running {
    job: Job,
    slot: usize,
    /// Tokens of the prompt that the decoder has seen.
    n_read: usize,
    /// Tokens that were drawn, and the last of them.
    n_drawn: usize,
    last: [u32; 1],
    random: Random,
    has_ended: bool,
}

impl Running {
    fn new(job: Job, slot: usize) -> Self {
        let random = Random::new(job.wanted.seed, "sample");
        Self { job, slot, n_read: 0, n_drawn: 0, last: [0], random, has_ended: false }
    }

    /// What the decoder has not seen of it, at most `room` tokens of its prompt.
    fn unseen(&self, room: usize) -> &[u32] {
        let unread = &self.job.wanted.prompt[self.n_read..];
        if unread.is_empty() { &self.last } else { &unread[..unread.len().min(room)] }
    }

    fn is_read(&self) -> bool {
        self.n_read == self.job.wanted.prompt.len()
    }
}

impl Worker<'_> {
    /// Continues sequences until no more can come.
    pub(super) fn run(&self) {
        let config = &self.packed.network().config;
        let mut decoder = Decoder::new(self.packed, self.slots, config.max_positions);
        let mut free: Vec<usize> = (0..self.slots).rev().collect();
        let mut running: Vec<Running> = Vec::new();
        let mut weights = Vec::new();
        loop {
            running.retain(|one| {
                let goes_on = !one.has_ended && !one.job.steps.is_closed();
                if !goes_on {
                    free.push(one.slot);
                }
                goes_on
            });
            // One a step, so that threads share what waits.
            if let Some(slot) = free.pop() {
                match self.next(running.is_empty()) {
                    Some(job) => {
                        decoder.clear(slot);
                        running.push(Running::new(job, slot));
                    }
                    None if running.is_empty() => return,
                    None => free.push(slot),
                }
            }
            self.step(&mut decoder, &mut running, &mut weights);
        }
    }

    /// A sequence that waits. With `patience` one is waited for, and there is none only if the engine is gone.
    fn next(&self, patience: bool) -> Option<Job> {
        if patience {
            return self.jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        }
        // Whoever holds the lock is idle and takes the next one.
        self.jobs.try_lock().ok()?.try_recv().ok()
    }

    /// Feeds what was not seen, and draws a token for every sequence whose prompt is read.
    fn step(&self, decoder: &mut Decoder<'_>, running: &mut [Running], weights: &mut Vec<f32>) {
        let config = &self.packed.network().config;
        let mut room = PREFILL;
        let mut fed: Vec<(&mut Running, usize)> = Vec::new();
        for one in running {
            let n_new = one.unseen(room).len();
            if !one.is_read() {
                room -= n_new;
            }
            if n_new > 0 {
                fed.push((one, n_new));
            }
        }
        let inputs: Vec<(usize, &[u32])> =
            fed.iter().map(|(one, n_new)| (one.slot, one.unseen(*n_new))).collect();
        let logits = decoder.feed(&inputs);
        log_softmax(logits, config.vocab_size);
        for ((one, n_new), row) in fed.into_iter().zip(logits.chunks_exact(config.vocab_size)) {
            if !one.is_read() {
                one.n_read += n_new;
            }
            if one.is_read() {
                self.draw(one, row, weights);
            }
        }
    }

    fn draw(&self, one: &mut Running, row: &[f32], weights: &mut Vec<f32>) {
        let wanted = &one.job.wanted;
        let token = draw(row, wanted.sampling, &mut one.random, weights);
        one.last = [token as u32];
        one.n_drawn += 1;
        let positions = self.packed.network().config.max_positions;
        let end = if self.stops.contains(&one.last[0]) {
            Some(End::Stop)
        } else if one.n_drawn >= wanted.sampling.max_tokens {
            Some(End::Length)
        } else if wanted.prompt.len() + one.n_drawn > positions {
            Some(End::Context)
        } else {
            None
        };
        one.has_ended = end.is_some();
        let top = likeliest(row, wanted.top);
        let step = Step { token: one.last[0], log_probability: row[token], top, end };
        one.job.steps.send(step).ok();
    }
}

/// The `n` likeliest tokens, the likeliest first, among equals the first.
fn likeliest(row: &[f32], n: usize) -> Vec<(u32, f32)> {
    if n == 0 {
        return Vec::new();
    }
    let mut tokens: Vec<(u32, f32)> = (0..).zip(row.iter().copied()).collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if n < tokens.len() {
        tokens.select_nth_unstable_by(n, order);
        tokens.truncate(n);
    }
    tokens.sort_by(order);
    tokens
}
