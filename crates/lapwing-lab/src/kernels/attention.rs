//! Causal grouped-query attention in blocks of rows. Only the logarithm of each row's sum of exponentials is kept; the backward
//! pass computes the pattern again, block by block (Dao et al. 2022).

use super::simd::{dot, exp_and_sum, maximum};
use super::{Matrix, MatrixMut, Real, Store, multiply};

/// Rows of a block: its scores stay in the second-level cache.
const BLOCK: usize = 64;

/// How a row of qkv `[rows, q + 2 kv]` is cut: query heads, then key heads, then value heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; each serves `n_heads / n_kv_heads` query heads in a row.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl Heads {
    /// Width of all query heads.
    pub fn q_width(self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Width of all key heads, and of all value heads.
    pub fn kv_width(self) -> usize {
        self.n_kv_heads * self.head_dim
    }

    /// Width of a row of qkv.
    pub fn row_width(self) -> usize {
        self.q_width() + 2 * self.kv_width()
    }

    /// What scores are multiplied by: 1 / √head_dim.
    pub fn scale(self) -> Real {
        1.0 / (self.head_dim as Real).sqrt()
    }

    /// Columns of query head `head` in a row of qkv, which are also its columns in the attention's output.
    pub fn query(self, head: usize) -> std::ops::Range<usize> {
        head * self.head_dim..(head + 1) * self.head_dim
    }

    /// Columns of the keys that query head `head` reads.
    pub fn key(self, head: usize) -> std::ops::Range<usize> {
        let start = self.q_width() + self.group(head) * self.head_dim;
        start..start + self.head_dim
    }

    /// Columns of the values that query head `head` reads.
    pub fn value(self, head: usize) -> std::ops::Range<usize> {
        let start = self.q_width() + self.kv_width() + self.group(head) * self.head_dim;
        start..start + self.head_dim
    }

    /// The key and value head that query head `head` reads.
    pub fn group(self, head: usize) -> usize {
        head / (self.n_heads / self.n_kv_heads)
    }
}

/// For each sequence and head: o = softmax(q kᵀ / √head_dim, causal) v.
///
/// qkv `[rows, q + 2 kv]`, out `[rows, q]`, log_sums `[heads, rows]`. `starts` has the first row of each sequence and the end.
pub fn attention(
    out: &mut [Real],
    log_sums: &mut [Real],
    qkv: &[Real],
    starts: &[usize],
    heads: Heads,
) {
    let n_rows = qkv.len() / heads.row_width();
    let mut scores = vec![0.0; BLOCK * longest(starts)];
    for (head, log_sums) in log_sums.chunks_exact_mut(n_rows.max(1)).enumerate() {
        for pair in starts.windows(2) {
            let (first, end) = (pair[0], pair[1]);
            for start in (first..end).step_by(BLOCK) {
                let rows = start..end.min(start + BLOCK);
                let seen = first..rows.end;
                let scores = &mut scores[..rows.len() * seen.len()];
                let input = Matrix::new(qkv, heads.row_width());
                let q = input.columns(heads.query(head)).rows(rows.clone());
                let k = input.columns(heads.key(head)).rows(seen.clone());
                let v = input.columns(heads.value(head)).rows(seen.clone());
                multiply(MatrixMut::new(scores, seen.len()), Store::Write, q, k.t());
                softmax(
                    scores,
                    seen.len(),
                    rows.start - first,
                    heads.scale(),
                    &mut log_sums[rows.clone()],
                );
                let out =
                    MatrixMut::new(out, heads.q_width()).columns(heads.query(head)).rows(rows);
                multiply(out, Store::Write, Matrix::new(scores, seen.len()), v);
            }
        }
    }
}

