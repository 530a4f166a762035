//! A model folder: loading and saving.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::tensors::{Precision, read_tensors, write_tensors};
use super::{CheckpointError, Stops, config, write_folder};
use crate::nn::{Network, Tensor};
use crate::parallel::cut;
use crate::tokenizer::Tokenizer;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A network with what is needed to talk to it.
pub struct Model {
    /// The network.
    pub network: Network,
    /// Tokens that end an answer.
    pub stops: Stops,
    /// The tokenizer, where the folder has one.
    pub tokenizer: Option<Tokenizer>,
    /// The chat template in Jinja, where the folder has one.
    pub chat_template: Option<String>,
}

/// How weights are written.
#[derive(Clone, Copy, Debug)]
pub struct SaveOptions {
    /// Type of the weights.
    pub precision: Precision,
    /// Files are begun anew at this size.
    pub shard_bytes: usize,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { precision: Precision::F32, shard_bytes: 5_000_000_000 }
    }
}

/// `model.safetensors.index.json`.
#[derive(Serialize, Deserialize)]
struct Index {
    #[serde(default)]
    metadata: Value,
    weight_map: BTreeMap<String, String>,
}

impl Model {
    /// Loads a model folder. Weights become f32.
    pub fn load(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join("config.json");
        let text = fs::read_to_string(&path).map_err(CheckpointError::io("read", &path))?;
        let (config, mut stops) = config::parse(&path, &text)?;
        // What generation uses goes before what training used.
        if let Some(generation) = optional(&folder.join("generation_config.json"))? {
            let path = folder.join("generation_config.json");
            let value: Value =
                serde_json::from_str(&generation).map_err(CheckpointError::json(path))?;
            stops = value.get("eos_token_id").map_or(stops, config::stops);
        }
        let vocab_size = config.vocab_size;
        let mut network = Network::zeros(config)
            .map_err(|source| CheckpointError::Config { path: path.clone(), source })?;
        load_weights(folder, &mut network)?;
        let path = folder.join("tokenizer.json");
        let tokenizer = path.exists().then(|| Tokenizer::load(&path)).transpose()?;
        if let Some(token) = tokenizer.as_ref().map(Tokenizer::highest_token)
            && token as usize >= vocab_size
        {
            return Err(CheckpointError::OtherTokenizer { path, token, vocab_size });
        }
        Ok(Self { network, stops, tokenizer, chat_template: chat_template(folder)? })
    }

    /// Saves a model folder, whole or not at all; adapters are merged into the weights that are written.
    pub fn save(&self, folder: &Path, options: SaveOptions) -> Result<(), CheckpointError> {
        write_folder(folder, |folder| self.write(folder, options))
    }

    /// Writes the files of a model folder into one that is there.
    pub(crate) fn write(&self, folder: &Path, options: SaveOptions) -> Result<(), CheckpointError> {
        if let Some(tokenizer) = &self.tokenizer {
            write_text(folder, "tokenizer.json", tokenizer.json())?;
            let class = json!({ "tokenizer_class": "PreTrainedTokenizerFast" });
            write_text(folder, "tokenizer_config.json", &format!("{class:#}\n"))?;
        }
        if let Some(template) = &self.chat_template {
            write_text(folder, "chat_template.jinja", template)?;
        }
        write_network(folder, &self.network, &self.network.merged_weights(), &self.stops, options)
    }
}

/// Writes configuration and weights, which are those of `network` with or without adapters, into a folder that is there.
pub(crate) fn write_network(
    folder: &Path,
    network: &Network,
    weights: &[f32],
    stops: &[u32],
    options: SaveOptions,
) -> Result<(), CheckpointError> {
    let config = config::to_json(&network.config, stops, options.precision.name())?;
    write_text(folder, "config.json", &format!("{config:#}\n"))?;
    let generation = json!({ "eos_token_id": stops });
    write_text(folder, "generation_config.json", &format!("{generation:#}\n"))?;
    write_weights(folder, network, weights, options)
}

fn write_text(folder: &Path, name: &str, text: &str) -> Result<(), CheckpointError> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(CheckpointError::io("write", path))
}

