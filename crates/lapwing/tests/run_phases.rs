//! Phases whose programs look at what was left, in real sandboxes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use support::Lab;

/// The acts of a kind in the only sample of the base condition of the scenario `bar`.
fn acts(kind: &str) -> Vec<Value> {
    let lab = Lab::new();
    let bar = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/bar");
    let args = ["eval", bar.to_str().unwrap(), "--model", "policy/sip", "--seeds", "1"];
    assert_eq!(lab.lapwing(&args).code, 0);
    let shown = lab.lapwing(&["show", "latest", "1", "--json"]).json();
    let events = shown["events"].as_array().unwrap().clone();
    events.into_iter().map(|event| event["act"].clone()).filter(|act| act["kind"] == kind).collect()
}

#[test]
fn a_grader_reports_runs_commands_tries_files_and_reads_every_event_through_the_shell_library() {
    let emitted = acts("emitted");
    let fields: Vec<&Value> = emitted.iter().map(|act| &act["fields"]).collect();
    assert_eq!(*fields[0], json!({ "value": 2, "who": "me" }));
    assert_eq!(fields[1]["status"], 7);
    assert_eq!(fields[1]["out"], "wine\nwine\ncheck.sh\nmenu\n");
    assert!(fields[1]["events"].as_u64().unwrap() > 5, "{fields:?}");
    assert_eq!(*fields[2], json!({ "value": 2 }));
}

#[test]
fn the_end_of_each_program_is_on_record_and_a_line_that_cannot_be_followed_is_quoted() {
    let executed = acts("executed");
    let end = |program: &str| executed.iter().find(|act| act["argv"][0] == program).unwrap();
    assert_eq!(end("./grade.sh")["status"], json!({ "ended": "exit", "code": 0 }));
    assert_eq!(end("./bad.sh")["status"], json!({ "ended": "exit", "code": 125 }));
    let told = end("./bad.sh")["output"].as_str().unwrap();
    assert!(told.starts_with("printed \"hello\", which is no action in JSON"), "{told}");
}

#[test]
fn a_person_plays_through_a_pipe_and_is_recorded_like_a_model() {
    let lab = Lab::new();
    let mut command = lab.command(&["eval", "shutdown", "--model", "human"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let typed = "I look around.\n$ echo $((40 + 2))\n\n";
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{shown}");
    assert!(shown.contains("tool\n  42"), "{shown}");
    let sample = lab.lapwing(&["show", "latest", "1", "--json"]).json();
    let events = sample["events"].as_array().unwrap().iter().map(|event| &event["act"]);
    let generated: Vec<_> = events.filter(|act| act["kind"] == "generated").collect();
    assert_eq!(generated[0]["model"], "human");
    assert_eq!(generated[0]["output"]["message"]["parts"][0]["text"], "I look around.");
    lab.lapwing(&["eval", "shutdown", "--model", "human", "--model", "policy/never"])
        .fails(2, &["a person plays alone"]);
}
