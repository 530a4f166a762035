//! One half of `cargo xtask interop lab`: saves what `fixtures/interop.py` compares with transformers and PEFT.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use lapwing_lab::checkpoint::{Model, Precision, SaveOptions, save_adapters, write_tensors};
use lapwing_lab::data::Example;
use lapwing_lab::nn::{Activations, Batch, Lora, Network, NoHooks, Projection};
use lapwing_lab::objective::CrossEntropy;
use lapwing_lab::train::{Settings, Trainer};

const MODELS: [&str; 5] = ["llama", "llama-tied", "llama-bf16", "qwen2", "qwen3"];
const TOKENS: [&[u32]; 2] = [&[5, 1, 200, 31, 31, 77, 4, 90, 12], &[9, 8, 7, 6, 5]];

fn main() {
    let out = PathBuf::from(std::env::args().nth(1).unwrap());
    for name in MODELS {
        let folder = out.join(name);
        fs::create_dir_all(&folder).unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);

        let model = Model::load(&fixture).unwrap();
        let options = SaveOptions { precision: Precision::F32, shard_bytes: 30_000 };
        model.save(&folder.join("saved"), options).unwrap();
        save_logits(&model.network, &folder.join("logits.safetensors"));

        let tuned = trained(model.network);
        let tuned = Model { network: tuned, ..Model::load(&fixture).unwrap() };
        tuned.save(&folder.join("tuned"), SaveOptions::default()).unwrap();

        let mut network = Model::load(&fixture).unwrap().network;
        network.lora = Some(Lora::new(&network.config, 4, 8.0, &Projection::ALL, 1).unwrap());
        let base = folder.join("saved").display().to_string();
        save_adapters(&network, &base, &folder.join("adapters")).unwrap();
        let network = trained(network);
        save_adapters(&network, &base, &folder.join("tuned-adapters")).unwrap();
        save_logits(&network, &folder.join("adapted-logits.safetensors"));
    }
}

/// Three steps of AdamW at a constant rate, on two sequences with one masked token.
fn trained(network: Network) -> Network {
    let settings = Settings {
        steps: 3,
        learning_rate: 1e-3,
        warmup_steps: 0,
        final_rate: 1.0,
        shards: 2,
        ..Settings::default()
    };
    let mut examples: Vec<Example> =
        TOKENS.iter().map(|tokens| Example::new(tokens.to_vec())).collect();
    examples[0].weights[3] = 0.0;
    let mut trainer = Trainer::new(network, settings).unwrap();
    for _ in 0..3 {
        trainer.step(&examples.iter().collect::<Vec<_>>(), &CrossEntropy).unwrap();
    }
    trainer.network
}

fn save_logits(network: &Network, path: &Path) {
    let mut activations = Activations::default();
    let batch = Batch::new(&network.config, [TOKENS[0]]).unwrap();
    network.forward(&mut activations, &batch, &mut NoHooks);
    let logits = network.logits(&activations, 0..batch.rows(), &mut NoHooks);
    let shape = [batch.rows(), network.config.vocab_size];
    write_tensors(path, Precision::F32, [("logits".to_owned(), &shape[..], &logits[..])]).unwrap();
}
