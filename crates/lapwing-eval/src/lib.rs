//! Runs samples and scores them.
//!
//! The [`dispatch`] loop starts samples and collects them; a sample (`sample`) goes through its phases, asks the model,
//! carries out tool calls (`tool`) in its sandboxes (`machine`), lets programs answer (`program`) and writes every act to its
//! `log`. Judges (`judge`) label what a model wrote, as events of the same log. Findings are folds over that log; [`Table`],
//! [`Comparisons`], [`Compared`] and [`Check`] are folds over findings and measures.

mod admission;
mod agent;
mod background;
mod backstage;
mod check;
mod compare;
mod design;
mod dispatch;
mod inject;
mod judge;
mod limits;
mod log;
mod machine;
mod measure;
mod program;
mod run_phase;
mod sample;
mod shell;
mod table;
mod tool;
mod turn;
mod watched;
mod world;

pub use admission::Admission;
pub use check::{Check, Confusion, MeasureMismatch, Mismatch, MutationCount, ShownCue, Uncaught};
pub use compare::{Compared, Flip, MeasureChange, Method, RateChange, Side};
pub use design::{Design, Planned, Target};
pub use dispatch::{Eval, HasRoom, Progress, Stop, dispatch};
pub use judge::{
    Calibration, Counts, Estimate, Judge, JudgeError, Judgings, TestJudge, calibrate, judge_again,
};
pub use limits::SampleLimits;
pub use measure::{Comparisons, ContrastRow, LadderRow, MeasureRow, Verdict, measured};
pub use shell::Shell;
pub use table::{Rate, Row, Table, note_codebook, via_codebook};
pub use tool::spec as tool_spec;
