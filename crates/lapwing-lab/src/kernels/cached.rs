//! Attention of new tokens to all before them, for generation.

use super::simd::{LANES, add_scaled, exp_and_sum, maximum};
use super::{Heads, Real};

/// Keys and values of one layer for a fixed number of sequences.
pub struct Cache {
    /// `[slot, kv head, capacity / 16, head_dim, 16]`: scores are computed for 16 positions at once.
    keys: Vec<Real>,
    /// `[slot, kv head, capacity, head_dim]`.
    values: Vec<Real>,
    capacity: usize,
}

impl Cache {
    /// An empty cache for `slots` sequences of at most `capacity` tokens.
    pub fn new(slots: usize, capacity: usize, heads: Heads) -> Self {
        let capacity = capacity.next_multiple_of(LANES);
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
                let block = base + position / LANES * LANES * head_dim + position % LANES;
                for (i, key) in keys[head.clone()].iter().enumerate() {
                    cache.keys[block + i * LANES] = *key;
                }
                let at = base + position * head_dim;
                cache.values[at..at + head_dim].copy_from_slice(&values[head]);
            }
            for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
                let base = (slot * n_kv_heads + heads.group(head)) * head_dim * capacity;
                let head_of = base..base + head_dim * capacity;
                scores(&mut weights, &row[heads.query(head)], &cache.keys[head_of.clone()], *position);
                let weights = &mut weights[..=*position];
                let most = maximum(weights) * heads.scale();
                let sum = exp_and_sum(weights, heads.scale(), most);
                for weight in weights.iter_mut() {
                    *weight /= sum;
                }
                weighted_sum(out, weights, &cache.values[head_of]);
            }
        }
    }
}

/// q · k for each position up to `position`, and some more to fill a vector. keys `[capacity / 16, head_dim, 16]`.
#[inline(always)]
fn scores(scores: &mut [Real], q: &[Real], keys: &[Real], position: usize) {
    let (scores, _) = scores.as_chunks_mut::<LANES>();
    let blocks = keys.chunks_exact(q.len() * LANES).take(position / LANES + 1);
    for (scores, block) in scores.iter_mut().zip(blocks) {
        let mut sums = [0.0; LANES];
        for (q, keys) in q.iter().zip(block.as_chunks::<LANES>().0) {
            for lane in 0..LANES {
                sums[lane] = keys[lane].mul_add(*q, sums[lane]);
            }
        }
        *scores = sums;
    }
}

/// out `[head_dim]` = Σ weight · value, over positions. values `[capacity, head_dim]`.
#[inline(always)]
fn weighted_sum(out: &mut [Real], weights: &[Real], values: &[Real]) {
    let head_dim = out.len();
    if !head_dim.is_multiple_of(LANES) {
        out.fill(0.0);
        for (weight, value) in weights.iter().zip(values.chunks_exact(head_dim)) {
            add_scaled(out, *weight, value);
        }
        return;
    }
    let (values, _) = values.as_chunks::<LANES>();
    for (index, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut sums = [0.0; LANES];
        for (weight, value) in
            weights.iter().zip(values.iter().skip(index).step_by(head_dim / LANES))
        {
            for lane in 0..LANES {
                sums[lane] = value[lane].mul_add(*weight, sums[lane]);
            }
        }
        *out = sums;
    }
}
