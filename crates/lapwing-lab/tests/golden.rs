//! Model folders: those of `transformers` in `fixtures/`, and those that are not as they should be.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use lapwing_lab::checkpoint::{
    Model, Precision, SaveOptions, load_adapters, read_tensors, save_adapters,
};
use lapwing_lab::nn::{
    Activations, Batch, Config, Lora, Network, NoHooks, PackedNetwork, Projection,
};
use lapwing_lab::sample::{Request, Sampling, generate};
use serde::Deserialize;

const FOLDERS: [&str; 5] = ["llama", "llama-tied", "llama-bf16", "qwen2", "qwen3"];

#[derive(Deserialize)]
struct Expected {
    text: String,
    tokens: Vec<u32>,
    greedy: Vec<u32>,
    greedy_text: String,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn expected(name: &str) -> Expected {
    serde_json::from_str(&fs::read_to_string(fixture(name).join("expected.json")).unwrap()).unwrap()
}

fn logits(network: &Network, tokens: &[u32]) -> Vec<f32> {
    let mut activations = Activations::default();
    network.forward(
        &mut activations,
        &Batch::new(&network.config, [tokens]).unwrap(),
        &mut NoHooks,
    );
    network.logits(&activations, 0..tokens.len(), &mut NoHooks)
}

#[test]
fn logits_are_those_of_transformers() {
    for name in FOLDERS {
        let model = Model::load(&fixture(name)).unwrap();
        let tokens = expected(name).tokens;
        let mut theirs = vec![0.0; tokens.len() * model.network.config.vocab_size];
        let mut slot = Some(&mut theirs[..]);
        read_tensors(&fixture(name).join("expected.safetensors"), |_, _| Ok(slot.take())).unwrap();
        let ours = logits(&model.network, &tokens);
        let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-4, "{name}: logits are {apart} apart");
    }
}

#[test]
fn greedy_text_is_that_of_transformers() {
    for name in FOLDERS {
        let model = Model::load(&fixture(name)).unwrap();
        let tokenizer = model.tokenizer.as_ref().unwrap();
        let expected = expected(name);
        assert_eq!(tokenizer.encode(&expected.text).unwrap(), expected.tokens);
        let packed = PackedNetwork::new(&model.network);
        let sampling = Sampling { temperature: 0.0, max_tokens: 24, ..Sampling::default() };
        let request = Request { prompt: expected.tokens, seed: 1 };
        let answers = generate(&packed, &[request], sampling, &|_| false, 1).unwrap();
        assert_eq!(answers[0].tokens, expected.greedy, "{name}");
        assert_eq!(tokenizer.decode(&answers[0].tokens).unwrap(), expected.greedy_text);
    }
}

#[test]
fn a_folder_keeps_what_it_has() {
    let model = Model::load(&fixture("qwen3")).unwrap();
    assert_eq!(model.stops, [257]);
    assert_eq!(model.tokenizer.unwrap().token("<|end|>"), Some(257));
    assert!(model.chat_template.unwrap().starts_with("{% for m in messages %}"));
}

#[test]
fn what_is_saved_is_loaded_again() {
    for name in FOLDERS {
        let model = Model::load(&fixture(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (index, shard_bytes) in [5_000_000_000, 20_000].into_iter().enumerate() {
            let path = folder.path().join(index.to_string());
            model.save(&path, SaveOptions { precision: Precision::F32, shard_bytes }).unwrap();
            let again = Model::load(&path).unwrap();
            assert_eq!(again.network.config, model.network.config);
            assert!(again.network.weights == model.network.weights, "{name}");
            assert_eq!(
                (again.stops, again.chat_template),
                (model.stops.clone(), model.chat_template.clone())
            );
            assert_eq!(again.tokenizer.unwrap().json(), model.tokenizer.as_ref().unwrap().json());
            assert_eq!(path.join("model.safetensors.index.json").exists(), shard_bytes == 20_000);
        }
        for precision in [Precision::Bf16, Precision::F16] {
            let path = folder.path().join(format!("{precision:?}"));
            model.save(&path, SaveOptions { precision, ..SaveOptions::default() }).unwrap();
            let again = Model::load(&path).unwrap().network.weights;
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= b.abs() / 256.0 + 1e-7;
            assert!(again.iter().zip(&model.network.weights).all(near), "{name} {precision:?}");
        }
        let error = model.save(&folder.path().join("0"), SaveOptions::default()).unwrap_err();
        assert!(error.to_string().ends_with("is there already; choose another name or remove it"));
    }
}

#[test]
fn adapters_are_saved_and_loaded_again() {
    let mut network = Model::load(&fixture("qwen2")).unwrap().network;
    let mut lora =
        Lora::new(&network.config, 2, 8.0, &[Projection::V, Projection::Down], 1).unwrap();
    lora.weights.iter_mut().enumerate().for_each(|(index, weight)| *weight += index as f32 * 1e-3);
    network.lora = Some(lora.clone());
    let folder = tempfile::tempdir().unwrap();
    save_adapters(&network, "qwen2", &folder.path().join("adapters")).unwrap();
    network.lora = None;
    load_adapters(&mut network, &folder.path().join("adapters")).unwrap();
    let again = network.lora.as_ref().unwrap();
    assert!(again.weights == lora.weights && again.adapters == lora.adapters);
    assert_eq!((again.rank, again.alpha), (2, 8.0));

    let wider = Config { hidden_size: 32, ..network.config.clone() };
    let error = load_adapters(&mut Network::zeros(wider).unwrap(), &folder.path().join("adapters"));
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains(
            "self_attn.v_proj.lora_A.weight has shape [2, 24], and config.json asks for [2, 32]"
        ),
        "{message}"
    );
}

/// A copy of a folder, to be spoiled.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

/// What loading says, after the text of a file was changed.
fn refusal(name: &str, file: &str, from: &str, to: &str) -> String {
    let folder = copy(name);
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from}");
    fs::write(&path, text.replace(from, to)).unwrap();
    let Err(error) = Model::load(folder.path()) else { panic!("{file} was taken with {to}") };
    error.to_string()
}

