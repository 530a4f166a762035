//! The settings of a run as its file has them.

use std::collections::BTreeSet;
use std::str::FromStr;

use lapwing_core::{Effort, GenerateConfig};
use lapwing_eval::SampleLimits;
use lapwing_model::Budget;
use lapwing_store::RunSpec;

/// How models sampled.
pub(crate) fn config(spec: &RunSpec) -> GenerateConfig {
    let stops = (1..).map_while(|index| spec.settings.get(&format!("stop {index}")).cloned());
    let effort = spec.settings.get("reasoning_effort");
    GenerateConfig {
        temperature: set(spec, "temperature"),
        top_p: set(spec, "top_p"),
        max_tokens: set(spec, "max_tokens"),
        seed: set(spec, "seed"),
        stop: stops.collect(),
        reasoning_effort: effort
            .and_then(|word| Effort::ALL.into_iter().find(|effort| effort.word() == word)),
        reasoning_tokens: set(spec, "reasoning_tokens"),
        logprobs: set(spec, "logprobs").unwrap_or(false),
    }
}

/// The limits of its samples.
pub(crate) fn limits(spec: &RunSpec) -> SampleLimits {
    let usual = SampleLimits::default();
    SampleLimits {
        turns: set(spec, "turns"),
        tokens: set(spec, "tokens"),
        tool_ms: set(spec, "tool_time_ms").unwrap_or(usual.tool_ms),
        wall_ms: set(spec, "wall_time_ms").unwrap_or(usual.wall_ms),
        ..usual
    }
}

/// The optional phases that were asked for.
pub(crate) fn optional(spec: &RunSpec) -> BTreeSet<String> {
    let phases = spec.settings.get("with").into_iter().flat_map(|phases| phases.split(','));
    phases.map(str::to_owned).collect()
}

/// The most that it may use.
pub(crate) fn budget(spec: &RunSpec) -> Option<Budget> {
    set(spec, "budget")
}

fn set<T: FromStr>(spec: &RunSpec, name: &str) -> Option<T> {
    spec.settings.get(name)?.parse().ok()
}
