//! Commands that a model starts in the background, in a real sandbox.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::support::Lab;

/// Makes the scenario `tiny`, whose model has all tools for commands in the background.
fn make_tiny(lab: &Lab) {
    assert_eq!(lab.lapwing(&["scenario", "new", "tiny"]).code, 0);
    let tools = "tools = [\"bash\", \"bash_start\", \"bash_read\", \"bash_write\", \"bash_stop\"]";
    lab.replace("tiny/scenario.toml", "tools = [\"bash\"]", tools);
}

/// Plays `turns` in it with these lines in its sandbox, and returns the events of the one sample.
fn play(lab: &Lab, lines: &str, turns: &str) -> Vec<Value> {
    make_tiny(lab);
    lab.replace("tiny/scenario.toml", "[sandbox.a]\n", &format!("[sandbox.a]\n{lines}\n"));
    let policies = lab.path().join("tiny/policies.toml");
    let text = fs::read_to_string(&policies).unwrap();
    fs::write(&policies, format!("{text}\n[works]\nexpect = {{}}\nturns = [{turns}]\n")).unwrap();
    let run = lab.lapwing(&[
        "eval",
        "./tiny",
        "--model",
        "policy/works",
        "--seeds",
        "1",
        "-f",
        "order=none",
        "-f",
        "limit=low",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    acts_of(lab)
}

/// What happened in the first sample of the newest run.
fn acts_of(lab: &Lab) -> Vec<Value> {
    let shown = lab.lapwing(&["show", "latest", "1", "--json"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let events = shown.json()["events"].as_array().cloned();
    events.unwrap().iter().map(|event| event["act"].clone()).collect()
}

fn of_kind<'a>(acts: &'a [Value], kind: &str) -> Vec<&'a Value> {
    acts.iter().filter(|act| act["kind"] == kind).collect()
}

#[test]
fn a_command_is_started_read_fed_and_stopped_and_what_nobody_read_is_on_record() {
    let lab = Lab::new();
    let turns = r#"
        { bash_start = "while read line; do echo got $line; done" },
        { raw = { tool = "bash_write", arguments = '{"id": 1, "text": "tea\n"}' } },
        { raw = { tool = "bash_read", arguments = '{"id": 1, "seconds": 60}' } },
        { bash_stop = "1" },
        { bash_read = "7" },
        { bash_start = "echo unread; touch /tmp/written; exec sleep 1000" },
        { bash = "until [ -e /tmp/written ]; do :; done" },
        { say = "done" }, { say = "done" },
    "#;
    let acts = play(&lab, "", turns);
    let returned: Vec<&str> = of_kind(&acts, "tool_returned")
        .into_iter()
        .map(|act| act["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        returned,
        [
            "Started with the id 1.",
            "Written.",
            "got tea\n[it still runs]",
            "[ended by signal 9]",
            "No command was started with the id 7.",
            "Started with the id 2.",
            "[no output]",
        ]
    );
    let [left] = of_kind(&acts, "backgrounded")[..] else { unreachable!("{acts:?}") };
    assert_eq!((&left["number"], &left["status"]), (&Value::from(2), &Value::Null));
    assert_eq!(left["output"], "unread\n");
    let shown = lab.lapwing(&["show", "latest", "1"]).stdout;
    assert!(
        shown.contains("2 in the background, still runs") && shown.contains("unread"),
        "{shown}"
    );
}

#[test]
fn a_person_has_commands_in_the_background_too() {
    let lab = Lab::new();
    make_tiny(&lab);
    let turns = [
        "/bash_start read line; echo got $line; cat",
        "/bash_write 1 tea and milk",
        "/bash_read 1 60",
        "/bash_write 1",
        "/bash_read 1 60",
        "/bash_read one",
        "/bash_read 1 soon",
        "/bash_stop 1",
    ];
    let mut command = lab.command(&["eval", "./tiny", "--model", "human"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let typed = turns.map(|line| format!("{line}\n\n")).concat();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let acts = acts_of(&lab);
    let returned: Vec<&str> = of_kind(&acts, "tool_returned")
        .into_iter()
        .map(|act| act["text"].as_str().unwrap())
        .collect();
    let [done @ .., one, soon, stopped] = &returned[..] else { unreachable!("{returned:?}") };
    assert_eq!(
        done,
        [
            "Started with the id 1.",
            "Written.",
            "got tea and milk\n[it still runs]",
            "Written.",
            "[exit code 0]",
        ]
    );
    for refused in [one, soon] {
        assert!(refused.contains("could not be read"), "{refused}");
    }
    assert_eq!(*stopped, "[exit code 0]");
}

#[test]
fn processor_time_that_is_used_up_ends_the_sample_as_a_limit() {
    let lab = Lab::new();
    let turns = r#"{ bash = "start_pump" }, { bash = "while :; do :; done" }"#;
    let acts = play(&lab, "cpu_seconds = 1", turns);
    let [limit] = of_kind(&acts, "limit_reached")[..] else { unreachable!("{acts:?}") };
    assert_eq!((&limit["limit"], &limit["value"]), (&"processor_time".into(), &1000.into()));
    let shown = lab.lapwing(&["show", "latest", "1"]).stdout;
    assert!(shown.contains("1 s of processor time, the sandbox was ended"), "{shown}");
}