/// The gradient of `attention` on qkv, from d_out `[rows, q]`; d_qkv `[rows, q + 2 kv]` is overwritten.
pub fn attention_backward(
    d_qkv: &mut [Real],
    d_out: &[Real],
    out: &[Real],
    log_sums: &[Real],
    qkv: &[Real],
    starts: &[usize],
    heads: Heads,
) {
    let width = heads.row_width();
    let n_rows = qkv.len() / width;
    let longest = longest(starts);
    let mut pattern = vec![0.0; BLOCK * longest];
    let mut d_pattern = vec![0.0; BLOCK * longest];
    d_qkv.fill(0.0);
    for (head, log_sums) in log_sums.chunks_exact(n_rows.max(1)).enumerate() {
        for pair in starts.windows(2) {
            let (first, end) = (pair[0], pair[1]);
            for start in (first..end).step_by(BLOCK) {
                let rows = start..end.min(start + BLOCK);
                let seen = first..rows.end;
                let block = rows.len() * seen.len();
                let (pattern, d_pattern) = (&mut pattern[..block], &mut d_pattern[..block]);
                let input = Matrix::new(qkv, width);
                let q = input.columns(heads.query(head)).rows(rows.clone());
                let k = input.columns(heads.key(head)).rows(seen.clone());
                let v = input.columns(heads.value(head)).rows(seen.clone());
                let d_o = Matrix::new(d_out, heads.q_width())
                    .columns(heads.query(head))
                    .rows(rows.clone());

                multiply(MatrixMut::new(pattern, seen.len()), Store::Write, q, k.t());
                multiply(MatrixMut::new(d_pattern, seen.len()), Store::Write, d_o, v.t());
                pattern_again(
                    pattern,
                    seen.len(),
                    rows.start - first,
                    heads.scale(),
                    &log_sums[rows.clone()],
                );
                let d_v =
                    MatrixMut::new(d_qkv, width).columns(heads.value(head)).rows(seen.clone());
                multiply(d_v, Store::Add, Matrix::new(pattern, seen.len()).t(), d_o);

                let from = heads.query(head).start + rows.start * heads.q_width();
                score_gradient(d_pattern, pattern, seen.len(), &d_out[from..], &out[from..], heads);
                let d_scores = Matrix::new(d_pattern, seen.len());
                let d_q =
                    MatrixMut::new(d_qkv, width).columns(heads.query(head)).rows(rows.clone());
                multiply(d_q, Store::Write, d_scores, k);
                let d_k = MatrixMut::new(d_qkv, width).columns(heads.key(head)).rows(seen);
                multiply(d_k, Store::Add, d_scores.t(), q);
            }
        }
    }
}

/// The whole pattern `[length, length]` of one head and one sequence, whose rows are `rows`: entry (i, j) is how much i reads of j.
pub fn attention_pattern(
    pattern: &mut [Real],
    qkv: &[Real],
    rows: std::ops::Range<usize>,
    head: usize,
    heads: Heads,
) {
    let input = Matrix::new(qkv, heads.row_width()).rows(rows.clone());
    let (q, k) = (input.columns(heads.query(head)), input.columns(heads.key(head)));
    multiply(MatrixMut::new(pattern, rows.len()), Store::Write, q, k.t());
    softmax(pattern, rows.len(), 0, heads.scale(), &mut vec![0.0; rows.len()]);
}

fn longest(starts: &[usize]) -> usize {
    starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

vectorised! {
    /// Row i of scores `[rows, seen]` sees the first `offset + i + 1` columns; the others become zero.
    fn softmax(scores: &mut [Real], seen: usize, offset: usize, scale: Real, log_sums: &mut [Real]) {
        for (i, (row, log_sum)) in scores.chunks_exact_mut(seen).zip(log_sums).enumerate() {
            let (row, future) = row.split_at_mut(offset + i + 1);
            let most = maximum(row) * scale;
            let sum = exp_and_sum(row, scale, most);
            for value in row.iter_mut() {
                *value /= sum;
            }
            *log_sum = most + sum.ln();
            future.fill(0.0);
        }
    }
}

vectorised! {
    /// The pattern from scores and the kept logarithms of sums.
    fn pattern_again(scores: &mut [Real], seen: usize, offset: usize, scale: Real, log_sums: &[Real]) {
        for (i, (row, log_sum)) in scores.chunks_exact_mut(seen).zip(log_sums).enumerate() {
            let (row, future) = row.split_at_mut(offset + i + 1);
            exp_and_sum(row, scale, *log_sum);
            future.fill(0.0);
        }
    }
}

vectorised! {
    /// Turns the gradient on the pattern into that on the scores: dS = P (dP - Σ P dP) / √head_dim, where the sum over a row is
    /// do · o. `d_out` and `out` begin at this head in the block's first row.
    fn score_gradient(
        d_pattern: &mut [Real],
        pattern: &[Real],
        seen: usize,
        d_out: &[Real],
        out: &[Real],
        heads: Heads,
    ) {
        let scale = heads.scale();
        let rows = d_pattern.chunks_exact_mut(seen).zip(pattern.chunks_exact(seen));
        let outs = d_out.chunks(heads.q_width()).zip(out.chunks(heads.q_width()));
        for ((d_row, row), (d_out, out)) in rows.zip(outs) {
            let mean = dot(&d_out[..heads.head_dim], &out[..heads.head_dim]);
            for (d, p) in d_row.iter_mut().zip(row) {
                *d = p * (*d - mean) * scale;
            }
        }
    }
}
