//! A network that answers many requests at once: sequences join and leave a running batch.

mod worker;

use std::sync::{Arc, Mutex};
use std::thread;

use lapwing_lab::nn::{Network, PackedNetwork};
use lapwing_lab::sample::{End, Sampling};
use tokio::sync::mpsc;

use worker::Worker;

/// Requests that wait for a place in a batch; whoever brings another one waits too.
const QUEUE: usize = 256;

/// Most sequences that one thread continues at once.
const MOST_SLOTS: usize = 32;

/// Most bytes of all caches together. They are taken from the system as sequences grow, and in whole only by the longest ones.
const CACHES: usize = 8 << 30;

/// A sequence to continue.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its tokens so far.
    pub prompt: Vec<u32>,
    /// How the next token is drawn.
    pub sampling: Sampling,
    /// Seed of what is drawn.
    pub seed: u64,
    /// How many of the likeliest tokens are told with each one.
    pub top: usize,
}

/// A token that was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The token.
    pub token: u32,
    /// The logarithm of its probability, at temperature 1 and among all tokens.
    pub log_probability: f32,
    /// The likeliest tokens at its place with theirs, the likeliest first.
    pub top: Vec<(u32, f32)>,
    /// Why it is the last one, if it is.
    pub end: Option<End>,
}

/// A sequence on its way through a batch.
struct Job {
    wanted: Wanted,
    steps: mpsc::UnboundedSender<Step>,
}

/// Threads that continue sequences. An answer depends on its request alone, to the bit.
pub struct Engine {
    jobs: mpsc::Sender<Job>,
}

impl Engine {
    /// Starts `threads` threads, which end when the engine is dropped and what they have begun is answered. `stops` end an answer.
    pub fn start(network: Network, stops: Vec<u32>, threads: usize) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let slots = slots(&network, threads);
        thread::spawn(move || {
            let packed = PackedNetwork::new(&network);
            thread::scope(|scope| {
                for _ in 0..threads {
                    let (packed, jobs, stops) = (&packed, Arc::clone(&receiver), &stops);
                    scope.spawn(move || Worker { packed, jobs, stops, slots }.run());
                }
            });
        });
        Self { jobs: sender }
    }

    /// Hands a sequence in, when there is room for it. Its tokens come one by one; when the receiver is dropped it is given up. A
    /// receiver that ends before the last token is one whose threads have failed.
    ///
    /// The prompt must have a token, every one of the vocabulary, and not more than the model has positions.
    pub async fn submit(&self, wanted: Wanted) -> mpsc::UnboundedReceiver<Step> {
        let (steps, receiver) = mpsc::unbounded_channel();
        // Threads that have failed take nothing: the receiver then ends at once.
        self.jobs.send(Job { wanted, steps }).await.ok();
        receiver
    }
}

/// Sequences that each thread continues at once, so that the caches stay within their bound.
fn slots(network: &Network, threads: usize) -> usize {
    let config = &network.config;
    let width = 2 * config.n_kv_heads * config.head_dim * config.n_layers;
    let slot = config.max_positions * width * size_of::<f32>();
    (CACHES / (slot * threads)).clamp(1, MOST_SLOTS)
}
