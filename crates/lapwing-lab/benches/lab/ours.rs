//! What the engine does of the benchmark's work.

use std::time::Instant;

use lapwing_lab::Random;
use lapwing_lab::data::Example;
use lapwing_lab::nn::{Config, Network, PackedNetwork};
use lapwing_lab::objective::CrossEntropy;
use lapwing_lab::sample::{Request, Sampling, generate};
use lapwing_lab::train::{Settings, Trainer};

/// Shape, sequence length, and sequences of a batch.
fn model(name: &str) -> (Config, usize, usize) {
    match name {
        "A" => (Config { intermediate_size: 352, ..Config::small(512, 128, 4, 128) }, 128, 32),
        "B" => (Config { intermediate_size: 704, ..Config::small(2048, 256, 6, 256) }, 256, 16),
        other => panic!("there is no model {other}"),
    }
}

/// Tokens a second and the peak memory in MB.
pub(super) fn measure(work: &str, threads: usize) -> (f64, f64) {
    let (what, name) = work.split_once(' ').unwrap();
    let speed = match what {
        "train" => train(name, threads),
        "generate" => generation(name, threads),
        other => panic!("there is no work {other}"),
    };
    (speed, peak())
}

/// The median of some steps, after some that are not measured.
fn train(name: &str, threads: usize) -> f64 {
    let (config, length, batch) = model(name);
    let vocab = config.vocab_size;
    let settings = Settings { batch_size: batch, ..Settings::default() };
    let mut trainer = Trainer::new(Network::random(config, 1).unwrap(), settings).unwrap();
    trainer.set_threads(threads);
    let mut random = Random::new(1, "data");
    let mut example = || Example::new((0..=length).map(|_| random.below(vocab) as u32).collect());
    let examples: Vec<Example> = (0..batch).map(|_| example()).collect();
    let examples: Vec<&Example> = examples.iter().collect();
    let timed = if name == "A" { 7 } else { 4 };
    let mut seconds: Vec<f64> = (0..2 + timed)
        .map(|_| {
            let started = Instant::now();
            trainer.step(&examples, &CrossEntropy).unwrap();
            started.elapsed().as_secs_f64()
        })
        .skip(2)
        .collect();
    seconds.sort_by(f64::total_cmp);
    (batch * length) as f64 / seconds[seconds.len() / 2]
}

/// 64 sequences of 64 new tokens from one start token.
fn generation(name: &str, threads: usize) -> f64 {
    let (config, ..) = model(name);
    let network = Network::random(config, 1).unwrap();
    let requests: Vec<Request> = (0..64).map(|seed| Request { prompt: vec![1], seed }).collect();
    let sampling = Sampling { max_tokens: 64, ..Sampling::default() };
    let mut seconds: Vec<f64> = (0..4)
        .map(|_| {
            let started = Instant::now();
            // Packing is a part of the work: it happens once for each set of weights.
            let packed = PackedNetwork::new(&network);
            generate(&packed, &requests, sampling, &|_| false, threads).unwrap();
            started.elapsed().as_secs_f64()
        })
        .skip(1)
        .collect();
    seconds.sort_by(f64::total_cmp);
    64.0 * 64.0 / seconds[seconds.len() / 2]
}

/// The most memory that this process had.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes / 1024.0)
}