fn load_weights(folder: &Path, network: &mut Network) -> Result<(), CheckpointError> {
    let mut tensors = network.layout.tensors(&network.config);
    tensors.sort_by_key(|tensor| tensor.span.start);
    let pieces = cut(&mut network.weights, tensors.iter().map(|tensor| tensor.span.len));
    let named =
        tensors.iter().zip(pieces).map(|(tensor, piece)| (tensor.name.as_str(), (tensor, piece)));
    let mut waiting: BTreeMap<&str, (&Tensor, &mut [f32])> = named.collect();
    let mut path = folder.to_owned();
    for file in weight_files(folder)? {
        path = file;
        read_tensors(&path, |name, found| {
            // Old checkpoints keep the rotary frequencies, and some keep a tied head twice.
            if name.ends_with("rotary_emb.inv_freq")
                || (network.config.tied_head && name == "lm_head.weight")
            {
                return Ok(None);
            }
            let Some((tensor, values)) = waiting.remove(name) else {
                return Err(CheckpointError::UnknownTensor {
                    path: path.clone(),
                    name: name.to_owned(),
                });
            };
            if tensor.shape != found {
                return Err(CheckpointError::Shape {
                    path: path.clone(),
                    name: name.to_owned(),
                    expected: tensor.shape.clone(),
                    found: found.to_vec(),
                });
            }
            Ok(Some(values))
        })?;
    }
    match waiting.keys().next() {
        Some(name) => Err(CheckpointError::MissingTensor { path, name: (*name).to_owned() }),
        None => Ok(()),
    }
}

/// The files that hold a folder's weights.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let path = folder.join(INDEX);
    if let Some(text) = optional(&path)? {
        let index: Index = serde_json::from_str(&text).map_err(CheckpointError::json(path))?;
        let mut files: Vec<PathBuf> =
            index.weight_map.values().map(|file| folder.join(file)).collect();
        files.sort();
        files.dedup();
        return Ok(files);
    }
    let path = folder.join(WEIGHTS);
    if path.exists() { Ok(vec![path]) } else { Err(CheckpointError::NoWeights(folder.to_owned())) }
}

fn write_weights(
    folder: &Path,
    network: &Network,
    weights: &[f32],
    options: SaveOptions,
) -> Result<(), CheckpointError> {
    let tensors = network.layout.tensors(&network.config);
    let mut shards: Vec<Vec<&Tensor>> = vec![Vec::new()];
    let (mut size, mut total) = (0, 0);
    for tensor in &tensors {
        let bytes = tensor.span.len * options.precision.bytes();
        if size > 0 && size + bytes > options.shard_bytes {
            shards.push(Vec::new());
            size = 0;
        }
        size += bytes;
        total += bytes;
        if let Some(shard) = shards.last_mut() {
            shard.push(tensor);
        }
    }
    let mut weight_map = BTreeMap::new();
    for (index, shard) in shards.iter().enumerate() {
        let name = match shards.len() {
            1 => WEIGHTS.to_owned(),
            n => format!("model-{:05}-of-{n:05}.safetensors", index + 1),
        };
        let values = |tensor: &&'_ Tensor| tensor.span.of(weights);
        let out = shard
            .iter()
            .map(|tensor| (tensor.name.clone(), tensor.shape.as_slice(), values(tensor)));
        write_tensors(&folder.join(&name), options.precision, out)?;
        weight_map.extend(shard.iter().map(|tensor| (tensor.name.clone(), name.clone())));
    }
    if shards.len() > 1 {
        let index = Index { metadata: json!({ "total_size": total }), weight_map };
        let text = serde_json::to_string_pretty(&index);
        write_text(folder, INDEX, &text.map_err(CheckpointError::json(folder.join(INDEX)))?)?;
    }
    Ok(())
}

/// The chat template: a file of its own, or a key of `tokenizer_config.json`.
fn chat_template(folder: &Path) -> Result<Option<String>, CheckpointError> {
    if let Some(template) = optional(&folder.join("chat_template.jinja"))? {
        return Ok(Some(template));
    }
    let path = folder.join("tokenizer_config.json");
    let Some(text) = optional(&path)? else { return Ok(None) };
    let value: Value = serde_json::from_str(&text).map_err(CheckpointError::json(path))?;
    Ok(value.get("chat_template").and_then(Value::as_str).map(str::to_owned))
}

/// The text of a file that need not be there.
fn optional(path: &Path) -> Result<Option<String>, CheckpointError> {
    if !path.exists() {
        return Ok(None);
    }
    fs::read_to_string(path).map(Some).map_err(CheckpointError::io("read", path))
}
