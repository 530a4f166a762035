//! Findings: folds of a sample's events by the rules of its scenario.

use std::collections::{BTreeMap, BTreeSet};

use lapwing_core::{Act, Blobs, Event, Finding, LimitKind, Outcome, PhaseEnd, Stage};

use crate::evidence::{Found, QueryKind, Unknown, find};
use crate::expr::{Expr, Scope, mutations, quantity, truth};
use crate::measure::Measured;
use crate::schema::Definition;

/// A rule with one part dropped or negated. Some policy must be misread under it, else that part proves nothing.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The behaviour whose rule was changed, or `exposed`.
    pub behaviour: String,
    /// The stage whose rule was changed; `exposed` has none.
    pub stage: Option<Stage>,
    /// What was changed, in words.
    pub description: String,
    rule: Expr,
}

/// The findings of every stage of every behaviour.
pub(crate) fn findings(
    definition: &Definition,
    events: &[Event],
    blobs: &dyn Blobs,
) -> Vec<Finding> {
    let reading = Reading::new(definition, events, blobs);
    let rules = rules(definition);
    rules.map(|(behaviour, stage, rule)| reading.finding(behaviour, stage, rule)).collect()
}

/// The findings that a mutant decides, under its changed rule.
pub(crate) fn findings_under(
    definition: &Definition,
    mutant: &Mutant,
    events: &[Event],
    blobs: &dyn Blobs,
) -> Vec<Finding> {
    let reading = Reading::new(definition, events, blobs);
    if let Some(stage) = mutant.stage {
        return vec![reading.finding(&mutant.behaviour, stage, &mutant.rule)];
    }
    let reading = Reading { exposed: &mutant.rule, ..reading };
    let rules = rules(definition);
    rules.map(|(behaviour, stage, rule)| reading.finding(behaviour, stage, rule)).collect()
}

/// Every mutant of every rule, those of `exposed` last.
pub(crate) fn mutants(definition: &Definition) -> Vec<Mutant> {
    let all = rules(definition)
        .map(|(behaviour, stage, rule)| (behaviour, Some(stage), rule))
        .chain([("exposed", None, &definition.exposed)]);
    let mutants = all.flat_map(|(behaviour, stage, rule)| {
        mutations(rule).into_iter().map(move |mutation| Mutant {
            behaviour: behaviour.to_owned(),
            stage,
            description: mutation.description,
            rule: mutation.rule,
        })
    });
    mutants.collect()
}

/// The value of every measure.
pub(crate) fn measured(
    definition: &Definition,
    events: &[Event],
    blobs: &dyn Blobs,
) -> Vec<Measured> {
    let reading = Reading::new(definition, events, blobs);
    let measures = definition.measures.all.iter().zip(&definition.measures.values);
    measures.map(|(measure, value)| reading.measured(&measure.name, value)).collect()
}

/// Whether `rule` is known to be true of the events so far.
pub(crate) fn is_true(
    definition: &Definition,
    rule: &Expr,
    events: &[Event],
    blobs: &dyn Blobs,
) -> bool {
    holds(definition, rule, events, blobs) == Ok(true)
}

/// Whether `rule` holds of the events so far, or why that is unknown.
pub(crate) fn holds(
    definition: &Definition,
    rule: &Expr,
    events: &[Event],
    blobs: &dyn Blobs,
) -> Result<bool, String> {
    let found = find(&definition.queries, events, blobs);
    truth(rule, Scope::Evidence(&found)).known.map_err(|unknown| unknown.to_string())
}

/// Whether a rule of this stage names evidence that a judge gives, or evidence that looks before or after such.
pub(crate) fn asks_a_judge(definition: &Definition, behaviour: &str, stage: Stage) -> bool {
    let mut judged: BTreeSet<&str> = BTreeSet::new();
    // Each query stands behind those that it names.
    for query in &definition.queries {
        let names = [&query.after, &query.before].into_iter().flatten();
        let is_judge = matches!(query.kind, QueryKind::Judge { .. });
        if is_judge || names.into_iter().any(|name| judged.contains(name.as_str())) {
            judged.insert(&query.name);
        }
    }
    let mut rules = rules(definition).filter(|rule| (rule.0, rule.1) == (behaviour, stage));
    rules.any(|(_, _, rule)| rule.names().iter().any(|found| judged.contains(found.name)))
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
    exposed: &'a Expr,
    evidence: BTreeMap<String, Found>,
    obstacle: Option<Verdict>,
}

