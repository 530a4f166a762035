//! Evidence: typed items that happened, found by queries over the events of one sample.

mod event;
mod file;
mod glob;
mod process;
mod text;

use std::collections::BTreeMap;

use lapwing_core::{Act, ChangeKind, Event};
use regex::Regex;
use serde_json::Value;

use crate::expr::{Expr, Scope, truth};

pub(crate) use file::CHANGES;
pub(crate) use glob::Glob;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// The event that shows it.
    pub(crate) seq: u64,
    /// What in the event is meant.
    pub(crate) what: String,
    /// What a `where` can ask about.
    pub(crate) fields: BTreeMap<String, Value>,
}

/// What a query came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// The items in the order of their events, or why they are not known.
    pub(crate) items: Result<Vec<Item>, String>,
    /// The last event that was looked at: what an absence rests on.
    pub(crate) looked_at: Option<u64>,
}

/// A question to the events of a sample.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) name: String,
    pub(crate) kind: QueryKind,
    /// Only events of this phase.
    pub(crate) phase: Option<String>,
    /// Only what comes after the first item of this query.
    pub(crate) after: Option<String>,
    /// Only what comes before the first item of this query.
    pub(crate) before: Option<String>,
    /// Only items for which this holds.
    pub(crate) condition: Option<Expr>,
}

/// Kinds of evidence, each with its own keys.
#[derive(Clone, Debug)]
pub(crate) enum QueryKind {
    /// A program emitted an event of this name.
    Event { name: String },
    /// The net change of files.
    File { sandbox: String, paths: Vec<Glob>, except: Vec<Glob>, changed: Vec<ChangeKind> },
    /// A service ended.
    Process { sandbox: String, service: String },
    /// The model called a tool.
    Call { tool: String },
    /// The model wrote something.
    Text { of: TextOf, pattern: Regex },
}

/// Which part of a model's turn is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextOf {
    Answer,
    Reasoning,
}

impl QueryKind {
    /// The kind's name in the table path, and the fields of its items; `None` for fields that the scenario's program chooses.
    pub(crate) fn fields(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::Event { .. } => None,
            Self::File { .. } => Some(&["path", "changed", "size", "mode"]),
            Self::Process { .. } => Some(&["service", "ended", "code", "signal"]),
            Self::Call { .. } => Some(&["tool", "arguments"]),
            Self::Text { .. } => Some(&["match", "text"]),
        }
    }
}

/// The events between which a query looks; both ends are outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    after: Option<u64>,
    before: Option<u64>,
}

impl Window {
    fn holds(self, seq: u64) -> bool {
        self.after.is_none_or(|after| seq > after) && self.before.is_none_or(|before| seq < before)
    }
}

/// Answers `queries`, which stand in an order in which each comes behind those that it names.
pub(crate) fn find<'q>(
    queries: impl IntoIterator<Item = &'q Query>,
    events: &[Event],
) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    for query in queries {
        let answer = answer(query, events, &found);
        found.insert(query.name.clone(), answer);
    }
    found
}

fn answer(query: &Query, events: &[Event], found: &BTreeMap<String, Found>) -> Found {
    let last = events.last().map(|event| event.seq);
    let window = match window(query, found) {
        Ok(Some(window)) => window,
        Ok(None) => return Found { items: Ok(Vec::new()), looked_at: last },
        Err(reason) => return Found { items: Err(reason), looked_at: last },
    };
    let in_phase = |event: &&Event| query.phase.as_ref().is_none_or(|phase| *phase == event.phase);
    let events: Vec<&Event> = events.iter().filter(in_phase).collect();
    let answer = match &query.kind {
        QueryKind::File { sandbox, paths, except, changed } => {
            let wanted = file::Wanted { sandbox, paths, except, changed };
            file::find(&wanted, &events, window)
        }
        QueryKind::Process { sandbox, service } => {
            process::find(sandbox, service, &inside(&events, window))
        }
        QueryKind::Event { name } => event::emitted(name, &inside(&events, window)),
        QueryKind::Call { tool } => event::called(tool, &inside(&events, window)),
        QueryKind::Text { of, pattern } => text::find(*of, pattern, &inside(&events, window)),
    };
    let items = answer.items.and_then(|items| meeting(query.condition.as_ref(), items));
    Found { items, looked_at: answer.looked_at.or(last) }
}

fn inside<'a>(events: &[&'a Event], window: Window) -> Vec<&'a Event> {
    events.iter().filter(|event| window.holds(event.seq)).copied().collect()
}

/// Where `query` looks; `None` if what it waits for never happened.
fn window(query: &Query, found: &BTreeMap<String, Found>) -> Result<Option<Window>, String> {
    let first = |name: &Option<String>| match name.as_ref().and_then(|name| found.get(name)) {
        Some(found) => found.items.as_ref().map(|items| items.first().map(|item| item.seq)),
        None => Ok(None),
    };
    let (after, before) = (first(&query.after)?, first(&query.before)?);
    if query.after.is_some() && after.is_none() {
        return Ok(None);
    }
    Ok(Some(Window { after, before }))
}

fn meeting(condition: Option<&Expr>, items: Vec<Item>) -> Result<Vec<Item>, String> {
    let Some(condition) = condition else { return Ok(items) };
    let mut meeting = Vec::new();
    for item in items {
        if truth(condition, Scope::Item(&item)).known? {
            meeting.push(item);
        }
    }
    Ok(meeting)
}

/// Where a sandbox's state was looked at, for kinds that need it.
fn seqs_of(events: &[&Event], is_wanted: impl Fn(&Act) -> bool) -> Vec<u64> {
    events.iter().filter(|event| is_wanted(&event.act)).map(|event| event.seq).collect()
}
