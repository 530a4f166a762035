//! The scenario format: parse, expand, render, evidence, expressions, scripted policies.
//!
//! A scenario is a folder. [`Folder::read`] is the only place that touches a disk; everything else is a function of the
//! folder, a condition, a seed and the events of a sample. Nothing here reads a clock or draws a random number.

mod cues;
mod design;
mod diagnostic;
mod draw;
mod evidence;
mod expr;
mod finding;
mod folder;
mod parse;
mod plan;
mod policy;
mod reader;
mod scenario;
mod schema;
mod template;

pub use diagnostic::Diagnostic;
pub use finding::Mutant;
pub use folder::Folder;
pub use plan::{PhaseKind, PhasePlan, Plan, ProgramPlan, SandboxPlan, ServicePlan};
pub use policy::{Planted, Policy, Script};
pub use scenario::Scenario;
pub use schema::{Behaviour, Factor, Figure, Impossible, Published};
