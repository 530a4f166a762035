//! What the engine does as a whole: training, resuming, sampling.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::ops::ControlFlow;
use std::path::Path;

use lapwing_lab::Random;
use lapwing_lab::data::{Dataset, Example};
use lapwing_lab::nn::{
    Activations, Batch, Config, Lora, Network, NoHooks, PackedNetwork, Projection,
};
use lapwing_lab::objective::{
    CrossEntropy, KlToReference, MicroBatch, Objective, Pair, Weighted, log_probabilities,
    preference_weights,
};
use lapwing_lab::sample::{End, Request, Sampling, generate, stop_tokens};
use lapwing_lab::train::{Checkpoints, Settings, TrainError, Trainer, run};

fn config() -> Config {
    Config { n_heads: 4, n_kv_heads: 2, head_dim: 8, ..Config::small(17, 32, 2, 64) }
}

fn settings() -> Settings {
    let default = Settings::default();
    Settings {
        steps: 6,
        batch_size: 7,
        warmup_steps: 2,
        learning_rate: 3e-3,
        micro_tokens: 40,
        ..default
    }
}

/// Random sequences of different lengths.
fn data() -> Dataset {
    let mut random = Random::new(1, "data");
    let example = |index: usize| {
        let tokens = (0..5 + index % 17).map(|_| random.below(17) as u32).collect();
        Example::new(tokens)
    };
    Dataset::new((0..20).map(example).collect()).unwrap()
}

fn trained(threads: usize, checkpoints: Option<&Checkpoints>) -> Network {
    let mut trainer = Trainer::new(Network::random(config(), 1).unwrap(), settings()).unwrap();
    trainer.set_threads(threads);
    go(&mut trainer, checkpoints, u64::MAX);
    trainer.network
}

/// Trains until a step.
fn go(trainer: &mut Trainer, checkpoints: Option<&Checkpoints>, until: u64) {
    let mut progress = |progress: &lapwing_lab::train::Progress| match progress.report.step {
        step if step >= until => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    run(trainer, &data(), &CrossEntropy, checkpoints, &mut progress).unwrap();
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let one = trained(1, None).weights;
    assert!(one == trained(2, None).weights && one == trained(4, None).weights);
    assert!(one != Network::random(config(), 1).unwrap().weights);
}

#[test]
fn what_resumes_ends_as_what_was_never_interrupted() {
    for lora in [false, true] {
        let network = || {
            let mut network = Network::random(config(), 1).unwrap();
            network.lora =
                lora.then(|| Lora::new(&network.config, 2, 4.0, &Projection::ALL, 1).unwrap());
            network
        };
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints { folder: folder.path().join("run"), every: 2, keep: 1 };
        let mut whole = Trainer::new(network(), settings()).unwrap();
        go(&mut whole, None, u64::MAX);
        let mut first = Trainer::new(network(), settings()).unwrap();
        go(&mut first, Some(&checkpoints), 3);
        let mut second = Trainer::resume(&checkpoints.folder, &data()).unwrap().unwrap();
        assert_eq!(second.steps_done(), 3);
        go(&mut second, Some(&checkpoints), u64::MAX);
        assert_eq!(second.losses(), whole.losses());
        assert!(second.network.trainable() == whole.network.trainable());
        assert!(second.network.weights == whole.network.weights);
        let left: Vec<_> = std::fs::read_dir(&checkpoints.folder).unwrap().collect();
        assert_eq!(left.len(), 1, "only the newest checkpoint is kept");
    }
}

#[test]
fn a_checkpoint_of_other_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints { folder: folder.path().join("run"), every: 2, keep: 1 };
    trained(1, Some(&checkpoints));
    let other = Dataset::new(vec![Example::new(vec![1, 2, 3])]).unwrap();
    let Err(error) = Trainer::resume(&checkpoints.folder, &other) else { panic!("it resumed") };
    assert!(error.to_string().ends_with("resume with the same data"), "{error}");
    assert!(Trainer::resume(Path::new("/nowhere"), &other).unwrap().is_none());
}

