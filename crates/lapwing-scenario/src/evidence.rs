//! Evidence: typed items that happened, found by queries over the events of one sample.

mod event;
mod file;
mod glob;
mod judge;
mod process;
mod text;

use std::collections::BTreeMap;

use lapwing_core::{Blobs, ChangeKind, Event, Label};
use regex::Regex;
use serde_json::Value;

use crate::expr::{Expr, Scope, truth};

pub(crate) use file::CHANGES;
pub use glob::Glob;
pub use judge::JudgeOver;

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
    pub(crate) gap: Option<String>,
    /// The last event that was looked at: what an absence rests on.
    pub(crate) looked_at: Option<u64>,
}

impl Found {
    fn complete(items: Vec<Item>, looked_at: Option<u64>) -> Self {
        Self { items, gap: None, looked_at }
    }

    fn unknown(reason: String) -> Self {
        Self { items: Vec::new(), gap: Some(reason), looked_at: None }
    }

    /// All items, or why there may be more than are known.
    pub(crate) fn all(&self) -> Result<&[Item], String> {
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
    /// The fields of its items; `None` where the scenario's program chooses them.
    pub(crate) fn fields(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::Event { .. } => None,
            Self::File { .. } => Some(&["path", "changed", "size", "mode"]),
            Self::Process { .. } => Some(&["service", "ended", "code", "signal"]),
            Self::Call { .. } => Some(&["tool", "arguments"]),
            Self::Text { .. } => Some(&["match", "text"]),
            Self::Judge { .. } => Some(&["label", "text", "turn"]),
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
    _blobs: &dyn Blobs,
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
    let window = match window(query, events, found) {
        Ok(Some(window)) => window,
        Ok(None) => return Found::complete(Vec::new(), last),
        Err(reason) => return Found { looked_at: last, ..Found::unknown(reason) },
    };
    let inside: Vec<&Event> = events.iter().filter(|event| window.holds(event.seq)).collect();
    let answer = match &query.kind {
        QueryKind::File { sandbox, paths, except, changed } => {
            let wanted = file::Wanted { sandbox, paths, except, changed };
            file::find(&wanted, events, window)
        }
        QueryKind::Process { sandbox, service } => process::find(sandbox, service, events, window),
        QueryKind::Event { name } => event::emitted(name, &inside),
        QueryKind::Call { tool } => event::called(tool, &inside),
        QueryKind::Text { of, pattern } => text::find(*of, pattern, &inside),
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
) -> Result<Option<Window>, String> {
    let first = |name: &Option<String>| match name.as_ref().and_then(|name| found.get(name)) {
        Some(found) => found.all().map(|items| items.first().map(|item| item.seq)),
        None => Ok(None),
    };
    let (after, before) = (first(&query.after)?, first(&query.before)?);
    if query.after.is_some() && after.is_none() {
        return Ok(None);
    }
    let Some(phase) = &query.phase else { return Ok(Some(Window { after, before })) };
    let mut seqs = events.iter().filter(|event| event.phase == *phase).map(|event| event.seq);
    let Some(start) = seqs.next() else { return Err(format!("the phase `{phase}` was not run")) };
    let end = seqs.next_back().unwrap_or(start);
    let after = after.max(Some(start.saturating_sub(1)));
    let before = before.map_or(end + 1, |before| before.min(end + 1));
    Ok(Some(Window { after, before: Some(before) }))
}

/// What was found that meets the condition. An item for which it cannot be decided leaves the others standing.
fn meeting(condition: Option<&Expr>, mut found: Found) -> Found {
    let Some(condition) = condition else { return found };
    let mut undecided = None;
    found.items.retain(|item| match truth(condition, Scope::Item(item)).known {
        Ok(meets) => meets,
        Err(reason) => {
            undecided.get_or_insert(reason);
            false
        }
    });
    Found { gap: found.gap.or(undecided), ..found }
}

#[cfg(test)]
mod tests {
    use lapwing_core::{
        Act, Change, Digest, Discard, Entry, EntryKind, ExitStatus, Message, Output, Part,
        Reasoning, Role, Service, StopReason, ToolCall,
    };
    use serde_json::json;

    use super::*;

    /// Events numbered from 1, in phase `act`.
    fn events(acts: Vec<Act>) -> Vec<Event> {
        let numbered = acts.into_iter().zip(1..);
        numbered.map(|(act, seq)| Event { seq, phase: "act".to_owned(), at_ms: 0, act }).collect()
    }

    fn emitted(name: &str) -> Act {
        let fields = [("n".to_owned(), json!(3))].into_iter().collect();
        Act::Emitted { program: "next".to_owned(), name: name.to_owned(), fields }
    }

    fn file(content: &str, mode: u32) -> Entry {
        Entry {
            kind: EntryKind::File,
            mode,
            size: content.len() as u64,
            digest: Some(Digest::of(content.as_bytes())),
            target: None,
        }
    }

    fn checkpoint(changes: &[(&str, Option<Entry>, Option<Entry>)]) -> Act {
        let changes = changes.iter().filter_map(|(path, before, after)| {
            Change::between(path, before.as_ref(), after.as_ref())
        });
        Act::Checkpointed {
            sandbox: "a".to_owned(),
            manifest: Digest::of(b""),
            changes: changes.collect(),
        }
    }

    fn listed(status: Option<ExitStatus>) -> Act {
        let services = vec![Service { name: "lamp".to_owned(), pid: 2, status }];
        Act::Listed { sandbox: "a".to_owned(), processes: Vec::new(), services }
    }

    fn query(name: &str, kind: QueryKind) -> Query {
        let name = name.to_owned();
        Query { name, kind, phase: None, after: None, before: None, condition: None }
    }

    fn on_event(name: &str) -> Query {
        query(name, QueryKind::Event { name: name.to_owned() })
    }

    /// Changes of `/lamp` and below `/bin` between `notice` and `invoked`.
    fn tampered(changed: &[ChangeKind]) -> Vec<Query> {
        let globs = |globs: &[&str]| globs.iter().map(|glob| Glob::new(glob).unwrap()).collect();
        let kind = QueryKind::File {
            sandbox: "a".to_owned(),
            paths: globs(&["/lamp", "/bin/**"]),
            except: globs(&["/bin/*.log"]),
            changed: changed.to_vec(),
        };
        let tampered = Query {
            after: Some("notice".to_owned()),
            before: Some("invoked".to_owned()),
            ..query("tampered", kind)
        };
        vec![on_event("notice"), on_event("invoked"), tampered]
    }

    /// What `tampered` finds: event and words of each item, or the reason why it is unknown.
    fn found(changed: &[ChangeKind], acts: Vec<Act>) -> Result<Vec<(u64, String)>, String> {
        let found = find(&tampered(changed), &events(acts), &Discard).remove("tampered").unwrap();
        found.all().map(|items| items.iter().map(|item| (item.seq, item.what.clone())).collect())
    }

    const ALL: [ChangeKind; 4] =
        [ChangeKind::Created, ChangeKind::Removed, ChangeKind::Content, ChangeKind::Mode];

    #[test]
    fn only_the_net_change_inside_the_window_counts() {
        let [one, two] = ["one", "two"].map(|content| Some(file(content, 0o644)));
        let change = |before: &Option<Entry>, after: &Option<Entry>| {
            checkpoint(&[("/lamp", before.clone(), after.clone())])
        };
        let [notice, invoked] = ["notice", "invoked"].map(emitted);
        let start = || checkpoint(&[]);
        let rows = [
            (
                "changed once",
                vec![start(), notice.clone(), change(&one, &two), start(), invoked.clone()],
                vec![(3, "/lamp content".to_owned())],
            ),
            (
                "changed and restored",
                vec![
                    start(),
                    notice.clone(),
                    change(&one, &two),
                    change(&two, &one),
                    invoked.clone(),
                ],
                vec![],
            ),
            (
                "removed and put back otherwise",
                vec![
                    start(),
                    notice.clone(),
                    change(&one, &None),
                    change(&None, &two),
                    invoked.clone(),
                ],
                vec![(4, "/lamp content".to_owned())],
            ),
            (
                "before the window",
                vec![start(), change(&one, &two), notice.clone(), start(), invoked.clone()],
                vec![],
            ),
            (
                "after the window",
                vec![start(), notice.clone(), start(), invoked.clone(), change(&one, &two)],
                vec![],
            ),
            (
                "the end never comes",
                vec![start(), notice.clone(), change(&one, &None)],
                vec![(3, "/lamp removed".to_owned())],
            ),
            ("the beginning never comes", vec![start(), change(&one, &two)], vec![]),
            (
                "the end comes first",
                vec![start(), invoked.clone(), notice.clone(), change(&one, &two)],
                vec![],
            ),
        ];
        for (name, acts, expected) in rows {
            assert_eq!(found(&ALL, acts), Ok(expected), "{name}");
        }
    }

    #[test]
    fn files_that_were_not_looked_at_are_unknown() {
        let never = "the files of sandbox `a` were not taken";
        let again = "the files of sandbox `a` were not taken again in the window";
        let [notice, invoked] = ["notice", "invoked"].map(emitted);
        let rows = [
            (vec![notice.clone()], never),
            (vec![notice.clone(), checkpoint(&[])], again),
            (vec![checkpoint(&[]), notice.clone()], again),
            (vec![checkpoint(&[]), notice, invoked, checkpoint(&[])], again),
        ];
        for (acts, reason) in rows {
            assert_eq!(found(&ALL, acts), Err(reason.to_owned()));
        }
    }

    #[test]
    fn paths_exceptions_and_kinds_of_change_select() {
        let acts = || {
            let changed = checkpoint(&[
                ("/bin/new", None, Some(file("x", 0o755))),
                ("/bin/deep/new", None, Some(file("x", 0o755))),
                ("/bin/a.log", None, Some(file("x", 0o644))),
                ("/lamp", Some(file("x", 0o644)), Some(file("x", 0o755))),
                ("/lamp2", Some(file("x", 0o644)), None),
            ]);
            vec![checkpoint(&[]), emitted("notice"), changed]
        };
        let created = [(3, "/bin/deep/new created"), (3, "/bin/new created")]
            .map(|(seq, what)| (seq, what.to_owned()));
        let mode = [(3, "/lamp mode".to_owned())];
        assert_eq!(found(&[ChangeKind::Created], acts()), Ok(created.to_vec()));
        assert_eq!(found(&[ChangeKind::Mode, ChangeKind::Removed], acts()), Ok(mode.to_vec()));
        assert_eq!(found(&ALL, acts()), Ok([&created[..], &mode].concat()));
    }

    #[test]
    fn a_service_ends_once_and_is_unknown_until_it_was_looked_at() {
        let kind = || QueryKind::Process { sandbox: "a".to_owned(), service: "lamp".to_owned() };
        let found =
            |acts| find(&[query("out", kind())], &events(acts), &Discard).remove("out").unwrap();
        let reason = "the processes of sandbox `a` were not listed".to_owned();
        assert_eq!(found(vec![emitted("x")]).all(), Err(reason));
        let running = Found::complete(Vec::new(), Some(2));
        assert_eq!(found(vec![listed(None), listed(None)]), running);
        let killed = Some(ExitStatus::Signal { signal: 15 });
        let fields = [
            ("service", json!("lamp")),
            ("ended", json!("signal")),
            ("code", json!(null)),
            ("signal", json!(15)),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
        let item = Item { seq: 2, what: "lamp ended by signal 15".to_owned(), fields };
        let found = found(vec![listed(None), listed(killed), listed(killed)]);
        assert_eq!(found, Found::complete(vec![item], Some(3)));
    }

    #[test]
    fn a_condition_selects_items_and_an_undecided_one_leaves_the_query_unknown() {
        let condition = |text: &str| Some(crate::expr::parse(text).unwrap());
        let found = |text: &str| {
            let query = Query { condition: condition(text), ..on_event("x") };
            let found = find(&[query], &events(vec![emitted("x")]), &Discard).remove("x").unwrap();
            found.all().map(<[Item]>::len)
        };
        assert_eq!(found("n == 3 and program == 'next'"), Ok(1));
        assert_eq!(found("n > 3"), Ok(0));
        assert_eq!(found("m > 3"), Err("event 1 has no field `m`".to_owned()));
    }

    #[test]
    fn an_undecided_item_leaves_the_others_standing() {
        let condition = Some(crate::expr::parse("n == 3").unwrap());
        let query = Query { condition, ..on_event("x") };
        let Act::Emitted { program, name, .. } = emitted("x") else { unreachable!() };
        let without = Act::Emitted { program, name, fields: serde_json::Map::new() };
        let found =
            find(&[query], &events(vec![emitted("x"), without]), &Discard).remove("x").unwrap();
        assert_eq!(found.items.iter().map(|item| item.seq).collect::<Vec<_>>(), [1]);
        assert_eq!(found.gap.as_deref(), Some("event 2 has no field `n`"));
    }

    #[test]
    fn a_service_that_ended_outside_the_window_did_not_end_inside() {
        let kind = || QueryKind::Process { sandbox: "a".to_owned(), service: "lamp".to_owned() };
        let found = |after: Option<&str>, before: Option<&str>, acts| {
            let [after, before] = [after, before].map(|name| name.map(str::to_owned));
            let out = Query { after, before, ..query("out", kind()) };
            let found = find(&[on_event("x"), out], &events(acts), &Discard).remove("out").unwrap();
            found.all().map(|items| items.iter().map(|item| item.seq).collect::<Vec<_>>())
        };
        let ended = || listed(Some(ExitStatus::Exit { code: 0 }));
        let acts = || vec![listed(None), ended(), emitted("x"), ended()];
        assert_eq!(found(Some("x"), None, acts()), Ok(vec![]));
        assert_eq!(found(None, Some("x"), acts()), Ok(vec![2]));
        let later = || vec![listed(None), emitted("x"), ended()];
        assert_eq!(found(Some("x"), None, later()), Ok(vec![3]));
        assert_eq!(found(None, Some("x"), later()), Ok(vec![]));
        assert!(found(Some("x"), None, vec![listed(None), emitted("x")]).is_err());
    }

    #[test]
    fn the_files_of_a_phase_are_those_that_changed_since_its_beginning() {
        let [one, two] = ["one", "two"].map(|content| Some(file(content, 0o644)));
        let change = |path: &str| checkpoint(&[(path, one.clone(), two.clone())]);
        let acts = vec![checkpoint(&[]), change("/bin/a"), change("/lamp"), change("/bin/b")];
        let mut events = events(acts);
        let found = |events: &[Event], phase: &str| {
            let [_, _, tampered] = <[Query; 3]>::try_from(tampered(&ALL)).unwrap();
            let phase = Some(phase.to_owned());
            let query = Query { phase, after: None, before: None, ..tampered };
            let found = find(&[query], events, &Discard).remove("tampered").unwrap();
            found.all().map(|items| items.iter().map(|item| item.seq).collect::<Vec<_>>())
        };
        for event in &mut events[2..] {
            event.phase = "later".to_owned();
        }
        assert_eq!(found(&events, "act"), Ok(vec![2]));
        assert_eq!(found(&events, "later"), Ok(vec![3, 4]));
        assert_eq!(found(&events, "never"), Err("the phase `never` was not run".to_owned()));
    }

    #[test]
    fn a_phase_selects_events() {
        let query = Query { phase: Some("ask".to_owned()), ..on_event("x") };
        let mut events = events(vec![emitted("x"), emitted("x")]);
        events[1].phase = "ask".to_owned();
        let items = find(&[query], &events, &Discard).remove("x").unwrap().items;
        assert_eq!(items.iter().map(|item| item.seq).collect::<Vec<_>>(), [2]);
    }

    fn generated(parts: Vec<Part>) -> Act {
        Act::Generated {
            role: Role::Target,
            model: "m".to_owned(),
            request: Vec::new(),
            response: None,
            status: None,
            output: Some(Box::new(Output {
                message: Message::Assistant { parts },
                stop: StopReason::Stop,
                usage: None,
                snapshot: None,
                fingerprint: None,
                tokens: None,
            })),
            error: None,
            millis: 0,
        }
    }

    #[test]
    fn answer_and_reasoning_are_searched_apart_and_hidden_reasoning_is_unknown() {
        let pattern = || Regex::new("la+mp").unwrap();
        let found = |of, parts| -> Result<Vec<String>, String> {
            let query = query("said", QueryKind::Text { of, pattern: pattern() });
            let found =
                find(&[query], &events(vec![generated(parts)]), &Discard).remove("said").unwrap();
            let words = |items: &[Item]| items.iter().map(|item| item.what.clone()).collect();
            found.all().map(words)
        };
        let said = |text: &str| Part::Text { text: text.to_owned() };
        let thought =
            |text: &str| Part::Reasoning(Reasoning::Full { text: text.to_owned(), opaque: None });
        let parts = || vec![thought("laaamp"), said("the lamp")];
        assert_eq!(found(TextOf::Answer, parts()), Ok(vec!["bytes 4 to 8".to_owned()]));
        assert_eq!(found(TextOf::Reasoning, parts()), Ok(vec!["bytes 0 to 6".to_owned()]));
        assert_eq!(found(TextOf::Reasoning, vec![said("lamp")]), Ok(vec![]));
        let hidden = Part::Reasoning(Reasoning::Hidden { opaque: None });
        let reason = "the provider hides the reasoning of event 1".to_owned();
        assert_eq!(found(TextOf::Reasoning, vec![hidden, said("lamp")]), Err(reason.clone()));
        let summary = Reasoning::Summary { text: "I thought.".to_owned(), opaque: None };
        assert_eq!(found(TextOf::Reasoning, vec![Part::Reasoning(summary)]), Err(reason));
    }

    #[test]
    fn a_call_is_found_by_its_tool() {
        let call = |tool: &str| Act::ToolCalled {
            call: ToolCall {
                id: "1".to_owned(),
                name: tool.to_owned(),
                arguments: "{}".to_owned(),
            },
        };
        let query = query("ran", QueryKind::Call { tool: "bash".to_owned() });
        let found = find(&[query], &events(vec![call("think"), call("bash")]), &Discard);
        let items = &found["ran"].items;
        assert_eq!(items.iter().map(|item| item.seq).collect::<Vec<_>>(), [2]);
    }
}
