//! Evidence: typed items that happened, found by queries over the events of one sample.

mod call;
mod event;
mod file;
mod glob;
mod judge;
mod observed;
mod process;
mod search;
mod text;
mod unknown;

use std::collections::BTreeMap;

use lapwing_core::{Act, Blobs, ChangeKind, Event, Label, PhaseEnd};
use serde_json::Value;

use crate::expr::{Expr, Scope, truth};
use crate::policy::CALLS;

pub(crate) use file::CHANGES;
pub use glob::Glob;
pub use judge::JudgeOver;
pub(crate) use search::Search;
pub(crate) use unknown::Unknown;

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
    /// The items that are known, in the order of their events.
    pub(crate) items: Vec<Item>,
    /// Why there may be more than these.
    pub(crate) gap: Option<Unknown>,
    /// The last event that was looked at: what an absence rests on.
    pub(crate) looked_at: Option<u64>,
}

impl Found {
    fn complete(items: Vec<Item>, looked_at: Option<u64>) -> Self {
        Self { items, gap: None, looked_at }
    }

    fn missing(reason: String) -> Self {
        Self { items: Vec::new(), gap: Some(Unknown::Missing(reason)), looked_at: None }
    }

    /// All items, or why there may be more than are known.
    pub(crate) fn all(&self) -> Result<&[Item], Unknown> {
        self.gap.clone().map_or(Ok(&self.items), Err)
    }
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
    /// A program, a part of the world or a grader emitted an event of this name.
    Event { name: String, program: Option<String> },
    /// This happened in a part of the world.
    Part { part: String, event: String },
    /// What the program of a `run` phase reports under this name.
    Run { query: String },
    /// The net change of files. Items have their text only if the query `reads`.
    File {
        sandbox: String,
        paths: Vec<Glob>,
        except: Vec<Glob>,
        changed: Vec<ChangeKind>,
        search: Option<Search>,
        reads: bool,
    },
    /// A service ended.
    Process { sandbox: String, service: String },
    /// A process tried to connect somewhere. Items have what was sent only if the query `reads`.
    Net {
        sandbox: Option<String>,
        host: Option<String>,
        port: Option<u16>,
        search: Option<Search>,
        reads: bool,
    },
    /// A process ran a program.
    Exec { sandbox: Option<String>, search: Search },
    /// A tool call of the model was carried out.
    Call { tool: String, search: Search },
    /// The model wrote something.
    Text { of: TextOf, search: Search },
    /// A judge gave this label to what the model wrote.
    Judge { over: JudgeOver, rubric: String, label: Label },
}

/// Which part of a model's turn is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextOf {
    Answer,
    Reasoning,
}

impl QueryKind {
    /// Its word in `evidence.KIND.NAME`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Event { .. } => "event",
            Self::Part { .. } => "part",
            Self::Run { .. } => "run",
            Self::File { .. } => "file",
            Self::Process { .. } => "process",
            Self::Net { .. } => "net",
            Self::Exec { .. } => "exec",
            Self::Call { .. } => "call",
            Self::Text { .. } => "text",
            Self::Judge { .. } => "judge",
        }
    }

    /// The fields of its items; `None` where they are the scenario's own.
    pub(crate) fn fields(&self) -> Option<Vec<&'static str>> {
        let fields: &[&str] = match self {
            Self::Event { .. } | Self::Part { .. } | Self::Run { .. } => return None,
            Self::File { search: None, .. } => {
                &["path", "changed", "size", "mode", "digest", "text", "added"]
            }
            Self::File { search: Some(_), .. } => {
                &["path", "changed", "size", "mode", "digest", "text", "added", "match", "encoding"]
            }
            Self::Process { .. } => &["service", "ended", "code", "signal"],
            Self::Net { search, .. } => {
                let found: &[&str] = if search.is_some() { &["match", "encoding"] } else { &[] };
                return Some([&observed::NET_FIELDS[..], found].concat());
            }
            Self::Exec { .. } => &observed::EXEC_FIELDS,
            Self::Call { tool, .. } => {
                let argument = CALLS.iter().find(|(known, _)| known == tool).map(|(_, name)| *name);
                let common = ["tool", "arguments", "match", "encoding"].into_iter();
                return Some(common.chain(argument).collect());
            }
            Self::Text { .. } => &["match", "text", "turn", "encoding"],
            Self::Judge { .. } => &["label", "text", "turn"],
        };
        Some(fields.to_vec())
    }
}

/// Fields for which the bytes of a file are read, and those of a connection.
pub(crate) const READ_FIELDS: [&str; 3] = ["text", "added", "payload"];

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
    blobs: &dyn Blobs,
) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    for query in queries {
        let answer = answer(query, events, blobs, &found);
        found.insert(query.name.clone(), answer);
    }
    found
}