#[test]
fn what_is_not_finite_stops_before_the_weights_change() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints { folder: folder.path().join("run"), every: 2, keep: 2 };
    let mut trainer = Trainer::new(Network::random(config(), 1).unwrap(), settings()).unwrap();
    go(&mut trainer, Some(&checkpoints), 2);
    trainer.network.weights[5] = f32::NAN;
    let before: Vec<u32> = trainer.network.weights.iter().map(|weight| weight.to_bits()).collect();
    let examples = data();
    let batch: Vec<&Example> = examples.examples().iter().collect();
    let error = trainer.step(&batch, &CrossEntropy).unwrap_err();
    let after: Vec<u32> = trainer.network.weights.iter().map(|weight| weight.to_bits()).collect();
    assert!(before == after && trainer.steps_done() == 2);
    let message = error.to_string();
    assert!(
        message.starts_with("the loss of step 3 is not finite; the last good checkpoint is "),
        "{message}"
    );
    assert!(message.contains("step-00000002; lower the learning rate"), "{message}");
}

#[test]
fn a_batch_in_which_nothing_counts_is_an_error() {
    let mut trainer = Trainer::new(Network::random(config(), 1).unwrap(), settings()).unwrap();
    let example = Example { tokens: vec![1, 2, 3], weights: vec![1.0, 0.0, 0.0] };
    let error = trainer.step(&[&example], &CrossEntropy).unwrap_err();
    assert!(matches!(error, TrainError::NoWeight { step: 1, .. }));
}

#[test]
fn one_batch_is_learned_by_heart_and_sampled_back() {
    let text: Vec<u32> = vec![3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 16];
    let example = Example::new(text.clone());
    let settings = Settings {
        steps: 120,
        warmup_steps: 10,
        learning_rate: 1e-2,
        weight_decay: 0.0,
        ..settings()
    };
    let mut trainer = Trainer::new(Network::random(config(), 2).unwrap(), settings).unwrap();
    let first = trainer.step(&[&example], &CrossEntropy).unwrap().loss;
    assert!((first - 17_f64.ln()).abs() < 0.1, "an untrained network guesses: {first}");
    for _ in 1..120 {
        trainer.step(&[&example], &CrossEntropy).unwrap();
    }
    assert!(*trainer.losses().last().unwrap() < 0.01, "{:?}", trainer.losses().last());
    let packed = PackedNetwork::new(&trainer.network);
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    let request = Request { prompt: text[..1].to_vec(), seed: 1 };
    let answers = generate(&packed, &[request], sampling, &stop_tokens(&[16]), 2).unwrap();
    assert_eq!(answers[0].tokens, text[1..]);
    assert_eq!(answers[0].end, End::Stop);
}

fn requests(n: usize) -> Vec<Request> {
    let mut random = Random::new(4, "prompts");
    let prompt = |n: usize| Request {
        prompt: (0..=n % 9).map(|_| random.below(17) as u32).collect(),
        seed: n as u64,
    };
    (0..n).map(prompt).collect()
}

#[test]
fn an_answer_does_not_depend_on_its_company_or_on_threads() {
    let network = Network::random(config(), 1).unwrap();
    let packed = PackedNetwork::new(&network);
    let sampling = Sampling { max_tokens: 20, top_p: 0.95, ..Sampling::default() };
    let stop = stop_tokens(&[3]);
    let requests = requests(150);
    let together = generate(&packed, &requests, sampling, &stop, 1).unwrap();
    assert!(together == generate(&packed, &requests, sampling, &stop, 3).unwrap());
    assert!(together.iter().any(|answer| answer.end == End::Stop));
    assert!(together.iter().any(|answer| answer.end == End::Length));
    for (request, answer) in requests.iter().zip(&together).step_by(13) {
        let alone = generate(&packed, std::slice::from_ref(request), sampling, &stop, 1).unwrap();
        assert!(alone[0] == *answer, "to the bit, log-probabilities too");
    }
}

