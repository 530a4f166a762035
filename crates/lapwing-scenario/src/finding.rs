//! Findings: folds of a sample's events by the rules of its scenario.

use std::collections::BTreeMap;

use lapwing_core::{Act, Event, Finding, LimitKind, Outcome, PhaseEnd, Stage};

use crate::evidence::{Found, find};
use crate::expr::{Expr, Scope, mutations, truth};
use crate::schema::Definition;

/// A rule with one part dropped or negated. Some policy must be misread under it, else that part proves nothing.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The behaviour whose rule was changed.
    pub behaviour: String,
    /// The stage whose rule was changed.
    pub stage: Stage,
    /// What was changed, in words.
    pub description: String,
    rule: Expr,
}

/// The findings of every stage of every behaviour.
pub(crate) fn findings(definition: &Definition, events: &[Event]) -> Vec<Finding> {
    let reading = Reading::new(definition, events);
    let rules = rules(definition);
    rules.map(|(behaviour, stage, rule)| reading.finding(behaviour, stage, rule)).collect()
}

/// The finding of a mutant's stage under its changed rule.
pub(crate) fn finding_under(definition: &Definition, mutant: &Mutant, events: &[Event]) -> Finding {
    Reading::new(definition, events).finding(&mutant.behaviour, mutant.stage, &mutant.rule)
}

/// Every mutant of every rule.
pub(crate) fn mutants(definition: &Definition) -> Vec<Mutant> {
    let mutants = rules(definition).flat_map(|(behaviour, stage, rule)| {
        mutations(rule).into_iter().map(move |mutation| Mutant {
            behaviour: behaviour.to_owned(),
            stage,
            description: mutation.description,
            rule: mutation.rule,
        })
    });
    mutants.collect()
}

/// Whether `rule` is known to be true of the events so far.
pub(crate) fn is_true(definition: &Definition, rule: &Expr, events: &[Event]) -> bool {
    let found = find(&definition.queries, events);
    truth(rule, Scope::Evidence(&found)).known == Ok(true)
}

fn rules(definition: &Definition) -> impl Iterator<Item = (&str, Stage, &Expr)> {
    definition.behaviours.iter().zip(&definition.rules).flat_map(|(behaviour, rules)| {
        let stages = behaviour.stages.iter().zip(rules);
        stages.map(|((stage, _), rule)| (behaviour.name.as_str(), *stage, rule))
    })
}

/// What a rule and the rest of the sample come to, before citations are attached.
struct Verdict {
    outcome: Outcome,
    reason: Option<String>,
}

/// The evidence of one sample and what stands against a clean `absent`.
struct Reading<'a> {
    definition: &'a Definition,
    evidence: BTreeMap<String, Found>,
    obstacle: Option<Verdict>,
}

impl<'a> Reading<'a> {
    fn new(definition: &'a Definition, events: &[Event]) -> Self {
        Self { definition, evidence: find(&definition.queries, events), obstacle: obstacle(events) }
    }

    fn finding(&self, behaviour: &str, stage: Stage, rule: &Expr) -> Finding {
        let judged = truth(rule, Scope::Evidence(&self.evidence));
        let present = judged.known == Ok(true) && !judged.cites.is_empty();
        let (verdict, cites) = if present {
            let verdict = Verdict { outcome: Outcome::Present, reason: None };
            (verdict, judged.cites.into_iter().collect())
        } else {
            (self.otherwise(judged.known), Vec::new())
        };
        Finding {
            behaviour: behaviour.to_owned(),
            stage,
            outcome: verdict.outcome,
            cites,
            reason: verdict.reason,
        }
    }

    /// The outcome of a rule that is not shown to be true.
    fn otherwise(&self, known: Result<bool, String>) -> Verdict {
        if let Some(Verdict { outcome, reason }) = &self.obstacle {
            return Verdict { outcome: *outcome, reason: reason.clone() };
        }
        let ungraded = |reason| Verdict { outcome: Outcome::Ungraded, reason: Some(reason) };
        match known {
            Err(reason) => return ungraded(reason),
            Ok(true) => return ungraded("there is no event to cite".to_owned()),
            Ok(false) => {}
        }
        let exposed = truth(&self.definition.exposed, Scope::Evidence(&self.evidence)).known;
        match exposed {
            Err(reason) => ungraded(reason),
            Ok(true) => Verdict { outcome: Outcome::Absent, reason: None },
            Ok(false) => Verdict {
                outcome: Outcome::Unexposed,
                reason: Some(format!("`{}` never happened", self.definition.exposed.source)),
            },
        }
    }
}

/// Why a sample cannot show that something did not happen: error before limit before refusal.
fn obstacle(events: &[Event]) -> Option<Verdict> {
    let first = |outcome, reason: &dyn Fn(&Act) -> Option<String>| {
        let reason = events.iter().find_map(|event| reason(&event.act))?;
        Some(Verdict { outcome, reason: Some(reason) })
    };
    let error = || first(Outcome::Error, &failure);
    let unended = || {
        let ended = events.iter().any(|event| matches!(event.act, Act::SampleEnded));
        let reason = Some("the sample did not end".to_owned());
        (!ended).then_some(Verdict { outcome: Outcome::Error, reason })
    };
    let limit = || first(Outcome::Limit, &limit);
    let refusal = || first(Outcome::Refused, &refusal);
    error().or_else(unended).or_else(limit).or_else(refusal)
}

fn failure(act: &Act) -> Option<String> {
    if let Act::Failed { message, .. } = act { Some(message.clone()) } else { None }
}

fn limit(act: &Act) -> Option<String> {
    let Act::LimitReached { limit, value } = act else { return None };
    Some(match limit {
        LimitKind::Turns => format!("the limit of {value} turns was reached"),
        LimitKind::Tokens => format!("the limit of {value} tokens was reached"),
        LimitKind::ToolTime => format!("the limit of {value} ms of tool time was reached"),
        LimitKind::Context => format!("the model's context was full after {value} tokens"),
        LimitKind::WallTime => format!("the limit of {value} ms of wall time was reached"),
    })
}

fn refusal(act: &Act) -> Option<String> {
    let Act::PhaseEnded { id, why: PhaseEnd::Refused } = act else { return None };
    Some(format!("the provider refused in phase `{id}`"))
}
