//! Products of few rows with weights that were packed once, for generation.
//!
//! Each element of the result is one sum in the order of its terms, however many rows there are: the logits of a sequence do not
//! depend on the batch it is in.

use std::ops::Range;

use super::{Real, Store};

/// Columns of a panel, and rows that are computed at once: their sums fill the registers of AVX2 and half of those of AVX-512.
const PANEL: usize = 16;
const ROWS: usize = 6;

/// A weight `[out, in]` cut into panels of 16 outputs: `[out / 16, in, 16]`, the last one filled up with zeros.
pub struct Packed {
    panels: Vec<[Real; PANEL]>,
    n_out: usize,
    n_in: usize,
}

impl Packed {
    /// Packs a weight `[out, in]`.
    pub fn new(weight: &[Real], n_in: usize) -> Self {
        let n_out = weight.len() / n_in;
        let mut panels = vec![[0.0; PANEL]; n_out.div_ceil(PANEL) * n_in];
        for (o, row) in weight.chunks_exact(n_in).enumerate() {
            let panel = &mut panels[o / PANEL * n_in..][..n_in];
            for (slot, value) in panel.iter_mut().zip(row) {
                slot[o % PANEL] = *value;
            }
        }
        Self { panels, n_out, n_in }
    }

    /// Outputs.
    pub fn n_out(&self) -> usize {
        self.n_out
    }
}

vectorised! {
    /// y `[rows, out]` = or += x `[rows, in]` wᵀ.
    pub fn multiply_packed(y: &mut [Real], store: Store, x: &[Real], w: &Packed) {
        let n_in = w.n_in;
        assert_eq!(x.len() * w.n_out, y.len() * n_in, "rows of a packed product");
        let tiles: Vec<Vec<Real>> = x.chunks(ROWS * n_in).map(|rows| columns_first(rows, n_in)).collect();
        for (index, panel) in w.panels.chunks_exact(n_in).enumerate() {
            let columns = index * PANEL..w.n_out.min((index + 1) * PANEL);
            for (y, x) in y.chunks_mut(ROWS * w.n_out).zip(&tiles) {
                let columns = columns.clone();
                match x.len() / n_in {
                    1 => tile::<1>(y, store, x, panel, columns, w.n_out),
                    2 => tile::<2>(y, store, x, panel, columns, w.n_out),
                    3 => tile::<3>(y, store, x, panel, columns, w.n_out),
                    4 => tile::<4>(y, store, x, panel, columns, w.n_out),
                    5 => tile::<5>(y, store, x, panel, columns, w.n_out),
                    _ => tile::<ROWS>(y, store, x, panel, columns, w.n_out),
                }
            }
        }
    }
}

/// Rows `[r, in]` as `[in, r]`, so that what is multiplied by one row of a panel lies together.
fn columns_first(rows: &[Real], n_in: usize) -> Vec<Real> {
    let n_rows = rows.len() / n_in;
    let mut columns = vec![0.0; rows.len()];
    for (r, row) in rows.chunks_exact(n_in).enumerate() {
        for (column, x) in columns.chunks_exact_mut(n_rows).zip(row) {
            column[r] = *x;
        }
    }
    columns
}

/// R rows of one panel; x is `[in, R]`. The compiler keeps the sums in registers as long as nothing in the loop is checked.
#[inline(always)]
fn tile<const R: usize>(
    y: &mut [Real],
    store: Store,
    x: &[Real],
    panel: &[[Real; PANEL]],
    columns: Range<usize>,
    n_out: usize,
) {
    let mut sums = [[0.0; PANEL]; R];
    let (x, _) = x.as_chunks::<R>();
    for (w, x) in panel.iter().zip(x) {
        for r in 0..R {
            for c in 0..PANEL {
                sums[r][c] = x[r].mul_add(w[c], sums[r][c]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let y = y[r * n_out..][columns.clone()].iter_mut().zip(sums);
        match store {
            Store::Write => y.for_each(|(y, sum)| *y = sum),
            Store::Add => y.for_each(|(y, sum)| *y += sum),
        }
    }
}