fn answer(
    query: &Query,
    events: &[Event],
    blobs: &dyn Blobs,
    found: &BTreeMap<String, Found>,
) -> Found {
    let last = events.last().map(|event| event.seq);
    let window = match window(query, events, found) {
        Ok(Some(window)) => window,
        Ok(None) => return Found::complete(Vec::new(), last),
        Err(reason) => return Found { items: Vec::new(), gap: Some(reason), looked_at: last },
    };
    let inside: Vec<&Event> = events.iter().filter(|event| window.holds(event.seq)).collect();
    let answer = match &query.kind {
        QueryKind::Event { name, program } => event::emitted(name, program.as_deref(), &inside),
        QueryKind::Part { part, event } => event::of_part(part, event, &inside),
        QueryKind::Run { query: name } => {
            event::reported(name, query.phase.as_deref().unwrap_or_default(), events, &inside)
        }
        QueryKind::File { sandbox, paths, except, changed, search, reads } => {
            let (search, reads) = (search.as_ref(), *reads);
            let wanted = file::Wanted { sandbox, paths, except, changed, search, reads };
            file::find(&wanted, events, blobs, window)
        }
        QueryKind::Process { sandbox, service } => process::find(sandbox, service, events, window),
        QueryKind::Net { sandbox, host, port, search, reads } => {
            let (sandbox, host) = (sandbox.as_deref(), host.as_deref());
            let (port, search, reads) = (*port, search.as_ref(), *reads);
            let condition = query.condition.as_ref();
            let wanted = observed::Wanted { sandbox, host, port, search, reads, condition };
            observed::connections(&wanted, events, blobs, &inside)
        }
        QueryKind::Exec { sandbox, search } => {
            observed::programs(sandbox.as_deref(), search, events, &inside)
        }
        QueryKind::Call { tool, search } => call::find(tool, search, events, &inside),
        QueryKind::Text { of, search } => text::find(*of, search, events, &inside),
        QueryKind::Judge { over, rubric: _, label } => {
            judge::find(&query.name, *over, *label, events, &inside)
        }
    };
    let found = meeting(query.condition.as_ref(), answer);
    Found { looked_at: found.looked_at.or(last), ..found }
}

/// The turns that the judge query `name` is about: their events and texts. None where it is not known where to look.
pub(crate) fn texts_to_judge<'q>(
    name: &str,
    queries: impl IntoIterator<Item = &'q Query>,
    events: &[Event],
    blobs: &dyn Blobs,
) -> Vec<(u64, String)> {
    let queries: Vec<&Query> = queries.into_iter().collect();
    let Some(index) = queries.iter().position(|query| query.name == name) else {
        return Vec::new();
    };
    let (earlier, query) = (&queries[..index], queries[index]);
    let QueryKind::Judge { over, .. } = query.kind else { return Vec::new() };
    let found = find(earlier.iter().copied(), events, blobs);
    let Ok(Some(window)) = window(query, events, &found) else { return Vec::new() };
    let inside: Vec<&Event> = events.iter().filter(|event| window.holds(event.seq)).collect();
    judge::texts(over, events, &inside)
}

/// Where `query` looks; `None` if what it waits for never happened.
fn window(
    query: &Query,
    events: &[Event],
    found: &BTreeMap<String, Found>,
) -> Result<Option<Window>, Unknown> {
    let first = |name: &Option<String>| match name.as_ref().and_then(|name| found.get(name)) {
        Some(found) => found.all().map(|items| items.first().map(|item| item.seq)),
        None => Ok(None),
    };
    let (after, before) = match (first(&query.after), first(&query.before)) {
        (Ok(after), Ok(before)) => (after, before),
        (after, before) => {
            let reasons = [after.err(), before.err()].into_iter().flatten();
            return Unknown::all(reasons).map_or(Ok(None), Err);
        }
    };
    if query.after.is_some() && after.is_none() {
        return Ok(None);
    }
    let Some(phase) = &query.phase else { return Ok(Some(Window { after, before })) };
    let mut seqs = events.iter().filter(|event| event.phase == *phase).map(|event| event.seq);
    let Some(start) = seqs.next() else {
        return Err(format!("the phase `{phase}` was not run").into());
    };
    if events.iter().any(|event| is_skip(event, phase)) {
        return Ok(None);
    }
    let end = seqs.next_back().unwrap_or(start);
    let after = after.max(Some(start.saturating_sub(1)));
    let before = before.map_or(end + 1, |before| before.min(end + 1));
    Ok(Some(Window { after, before: Some(before) }))
}

/// Whether the event says that the phase was left out because its rule is known to be false.
fn is_skip(event: &Event, phase: &str) -> bool {
    event.phase == phase && matches!(event.act, Act::PhaseEnded { why: PhaseEnd::Skipped, .. })
}

/// What was found that meets the condition. An item for which it cannot be decided leaves the others standing.
fn meeting(condition: Option<&Expr>, mut found: Found) -> Found {
    let Some(condition) = condition else { return found };
    let mut undecided = None;
    found.items.retain(|item| match truth(condition, Scope::Item(item)).known {
        Ok(meets) => meets,
        Err(reason) => {
            reason.note(&mut undecided);
            false
        }
    });
    Found { gap: Unknown::all(found.gap.into_iter().chain(undecided)), ..found }
}

#[cfg(test)]
mod tests;