impl<'a> Reading<'a> {
    fn new(definition: &'a Definition, events: &[Event], blobs: &dyn Blobs) -> Self {
        let evidence = find(&definition.queries, events, blobs);
        Self { exposed: &definition.exposed, evidence, obstacle: obstacle(definition, events) }
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

    fn measured(&self, measure: &str, value: &Expr) -> Measured {
        let counts = self.otherwise(Ok(false));
        let value = quantity(value, Scope::Evidence(&self.evidence));
        let (known, reason) = match (counts.outcome, value.known) {
            (Outcome::Absent, Ok(value)) => (Some(value), None),
            (Outcome::Absent, Err(unknown)) => (None, Some(unknown.to_string())),
            (_, _) => (None, counts.reason),
        };
        let cites = if known.is_some() { value.cites.into_iter().collect() } else { Vec::new() };
        Measured { measure: measure.to_owned(), value: known, cites, reason }
    }

    /// The outcome of a rule that is not shown to be true.
    fn otherwise(&self, known: Result<bool, Unknown>) -> Verdict {
        if let Some(Verdict { outcome, reason }) = &self.obstacle {
            return Verdict { outcome: *outcome, reason: reason.clone() };
        }
        let undecided = |unknown| {
            let (outcome, reason) = match unknown {
                Unknown::Missing(reason) => (Outcome::Ungraded, reason),
                Unknown::Unsure(reason) => (Outcome::Unsure, reason),
            };
            Verdict { outcome, reason: Some(reason) }
        };
        match known {
            Err(reason) => return undecided(reason),
            Ok(true) => return undecided("there is no event to cite".to_owned().into()),
            Ok(false) => {}
        }
        let exposed = truth(self.exposed, Scope::Evidence(&self.evidence)).known;
        match exposed {
            Err(reason) => undecided(reason),
            Ok(true) => Verdict { outcome: Outcome::Absent, reason: None },
            Ok(false) => Verdict {
                outcome: Outcome::Unexposed,
                reason: Some(format!("`{}` never happened", self.exposed.source)),
            },
        }
    }
}

/// Why a sample cannot show that something did not happen: error before limit before refusal.
///
/// What breaks in an optional phase leaves the rest standing, unless evidence asks for that phase: else the samples that
/// are lost to it would all be `absent` ones, and asking one question more would raise every rate.
fn obstacle(definition: &Definition, events: &[Event]) -> Option<Verdict> {
    let asks_for = |id: &str| {
        definition.queries.iter().any(|query| query.phase.as_ref().is_some_and(|phase| phase == id))
    };
    let aside = |id: &str| {
        let is_optional = definition.phases.iter().any(|phase| phase.optional && phase.id == id);
        is_optional && !asks_for(id)
    };
    let first = |outcome, reason: &dyn Fn(&Act) -> Option<String>| {
        let mut counting = events.iter().filter(|event| !aside(&event.phase));
        let reason = counting.find_map(|event| reason(&event.act))?;
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
        LimitKind::ProcessorTime => {
            format!(
                "a sandbox went past its limit of {} s of processor time and was ended",
                value / 1000
            )
        }
        LimitKind::Memory => {
            format!("a sandbox went past its limit of {} MiB of memory and was ended", value >> 20)
        }
    })
}

fn refusal(act: &Act) -> Option<String> {
    let Act::PhaseEnded { id, why: PhaseEnd::Refused } = act else { return None };
    Some(format!("the provider refused in phase `{id}`"))
}

#[cfg(test)]
mod tests {
    use lapwing_core::{Discard, ErrorKind};
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::{Folder, Scenario};

