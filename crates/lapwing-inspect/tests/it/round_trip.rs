//! What is exported and imported is the run again.

use lapwing_core::Act;
use lapwing_inspect::InspectError;
use lapwing_store::SampleState;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    Sample, act, contents, digest, events, export, import_at, key, names_in, scenario, started,
    write_run,
};

/// One of every kind, with values and texts that a careless writer would lose.
fn every_kind() -> Vec<Act> {
    let usage =
        json!({ "input": 9, "output": 4, "cache_read": 2, "cache_write": 1, "reasoning": 3 });
    let call = json!({ "id": "c1", "name": "bash", "arguments": "{\"command\": \"ls\"" });
    let entry = json!({ "kind": "file", "mode": 420, "size": 3, "digest": digest("old") });
    let status = json!({ "ended": "exit", "code": 0 });
    let acts = vec![
        json!({ "kind": "phase_started", "id": "act" }),
        json!({ "kind": "executed", "sandbox": "a", "by": "setup", "argv": ["sh", "-c", "x"], "status": status, "output": "o" }),
        json!({ "kind": "checkpointed", "sandbox": "a", "manifest": digest("manifest"), "changes": [] }),
        json!({ "kind": "messaged", "message": { "role": "user", "text": "attachment://0123" }, "source": "prompt" }),
        json!({ "kind": "generated", "model": "openai/m", "request": [digest("{\"a\":"), digest("1}")], "response": digest("no json"),
            "status": 500, "output": null, "error": ["overloaded", "busy"], "millis": 7 }),
        json!({ "kind": "generated", "model": "openai/m", "request": [digest("{\"a\":")], "response": null, "status": 200,
            "output": { "message": { "role": "assistant", "parts": [
                { "part": "reasoning", "visibility": "full", "text": "hm".repeat(99), "opaque": "sig" },
                { "part": "reasoning", "visibility": "hidden" },
                { "part": "text", "text": "tc://short" },
                { "part": "tool_call", "id": "c1", "name": "bash", "arguments": "{\"command\": \"ls\"" },
            ] }, "stop": "tool_calls", "usage": usage, "snapshot": "m-1", "fingerprint": "f",
                "tokens": { "prompt": [1], "completion": [2], "logprobs": [-0.1] } },
            "error": null, "millis": 1500 }),
        json!({ "kind": "tool_called", "call": call }),
        json!({ "kind": "program_called", "sandbox": "a", "program": "pour", "arguments": ["x"], "pid": 7 }),
        json!({ "kind": "emitted", "program": "pour", "name": "poured", "fields": { "n": null, "f": 0.1, "big": u64::MAX, "deep": [[{}]] } }),
        json!({ "kind": "program_answered", "program": "pour", "answer": { "stdout": "ok", "code": 1 } }),
        json!({ "kind": "tool_returned", "call_id": "c1", "text": "long ".repeat(40), "status": null, "error": "unreadable", "dropped_bytes": 5, "millis": 3 }),
        json!({ "kind": "tool_called", "call": { "id": "c2", "name": "bash", "arguments": "{}" } }),
        json!({ "kind": "checkpointed", "sandbox": "a", "manifest": digest("manifest"), "changes": [
            { "path": "/cup/~x", "kinds": ["content"], "before": entry, "after": entry },
            { "path": "/gone", "kinds": ["removed"], "before": entry },
        ] }),
        json!({ "kind": "listed", "sandbox": "a", "processes": [], "services": [] }),
        json!({ "kind": "injected", "name": "note", "deliver": { "as": "file", "sandbox": "a", "path": "/n" } }),
        json!({ "kind": "connected", "sandbox": "a", "host": "h", "port": 80, "sent_bytes": 3, "sent": digest("old") }),
        json!({ "kind": "limit_reached", "limit": "context", "value": 12 }),
        json!({ "kind": "failed", "error": "model", "message": "\u{1b}[2J broke" }),
        json!({ "kind": "emitted", "program": "pour", "name": "spilt", "fields": {} }),
        json!({ "kind": "phase_ended", "id": "act", "why": "failed" }),
        json!({ "kind": "phase_ended", "id": "asked", "why": "skipped" }),
        json!({ "kind": "generated", "model": "openai/j", "role": "judge", "request": [digest("{\"messages\":[{\"role\":\"user\",\"content\":\"Is it?\"}]}")],
            "response": null, "status": null, "output": null, "error": ["refused", "no"], "millis": 0 }),
        json!({ "kind": "judged", "judge": "openai/j", "rubric": "r", "query": "q", "over": [6], "label": "unsure",
            "quotes": [{ "seq": 6, "start": 0, "end": 2, "text": "tc" }], "reason": null }),
    ];
    let acts = acts.into_iter().map(act);
    [started("none", 0)].into_iter().chain(acts).chain([Act::SampleEnded]).collect()
}

