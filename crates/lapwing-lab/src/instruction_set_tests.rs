//! Every instruction set against the best, which all other tests run on.

use crate::data::Example;
use crate::kernels::{FORCED, InstructionSet, instruction_set};
use crate::nn::{Config, Network, PackedNetwork};
use crate::objective::CrossEntropy;
use crate::sample::{Answer, Request, Sampling, generate};
use crate::train::{Settings, Trainer};

/// Two steps of training and an answer, on one thread.
fn work() -> (Vec<f32>, Vec<Answer>) {
    let config = Config { n_kv_heads: 1, qk_norm: true, ..Config::small(23, 64, 2, 40) };
    let mut trainer =
        Trainer::new(Network::random(config, 1).unwrap(), Settings::default()).unwrap();
    trainer.set_threads(1);
    let example = Example::new((0..35).map(|token| token * token % 23).collect());
    for _ in 0..2 {
        trainer.step(&[&example], &CrossEntropy).unwrap();
    }
    let packed = PackedNetwork::new(&trainer.network);
    let request = Request { prompt: vec![1, 2, 3], seed: 1 };
    let sampling = Sampling { temperature: 0.0, max_tokens: 20, ..Sampling::default() };
    let answers = generate(&packed, &[request], sampling, &|_| false, 1).unwrap();
    (trainer.network.weights, answers)
}

#[test]
fn every_instruction_set_computes_the_same_up_to_rounding() {
    let best = instruction_set();
    let (weights, answers) = work();
    let sets = match best {
        InstructionSet::Avx512 => vec![InstructionSet::Avx2, InstructionSet::Baseline],
        InstructionSet::Avx2 => vec![InstructionSet::Baseline],
        InstructionSet::Baseline => vec![],
    };
    for set in sets {
        FORCED.set(Some(set));
        let (again, answers_again) = work();
        FORCED.set(None);
        assert!(weights.iter().zip(&again).all(|(a, b)| (a - b).abs() < 2e-5), "{set:?}");
        let pairs = answers.iter().zip(&answers_again);
        for (a, b) in pairs.flat_map(|(a, b)| a.log_probabilities.iter().zip(&b.log_probabilities))
        {
            assert!((a - b).abs() < 1e-3, "{set:?}");
        }
    }
}
