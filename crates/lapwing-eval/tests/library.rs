//! The shell library for programs, talked to as the harness talks to it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Runs `script` behind the library; each line of it that asks for something is answered with the next of `answers`. All lines
/// that it printed.
fn converse(script: &str, greeting: &Value, answers: &[Value]) -> Vec<Value> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lapwing.sh");
    let mut shell = Command::new("sh")
        .args(["-euc", &format!(". {}\n{script}", library.display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = shell.stdin.take().unwrap();
    let mut answers = answers.iter();
    writeln!(input, "{greeting}").unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(shell.stdout.take().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if ["exec", "try", "await"].iter().any(|asks| line.get(asks).is_some()) {
            writeln!(input, "{}", answers.next().unwrap()).unwrap();
        }
        lines.push(line);
    }
    assert!(shell.wait().unwrap().success());
    assert_eq!(answers.next(), None, "all answers were asked for");
    lines
}

/// Quotes, line ends, tabs, controls, words of JSON and of the shell, characters of two, three and four bytes.
const HARD: &str = "it's \"q\" \\ \\n \n\n\t\u{7}\u{1f} {\"a\": [1, 2]} $(date) `x` é — 😀 end\n\n";

#[test]
fn any_text_survives_the_way_in_and_out() {
    let script = r#"emit text hard="$(value hard; echo .)" "key"="$(value plain)""#;
    let greeting = json!({ "values": { "hard": HARD, "plain": "plain" }, "services": [] });
    let lines = converse(script, &greeting, &[]);
    let fields = json!({ "hard": format!("{HARD}\n."), "key": "plain" });
    assert_eq!(lines, [json!({ "emit": { "name": "text", "fields": fields } })]);
}

#[test]
fn several_texts_and_a_text_too_long_for_an_argument_survive_too() {
    let long = HARD.repeat(4000);
    let script =
        r#"run_in "$(value hard; echo .)" '' plain "$(value long; echo .)"; run_in a "" 'b"c'"#;
    let greeting = json!({ "values": { "hard": HARD, "long": long } });
    let answer = json!({ "status": { "ended": "exit", "code": 0 }, "stdout": "", "stderr": "" });
    let lines = converse(script, &greeting, &[answer.clone(), answer]);
    let argv = [format!("{HARD}\n."), String::new(), "plain".to_owned(), format!("{long}\n.")];
    assert_eq!(lines[0]["exec"]["argv"], json!(argv));
    assert_eq!(lines[1]["exec"]["argv"], json!(["a", "", "b\"c"]));
}

#[test]
fn values_are_texts_decoded_and_all_else_as_json_writes_it() {
    let script = r#"
        for name in n list table yes nothing unknown; do say "$(value $name)"; done
        say "$greeting""#;
    let list = json!(["a \"b\"", "c\\d", "e, f}"]);
    let table = json!({ "n": 1, "list": [1, [2]] });
    let values = json!({ "n": -2.5, "list": list, "table": table, "yes": true, "nothing": null });
    let greeting =
        json!({ "phase": "p", "values": values, "services": [{ "name": "x", "pid": 7 }] });
    let said: Vec<String> = converse(script, &greeting, &[])
        .iter()
        .map(|line| line["say"].as_str().unwrap().to_owned())
        .collect();
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(said[0], "-2.5");
    assert_eq!((parsed(&said[1]), parsed(&said[2])), (list, table));
    assert_eq!(said[3..6], ["true", "null", ""]);
    assert_eq!(parsed(&said[6]), greeting);
}

#[test]
fn the_status_and_both_streams_of_a_command_are_the_answer() {
    let script = r#"
        input="a'b"
        run_in cat "x y"; emit ran status:="$status" out="$stdout" err="$stderr"
        run_in false; emit ran status="$status" out="$stdout" err="$stderr"
        limit_ms=5
        run_in sleep 9; emit ran status="$status"
        await_service worker 20; emit ran status="$status"
        await_service worker 20; emit ran status="$status""#;
    let status = |ended: &Value| json!({ "status": ended, "stdout": "", "stderr": "" });
    let (killed, late) =
        (json!({ "ended": "signal", "signal": 9 }), json!({ "ended": "time_limit" }));
    let exit = json!({ "ended": "exit", "code": 3 });
    let answers = [
        json!({ "status": exit, "stdout": HARD, "stderr": "oh\n" }),
        status(&killed),
        status(&late),
        json!({ "status": null }),
        json!({ "status": { "ended": "exit", "code": 0 } }),
    ];
    let lines = converse(script, &json!({ "values": {} }), &answers);
    assert_eq!(lines[0], json!({ "exec": { "argv": ["cat", "x y"], "stdin": "a'b" } }));
    let fields: Vec<&Value> =
        lines.iter().filter_map(|line| line.get("emit")).map(|emit| &emit["fields"]).collect();
    assert_eq!(*fields[0], json!({ "status": 3, "out": HARD, "err": "oh\n" }));
    assert_eq!(*fields[1], json!({ "status": "137", "out": "", "err": "" }));
    assert_eq!(
        [&fields[2]["status"], &fields[3]["status"], &fields[4]["status"]],
        ["124", "running", "0"]
    );
    assert_eq!(lines[4]["exec"]["limit_ms"], 5);
    assert_eq!(lines[6], json!({ "await": { "service": "worker", "limit_ms": 20 } }));
}

#[test]
fn files_of_a_throw_away_machine_are_those_named_so_far() {
    let script = r#"
        try_file a.sh "echo 'x'"
        try_out sh a.sh
        try_file /b "2
"
        try_out cat /b"#;
    let answer = json!({ "status": { "ended": "exit", "code": 0 }, "stdout": "", "stderr": "" });
    let lines = converse(script, &json!({ "values": {} }), &[answer.clone(), answer]);
    let asked = |argv: &[&str], files: Value| json!({ "try": { "argv": argv, "stdin": "", "files": files } });
    assert_eq!(lines[0], asked(&["sh", "a.sh"], json!({ "a.sh": "echo 'x'" })));
    assert_eq!(lines[1], asked(&["cat", "/b"], json!({ "a.sh": "echo 'x'", "/b": "2\n" })));
}

#[test]
fn numbers_are_reported_as_json_writes_them_and_all_else_as_text() {
    let given = [
        "7",
        "-3",
        ".5",
        "0.25",
        "0.2.5",
        "+2",
        "1e3",
        "0.30000000000000004",
        "007",
        "true",
        "1.2.3",
        "-",
        "x",
        "",
    ];
    let script: String = given.iter().map(|value| format!("report q '{value}' n:=1\n")).collect();
    let lines = converse(&script, &json!({ "values": {} }), &[]);
    let values: Vec<Value> = lines.iter().map(|line| line["report"]["value"].clone()).collect();
    let expected = json!([
        7,
        -3,
        0.5,
        0.25,
        "0.2.5",
        2,
        1000.0,
        0.300_000_000_000_000_04,
        7,
        true,
        "1.2.3",
        "-",
        "x",
        ""
    ]);
    assert_eq!(Value::from(values), expected);
}
