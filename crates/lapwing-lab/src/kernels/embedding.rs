//! Rows of a table, by token.

use super::Real;

/// x `[rows, width]` = table `[vocab, width]` at `tokens [rows]`.
pub fn embed(x: &mut [Real], table: &[Real], tokens: &[u32], width: usize) {
    for (row, token) in x.chunks_exact_mut(width).zip(tokens) {
        let start = *token as usize * width;
        row.copy_from_slice(&table[start..start + width]);
    }
}

/// d_table at `tokens [rows]` += dx `[rows, width]`, in the order of the rows.
pub fn embed_backward(d_table: &mut [Real], dx: &[Real], tokens: &[u32], width: usize) {
    for (row, token) in dx.chunks_exact(width).zip(tokens) {
        let start = *token as usize * width;
        super::add(&mut d_table[start..start + width], row);
    }
}
