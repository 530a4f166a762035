mod kinds;
mod observed;

use lapwing_core::{
    Act, Change, Digest, Discard, Entry, EntryKind, ExitStatus, Message, Output, Part, Reasoning,
    Role, Service, StopReason,
};
use regex::Regex;
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
    let changes = changes
        .iter()
        .filter_map(|(path, before, after)| Change::between(path, before.as_ref(), after.as_ref()));
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
    query(name, QueryKind::Event { name: name.to_owned(), program: None })
}

/// Changes of `/lamp` and below `/bin` between `notice` and `invoked`.
fn tampered(changed: &[ChangeKind]) -> Vec<Query> {
    let globs = |globs: &[&str]| globs.iter().map(|glob| Glob::new(glob).unwrap()).collect();
    let kind = QueryKind::File {
        sandbox: "a".to_owned(),
        paths: globs(&["/lamp", "/bin/**"]),
        except: globs(&["/bin/*.log"]),
        changed: changed.to_vec(),
        search: None,
        reads: false,
    };
    let tampered = Query {
        after: Some("notice".to_owned()),
        before: Some("invoked".to_owned()),
        ..query("tampered", kind)
    };
    vec![on_event("notice"), on_event("invoked"), tampered]
}

/// What `tampered` finds: event and words of each item, or the reason why it is unknown.
fn found(changed: &[ChangeKind], acts: Vec<Act>) -> Result<Vec<(u64, String)>, Unknown> {
    let found = find(&tampered(changed), &events(acts), &Discard).remove("tampered").unwrap();
    found.all().map(|items| items.iter().map(|item| (item.seq, item.what.clone())).collect())
}

fn search(pattern: Option<&str>) -> Search {
    let pattern = pattern.map(|pattern| Regex::new(pattern).unwrap());
    Search { pattern, except: None, decode: Vec::new() }
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
            vec![start(), notice.clone(), change(&one, &two), change(&two, &one), invoked.clone()],
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
        assert_eq!(found(&ALL, acts), Err(reason.to_owned().into()));
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
    assert_eq!(found(vec![emitted("x")]).all(), Err(reason.into()));
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
    assert_eq!(found("m > 3"), Err("event 1 has no field `m`".to_owned().into()));
}

#[test]
fn an_undecided_item_leaves_the_others_standing() {
    let condition = Some(crate::expr::parse("n == 3").unwrap());
    let query = Query { condition, ..on_event("x") };
    let Act::Emitted { program, name, .. } = emitted("x") else { unreachable!() };
    let without = Act::Emitted { program, name, fields: serde_json::Map::new() };
    let found = find(&[query], &events(vec![emitted("x"), without]), &Discard).remove("x").unwrap();
    assert_eq!(found.items.iter().map(|item| item.seq).collect::<Vec<_>>(), [1]);
    assert_eq!(found.gap, Some("event 2 has no field `n`".to_owned().into()));
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
    assert_eq!(found(&events, "never"), Err("the phase `never` was not run".to_owned().into()));
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
        receipt: lapwing_core::Receipt::default(),
    }
}

#[test]
fn answer_and_reasoning_are_searched_apart_and_hidden_reasoning_is_unknown() {
    let found = |of, parts| -> Result<Vec<String>, Unknown> {
        let query = query("said", QueryKind::Text { of, search: search(Some("la+mp")) });
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
    assert_eq!(found(TextOf::Reasoning, vec![hidden, said("lamp")]), Err(reason.clone().into()));
    let summary = Reasoning::Summary { text: "I thought.".to_owned(), opaque: None };
    assert_eq!(found(TextOf::Reasoning, vec![Part::Reasoning(summary)]), Err(reason.into()));
}
