//! Estimators on slices.
