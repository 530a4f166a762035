//! Matrix products of the `gemm` crate on views of flat buffers.

use std::ops::Range;

use gemm::Parallelism;

use super::Real;

/// A matrix that lies in a buffer: element (i, j) at `i row_step + j column_step`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [Real],
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix with `columns` columns that fills the buffer.
    ///
    /// # Panics
    /// If the buffer does not hold whole rows.
    pub fn new(values: &'a [Real], columns: usize) -> Self {
        let rows = values.len() / columns;
        assert_eq!(values.len(), rows * columns, "a matrix of {columns} columns");
        Self { values, rows, columns, row_step: columns, column_step: 1 }
    }

    /// Rows.
    pub fn n_rows(self) -> usize {
        self.rows
    }

    /// The rows of a range.
    #[must_use]
    pub fn rows(self, range: Range<usize>) -> Self {
        let values = &self.values[range.start * self.row_step..];
        Self { values, rows: range.len(), ..self }.checked()
    }

    /// The columns of a range.
    #[must_use]
    pub fn columns(self, range: Range<usize>) -> Self {
        let values = &self.values[range.start * self.column_step..];
        Self { values, columns: range.len(), ..self }.checked()
    }

    /// The transposed matrix.
    #[must_use]
    pub fn t(self) -> Self {
        let Self { values, rows, columns, row_step, column_step } = self;
        Self { values, rows: columns, columns: rows, row_step: column_step, column_step: row_step }
    }

    fn checked(self) -> Self {
        let last = last(self.rows, self.columns, self.row_step, self.column_step);
        assert!(last <= self.values.len(), "a matrix of {last} in {}", self.values.len());
        self
    }
}

/// A matrix that is written to.
pub struct MatrixMut<'a> {
    values: &'a mut [Real],
    rows: usize,
    columns: usize,
    row_step: usize,
}

impl<'a> MatrixMut<'a> {
    /// A row-major matrix with `columns` columns that fills the buffer.
    ///
    /// # Panics
    /// If the buffer does not hold whole rows.
    pub fn new(values: &'a mut [Real], columns: usize) -> Self {
        let rows = values.len() / columns;
        assert_eq!(values.len(), rows * columns, "a matrix of {columns} columns");
        Self { values, rows, columns, row_step: columns }
    }

    /// The rows of a range.
    #[must_use]
    pub fn rows(self, range: Range<usize>) -> Self {
        let values = &mut self.values[range.start * self.row_step..];
        Self { values, rows: range.len(), ..self }.checked()
    }

    /// The columns of a range.
    #[must_use]
    pub fn columns(self, range: Range<usize>) -> Self {
        let values = &mut self.values[range.start..];
        Self { values, columns: range.len(), ..self }.checked()
    }

    fn checked(self) -> Self {
        let last = last(self.rows, self.columns, self.row_step, 1);
        assert!(last <= self.values.len(), "a matrix of {last} in {}", self.values.len());
        self
    }
}

/// One past the last element of a matrix.
fn last(rows: usize, columns: usize, row_step: usize, column_step: usize) -> usize {
    if rows == 0 || columns == 0 {
        return 0;
    }
    // What does not fit into a number does not fit into a buffer.
    let (down, right) =
        ((rows - 1).saturating_mul(row_step), (columns - 1).saturating_mul(column_step));
    down.saturating_add(right).saturating_add(1)
}

/// What happens to the values that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// They are overwritten.
    Write,
    /// The product is added to them.
    Add,
}

/// out `[m, n]` = or += a `[m, k]` b `[k, n]`.
pub fn multiply(out: MatrixMut<'_>, store: Store, a: Matrix<'_>, b: Matrix<'_>) {
    multiply_scaled(out, store, 1.0, a, b);
}

/// out `[m, n]` = or += scale a `[m, k]` b `[k, n]`.
///
/// # Panics
/// If the shapes do not fit.
#[expect(clippy::needless_pass_by_value, reason = "a view that is written to is used up")]
pub fn multiply_scaled(
    out: MatrixMut<'_>,
    store: Store,
    scale: Real,
    a: Matrix<'_>,
    b: Matrix<'_>,
) {
    assert_eq!(
        (out.rows, out.columns, a.columns),
        (a.rows, b.columns, b.rows),
        "a product of [{}, {}] and [{}, {}] into [{}, {}]",
        a.rows,
        a.columns,
        b.rows,
        b.columns,
        out.rows,
        out.columns
    );
    // SAFETY: `new` and `checked` saw that each matrix ends within its slice, the shapes fit, and `out` is borrowed alone.
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            a.columns,
            out.values.as_mut_ptr(),
            1,
            out.row_step.cast_signed(),
            store == Store::Add,
            a.values.as_ptr(),
            a.column_step.cast_signed(),
            a.row_step.cast_signed(),
            b.values.as_ptr(),
            b.column_step.cast_signed(),
            b.row_step.cast_signed(),
            1.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
