//! What can go wrong with a run file, and what to do about it.

use std::path::{Path, PathBuf};

/// A run could not be created, found, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No run of that name.
    #[error("there is no run {wanted:?} in {}{}", dir.display(), near.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
    NoRun {
        /// What was asked for.
        wanted: String,
        /// Where it was looked for.
        dir: PathBuf,
        /// The most similar run.
        near: Option<String>,
    },
    /// The prefix fits several runs.
    #[error("{wanted:?} fits several runs: {}", fits.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The runs that fit.
        fits: Vec<String>,
    },
    /// No run has been made yet.
    #[error("there are no runs in {}; `lapwing eval SCENARIO` makes one", dir.display())]
    NoRuns {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The file is no run.
    #[error("{} is not a run file of lapwing", path.display())]
    NotARun {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version.
    #[error("{} has format {found}, this lapwing reads up to {known}; use a newer lapwing", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// The file is damaged.
    #[error("{} is damaged ({cause}); restore it from a copy, or remove it and run again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        cause: String,
    },
    /// The file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The disk is full.
    #[error("{}: the disk is full; free some space, everything committed so far is kept", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    pub(crate) fn io(path: &Path, cause: &dyn std::fmt::Display) -> Self {
        Self::Io { path: path.to_owned(), cause: cause.to_string() }
    }

    pub(crate) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => Self::NotARun { path },
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                Self::Corrupt { path, cause: error.to_string() }
            }
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full { path },
            _ => Self::Io { path, cause: error.to_string() },
        }
    }

    pub(crate) fn json(path: &Path, what: &str, error: &serde_json::Error) -> Self {
        Self::Corrupt { path: path.to_owned(), cause: format!("{what}: {error}") }
    }
}
