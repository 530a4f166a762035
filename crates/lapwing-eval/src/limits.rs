//! Limits of one sample.

use lapwing_core::{LimitKind, Usage};

/// Limits of one sample; what a scenario sets for a phase's turns stands unless `turns` is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleLimits {
    /// Model turns in a phase.
    pub turns: Option<u32>,
    /// Tokens of all calls together, cached ones included.
    pub tokens: Option<u64>,
    /// Milliseconds of all tool calls together.
    pub tool_ms: u64,
    /// Milliseconds of one tool call, after which its command is killed.
    pub call_ms: u64,
    /// Milliseconds of the whole sample; a `run` phase is still run behind them, within `call_ms`.
    pub wall_ms: u64,
}

impl Default for SampleLimits {
    fn default() -> Self {
        Self { turns: None, tokens: None, tool_ms: 900_000, call_ms: 120_000, wall_ms: 1_800_000 }
    }
}

/// What a sample has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) usage: Usage,
    pub(crate) tool_ms: u64,
}

impl Spent {
    /// The limit that is used up, with its value.
    pub(crate) fn exceeds(&self, limits: &SampleLimits) -> Option<(LimitKind, u64)> {
        match limits.tokens {
            Some(tokens) if self.usage.total() >= tokens => Some((LimitKind::Tokens, tokens)),
            _ if self.tool_ms >= limits.tool_ms => Some((LimitKind::ToolTime, limits.tool_ms)),
            _ => None,
        }
    }
}
