//! Estimators against an independent implementation: the rows were printed by `fixtures/reference.py` (SciPy 1.17.1,
//! statsmodels 0.15.0), except where a file or a test names another origin.

#![expect(
    clippy::unreadable_literal,
    clippy::unwrap_used,
    reason = "rows stand as the reference prints them, and a test fails by panicking"
)]

mod detectors;
mod differences;
mod rates;
mod seeds;
mod trends;