#[test]
fn what_the_engine_does_not_compute_is_refused() {
    let config = |name, from, to| refusal(name, "config.json", from, to);
    let message = config("llama", "\"model_type\": \"llama\"", "\"model_type\": \"gemma\"");
    assert!(
        message.ends_with(
            "model_type is gemma; this engine knows llama, qwen2 (also Qwen2.5) and qwen3"
        ),
        "{message}"
    );
    let message = config("llama", "\"attention_bias\": false", "\"attention_bias\": true");
    assert!(message.ends_with("attention_bias is true; this engine knows false"), "{message}");
    let message = config("llama", "\"rope_type\": \"default\"", "\"rope_type\": \"yarn\"");
    assert!(
        message.ends_with("rope_type is yarn; this engine knows default and llama3"),
        "{message}"
    );
    let message = config("llama", "\"silu\"", "\"gelu\"");
    assert!(message.ends_with("hidden_act is gelu; this engine knows silu"), "{message}");
    let message = config("llama", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3");
    assert!(
        message.ends_with("4 query heads cannot share 3 key and value heads evenly"),
        "{message}"
    );
    let message = config("llama", "\"hidden_size\"", "\"size\"");
    assert!(
        message.contains("config.json is not what it should be: missing field `hidden_size`"),
        "{message}"
    );
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let message =
        refusal("llama", "config.json", "\"intermediate_size\": 40", "\"intermediate_size\": 48");
    let expected = "the tensor model.layers.0.mlp.down_proj.weight has shape [24, 40], and config.json asks for [24, 48]";
    assert!(message.contains(expected), "{message}");
    let message =
        refusal("llama", "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assert!(message.contains("model.safetensors: the tensor model.layers.2."), "{message}");
    assert!(message.ends_with("is missing"), "{message}");
    let message =
        refusal("llama", "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    assert!(message.ends_with("has no place in a network of this config.json"), "{message}");
    let message = refusal("llama-bf16", "model.safetensors.index.json", "00002-of", "00003-of");
    assert!(
        message.contains("cannot open") && message.contains("model-00003-of-00002.safetensors"),
        "{message}"
    );
}

#[test]
fn missing_and_truncated_files_are_named() {
    let folder = copy("llama");
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let message = |folder: &Path| Model::load(folder).err().unwrap().to_string();
    let promised =
        format!("has {} bytes, and its header promises {}", whole.len() / 2, whole.len());
    assert!(message(folder.path()).contains(&promised), "{}", message(folder.path()));
    fs::write(&path, [&[8, 0, 0, 0, 0, 0, 0, 0], &b"no JSON!"[..]].concat()).unwrap();
    assert!(
        message(folder.path()).contains("is not a safetensors file"),
        "{}",
        message(folder.path())
    );
    fs::remove_file(&path).unwrap();
    assert!(
        message(folder.path()).contains("has neither model.safetensors nor"),
        "{}",
        message(folder.path())
    );
    fs::remove_file(folder.path().join("config.json")).unwrap();
    assert!(message(folder.path()).starts_with("cannot read "), "{}", message(folder.path()));
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let message = refusal("llama", "tokenizer.json", ": 255", ": 300");
    let expected = "tokenizer.json has token 300, and the model's vocabulary ends at 258; the tokenizer belongs to another model";
    assert!(message.ends_with(expected), "{message}");
    let folder = copy("llama");
    let text = fs::read_to_string(folder.path().join("tokenizer.json")).unwrap();
    fs::write(folder.path().join("tokenizer.json"), &text[..100]).unwrap();
    let message = Model::load(folder.path()).err().unwrap().to_string();
    assert!(message.contains("tokenizer.json is not a tokenizer"), "{message}");
}
