//! The run store: one SQLite file a run, which is also one fault domain.
//!
//! One thread writes, and commits in groups: a sample's turn is durable before its next turn begins. While the run goes on the
//! file is in WAL mode and can be read; at the end it is sealed to a plain read-only file. Findings are folds over the events and
//! are kept by scoring, so that a run can be scored again. Transcripts and tables are not stored: they are made anew from events.

mod error;
mod read;
mod resume;
mod runs;
mod schema;
mod spec;
mod write;

pub use error::StoreError;
pub use read::{Run, SampleRow, SampleState, Scoring, ScoringRow};
pub use resume::{Resume, Resumed};
pub use runs::{Listed, Runs};
pub use spec::{Ending, RunSpec, RunState};
pub use write::RunWriter;