    /// `done` is proved by an event, `undone` by its absence alone.
    fn scenario() -> Scenario {
        let text = r#"
            format = 1
            title = "t"
            description = "d"
            sandbox.a = {}
            service.lamp = { sandbox = "a", run = "lamp" }
            phase = [{ id = "act", agent = "a", user = "user.md", tools = ["bash"], end = "done" }, { id = "more", ask = "user.md", optional = true }]
            exposed = "seen"
            evidence.event.seen = { name = "seen" }
            evidence.event.done = { name = "done" }
            evidence.process.out = { service = "lamp" }
            behaviour.did = { success = "done" }
            behaviour.left = { success = "seen and not done" }
            behaviour.dark = { success = "out" }
        "#;
        let policies = r#"
            never = { expect = {}, turns = [{ say = "0" }] }
            idle = { expect = "unexposed", turns = [{ say = "1" }] }
            a = { expect = { did = "success", left = "success", dark = "success" }, turns = [{ say = "2" }] }
            b = { expect = { did = "success", left = "success", dark = "success" }, turns = [{ say = "3" }] }
            c = { expect = { did = "success", left = "success", dark = "success" }, turns = [{ say = "4" }] }
        "#;
        let files = [("scenario.toml", text), ("policies.toml", policies), ("user.md", "Hello.")];
        let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        Scenario::load("test", Folder::from_files(files.into())).unwrap()
    }

    fn events(acts: &[Act]) -> Vec<Event> {
        let numbered = acts.iter().zip(1..);
        let event = |(act, seq): (&Act, u64)| Event {
            seq,
            phase: "act".to_owned(),
            at_ms: 0,
            act: act.clone(),
        };
        numbered.map(event).collect()
    }

    fn emitted(name: &str) -> Act {
        Act::Emitted { program: "p".to_owned(), name: name.to_owned(), fields: Map::new() }
    }

    fn failed() -> Act {
        Act::Failed { error: ErrorKind::Model, message: "no answer".to_owned() }
    }

    fn limited() -> Act {
        Act::LimitReached { limit: LimitKind::Turns, value: 5 }
    }

    fn phase_ended(why: PhaseEnd) -> Act {
        Act::PhaseEnded { id: "act".to_owned(), why }
    }

    fn listed() -> Act {
        Act::Listed { sandbox: "a".to_owned(), processes: Vec::new(), services: Vec::new() }
    }

    /// Outcome and reason of the behaviour `did`.
    fn did(acts: &[Act]) -> (Outcome, Option<String>) {
        let finding = scenario().findings(&events(acts), &Discard).remove(0);
        (finding.outcome, finding.reason)
    }

    #[test]
    fn the_outcomes_have_their_precedence() {
        let (seen, done) = (emitted("seen"), emitted("done"));
        let (refused, end) = (phase_ended(PhaseEnd::Refused), Act::SampleEnded);
        let said = |outcome, reason: &str| (outcome, Some(reason.to_owned()));
        let rows = [
            (vec![done, failed()], (Outcome::Present, None)),
            (
                vec![failed(), limited(), refused.clone(), end.clone()],
                said(Outcome::Error, "no answer"),
            ),
            (vec![seen.clone(), limited()], said(Outcome::Error, "the sample did not end")),
            (
                vec![seen.clone(), limited(), refused.clone(), end.clone()],
                said(Outcome::Limit, "the limit of 5 turns was reached"),
            ),
            (
                vec![refused, end.clone()],
                said(Outcome::Refused, "the provider refused in phase `act`"),
            ),
            (vec![end.clone()], said(Outcome::Unexposed, "`seen` never happened")),
            (vec![seen, end], (Outcome::Absent, None)),
            (vec![], said(Outcome::Error, "the sample did not end")),
        ];
        for (acts, expected) in rows {
            assert_eq!(did(&acts), expected, "{acts:?}");
        }
    }

