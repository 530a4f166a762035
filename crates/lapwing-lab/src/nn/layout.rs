//! Where each tensor lies in the one buffer of weights. Gradients and the optimiser's means have the same layout.

use super::{Config, Real};

/// A part of a flat buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first element.
    pub start: usize,
    /// Elements.
    pub len: usize,
}

impl Span {
    /// This part of a buffer.
    pub fn of(self, buffer: &[Real]) -> &[Real] {
        &buffer[self.start..self.start + self.len]
    }

    /// This part of a buffer, to write to.
    pub fn of_mut(self, buffer: &mut [Real]) -> &mut [Real] {
        &mut buffer[self.start..self.start + self.len]
    }

    /// `len` elements from the `start`-th of this part.
    pub(super) fn part(self, start: usize, len: usize) -> Self {
        Self { start: self.start + start, len }
    }
}

/// The tensors of one layer.
#[derive(Clone, Debug)]
pub struct LayerLayout {
    /// RMSNorm before attention `[hidden]`.
    pub attn_norm: Span,
    /// Queries, keys and values in one matrix `[q + 2 kv, hidden]`.
    pub qkv: Span,
    /// Their bias `[q + 2 kv]`.
    pub qkv_bias: Option<Span>,
    /// RMSNorms of each query head and of each key head, `[head_dim]` each.
    pub qk_norms: Option<[Span; 2]>,
    /// From heads back to the residual stream `[hidden, q]`.
    pub o: Span,
    /// RMSNorm before the MLP `[hidden]`.
    pub mlp_norm: Span,
    /// Gate and up in one matrix `[2 ff, hidden]`.
    pub gate_up: Span,
    /// Down `[hidden, ff]`.
    pub down: Span,
}

/// The tensors of a network.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Token embedding `[vocab, hidden]`.
    pub embed: Span,
    /// The layers.
    pub layers: Vec<LayerLayout>,
    /// RMSNorm before the head `[hidden]`.
    pub final_norm: Span,
    /// Head `[vocab, hidden]`: the embedding, if tied.
    pub head: Span,
    /// Elements of the whole buffer.
    pub len: usize,
}

/// A tensor as Hugging Face names it; merged matrices are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// For example `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// `[out, in]` or `[width]`.
    pub shape: Vec<usize>,
    /// Where it lies.
    pub span: Span,
}

impl Layout {
    /// The layout for a shape.
    pub fn new(config: &Config) -> Self {
        let mut len = 0;
        let mut take = |size: usize| {
            len += size;
            Span { start: len - size, len: size }
        };
        let (hidden, row) = (config.hidden_size, config.heads().row_width());
        let embed = take(config.vocab_size * hidden);
        let mut layer = || LayerLayout {
            attn_norm: take(hidden),
            qkv: take(row * hidden),
            qkv_bias: config.qkv_bias.then(|| take(row)),
            qk_norms: config.qk_norm.then(|| [take(config.head_dim), take(config.head_dim)]),
            o: take(hidden * config.heads().q_width()),
            mlp_norm: take(hidden),
            gate_up: take(2 * config.intermediate_size * hidden),
            down: take(hidden * config.intermediate_size),
        };
        let layers = (0..config.n_layers).map(|_| layer()).collect();
        let final_norm = take(hidden);
        let head = if config.tied_head { embed } else { take(config.vocab_size * hidden) };
        Self { embed, layers, final_norm, head, len }
    }

    /// Every tensor under its name in a Hugging Face checkpoint; a tied head is not among them.
    pub fn tensors(&self, config: &Config) -> Vec<Tensor> {
        let (hidden, ff) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.heads().q_width(), config.heads().kv_width());
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: &[usize], span: Span| {
            tensors.push(Tensor { name, shape: shape.to_vec(), span });
        };
        add("model.embed_tokens.weight".to_owned(), &[config.vocab_size, hidden], self.embed);
        for (index, layer) in self.layers.iter().enumerate() {
            let name = |part: &str| format!("model.layers.{index}.{part}");
            add(name("input_layernorm.weight"), &[hidden], layer.attn_norm);
            for (part, first, rows) in [("q", 0, q), ("k", q, kv), ("v", q + kv, kv)] {
                let weight = layer.qkv.part(first * hidden, rows * hidden);
                add(name(&format!("self_attn.{part}_proj.weight")), &[rows, hidden], weight);
                if let Some(bias) = layer.qkv_bias {
                    add(
                        name(&format!("self_attn.{part}_proj.bias")),
                        &[rows],
                        bias.part(first, rows),
                    );
                }
            }
            if let Some([q_norm, k_norm]) = layer.qk_norms {
                add(name("self_attn.q_norm.weight"), &[config.head_dim], q_norm);
                add(name("self_attn.k_norm.weight"), &[config.head_dim], k_norm);
            }
            add(name("self_attn.o_proj.weight"), &[hidden, q], layer.o);
            add(name("post_attention_layernorm.weight"), &[hidden], layer.mlp_norm);
            let half = ff * hidden;
            add(name("mlp.gate_proj.weight"), &[ff, hidden], layer.gate_up.part(0, half));
            add(name("mlp.up_proj.weight"), &[ff, hidden], layer.gate_up.part(half, half));
            add(name("mlp.down_proj.weight"), &[hidden, ff], layer.down);
        }
        add("model.norm.weight".to_owned(), &[hidden], self.final_norm);
        if !config.tied_head {
            add("lm_head.weight".to_owned(), &[config.vocab_size, hidden], self.head);
        }
        tensors
    }
}
