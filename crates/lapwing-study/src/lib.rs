//! Studies: small organisms with known misbehaviour are trained, treated and measured, as `studies/*.toml` declare it.
//!
//! What they test is the *direction of a published claim in a small analogue*. `world` is a small language with exact ground truth, `treat` trains,
//! `measure` and `probe` measure. `study` is the file that declares stages and claims; `run` computes each stage for each seed as a `cell` that is
//! kept, `claim` decides over seeds, `report` says what was found.

pub mod audit;
mod cache;
pub mod cell;
pub mod claim;
pub mod clean;
mod expand;
pub mod figures;
pub mod history;
pub mod measure;
mod mistake;
pub mod plot;
pub mod probe;
pub mod probing;
pub mod report;
pub mod run;
pub mod study;
pub mod treat;
mod treatment;
pub mod world;

pub use cache::FileError;
pub use mistake::Mistake;
pub use treatment::Treatment;
