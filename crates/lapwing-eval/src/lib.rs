//! Runs samples and scores them.
//!
//! The [`dispatch`] loop starts samples and collects them; a sample (`sample`) goes through its phases, asks the model,
//! carries out tool calls (`tool`) in its sandboxes (`machine`), lets programs answer (`program`) and writes every act to its
//! `log`. Findings are folds over that log; [`Table`] and [`Check`] are folds over findings.

mod agent;
mod backstage;
mod check;
mod design;
mod dispatch;
mod inject;
mod limits;
mod log;
mod machine;
mod program;
mod run_phase;
mod sample;
mod table;
mod tool;
mod turn;
mod world;

pub use check::{Check, Confusion, Mismatch, Mutations, Uncaught};
pub use design::{Design, Planned, Target};
pub use dispatch::{Eval, Progress, Stop, dispatch};
pub use limits::SampleLimits;
pub use table::{Rate, Row, Table};
