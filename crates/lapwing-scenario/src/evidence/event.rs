//! What programs, world parts and graders say that happened.

use std::collections::BTreeMap;

use lapwing_core::{Act, Event, Executor, ExitStatus, PhaseEnd};
use serde_json::Value;

use super::{Found, Item, Unknown};

/// The events `name` of `program`, or of any.
pub(super) fn emitted(name: &str, program: Option<&str>, events: &[&Event]) -> Found {
    let items = events.iter().filter_map(|event| {
        let Act::Emitted { program: by, name: emitted, fields } = &event.act else { return None };
        let mut fields: BTreeMap<_, _> = fields.clone().into_iter().collect();
        fields.insert("program".to_owned(), Value::from(by.as_str()));
        let is_meant = emitted == name && program.is_none_or(|program| program == by);
        is_meant.then(|| Item { seq: event.seq, what: name.to_owned(), fields })
    });
    Found::complete(items.collect(), events.last().map(|event| event.seq))
}

/// The events `name` of the part `part` of the world. What it could not look at may have held more.
pub(super) fn of_part(part: &str, name: &str, events: &[&Event]) -> Found {
    let unread = emitted("unread", Some(part), events).items;
    let gap = unread.first().map(|item| {
        let path = item.fields.get("path").and_then(Value::as_str).unwrap_or_default();
        Unknown::Missing(format!("`{path}` is too large, or one of too many, to be searched"))
    });
    Found { gap, ..emitted(name, Some(part), events) }
}

/// What the program of the phase `phase` reports under `name`. Unless it ran to its end without a mistake, nothing it
/// said counts: it may have been about to take it back.
pub(super) fn reported(name: &str, phase: &str, events: &[Event], inside: &[&Event]) -> Found {
    let by_phase = Executor::Phase(phase.to_owned());
    let last = events.iter().rev().find_map(|event| match &event.act {
        Act::Executed { by, status, .. } if *by == by_phase => Some(*status),
        _ => None,
    });
    let broke = events.iter().any(
        |event| matches!(&event.act, Act::PhaseEnded { id, why: PhaseEnd::Failed } if id == phase),
    );
    if last != Some(ExitStatus::Exit { code: 0 }) || broke {
        return Found::missing(format!("the program of the phase `{phase}` did not end well"));
    }
    emitted(name, Some(phase), inside)
}