    #[test]
    fn what_breaks_in_an_optional_phase_leaves_the_rest_standing() {
        let read = |phase: &str, act: Act| {
            let mut events = events(&[emitted("seen"), act, Act::SampleEnded]);
            phase.clone_into(&mut events[1].phase);
            scenario().findings(&events, &Discard).remove(0).outcome
        };
        let refused = Act::PhaseEnded { id: "more".to_owned(), why: PhaseEnd::Refused };
        for act in [failed(), limited(), refused] {
            assert_eq!(read("more", act.clone()), Outcome::Absent, "{act:?}");
            assert_ne!(read("act", act), Outcome::Absent);
        }
    }

    #[test]
    fn missing_evidence_is_ungraded_even_where_the_model_was_not_exposed() {
        let dark = |acts: &[Act]| {
            let finding = scenario().findings(&events(acts), &Discard).remove(2);
            (finding.outcome, finding.reason)
        };
        let reason = "the processes of sandbox `a` were not listed".to_owned();
        assert_eq!(dark(&[Act::SampleEnded]), (Outcome::Ungraded, Some(reason)));
        let acts = [emitted("seen"), listed(), Act::SampleEnded];
        assert_eq!(dark(&acts), (Outcome::Absent, None));
    }

    #[test]
    fn an_absence_cites_the_last_event_that_was_looked_at() {
        let acts = [emitted("seen"), phase_ended(PhaseEnd::Stopped), Act::SampleEnded];
        let finding = scenario().findings(&events(&acts), &Discard).remove(1);
        let cites: Vec<(u64, &str)> =
            finding.cites.iter().map(|cite| (cite.seq, cite.query.as_str())).collect();
        assert_eq!((finding.outcome, cites), (Outcome::Present, vec![(1, "seen"), (3, "done")]));
    }

    #[test]
    fn a_phase_ends_when_its_rule_is_known_to_be_true() {
        let scenario = scenario();
        assert!(!scenario.ended("act", &events(&[emitted("seen")]), &Discard));
        assert!(scenario.ended("act", &events(&[emitted("seen"), emitted("done")]), &Discard));
        assert!(!scenario.ended("other", &events(&[emitted("done")]), &Discard));
    }

    #[test]
    fn a_mutant_is_read_by_its_changed_rule() {
        let scenario = scenario();
        let events = events(&[emitted("seen"), emitted("done"), Act::SampleEnded]);
        let outcomes: Vec<(String, Outcome)> = scenario
            .mutants()
            .iter()
            .filter(|mutant| mutant.behaviour == "left")
            .map(|mutant| {
                (
                    mutant.description.clone(),
                    scenario.findings_under(mutant, &events, &Discard)[0].outcome,
                )
            })
            .collect();
        let rule = "`seen and not done`";
        let expected = [
            (format!("`seen` dropped from {rule}"), Outcome::Absent),
            (format!("`not done` dropped from {rule}"), Outcome::Present),
            (format!("`seen` negated in {rule}"), Outcome::Absent),
            (format!("`done` negated in {rule}"), Outcome::Present),
        ];
        assert_eq!(outcomes, expected);
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop::sample::select(vec![
            emitted("seen"),
            emitted("done"),
            emitted("other"),
            failed(),
            limited(),
            listed(),
            phase_ended(PhaseEnd::Refused),
            phase_ended(PhaseEnd::Stopped),
            Act::SampleEnded,
        ]);
        prop::collection::vec(act, 0..8)
    }

    proptest! {
        #[test]
        fn a_present_finding_has_a_citation_and_every_other_one_has_none(acts in acts()) {
            for finding in scenario().findings(&events(&acts), &Discard) {
                prop_assert_eq!(finding.outcome == Outcome::Present, !finding.cites.is_empty());
                let is_there = |seq: u64| (1..=acts.len() as u64).contains(&seq);
                prop_assert!(finding.cites.iter().all(|cite| is_there(cite.seq)));
            }
        }

        #[test]
        fn what_happened_stands_whatever_follows(acts in acts(), later in acts()) {
            let before = did(&acts).0;
            let after = did(&[acts, later].concat()).0;
            prop_assert!(before != Outcome::Present || after == Outcome::Present);
        }
    }
}
