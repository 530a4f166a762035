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

/// Tokens a second, tokens a second of processor time, and the peak memory in MB.
pub(super) fn measure(work: &str, threads: usize) -> [f64; 3] {
    let (what, name) = work.split_once(' ').unwrap();
    let [speed, effort] = match what {
        "train" => train(name, threads),
        "generate" => generation(name, threads),
        other => panic!("there is no work {other}"),
    };
    [speed, effort, peak()]
}

fn train(name: &str, threads: usize) -> [f64; 2] {
    let (config, length, batch) = model(name);
    let vocab = config.vocab_size;
    let settings = Settings { batch_size: batch, ..Settings::default() };
    let mut trainer = Trainer::new(Network::random(config, 1).unwrap(), settings).unwrap();
    trainer.set_threads(threads);
    let mut random = Random::new(1, "data");
    let mut example = || Example::new((0..=length).map(|_| random.below(vocab) as u32).collect());
    let examples: Vec<Example> = (0..batch).map(|_| example()).collect();
    let examples: Vec<&Example> = examples.iter().collect();
    let step = || drop_report(trainer.step(&examples, &CrossEntropy));
    speeds(batch * length, 2, if name == "A" { 7 } else { 4 }, step)
}

fn drop_report<T, E: std::fmt::Debug>(result: Result<T, E>) {
    result.unwrap();
}

/// 64 sequences of 64 new tokens from one start token.
fn generation(name: &str, threads: usize) -> [f64; 2] {
    let (config, ..) = model(name);
    let network = Network::random(config, 1).unwrap();
    let requests: Vec<Request> = (0..64).map(|seed| Request { prompt: vec![1], seed }).collect();
    let sampling = Sampling { max_tokens: 64, ..Sampling::default() };
    speeds(64 * 64, 1, 5, || {
        // Packing is a part of the work: it happens once for each set of weights.
        let packed = PackedNetwork::new(&network);
        drop_report(generate(&packed, &requests, sampling, &|_| false, threads));
    })
}

/// Tokens a second in the median of `timed` runs after `warm` others, and tokens a second of processor time in all timed ones.
fn speeds(tokens: usize, warm: usize, timed: usize, mut work: impl FnMut()) -> [f64; 2] {
    (0..warm).for_each(|_| work());
    let before = processor_seconds();
    let mut seconds: Vec<f64> = (0..timed)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let effort = processor_seconds() - before;
    [tokens as f64 / seconds[timed / 2], (tokens * timed) as f64 / effort]
}

/// What all threads of this process have used, to a hundredth of a second.
fn processor_seconds() -> f64 {
    let line = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = line.rsplit_once(')').unwrap().1.split_whitespace();
    fields.skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// The most memory that this process had.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes / 1024.0)
}
