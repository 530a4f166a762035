//! Isolation for commands that a model runs.
