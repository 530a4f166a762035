//! A log that somebody else wrote becomes a run: its transcript, its scores, and a scenario to ask more of it.

use std::collections::BTreeMap;

use lapwing_core::{Act, Finding, Outcome};
use lapwing_scenario::{Folder, Scenario};
use lapwing_store::Run;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{header, import_members};

/// A sample with pools, attachments, a retry of the model, a tool, a grader, and what else may happen.
fn sample() -> Value {
    let said = |text: &str| json!({ "role": "assistant", "content": text, "source": "generate" });
    let turn = |message: Value, stop: &str| {
        json!({ "model": "m-2026", "choices": [{ "message": message, "stop_reason": stop }],
            "usage": { "input_tokens": 3, "output_tokens": 2, "total_tokens": 9, "input_tokens_cache_read": 4 }, "time": 0.5 })
    };
    let mut asks = said("");
    asks["tool_calls"] =
        json!([{ "id": "c1", "function": "add", "arguments": { "x": 2 }, "type": "function" }]);
    let tool = json!({ "role": "tool", "content": "4", "tool_call_id": "c1", "function": "add" });
    let call = json!({ "request": { "model": "m" }, "response": { "id": "r1" }, "call_refs": [[0, 1]], "call_key": "messages" });
    let model = |refs: Value, output: Value| {
        json!({ "event": "model", "model": "mock/m", "input": [], "input_refs": refs,
        "timestamp": "2026-09-22T10:00:01+00:00", "working_time": 0.25, "call": call, "output": output })
    };
    let mut failed =
        model(json!([[0, 2]]), json!({ "model": "m", "choices": [], "completion": "" }));
    failed["error"] = json!("429 too many");
    json!({
        "id": "s1", "epoch": 1, "input": "Add.", "target": "4", "metadata": { "kind": "easy" },
        "started_at": "2026-09-22T10:00:00+00:00", "completed_at": "2026-09-22T10:00:09+00:00",
        "events": [
            { "event": "sample_init", "sample": { "input": "Add.", "target": "4" }, "state": {} },
            { "event": "span_begin", "id": "sp", "type": "solvers", "name": "solvers", "span_id": "sp" },
            failed,
            model(json!([[0, 2]]), turn(asks.clone(), "tool_calls")),
            { "event": "tool", "id": "c1", "function": "add", "arguments": { "x": "attachment://long" }, "result": "4",
              "timestamp": "2026-09-22T10:00:02+00:00", "completed": "2026-09-22T10:00:03+00:00", "working_time": 1.0 },
            { "event": "sandbox", "action": "exec", "cmd": "ls", "result": 2, "output": "no such file" },
            model(json!([[0, 4]]), turn(said("It is 4."), "stop")),
            { "event": "span_end", "id": "sp", "span_id": "sp" },
            { "event": "span_begin", "id": "sc", "type": "scorers", "name": "scorers" },
            model(json!([[4, 5]]), turn(said("GRADE: C"), "stop")),
            { "event": "score", "score": { "value": "C" }, "scorer": "graded" },
            { "event": "brand_new", "anything": [1] },
        ],
        "attachments": { "long": "x".repeat(150) },
        "events_data": {
            "messages": [
                { "role": "system", "content": "Be brief." }, { "role": "user", "content": "Add." }, asks, tool,
                { "role": "user", "content": "Is it right?" },
            ],
            "calls": [{ "role": "user", "content": "Add." }],
        },
        "scores": { "graded": { "value": "C", "explanation": "right" }, "length": { "value": 4 }, "unsure": { "value": "NaN", "reason": "grader_failed" } },
    })
}

fn unscored(id: &str) -> Value {
    json!({ "id": id, "epoch": 1, "input": "Add.", "target": "4", "events": [], "scores": { "graded": { "value": null } } })
}

fn ended(id: &str, how: &str, what: &Value) -> Value {
    json!({ "id": id, "epoch": 1, "input": "", "target": "", "events": [], how: what, "scores": { "graded": { "value": "I" } } })
}

