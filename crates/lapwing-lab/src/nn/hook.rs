//! Named points where a researcher reads or replaces what flows through the network.

use std::fmt;
use std::ops::Range;

use super::Real;

/// A point of the network, by TransformerLens' names where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// Token embedding `[rows, hidden]`.
    Embed,
    /// Residual stream before a layer's attention `[rows, hidden]`.
    ResidPre(usize),
    /// Attention pattern of a layer, once for each sequence and head: `[length, length]`.
    Pattern(usize),
    /// What a layer's attention adds to the residual stream `[rows, hidden]`.
    AttnOut(usize),
    /// Residual stream between a layer's attention and MLP `[rows, hidden]`.
    ResidMid(usize),
    /// What a layer's MLP adds to the residual stream `[rows, hidden]`.
    MlpOut(usize),
    /// Residual stream after a layer `[rows, hidden]`.
    ResidPost(usize),
    /// Logits of some rows `[rows, vocab]`.
    Logits,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embed => write!(f, "hook_embed"),
            Self::ResidPre(layer) => write!(f, "blocks.{layer}.hook_resid_pre"),
            Self::Pattern(layer) => write!(f, "blocks.{layer}.attn.hook_pattern"),
            Self::AttnOut(layer) => write!(f, "blocks.{layer}.hook_attn_out"),
            Self::ResidMid(layer) => write!(f, "blocks.{layer}.hook_resid_mid"),
            Self::MlpOut(layer) => write!(f, "blocks.{layer}.hook_mlp_out"),
            Self::ResidPost(layer) => write!(f, "blocks.{layer}.hook_resid_post"),
            Self::Logits => write!(f, "logits"),
        }
    }
}

/// Where values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The point.
    pub point: Point,
    /// Rows of the batch.
    pub rows: Range<usize>,
    /// The head, at `Point::Pattern` alone.
    pub head: Option<usize>,
}

/// What is called at the points that it wants.
pub trait Hooks {
    /// Whether `forward` and `backward` are to be called at a point. A point that nobody wants costs nothing.
    fn wants(&self, point: Point) -> bool;

    /// Reads the values on the way forward, or replaces them.
    fn forward(&mut self, place: &Place, values: &mut [Real]);

    /// Reads the gradient on these values on the way back, or changes it: a penalty on activations adds its gradient here, and a
    /// hook that replaced values multiplies by the derivative of what it did. Not called at `Point::Pattern`.
    fn backward(&mut self, _place: &Place, _gradient: &mut [Real]) {}
}

/// No hooks.
pub struct NoHooks;

impl Hooks for NoHooks {
    fn wants(&self, _point: Point) -> bool {
        false
    }

    fn forward(&mut self, _place: &Place, _values: &mut [Real]) {}
}

/// Calls `forward` on whole rows, if wanted.
pub(super) fn read(hooks: &mut dyn Hooks, point: Point, rows: usize, values: &mut [Real]) {
    if hooks.wants(point) {
        hooks.forward(&Place { point, rows: 0..rows, head: None }, values);
    }
}

/// Calls `backward` on whole rows, if wanted.
pub(super) fn read_gradient(
    hooks: &mut dyn Hooks,
    point: Point,
    rows: usize,
    gradient: &mut [Real],
) {
    if hooks.wants(point) {
        hooks.backward(&Place { point, rows: 0..rows, head: None }, gradient);
    }
}
