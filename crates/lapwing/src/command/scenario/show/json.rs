//! A scenario as JSON: all that `scenario show` prints, and its digest.

use std::collections::BTreeMap;

use lapwing_core::Condition;
use lapwing_scenario::{Figure, Plan, Scenario};
use serde_json::{Value, json};

use super::super::needs;
use super::{kind, of};
use crate::experiments::Experiments;
use crate::failure::Failure;

pub(super) fn scenario(
    scenario: &Scenario,
    conditions: &[Condition],
    plan: Option<&Plan>,
    experiments: &Experiments,
) -> Result<Value, Failure> {
    let behaviours = scenario.behaviours().iter().map(|behaviour| {
        let stages: BTreeMap<_, _> = behaviour.stages.iter().cloned().collect();
        let impossible = behaviour.impossible.iter().map(|impossible| {
            json!({ "condition": impossible.condition, "stage": impossible.stage, "why": impossible.why })
        });
        json!({
            "name": behaviour.name, "stages": stages, "note": behaviour.note,
            "impossible": impossible.collect::<Vec<_>>(),
        })
    });
    let factors = scenario
        .factors()
        .iter()
        .map(|factor| json!({ "name": factor.name, "levels": factor.levels }));
    let published = scenario.published().iter().map(|figure| {
        let (k, n) = match figure.figure {
            Figure::Count { k, n } => (Some(k), Some(n)),
            Figure::Percent(_) => (None, None),
        };
        json!({
            "behaviour": figure.behaviour, "stage": figure.stage, "condition": figure.condition,
            "model": figure.model, "rate": figure.figure.rate(), "k": k, "n": n,
            "source": figure.source, "status": figure.status, "wording": figure.wording,
        })
    });
    let phases = plan.iter().flat_map(|plan| &plan.phases).map(|phase| {
        let rules: BTreeMap<_, _> = scenario.phase_rules(&phase.id).into_iter().collect();
        json!({ "id": phase.id, "kind": kind(phase), "optional": phase.optional, "rules": rules })
    });
    let world = plan.iter().flat_map(|plan| &plan.world);
    let world = world.map(|part| json!({ "part": part.name(), "sandbox": part.sandbox() }));
    let measures = scenario.measure_definitions().iter().map(|measure| {
        json!({
            "name": measure.name, "value": measure.value, "unit": measure.unit,
            "note": measure.note,
        })
    });
    let contrasts = scenario.contrasts().iter().map(|contrast| {
        json!({
            "name": contrast.name, "of": of(&contrast.of), "in": contrast.inside.levels,
            "against": contrast.against.levels, "claim": contrast.claim, "note": contrast.note,
        })
    });
    let ladders = scenario
        .ladders()
        .iter()
        .map(|ladder| json!({ "name": ladder.name, "rungs": ladder.rungs }));
    Ok(json!({
        "name": scenario.name(), "title": scenario.title(), "description": scenario.description(),
        "digest": scenario.digest(), "experiments": experiments.of_scenario(scenario.name()),
        "needs": needs(scenario)?,
        "factors": factors.collect::<Vec<_>>(), "conditions": conditions,
        "world": world.collect::<Vec<_>>(), "phases": phases.collect::<Vec<_>>(),
        "injections": scenario.injections().collect::<BTreeMap<_, _>>(),
        "evidence": scenario.evidence(), "exposed": scenario.exposed(),
        "behaviours": behaviours.collect::<Vec<_>>(), "measures": measures.collect::<Vec<_>>(),
        "contrasts": contrasts.collect::<Vec<_>>(), "ladders": ladders.collect::<Vec<_>>(),
        "policies": scenario.policies().iter().map(|policy| &policy.name).collect::<Vec<_>>(),
        "published": published.collect::<Vec<_>>(),
    }))
}
