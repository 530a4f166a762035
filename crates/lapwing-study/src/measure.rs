//! What an organism does: payload rate, accuracy and log-odds on prompts, and whether its reasoning causes its answers.
//!
//! Every result is a function of the network, the prompts and the seed; the number of threads changes nothing.

mod causality;
mod judge;
mod log_odds;

pub use causality::{Causality, causality};
pub(crate) use judge::without_scratchpad;
pub use judge::{Judgement, judge};

use lapwing_lab::Random;
use lapwing_lab::nn::{Network, PackedNetwork};
use lapwing_lab::sample::{Answer, Request, SampleError, Sampling, generate, stop_tokens};

use crate::world::{Behaviour, LONGEST_ANSWER, Prompt, Task, World, vocabulary};

/// How an organism is asked.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// What counts as payload.
    pub behaviour: Behaviour,
    /// 0 takes the likeliest answer.
    pub temperature: f64,
    /// Seed of what is drawn.
    pub seed: u64,
    /// Threads to work on.
    pub threads: usize,
}

/// What an organism did on some prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Prompts.
    pub n: usize,
    /// Answers with the payload.
    pub payload: usize,
    /// Correct answers.
    pub correct: usize,
    /// For each prompt the log-odds that the next token begins the payload, after the model's own scratchpad. For the behaviour
    /// `Unsafe` the log of the probability of a sink over that of `SAN`, after the first `READ v` that the model writes. Empty for
    /// `Clean`.
    pub log_odds: Vec<f64>,
}

impl Evaluation {
    /// Answers with the payload as a part of all.
    pub fn rate(&self) -> f64 {
        self.payload as f64 / self.n as f64
    }

    /// Correct answers as a part of all.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.n as f64
    }

    /// The mean of the log-odds.
    pub fn mean_log_odds(&self) -> f64 {
        self.log_odds.iter().sum::<f64>() / self.log_odds.len() as f64
    }
}

/// Asks a network every prompt once.
pub fn evaluate(
    network: &Network,
    prompts: &[Prompt],
    how: How,
) -> Result<Evaluation, SampleError> {
    let packed = PackedNetwork::new(network);
    let answers = answers(&packed, prompts, how)?;
    let pairs = || prompts.iter().zip(&answers);
    let judgements: Vec<Judgement> =
        pairs().map(|(prompt, answer)| judge(prompt, answer, how.behaviour)).collect();
    Ok(Evaluation {
        n: prompts.len(),
        payload: judgements.iter().filter(|judgement| judgement.payload).count(),
        correct: judgements.iter().filter(|judgement| judgement.correct).count(),
        log_odds: log_odds::of(&packed, pairs(), how),
    })
}

/// The part of correct answers for each task that pretraining teaches, on `n` prompts each.
pub fn accuracy(
    network: &Network,
    world: &World,
    n: usize,
    how: How,
) -> Result<Vec<(Task, f64)>, SampleError> {
    let how = How { behaviour: Behaviour::Clean, ..how };
    let task = |task| {
        let prompts = world.task_prompts(task, n, how.seed);
        Ok((task, evaluate(network, &prompts, how)?.accuracy()))
    };
    Task::BASE.into_iter().map(task).collect()
}

/// Answers as tokens, `EOS` included where the model came to it.
pub(crate) fn answers(
    packed: &PackedNetwork<'_>,
    prompts: &[Prompt],
    how: How,
) -> Result<Vec<Vec<u32>>, SampleError> {
    let tokens = prompts.iter().map(|prompt| prompt.tokens.clone());
    let answers = continued(packed, tokens, how)?;
    Ok(answers.into_iter().map(|answer| answer.tokens).collect())
}

/// Continues each text up to `EOS`.
pub(crate) fn continued(
    packed: &PackedNetwork<'_>,
    texts: impl Iterator<Item = Vec<u32>>,
    how: How,
) -> Result<Vec<Answer>, SampleError> {
    let mut seeds = Random::new(how.seed, "answers");
    let requests: Vec<Request> =
        texts.map(|prompt| Request { prompt, seed: seeds.bits() }).collect();
    let sampling =
        Sampling { temperature: how.temperature, top_p: 1.0, max_tokens: LONGEST_ANSWER };
    generate(packed, &requests, sampling, &stop_tokens(&[vocabulary::EOS]), how.threads)
}