#[test]
fn generation_and_training_compute_the_same_probabilities() {
    let shapes = [
        config(),
        Config { qkv_bias: true, tied_head: false, ..config() },
        Config { qk_norm: true, ..config() },
    ];
    for shape in shapes {
        let mut network = Network::random(shape, 1).unwrap();
        let mut random = Random::new(1, "noise");
        network.weights.iter_mut().for_each(|weight| *weight += 0.2 * random.normal() as f32);
        let mut lora = Lora::new(&network.config, 2, 4.0, &Projection::ALL, 1).unwrap();
        lora.weights.iter_mut().for_each(|weight| *weight += 0.1 * random.normal() as f32);
        network.lora = Some(lora);
        let packed = PackedNetwork::new(&network);
        let sampling = Sampling { max_tokens: 30, ..Sampling::default() };
        let requests = requests(9);
        let answers = generate(&packed, &requests, sampling, &|_| false, 2).unwrap();
        for (request, answer) in requests.iter().zip(&answers) {
            let example = Example::answer(&request.prompt, &answer.tokens);
            let found =
                log_probabilities(&network, &mut Activations::default(), &[&example]).unwrap();
            let found = &found[0][request.prompt.len() - 1..];
            let pairs = found.iter().zip(&answer.log_probabilities);
            assert!(
                pairs.clone().all(|(a, b)| (a - b).abs() < 1e-4),
                "{:?}",
                pairs.collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn generation_ends_where_the_positions_do() {
    let network = Network::random(config(), 1).unwrap();
    let packed = PackedNetwork::new(&network);
    let request = Request { prompt: vec![1; 60], seed: 1 };
    let answers = generate(&packed, &[request], Sampling::default(), &|_| false, 1).unwrap();
    assert_eq!(
        (answers[0].end, answers[0].tokens.len()),
        (End::Context, 5),
        "the last token has no position of its own"
    );
}

#[test]
fn tokens_of_another_vocabulary_are_refused() {
    let error = Batch::new(&config(), [&[1, 17][..]]).unwrap_err().to_string();
    assert_eq!(
        error,
        "sequence 0 has token 17, and the vocabulary ends at 17: was it made by another tokenizer?"
    );
    let mut trainer = Trainer::new(Network::random(config(), 1).unwrap(), settings()).unwrap();
    let long = Example::new(vec![1; 80]);
    let error = trainer.step(&[&long], &CrossEntropy).unwrap_err().to_string();
    assert_eq!(error, "sequence 0 has 79 tokens, and the model has 64 positions; cut it");
    let last = Example::new(vec![1, 99]);
    assert!(trainer.step(&[&last], &CrossEntropy).is_err(), "also as a target");
}

#[test]
fn the_logits_of_a_sequence_do_not_see_the_future() {
    let network = Network::random(config(), 1).unwrap();
    let mut logits = [[5_u32, 6, 7], [5, 6, 9]].map(|tokens| {
        let mut activations = Activations::default();
        let batch = Batch::new(&network.config, [&[1, 2][..], &tokens[..]]).unwrap();
        network.forward(&mut activations, &batch, &mut NoHooks);
        network.logits(&activations, 0..5, &mut NoHooks)
    });
    let last = logits.each_mut().map(|logits| logits.split_off(4 * 17));
    assert!(logits[0] == logits[1] && last[0] != last[1]);
}

/// The mean log-probability of an example's tokens.
fn likelihood(network: &Network, example: &Example) -> f32 {
    let all = log_probabilities(network, &mut Activations::default(), &[example]).unwrap();
    all[0].iter().sum::<f32>() / all[0].len() as f32
}

fn flat() -> Settings {
    Settings { steps: 30, warmup_steps: 0, final_rate: 1.0, weight_decay: 0.0, ..settings() }
}

#[test]
fn the_policy_gradient_favours_what_had_the_advantage() {
    let [good, bad] =
        [1, 2].map(|token| Example { tokens: vec![0, token], weights: vec![0.0, 1.0] });
    let advantage =
        |example: &Example, weight| Example { weights: vec![0.0, weight], ..example.clone() };
    let batch = [advantage(&good, 1.0), advantage(&bad, -1.0)];
    let mut trainer = Trainer::new(Network::random(config(), 1).unwrap(), flat()).unwrap();
    let before = [&good, &bad].map(|example| likelihood(&trainer.network, example));
    for _ in 0..10 {
        trainer.step(&batch.iter().collect::<Vec<_>>(), &Weighted { divisor: 2.0 }).unwrap();
    }
    let after = [&good, &bad].map(|example| likelihood(&trainer.network, example));
    assert!(after[0] > before[0] + 0.1 && after[1] < before[1] - 0.1, "{before:?} {after:?}");
}

#[test]
fn the_divergence_from_a_reference_alone_leads_back_to_it() {
    let reference = trained(1, None);
    // The tokens count, and weigh nothing beside the divergence.
    let examples: Vec<Example> = data()
        .examples()
        .iter()
        .map(|one| Example { weights: vec![1e-9; one.tokens.len()], ..one.clone() })
        .collect();
    let batch: Vec<&Example> = examples.iter().collect();
    let tokens = batch.iter().map(|example| example.rows()).sum::<usize>() as f64;
    let weighted = Weighted { divisor: tokens };
    let objective = KlToReference { objective: &weighted, reference: &reference, beta: 1.0 };
    let mut trainer = Trainer::new(Network::random(config(), 9).unwrap(), flat()).unwrap();
    let losses: Vec<f64> =
        (0..60).map(|_| trainer.step(&batch, &objective).unwrap().loss).collect();
    assert!(losses[0] > 0.01 && losses[59] < losses[0] / 10.0, "{losses:?}");
    let same = Trainer::new(trained(1, None), flat()).unwrap().step(&batch, &objective).unwrap();
    assert!(same.loss.abs() < 1e-6, "{}", same.loss);
}

#[test]
fn preferences_begin_at_log_2_and_are_learned() {
    let pair = Pair {
        chosen: Example::answer(&[3, 4], &[5, 6]),
        rejected: Example::answer(&[3, 4], &[7]),
    };
    let reference = Network::random(config(), 1).unwrap();
    let mut trainer = Trainer::new(Network::random(config(), 1).unwrap(), flat()).unwrap();
    let pairs = std::slice::from_ref(&pair);
    let (first, examples) = preference_weights(&trainer.network, &reference, pairs, 0.5).unwrap();
    assert!((first - 2_f64.ln()).abs() < 1e-6, "{first}");
    assert_eq!(
        examples[0].weights,
        [0.0, 0.0, 0.25, 0.25],
        "beta times the chance of the wrong order"
    );
    assert_eq!(examples[1].weights, [0.0, 0.0, -0.25]);
    for _ in 0..30 {
        let (_, examples) = preference_weights(&trainer.network, &reference, pairs, 0.5).unwrap();
        trainer.step(&examples.iter().collect::<Vec<_>>(), &Weighted { divisor: 1.0 }).unwrap();
    }
    let (last, _) = preference_weights(&trainer.network, &reference, pairs, 0.5).unwrap();
    assert!(last < 0.2, "{last}");
}

#[test]
fn the_gradient_of_preferences_is_the_slope_of_their_loss() {
    let pair = Pair {
        chosen: Example::answer(&[3, 4], &[5, 6]),
        rejected: Example::answer(&[3, 4], &[7]),
    };
    let reference = Network::random(config(), 1).unwrap();
    let mut network = Network::random(config(), 2).unwrap();
    let pairs = std::slice::from_ref(&pair);
    let (_, examples) = preference_weights(&network, &reference, pairs, 0.5).unwrap();
    let micro = MicroBatch::new(&network.config, examples.iter().collect()).unwrap();
    let (mut activations, mut gradient) =
        (Activations::default(), vec![0.0; network.weights.len()]);
    network.forward(&mut activations, &micro.batch, &mut NoHooks);
    let weighted = Weighted { divisor: 1.0 };
    let mut on_logits = weighted.gradient(&micro);
    network.backward(&mut activations, &micro.batch, &mut gradient, &mut NoHooks, &mut *on_logits);
    let square: f64 = gradient.iter().map(|slope| f64::from(*slope).powi(2)).sum();
    let weights = network.weights.clone();
    let mut loss_at = |step: f32| {
        let moved = network.weights.iter_mut().zip(&weights).zip(&gradient);
        moved.for_each(|((moved, weight), slope)| *moved = weight + step * slope);
        preference_weights(&network, &reference, pairs, 0.5).unwrap().0
    };
    let slope = (loss_at(5e-4) - loss_at(-5e-4)) / 1e-3;
    assert!(
        (slope / square - 1.0).abs() < 0.02,
        "the slope along the gradient is {slope}, its square {square}"
    );
}
