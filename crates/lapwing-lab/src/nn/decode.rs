//! The forward pass of generation: few rows at a time, against a cache, with weights that were packed once.

use super::kernels::{
    Cache, Direction, Packed, Store, add_bias, attend, embed, head_norm, multiply_packed, rms_norm,
    rotate, swiglu,
};
use super::lora::Merged;
use super::{Network, Real};

/// The weights of a network as generation reads them; adapters are merged. Shared by all workers.
pub struct PackedNetwork<'a> {
    network: &'a Network,
    layers: Vec<PackedLayer>,
    head: Packed,
}

struct PackedLayer {
    qkv: Packed,
    o: Packed,
    gate_up: Packed,
    down: Packed,
}

impl<'a> PackedNetwork<'a> {
    /// Packs the weights of a network, which takes their memory once more.
    pub fn new(network: &'a Network) -> Self {
        let pack = |layer, merged| {
            let linear = network.linear(layer, merged);
            Packed::new(&linear.merged(), linear.n_in())
        };
        let layer = |layer| PackedLayer {
            qkv: pack(layer, Merged::Qkv),
            o: pack(layer, Merged::O),
            gate_up: pack(layer, Merged::GateUp),
            down: pack(layer, Merged::Down),
        };
        let layers = (0..network.config.n_layers).map(layer).collect();
        let head = network.layout.head.of(&network.weights);
        Self { network, layers, head: Packed::new(head, network.config.hidden_size) }
    }

    /// The network.
    pub fn network(&self) -> &'a Network {
        self.network
    }
}

/// Sequences that grow token by token, each in a slot of its own.
pub struct Decoder<'a> {
    packed: &'a PackedNetwork<'a>,
    caches: Vec<Cache>,
    lengths: Vec<usize>,
    buffers: Buffers,
}

/// `[rows, width]` each.
#[derive(Default)]
struct Buffers {
    residual: Vec<Real>,
    normed: Vec<Real>,
    qkv: Vec<Real>,
    heads: Vec<Real>,
    gate_up: Vec<Real>,
    product: Vec<Real>,
    last: Vec<Real>,
    logits: Vec<Real>,
}

impl<'a> Decoder<'a> {
    /// Room for `slots` sequences of at most `capacity` tokens.
    ///
    /// # Panics
    /// If the capacity exceeds the model's positions.
    pub fn new(packed: &'a PackedNetwork<'a>, slots: usize, capacity: usize) -> Self {
        let config = &packed.network.config;
        assert!(capacity <= config.max_positions, "a cache longer than the model's positions");
        let caches = packed.layers.iter().map(|_| Cache::new(slots, capacity, config.heads()));
        Self {
            packed,
            caches: caches.collect(),
            lengths: vec![0; slots],
            buffers: Buffers::default(),
        }
    }

    /// Empties a slot for another sequence.
    pub fn clear(&mut self, slot: usize) {
        self.lengths[slot] = 0;
    }

    /// Appends tokens to the sequences of some slots, each named once and with at least one token, and returns the logits of each
    /// one's last token `[inputs, vocab]`. They depend on that sequence alone, to the bit.
    pub fn feed(&mut self, inputs: &[(usize, &[u32])]) -> &mut [Real] {
        let network = self.packed.network;
        let (config, heads) = (&network.config, network.config.heads());
        let (hidden, epsilon) = (config.hidden_size, config.rms_norm_eps as Real);
        let mut tokens = Vec::new();
        let mut places = Vec::new();
        for (slot, new) in inputs {
            let length = self.lengths[*slot];
            tokens.extend_from_slice(new);
            places.extend((length..length + new.len()).map(|position| (*slot, position)));
            self.lengths[*slot] += new.len();
        }
        let positions: Vec<usize> = places.iter().map(|(_, position)| *position).collect();
        let rows = tokens.len();
        let Buffers { residual, normed, qkv, heads: out, gate_up, product, last, logits } =
            &mut self.buffers;
        residual.resize(rows * hidden, 0.0);
        normed.resize(rows * hidden, 0.0);
        qkv.resize(rows * heads.row_width(), 0.0);
        out.resize(rows * heads.q_width(), 0.0);
        gate_up.resize(rows * 2 * config.intermediate_size, 0.0);
        product.resize(rows * config.intermediate_size, 0.0);

        let weight = |span: super::Span| span.of(&network.weights);
        embed(residual, weight(network.layout.embed), &tokens, hidden);
        let layers = network.layout.layers.iter().zip(&self.packed.layers);
        for ((spans, packed), cache) in layers.zip(&mut self.caches) {
            rms_norm(normed, residual, weight(spans.attn_norm), epsilon);
            multiply_packed(qkv, Store::Write, normed, &packed.qkv);
            if let Some(bias) = spans.qkv_bias {
                add_bias(qkv, weight(bias));
            }
            if let Some([q_norm, k_norm]) = spans.qk_norms {
                head_norm(qkv, weight(q_norm), weight(k_norm), heads, epsilon);
            }
            rotate(qkv, &positions, &network.rotary, heads, Direction::Forward);
            attend(out, qkv, cache, &places, heads);
            multiply_packed(residual, Store::Add, out, &packed.o);
            rms_norm(normed, residual, weight(spans.mlp_norm), epsilon);
            multiply_packed(gate_up, Store::Write, normed, &packed.gate_up);
            swiglu(product, gate_up, config.intermediate_size);
            multiply_packed(residual, Store::Add, product, &packed.down);
        }
        last.clear();
        let mut end = 0;
        for (_, new) in inputs {
            end += new.len();
            last.extend_from_slice(&residual[(end - 1) * hidden..end * hidden]);
        }
        normed.resize(last.len(), 0.0);
        rms_norm(normed, last, weight(network.layout.final_norm), epsilon);
        logits.resize(inputs.len() * config.vocab_size, 0.0);
        multiply_packed(logits, Store::Write, normed, &self.packed.head);
        logits
    }
}
