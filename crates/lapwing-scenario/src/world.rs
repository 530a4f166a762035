//! World parts: what a scenario declares of them.

/// A part of the world, with everything rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartPlan {}