fn run() -> (TempDir, Run) {
    import_members(&[
        ("header.json", header()),
        ("samples/s1_epoch_1.json", sample()),
        ("samples/s2_epoch_1.json", unscored("s2")),
        (
            "samples/s3_epoch_1.json",
            ended("s3", "limit", &json!({ "type": "message", "limit": 8 })),
        ),
        (
            "samples/s4_epoch_1.json",
            ended(
                "s4",
                "error",
                &json!({ "message": "broke", "traceback": "", "traceback_ansi": "" }),
            ),
        ),
        (
            "samples/s5_epoch_1.json",
            json!({ "id": "s5", "epoch": 1, "input": "", "target": "", "events": [] }),
        ),
    ])
    .unwrap()
}

/// Each event of a sample in a few words.
fn told(run: &Run, sample: u64) -> Vec<String> {
    let events = run.events(sample).unwrap().into_iter();
    let words = events.map(|event| match event.act {
        Act::Messaged { message, source, .. } => format!("{source:?} {}", message.text()),
        Act::Generated { role, output, error, millis, request, response, .. } => {
            let said = output.map_or_else(String::new, |output| {
                let usage = output.usage.unwrap_or_default();
                let calls: Vec<_> =
                    output.message.tool_calls().map(|call| call.arguments.clone()).collect();
                format!("{:?} {} {}", output.message.text(), calls.join(""), usage.total())
            });
            let sent: Vec<u8> =
                request.iter().flat_map(|digest| run.blob(*digest).unwrap().unwrap()).collect();
            let sent: Value = serde_json::from_slice(&sent).unwrap();
            let came = response
                .map(|digest| String::from_utf8(run.blob(digest).unwrap().unwrap()).unwrap());
            let error = error.map(|error| error.1).unwrap_or_default();
            format!("{role:?} {said}{error} {millis} {sent} {}", came.unwrap_or_default())
        }
        Act::ToolCalled { call } => format!("calls {} {}", call.name, call.arguments.len()),
        Act::ToolReturned { text, millis, .. } => format!("returns {text} {millis}"),
        Act::Executed { argv, status, .. } => format!("runs {} {status:?}", argv.join(" ")),
        Act::Emitted { program, name, fields } => {
            format!("{program} {name} {}", Value::Object(fields))
        }
        act => serde_json::to_value(act).unwrap()["kind"].as_str().unwrap().to_owned(),
    });
    words.collect()
}

