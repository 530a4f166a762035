//! Products of matrices against the sum that they stand for, on every kind of view. `cargo xtask miri` runs them too: then no pointer
//! leaves its buffer.

use crate::kernels::{Matrix, MatrixMut, Packed, Store, multiply_packed, multiply_scaled};
use crate::random::Random;

const SCALE: f32 = 0.5;
/// Whether a matrix is written as it lies, or transposed.
const TURNS: [bool; 2] = [false, true];
/// Rows, inner size, columns: one, fewer and more than a register or a panel holds.
const SHAPES: [[usize; 3]; 4] = [[1, 1, 1], [2, 5, 3], [7, 3, 17], [17, 19, 9]];

fn numbers(len: usize, name: &str) -> Vec<f32> {
    let mut random = Random::new(1, name);
    (0..len).map(|_| random.normal() as f32).collect()
}

/// A matrix `[rows, columns]` in the middle of a wider one, or the transposed of such a one.
fn view(buffer: &[f32], rows: usize, columns: usize, turned: bool) -> Matrix<'_> {
    let (high, wide) = if turned { (columns, rows) } else { (rows, columns) };
    let matrix = Matrix::new(buffer, wide + 2).rows(1..high + 1).columns(1..wide + 1);
    if turned { matrix.t() } else { matrix }
}

fn element(buffer: &[f32], row: usize, column: usize, wide: usize, turned: bool) -> f32 {
    let (row, column) = if turned { (column, row) } else { (row, column) };
    buffer[(row + 1) * (wide + 2) + column + 1]
}

fn is_near(found: f32, expected: f32) -> bool {
    (found - expected).abs() < 1e-4
}

#[test]
fn a_product_of_views_is_the_sum_over_the_inner_index_and_touches_nothing_else() {
    for [m, k, n] in SHAPES {
        for (a_turned, b_turned) in TURNS.map(|a| TURNS.map(|b| (a, b))).into_iter().flatten() {
            let a = numbers((m + 2) * (k + 2), "a");
            let b = numbers((k + 2) * (n + 2), "b");
            let before = numbers((m + 2) * (n + 2), "out");
            for store in [Store::Write, Store::Add] {
                let mut out = before.clone();
                let view_of_out = MatrixMut::new(&mut out, n + 2).rows(1..m + 1).columns(1..n + 1);
                let (a_view, b_view) = (view(&a, m, k, a_turned), view(&b, k, n, b_turned));
                multiply_scaled(view_of_out, store, SCALE, a_view, b_view);
                let (a_wide, b_wide) = (if a_turned { m } else { k }, if b_turned { k } else { n });
                for (at, (found, was)) in out.iter().zip(&before).enumerate() {
                    let (row, column) = (at / (n + 2), at % (n + 2));
                    let is_inside = (1..=m).contains(&row) && (1..=n).contains(&column);
                    let sum = |i: usize, j: usize| -> f32 {
                        let term = |l| {
                            element(&a, i, l, a_wide, a_turned)
                                * element(&b, l, j, b_wide, b_turned)
                        };
                        (0..k).map(term).sum()
                    };
                    let expected = match (is_inside, store) {
                        (false, _) => *was,
                        (true, Store::Write) => SCALE * sum(row - 1, column - 1),
                        (true, Store::Add) => was + SCALE * sum(row - 1, column - 1),
                    };
                    assert!(is_near(*found, expected), "{m} {k} {n}: {found} and not {expected}");
                }
            }
        }
    }
}

#[test]
fn a_product_with_packed_weights_is_the_same() {
    for [rows, n_in, n_out] in SHAPES {
        let (x, w) = (numbers(rows * n_in, "x"), numbers(n_out * n_in, "w"));
        let mut found = numbers(rows * n_out, "y");
        let mut expected = found.clone();
        multiply_packed(&mut found, Store::Add, &x, &Packed::new(&w, n_in));
        let weight = Matrix::new(&w, n_in);
        let out = MatrixMut::new(&mut expected, n_out);
        multiply_scaled(out, Store::Add, 1.0, Matrix::new(&x, n_in), weight.t());
        assert!(found.iter().zip(&expected).all(|(a, b)| is_near(*a, *b)), "{rows} {n_in} {n_out}");
    }
}

#[test]
#[should_panic(expected = "a matrix of")]
fn a_view_that_is_larger_than_any_buffer_is_none() {
    let values = [0.0; 6];
    let _ = Matrix::new(&values, 3).columns(0..usize::MAX);
}
