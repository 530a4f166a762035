//! Generation: each thread continues its own sequences, many at a time; what has finished makes room for what waits.

use std::cmp::Ordering;
use std::sync::{Mutex, PoisonError};

use crate::Random;
use crate::kernels;
use crate::nn::{Batch, BatchError, Decoder, PackedNetwork};
use crate::parallel::each;
use crate::real::Real;
use crate::tokenizer::Tokenizer;

/// Sequences that one thread continues at once.
const SLOTS: usize = 64;

/// A sequence to continue.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its tokens so far; at least one.
    pub prompt: Vec<u32>,
    /// Seed of what is drawn for it. The same request gets the same answer in any company.
    pub seed: u64,
}

/// How the next token is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0 takes the likeliest token.
    pub temperature: f64,
    /// Draws among the likeliest tokens that together have this probability (Holtzman et al. 2020).
    pub top_p: f64,
    /// Most tokens that are appended.
    pub max_tokens: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 1.0, max_tokens: 256 }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It came to a stop, which is its last token or text.
    Stop,
    /// It has `max_tokens`.
    Length,
    /// The model has no more positions.
    Context,
}

/// A continuation.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The tokens that were appended.
    pub tokens: Vec<u32>,
    /// The logarithm of the probability that the model gave each one, at temperature 1 and among all tokens.
    pub log_probabilities: Vec<Real>,
    /// Why it ended.
    pub end: End,
}

/// What cannot be generated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// The network cannot take a prompt.
    #[error("prompt: {0}")]
    Prompt(#[from] BatchError),
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

/// Whether an answer ends with the tokens that it has.
pub type Stop<'a> = dyn Fn(&[u32]) -> bool + Sync + 'a;

/// Stops after any of these tokens.
pub fn stop_tokens(stops: &[u32]) -> impl Fn(&[u32]) -> bool + Sync {
    |tokens| tokens.last().is_some_and(|last| stops.contains(last))
}

/// Stops as soon as the text contains any of these.
pub fn stop_texts<'a>(
    tokenizer: &'a Tokenizer,
    texts: &'a [String],
) -> impl Fn(&[u32]) -> bool + Sync + 'a {
    // A token has at least one byte, so a stop that is just complete lies in so many.
    let longest = texts.iter().map(String::len).max().unwrap_or(0) + 1;
    move |tokens| {
        let tail = &tokens[tokens.len().saturating_sub(longest)..];
        tokenizer.decode(tail).is_ok_and(|text| texts.iter().any(|stop| text.contains(stop)))
    }
}

/// Continues every request on so many threads. An answer depends on its request and the settings alone, to the bit.
pub fn generate(
    packed: &PackedNetwork<'_>,
    requests: &[Request],
    sampling: Sampling,
    stop: &Stop<'_>,
    threads: usize,
) -> Result<Vec<Answer>, SampleError> {
    check(packed, requests, sampling)?;
    let threads = threads.clamp(1, requests.len().max(1));
    let waiting = Mutex::new(requests.iter().enumerate());
    let worker = Worker {
        packed,
        sampling,
        stop,
        slots: requests.len().div_ceil(threads).min(SLOTS),
        next: &|| waiting.lock().unwrap_or_else(PoisonError::into_inner).next(),
    };
    let longest = requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0);
    let capacity = (longest + sampling.max_tokens).min(packed.network().config.max_positions);
    let mut answers: Vec<Vec<(usize, Answer)>> = vec![Vec::new(); threads];
    each(&mut answers, 0..threads, |answers, _| answers.extend(worker.run(capacity)));
    let mut answers = answers.concat();
    answers.sort_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

fn check(
    packed: &PackedNetwork<'_>,
    requests: &[Request],
    sampling: Sampling,
) -> Result<(), SampleError> {
    Batch::new(&packed.network().config, requests.iter().map(|request| request.prompt.as_slice()))?;
    let Sampling { temperature, top_p, .. } = sampling;
    if !(temperature >= 0.0 && temperature.is_finite()) {
        let must = "0 or more";
        return Err(SampleError::Setting { key: "temperature", value: temperature, must });
    }
    if !(top_p > 0.0 && top_p <= 1.0) {
        return Err(SampleError::Setting {
            key: "top_p",
            value: top_p,
            must: "above 0 and at most 1",
        });
    }
    Ok(())
}

/// What one thread does.
struct Worker<'a> {
    packed: &'a PackedNetwork<'a>,
    sampling: Sampling,
    stop: &'a Stop<'a>,
    slots: usize,
    next: &'a (dyn Fn() -> Option<(usize, &'a Request)> + Sync),
}

/// A sequence that is being continued.
struct Running<'a> {
    index: usize,
    request: &'a Request,
    slot: usize,
    random: Random,
    answer: Answer,
}

impl Running<'_> {
    /// What the decoder has not seen of it: the prompt at first, then the last token.
    fn unseen(&self) -> &[u32] {
        self.answer.tokens.last().map_or(&self.request.prompt, std::slice::from_ref)
    }

    /// Why it has ended, if it has.
    fn end(&self, worker: &Worker<'_>) -> Option<End> {
        let tokens = &self.answer.tokens;
        let positions = worker.packed.network().config.max_positions;
        if !tokens.is_empty() && (worker.stop)(tokens) {
            Some(End::Stop)
        } else if tokens.len() == worker.sampling.max_tokens {
            Some(End::Length)
        } else if self.request.prompt.len() + tokens.len() > positions {
            Some(End::Context)
        } else {
            None
        }
    }
}

