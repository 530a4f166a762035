//! `config.json` of Hugging Face's Llama, Qwen2 and Qwen3.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::CheckpointError;
use crate::kernels::RotaryScaling;
use crate::nn::Config;

const KNOWN: &str = "llama, qwen2 (also Qwen2.5) and qwen3";

/// The keys that are read; others do not change what the network computes.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "so it is in the file")]
struct Raw {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Rope>,
    rope_parameters: Option<Rope>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    #[serde(default)]
    use_sliding_window: bool,
    eos_token_id: Option<Value>,
}

#[derive(Clone, Deserialize)]
struct Rope {
    #[serde(rename = "rope_type", alias = "type")]
    kind: Option<String>,
    #[serde(rename = "rope_theta")]
    theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// Tokens that end an answer.
pub type Stops = Vec<u32>;

/// The shape of a network, and the tokens that end its answers, from the text of `config.json`.
pub(super) fn parse(path: &Path, text: &str) -> Result<(Config, Stops), CheckpointError> {
    let raw: Raw = serde_json::from_str(text).map_err(CheckpointError::json(path))?;
    let unsupported = |key, value: &str, knows| CheckpointError::Unsupported {
        path: path.to_owned(),
        key,
        value: value.to_owned(),
        knows,
    };
    let family = raw.model_type.as_str();
    if !["llama", "qwen2", "qwen3"].contains(&family) {
        return Err(unsupported("model_type", family, KNOWN));
    }
    let activation = raw.hidden_act.as_deref().unwrap_or("silu");
    if activation != "silu" {
        return Err(unsupported("hidden_act", activation, "silu"));
    }
    for (key, value) in [
        ("attention_bias", raw.attention_bias),
        ("mlp_bias", raw.mlp_bias),
        ("use_sliding_window", raw.use_sliding_window),
    ] {
        if value {
            return Err(unsupported(key, "true", "false"));
        }
    }
    let rope = raw.rope_parameters.or(raw.rope_scaling);
    let theta = rope.as_ref().and_then(|rope| rope.theta).or(raw.rope_theta);
    let rope_type = rope.as_ref().and_then(|rope| rope.kind.as_deref()).unwrap_or("default");
    let rope_scaling = match (rope_type, &rope) {
        ("default", _) => None,
        ("llama3", Some(rope)) => Some(scaling(rope).ok_or_else(|| {
            unsupported("rope_type", "llama3 without its factors", "all four factors of llama3")
        })?),
        (other, _) => return Err(unsupported("rope_type", other, "default and llama3")),
    };
    let usual_head =
        if family == "qwen3" { 128 } else { raw.hidden_size / raw.num_attention_heads.max(1) };
    let config = Config {
        vocab_size: raw.vocab_size,
        hidden_size: raw.hidden_size,
        n_layers: raw.num_hidden_layers,
        n_heads: raw.num_attention_heads,
        n_kv_heads: raw.num_key_value_heads.unwrap_or(raw.num_attention_heads),
        head_dim: raw.head_dim.unwrap_or(usual_head),
        intermediate_size: raw.intermediate_size,
        max_positions: raw.max_position_embeddings,
        rms_norm_eps: raw.rms_norm_eps.unwrap_or(1e-6),
        rope_theta: theta.unwrap_or(10_000.0),
        rope_scaling,
        tied_head: raw.tie_word_embeddings,
        qkv_bias: family == "qwen2",
        qk_norm: family == "qwen3",
    };
    config.check().map_err(|source| CheckpointError::Config { path: path.to_owned(), source })?;
    Ok((config, raw.eos_token_id.as_ref().map_or_else(Vec::new, stops)))
}

fn scaling(rope: &Rope) -> Option<RotaryScaling> {
    Some(RotaryScaling {
        factor: rope.factor?,
        low_freq_factor: rope.low_freq_factor?,
        high_freq_factor: rope.high_freq_factor?,
        original_context: rope.original_max_position_embeddings?,
    })
}

/// `eos_token_id` is one token or a list.
pub(super) fn stops(value: &Value) -> Stops {
    let tokens = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    tokens.iter().filter_map(Value::as_u64).filter_map(|token| u32::try_from(token).ok()).collect()
}

/// `config.json` for a network of this shape.
pub(super) fn to_json(
    config: &Config,
    stops: &[u32],
    dtype: &str,
) -> Result<Value, CheckpointError> {
    let (family, architecture) = match (config.qkv_bias, config.qk_norm) {
        (false, false) => ("llama", "LlamaForCausalLM"),
        (true, false) => ("qwen2", "Qwen2ForCausalLM"),
        (false, true) => ("qwen3", "Qwen3ForCausalLM"),
        (true, true) => {
            return Err(CheckpointError::Unsupported {
                path: "config.json".into(),
                key: "qk_norm",
                value: "true with qkv_bias".to_owned(),
                knows: "one of them",
            });
        }
    };
    let mut rope = json!({ "rope_type": "default", "rope_theta": config.rope_theta });
    if let Some(scaling) = config.rope_scaling {
        rope = json!({
            "rope_type": "llama3",
            "rope_theta": config.rope_theta,
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_context as u64,
        });
    }
    Ok(json!({
        "architectures": [architecture],
        "model_type": family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.rms_norm_eps,
        // Older readers look for the base beside the parameters.
        "rope_theta": config.rope_theta,
        "rope_parameters": rope,
        "tie_word_embeddings": config.tied_head,
        "attention_bias": false,
        "mlp_bias": false,
        "hidden_act": "silu",
        "use_sliding_window": false,
        "bos_token_id": null,
        "eos_token_id": stops,
        "dtype": dtype,
    }))
}
