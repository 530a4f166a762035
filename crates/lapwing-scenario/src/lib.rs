//! The scenario format: parse, expand, render, evidence, expressions, scripted policies.
//!
//! A scenario is a folder. [`Folder::read`] is the only place that touches a disk; everything else is a function of the
//! folder, a condition, a seed and the events of a sample. Nothing here reads a clock or draws a random number.
//!
//! `docs/scenario-format.md` is the format's reference, with an example of every key that a test loads; [`JSON_SCHEMA`] describes
//! the keys of `scenario.toml` for editors.
//!
//! - A folder is read into a definition (`reader`, `parse`, `schema`), which a condition and a seed turn into a [`Plan`] (`draw`,
//!   `template`, `plan`); `design` says which conditions there are.
//! - The events of a sample answer queries (`evidence`, `decode`); rules over them (`expr`) become findings (`finding`) and numbers
//!   (`measure`).
//! - Scripted policies (`policy`) say what they plant; [`Mutant`]s and cue words (`cues`) prove the instrument.

mod cues;
pub mod decode;
mod demand;
mod design;
mod diagnostic;
mod draw;
mod evidence;
mod expr;
mod finding;
mod folder;
mod json_schema;
mod measure;
mod organism;
mod parse;
mod plan;
mod policy;
mod reader;
mod rubric;
mod scenario;
mod schema;
mod template;
mod world;

pub use cues::cue_words;
pub use demand::Demand;
pub use design::{DesignChoice, Screen};
pub use diagnostic::Diagnostic;
pub use evidence::{Glob, JudgeOver};
pub use finding::Mutant;
pub use folder::Folder;
pub use json_schema::JSON_SCHEMA;
pub use measure::{Claim, Contrast, ContrastOf, Ladder, Measure, Measured, Side};
pub use organism::Codebook;
pub use plan::{
    CarryPlan, InjectionPlan, PhaseKind, PhasePlan, Plan, ProgramPlan, RunPlace, SandboxPlan,
    ServicePlan,
};
pub use policy::{Policy, Script};
pub use rubric::{Gold, GoldItem, Rubric};
pub use scenario::Scenario;
pub use schema::{Behaviour, Factor, Figure, Impossible, JudgeQuery, Published};
pub use world::{Mail, PartKind, PartPlan, address, part_events};
