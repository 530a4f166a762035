//! Studies: files, claims, runs, reports.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod claims;
mod files;
mod runs;

use std::path::PathBuf;

use lapwing_study::study::{Source, Study};

/// A study that is trained in a moment.
const TINY: &str = include_str!("tiny.toml");

fn source(text: &str) -> Source {
    Source { path: PathBuf::from("tiny.toml"), text: text.to_owned() }
}

fn tiny() -> Study {
    Study::parse(&source(TINY)).unwrap()
}