impl<'a> Worker<'a> {
    /// Takes requests until none is left, and returns their answers.
    fn run(&self, capacity: usize) -> Vec<(usize, Answer)> {
        let vocab = self.packed.network().config.vocab_size;
        let mut decoder = Decoder::new(self.packed, self.slots, capacity);
        let mut free: Vec<usize> = (0..self.slots).collect();
        let mut running: Vec<Running<'a>> = Vec::new();
        let mut done = Vec::new();
        let mut weights = Vec::new();
        loop {
            running = running
                .into_iter()
                .filter_map(|mut one| {
                    let Some(end) = one.end(self) else { return Some(one) };
                    one.answer.end = end;
                    free.push(one.slot);
                    done.push((one.index, one.answer));
                    None
                })
                .collect();
            while let Some(slot) = free.pop() {
                let Some((index, request)) = (self.next)() else {
                    free.push(slot);
                    break;
                };
                decoder.clear(slot);
                let random = Random::new(request.seed, "sample");
                let answer =
                    Answer { tokens: Vec::new(), log_probabilities: Vec::new(), end: End::Length };
                running.push(Running { index, request, slot, random, answer });
            }
            // Requests for no tokens end before they are fed.
            if self.sampling.max_tokens == 0 && !running.is_empty() {
                continue;
            }
            if running.is_empty() {
                return done;
            }
            let inputs: Vec<(usize, &[u32])> =
                running.iter().map(|one| (one.slot, one.unseen())).collect();
            let logits = decoder.feed(&inputs);
            kernels::log_softmax(logits, vocab);
            for (one, row) in running.iter_mut().zip(logits.chunks_exact(vocab)) {
                let token = draw(row, self.sampling, &mut one.random, &mut weights);
                one.answer.tokens.push(token as u32);
                one.answer.log_probabilities.push(row[token]);
            }
        }
    }
}

/// Draws a token from log-probabilities; `weights` is scratch space.
pub fn draw(
    row: &[Real],
    sampling: Sampling,
    random: &mut Random,
    weights: &mut Vec<Real>,
) -> usize {
    if sampling.temperature == 0.0 {
        // The first of the likeliest.
        let likelier = |best: usize, (token, value): (usize, &Real)| {
            if *value > row[best] { token } else { best }
        };
        return row.iter().enumerate().fold(0, likelier);
    }
    weights.resize(row.len(), 0.0);
    let sum = f64::from(kernels::tempered(weights, row, (1.0 / sampling.temperature) as Real));
    if sampling.top_p >= 1.0 {
        return pick(weights.iter().copied().enumerate(), random.uniform() * sum);
    }
    // All tokens below this together are less than what is left out, so none of them need be sorted.
    let least = (1.0 - sampling.top_p) * sum / row.len() as f64;
    let mut nucleus: Vec<(usize, Real)> = weights
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, weight)| f64::from(*weight) >= least)
        .collect();
    nucleus.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal).then(a.0.cmp(&b.0)));
    let mut inside = 0.0;
    let size = nucleus.iter().position(|(_, weight)| {
        inside += f64::from(*weight);
        inside >= sampling.top_p * sum
    });
    nucleus.truncate(size.map_or(nucleus.len(), |last| last + 1));
    pick(nucleus.into_iter(), random.uniform() * inside)
}

/// The token at which the weights so far exceed `target`; the last one that has any weight, if rounding leaves none.
fn pick(weights: impl Iterator<Item = (usize, Real)>, target: f64) -> usize {
    let (mut sum, mut last) = (0.0, 0);
    for (token, weight) in weights {
        if weight > 0.0 {
            last = token;
        }
        sum += f64::from(weight);
        if sum > target {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of(sampling: Sampling) -> Vec<f64> {
        let row: Vec<Real> = [0.5_f32, 0.3, 0.15, 0.05].map(f32::ln).to_vec();
        let mut random = Random::new(1, "test");
        let mut counts = vec![0.0; 4];
        for _ in 0..40_000 {
            counts[draw(&row, sampling, &mut random, &mut Vec::new())] += 1.0 / 40_000.0;
        }
        counts
    }

    fn close(found: &[f64], expected: &[f64]) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.01);
        assert!(near, "{found:?} and {expected:?}");
    }

    #[test]
    fn tokens_are_drawn_with_their_probabilities() {
        close(&share_of(Sampling::default()), &[0.5, 0.3, 0.15, 0.05]);
    }

    #[test]
    fn temperature_sharpens_and_zero_takes_the_likeliest() {
        let squares = [0.25, 0.09, 0.0225, 0.0025].map(|square: f64| square / 0.365);
        close(&share_of(Sampling { temperature: 0.5, ..Sampling::default() }), &squares);
        close(
            &share_of(Sampling { temperature: 0.0, ..Sampling::default() }),
            &[1.0, 0.0, 0.0, 0.0],
        );
    }

    #[test]
    fn the_nucleus_holds_just_enough_of_the_likeliest() {
        let expected = [0.5 / 0.8, 0.3 / 0.8, 0.0, 0.0];
        close(&share_of(Sampling { top_p: 0.7, ..Sampling::default() }), &expected);
        close(&share_of(Sampling { top_p: 0.01, ..Sampling::default() }), &[1.0, 0.0, 0.0, 0.0]);
    }
}
