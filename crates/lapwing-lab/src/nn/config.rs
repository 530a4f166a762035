//! What varies between the models of the family.

use super::kernels::{Heads, RotaryScaling};

/// The shape of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Layers.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; fewer than query heads is grouped-query attention.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Positions, which are the longest sequence.
    pub max_positions: usize,
    /// ε of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Stretched rotary frequencies.
    pub rope_scaling: Option<RotaryScaling>,
    /// Whether the head is the embedding.
    pub tied_head: bool,
    /// Whether queries, keys and values have a bias (Qwen2).
    pub qkv_bias: bool,
    /// Whether each query and key head is normalised (Qwen3).
    pub qk_norm: bool,
}

/// A shape that no network can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A size is zero.
    #[error("{0} is 0; it must be at least 1")]
    Zero(&'static str),
    /// Query heads cannot be shared out evenly.
    #[error("{n_heads} query heads cannot share {n_kv_heads} key and value heads evenly")]
    Groups {
        /// Query heads.
        n_heads: usize,
        /// Key and value heads.
        n_kv_heads: usize,
    },
    /// Rotary positions turn pairs.
    #[error("head_dim is {0}; rotary positions need an even number")]
    OddHead(usize),
}

impl Config {
    /// A small Llama: tied head, no grouping, heads of 32, and an MLP of 8/3 of the width, rounded up to 32.
    pub fn small(
        vocab_size: usize,
        hidden_size: usize,
        n_layers: usize,
        max_positions: usize,
    ) -> Self {
        let n_heads = (hidden_size / 32).max(1);
        Self {
            vocab_size,
            hidden_size,
            n_layers,
            n_heads,
            n_kv_heads: n_heads,
            head_dim: hidden_size / n_heads,
            intermediate_size: (hidden_size * 8 / 3).next_multiple_of(32),
            max_positions,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            tied_head: true,
            qkv_bias: false,
            qk_norm: false,
        }
    }

    /// How a row of queries, keys and values is cut.
    pub fn heads(&self) -> Heads {
        Heads { n_heads: self.n_heads, n_kv_heads: self.n_kv_heads, head_dim: self.head_dim }
    }

    /// Whether a network can have this shape.
    pub fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.n_layers),
            ("num_attention_heads", self.n_heads),
            ("num_key_value_heads", self.n_kv_heads),
            ("head_dim", self.head_dim),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_positions),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(ConfigError::Zero(name));
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return Err(ConfigError::Groups { n_heads: self.n_heads, n_kv_heads: self.n_kv_heads });
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(ConfigError::OddHead(self.head_dim));
        }
        Ok(())
    }
}