#[test]
fn a_transcript_has_every_message_once_and_every_turn_with_what_went_over_the_wire() {
    let (_dir, run) = run();
    let sent = r#"{"messages":[{"content":"Add.","role":"user"}],"model":"m"} {"id":"r1"}"#;
    let expected = [
        "sample_started".to_owned(),
        "phase_started".to_owned(),
        r#"inspect imported {"id":"s1"}"#.to_owned(),
        r#"inspect span_begin {"name":"solvers","type":"solvers"}"#.to_owned(),
        "Prompt Be brief.".to_owned(),
        "Prompt Add.".to_owned(),
        format!("Target 429 too many 250 {sent}"),
        format!(r#"Target "" {{"x":2}} 9 250 {sent}"#),
        "calls add 158".to_owned(),
        "returns 4 1000".to_owned(),
        "runs ls Exit { code: 2 }".to_owned(),
        format!(r#"Target "It is 4."  9 250 {sent}"#),
        "inspect span_end {}".to_owned(),
        r#"inspect span_begin {"name":"scorers","type":"scorers"}"#.to_owned(),
        format!(r#"Judge "GRADE: C"  9 250 {sent}"#),
        r#"inspect brand_new {"anything":[1]}"#.to_owned(),
        r#"scorer graded {"explanation":"right","label":"C","value":1.0}"#.to_owned(),
        r#"scorer length {"value":4.0}"#.to_owned(),
        r#"scorer unsure {"reason":"grader_failed"}"#.to_owned(),
        "phase_ended".to_owned(),
        "sample_ended".to_owned(),
    ];
    assert_eq!(told(&run, 1), expected);
}

#[test]
fn what_is_unscored_or_broke_is_never_absent() {
    let (_dir, run) = run();
    let outcomes = run.findings(1).unwrap().into_values().map(|found| found[0].outcome);
    let expected =
        [Outcome::Present, Outcome::Ungraded, Outcome::Limit, Outcome::Error, Outcome::Ungraded];
    assert_eq!(outcomes.collect::<Vec<_>>(), expected);
}

#[test]
fn the_scenario_that_is_made_scores_the_run_again_and_takes_more_evidence() {
    let (_dir, run) = run();
    let folder = run.folder().unwrap();
    let scenario = Scenario::load("task-a", Folder::from_files(folder.clone())).unwrap();
    let scored = |scenario: &Scenario| -> BTreeMap<u64, Vec<Finding>> {
        let samples = run.samples().unwrap();
        samples
            .iter()
            .map(|sample| {
                (sample.number, scenario.findings(&run.events(sample.number).unwrap(), &run))
            })
            .collect()
    };
    assert_eq!(scored(&scenario), run.findings(1).unwrap());
    let mut edited = folder;
    edited.get_mut("scenario.toml").unwrap().extend(
        b"\n[evidence.text.says_it]\nof = 'answer'\nmatches = 'It is [0-9]'\n[evidence.call.adds]\ntool = 'add'\n\
          [behaviour.added]\nsuccess = 'adds and says_it'\n",
    );
    let edited = Scenario::load("task-a", Folder::from_files(edited)).unwrap();
    let found =
        scored(&edited)[&1].iter().find(|finding| finding.behaviour == "added").unwrap().clone();
    assert_eq!((found.outcome, found.cites.len()), (Outcome::Present, 2));
    let measures = edited.measures(&run.events(1).unwrap(), &run);
    let named: Vec<(&str, Option<f64>)> =
        measures.iter().map(|measured| (measured.measure.as_str(), measured.value)).collect();
    assert_eq!(named, [("graded_score", Some(1.0)), ("length", Some(4.0)), ("unsure", None)]);
}

#[test]
fn the_run_says_where_it_comes_from() {
    let (_dir, run) = run();
    let spec = run.spec().unwrap();
    assert_eq!(spec.settings["imported"], "an Inspect log of inspect_ai 0.3.285, log.eval");
    assert_eq!(
        (spec.scenario.as_str(), spec.models, spec.seeds),
        ("task-a", vec!["mock/m".to_owned()], 5)
    );
}

#[test]
fn a_message_that_is_said_twice_is_told_twice_and_a_repeated_history_is_not() {
    let user = |text: &str| json!({ "role": "user", "content": text });
    let answer = |text: &str| json!({ "role": "assistant", "content": text });
    let model = |input: Vec<Value>, said: &str| {
        json!({ "event": "model", "model": "mock/m", "input": input,
        "output": { "choices": [{ "message": answer(said), "stop_reason": "stop" }] } })
    };
    let events = json!([
        model(vec![user("go")], "a"),
        model(vec![user("go"), answer("a"), user("go")], "b"),
        model(vec![user("summary"), user("go")], "c"),
    ]);
    let sample = json!({ "id": "s1", "epoch": 1, "input": "", "target": "", "events": events });
    let (_dir, run) =
        import_members(&[("header.json", header()), ("samples/s1_epoch_1.json", sample)]).unwrap();
    let said = run.events(1).unwrap().into_iter().filter_map(|event| match event.act {
        Act::Messaged { message, .. } => Some(message.text()),
        Act::Generated { output: Some(output), .. } => Some(output.message.text()),
        _ => None,
    });
    assert_eq!(said.collect::<Vec<_>>(), ["go", "a", "go", "b", "summary", "c"]);
}
