//! What can go wrong between a run and an Inspect log, and what to do about it.

use std::path::{Path, PathBuf};

use lapwing_core::RecordError;
use lapwing_scenario::Diagnostic;
use lapwing_store::StoreError;

/// A run could not be exported, or a log not be imported. Nothing half-written is left behind.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The run cannot be read, or cannot be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run that is made cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The scenario that is kept in the run cannot be loaded.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Scenario(Vec<Diagnostic>),
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A temporary file cannot be made, written or read.
    #[error("a temporary file: {0}; set TMPDIR to a folder with room for the texts of a sample")]
    Temporary(String),
    /// There is a file of that name already.
    #[error("{} exists already; remove it or give another name", .0.display())]
    Exists(PathBuf),
    /// A run cannot be called so.
    #[error(
        "{0:?} cannot be the id of a run; use letters, digits, `-`, `_` and `.`, a letter or digit first"
    )]
    Name(String),
    /// The scoring used rules that are not kept in the run.
    #[error(
        "scoring {0} used an edited scenario, which is not kept in the run; export another scoring"
    )]
    Scoring(i64),
    /// The run still goes on.
    #[error("{0} still goes on; export it when it has ended")]
    Running(String),
    /// No sample of that model has begun.
    #[error("{run} has nothing of {model} to export")]
    Nothing {
        /// The run.
        run: String,
        /// The model.
        model: String,
    },
    /// The file is no Inspect log.
    #[error("{} is no Inspect log: {why}", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// The record in the log was written by a later version.
    #[error("{} has a record of format {found}, this lapwing reads up to {known}; use a newer lapwing", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// Samples are stored in chunks.
    #[error("{}: {member} is a sample in chunks, which this version cannot read; import the log as it was before `inspect log convert-chunked`", path.display())]
    Chunked {
        /// The file.
        path: PathBuf,
        /// The member.
        member: String,
    },
    /// What is in the file cannot be what it says, or is more than is read.
    #[error("{}: {member}: {cause}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The member of the archive; empty for the archive itself.
        member: String,
        /// What was found.
        cause: String,
    },
}

impl InspectError {
    pub(crate) fn io(path: &Path, cause: &dyn std::fmt::Display) -> Self {
        Self::Io { path: path.to_owned(), cause: cause.to_string() }
    }

    pub(crate) fn temporary(cause: &std::io::Error) -> Self {
        Self::Temporary(cause.to_string())
    }

    pub(crate) fn damaged(path: &Path, member: &str, cause: impl std::fmt::Display) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            member: if member.is_empty() { "the archive" } else { member }.to_owned(),
            cause: cause.to_string(),
        }
    }
}
