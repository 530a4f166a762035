//! Attention of new tokens to all before them, for generation.

use super::simd::{add_scaled, exp_and_sum, maximum};
use super::{Heads, Real};

/// Keys and values of one layer for a fixed number of sequences.
pub struct Cache {
    /// `[slot, kv head, head_dim, capacity]`: a dimension's values lie together, so that scores are computed for many positions at once.
    keys: Vec<Real>,
    /// `[slot, kv head, capacity, head_dim]`.
    values: Vec<Real>,
    capacity: usize,
}

impl Cache {
    /// An empty cache for `slots` sequences of at most `capacity` tokens.
    pub fn new(slots: usize, capacity: usize, heads: Heads) -> Self {
        let size = slots * capacity * heads.kv_width();
        Self { keys: vec![0.0; size], values: vec![0.0; size], capacity }
    }
}

vectorised! {
    /// Keeps the keys and values of each row of qkv `[rows, q + 2 kv]` at its place (slot, position), then lets its queries read all
    /// positions up to it: out `[rows, q]`. Rows of one slot come in the order of their positions.
    pub fn attend(out: &mut [Real], qkv: &[Real], cache: &mut Cache, places: &[(usize, usize)], heads: Heads) {
        let Heads { n_kv_heads, head_dim, .. } = heads;
        let capacity = cache.capacity;
        let mut weights = vec![0.0; capacity];
        let rows = qkv.chunks_exact(heads.row_width()).zip(out.chunks_exact_mut(heads.q_width()));
        for ((row, out), (slot, position)) in rows.zip(places) {
            assert!(*position < capacity, "position {position} in a cache of {capacity}");
            let (keys, values) = row[heads.q_width()..].split_at(heads.kv_width());
            for index in 0..n_kv_heads {
                let base = (slot * n_kv_heads + index) * head_dim * capacity;
                let head = index * head_dim..(index + 1) * head_dim;
                for (i, key) in keys[head.clone()].iter().enumerate() {
                    cache.keys[base + i * capacity + position] = *key;
                }
                let at = base + position * head_dim;
                cache.values[at..at + head_dim].copy_from_slice(&values[head]);
            }
            let weights = &mut weights[..=*position];
            for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
                let base = (slot * n_kv_heads + heads.group(head)) * head_dim * capacity;
                let keys = cache.keys[base..base + head_dim * capacity].chunks_exact(capacity);
                let values = cache.values[base..base + head_dim * capacity].chunks_exact(head_dim);
                weights.fill(0.0);
                for (q, keys) in row[heads.query(head)].iter().zip(keys) {
                    add_scaled(weights, *q, &keys[..=*position]);
                }
                let most = maximum(weights) * heads.scale();
                let sum = exp_and_sum(weights, heads.scale(), most);
                out.fill(0.0);
                for (weight, value) in weights.iter().zip(values) {
                    add_scaled(out, weight / sum, value);
                }
            }
        }
    }
}