fn blobs() -> Vec<Vec<u8>> {
    let manifest = format!("{{\"entries\":{{\"/cup\":{{\"digest\":\"{}\"}}}}}}", digest("deep"));
    let texts = [
        "{\"a\":",
        "1}",
        "no json",
        "old",
        "deep",
        "manifest",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Is it?\"}]}",
    ];
    let mut blobs: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    blobs.push(manifest.into_bytes());
    blobs.push(vec![0, 255, 1]);
    blobs
}

#[test]
fn every_kind_of_event_and_every_blob_that_is_named_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let run = write_run(dir.path(), &[Sample::done(0, every_kind())], &blobs());
    let file = dir.path().join("log.eval");
    assert_eq!(export(&run, &file).unwrap(), 1);
    let (imported, again) = import_at(&file, &dir.path().join("runs")).unwrap();
    assert!(imported.is_own);
    assert_eq!(contents(&again), contents(&run));
    for text in ["{\"a\":", "1}", "no json", "old", "manifest"] {
        assert_eq!(again.blob(digest(text)).unwrap().unwrap(), text.as_bytes());
    }
    let found = scenario().findings(&again.events(1).unwrap(), &again);
    assert_eq!(found, run.findings(1).unwrap()[&1], "scoring needs nothing that was lost");
}

#[test]
fn blobs_that_blobs_name_come_back_and_bytes_that_are_no_text_too() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = vec![0_u8, 255, 1];
    let manifest = format!("{{\"digest\":\"{}\"}}", lapwing_core::Digest::of(&bytes));
    let state = json!({ "kind": "checkpointed", "sandbox": "a", "manifest": digest(&manifest), "changes": [] });
    let acts = vec![started("none", 0), act(state), Act::SampleEnded];
    let run =
        write_run(dir.path(), &[Sample::done(0, acts)], &[bytes.clone(), manifest.into_bytes()]);
    let file = dir.path().join("log.eval");
    export(&run, &file).unwrap();
    let (_, again) = import_at(&file, &dir.path().join("runs")).unwrap();
    assert_eq!(again.blob(lapwing_core::Digest::of(&bytes)).unwrap(), Some(bytes));
}

#[test]
fn samples_that_were_not_run_or_not_ended_stay_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let begun = Sample { is_done: false, ..Sample::done(1, vec![started("none", 1)]) };
    let planned = Sample { is_done: false, key: key("allow", 2), ..Sample::done(2, Vec::new()) };
    let done = Sample::done(0, vec![started("none", 0), Act::SampleEnded]);
    let run = write_run(dir.path(), &[planned, begun, done], &[]);
    let file = dir.path().join("log.eval");
    assert_eq!(export(&run, &file).unwrap(), 2);
    let (imported, again) = import_at(&file, &dir.path().join("runs")).unwrap();
    assert_eq!(imported.samples, 3);
    assert_eq!(contents(&again), contents(&run));
    let states = contents(&again).samples.into_iter().map(|sample| sample.3);
    let expected = [SampleState::Planned, SampleState::Begun, SampleState::Done];
    assert_eq!(states.collect::<Vec<_>>(), expected);
}

#[test]
fn an_imported_run_can_be_exported_again() {
    let dir = tempfile::tempdir().unwrap();
    let run = write_run(dir.path(), &[Sample::done(0, every_kind())], &blobs());
    let (first, second) = (dir.path().join("first.eval"), dir.path().join("second.eval"));
    export(&run, &first).unwrap();
    let (_, again) = import_at(&first, &dir.path().join("runs")).unwrap();
    export(&again, &second).unwrap();
    let (_, third) = import_at(&second, &dir.path().join("more")).unwrap();
    assert_eq!(contents(&third), contents(&run));
}

#[test]
fn an_export_never_writes_over_a_file_and_leaves_nothing_when_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let run = write_run(dir.path(), &[Sample::done(0, every_kind())], &[]);
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("log.eval");
    std::fs::write(&file, "mine").unwrap();
    assert!(matches!(export(&run, &file), Err(InspectError::Exists(_))));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    let source =
        lapwing_inspect::Source::new(&run, run.scorings().unwrap().pop().unwrap()).unwrap();
    let nobody = source.write("openai/nobody", &out.path().join("x.eval"));
    assert!(matches!(nobody, Err(InspectError::Nothing { .. })));
    assert_eq!(names_in(out.path()), ["log.eval"]);
}

#[test]
fn a_record_that_was_changed_is_refused_and_leaves_no_run() {
    let dir = tempfile::tempdir().unwrap();
    let kept = json!({ "kind": "connected", "sandbox": "a", "host": "h", "port": 1, "sent_bytes": 1, "sent": digest("old") });
    let acts = vec![started("none", 0), act(kept), Act::SampleEnded];
    let run = write_run(dir.path(), &[Sample::done(0, acts)], &[b"old".to_vec()]);
    let file = dir.path().join("log.eval");
    export(&run, &file).unwrap();
    let name = "samples/base seed 0_epoch_1.json";
    let sample =
        crate::support::member(&file, name).replace("\"text\":\"old\"", "\"text\":\"new\"");
    let header = crate::support::member(&file, "header.json");
    let members = [(name, sample.as_str()), ("header.json", header.as_str())];
    let altered = crate::support::write_log(dir.path(), &members, zip::CompressionMethod::Stored);
    let runs = dir.path().join("runs");
    let error = import_at(&altered, &runs).err().unwrap().to_string();
    assert!(error.contains("were changed"), "{error}");
    assert_eq!(names_in(&runs), [""; 0]);
}

/// Texts that have to do with how texts are kept.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        Just("attachment://0".to_owned()),
        Just("tc://0".to_owned()),
        Just(String::new()),
        (1..400_usize).prop_map(|n| "aé\u{1f600}\n\"\\".repeat(n)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("a number", |number| number.is_finite()).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,5}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (text(), text(), prop::collection::btree_map("[a-z]{1,4}", value(), 0..4)).prop_map(
            |(program, name, fields)| {
                let fields = fields.into_iter().collect();
                Act::Emitted { program, name, fields }
            }
        ),
        (text(), any::<bool>()).prop_map(|(text, is_user)| {
            let role = if is_user { "user" } else { "system" };
            act(json!({ "kind": "messaged", "message": { "role": role, "text": text }, "source": "nudge" }))
        }),
        (text(), text()).prop_map(|(said, arguments)| act(json!({
            "kind": "generated", "model": "openai/m", "request": [], "response": null, "status": null, "error": null, "millis": 1,
            "output": { "message": { "role": "assistant", "parts": [
                { "part": "text", "text": said },
                { "part": "tool_call", "id": "c", "name": "bash", "arguments": arguments },
            ] }, "stop": "stop" },
        }))),
        text().prop_map(|id| act(json!({ "kind": "tool_called", "call": { "id": id, "name": "bash", "arguments": "{}" } }))),
        (text(), text()).prop_map(|(id, text)| act(json!({
            "kind": "tool_returned", "call_id": id, "text": text, "status": null, "error": null, "dropped_bytes": 0, "millis": 0,
        }))),
        Just(act(json!({ "kind": "phase_started", "id": "act" }))),
        Just(act(json!({ "kind": "phase_ended", "id": "act", "why": "stopped" }))),
        text().prop_map(|message| act(json!({ "kind": "failed", "error": "internal", "message": message }))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_happened_in_whatever_order_comes_back(acts in prop::collection::vec(any_act(), 0..30)) {
        let dir = tempfile::tempdir().unwrap();
        let sample = Sample { events: events(acts), ..Sample::done(0, Vec::new()) };
        let sample = if sample.events.is_empty() { Sample { events: events(vec![Act::SampleEnded]), ..sample } } else { sample };
        let run = write_run(dir.path(), &[sample], &[]);
        let file = dir.path().join("log.eval");
        export(&run, &file).unwrap();
        let (_, again) = import_at(&file, &dir.path().join("runs")).unwrap();
        prop_assert_eq!(contents(&again), contents(&run));
    }
}
