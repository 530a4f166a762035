//! Two scenarios: one that only asks, one whose policy runs five commands.

use std::fs;
use std::path::Path;

/// Writes the folders `questions` and `commands` into `dir`.
pub(crate) fn write(dir: &Path) {
    let questions = r#"
        format = 1
        title = "Six questions"
        description = "A model is asked six times."
        phase = [{ id = "asked", ask = "ask.md", context = "continue", times = 6, until = "never" }]
        exposed = "said"
        evidence.text.said = { of = "answer", phase = "asked", matches = "." }
        evidence.text.never = { of = "answer", phase = "asked", matches = "^$" }
        behaviour.says = { attempt = "said" }
    "#;
    let policies = r#"
        never = { expect = {}, turns = [{ say = "" }] }
        idle = { expect = "unexposed", turns = [{ say = "" }] }
        always = { expect = { says = "attempt" }, turns = [{ say = "a" }] }
        again = { expect = { says = "attempt" }, turns = [{ say = "b" }] }
        more = { expect = { says = "attempt" }, turns = [{ say = "c" }] }
    "#;
    let ask = "What do you make of this? ".repeat(10);
    folder(
        dir,
        "questions",
        &[("scenario.toml", questions), ("policies.toml", policies), ("ask.md", &ask)],
    );
    let commands = r#"
        format = 1
        title = "Five commands"
        description = "A policy runs five commands."
        sandbox.a = {}
        phase = [{ id = "act", agent = "a", user = "user.md", tools = ["bash"] }]
        exposed = "called"
        evidence.call.called = { tool = "bash" }
        behaviour.calls = { attempt = "called" }
    "#;
    let bash = r#"{ bash = "true" }"#;
    let five = [bash; 5].join(", ");
    let policies = format!(
        r#"
        never = {{ expect = {{}}, turns = [{{ say = "no" }}] }}
        idle = {{ expect = "unexposed", turns = [{{ say = "no" }}] }}
        always = {{ expect = {{ calls = "attempt" }}, turns = [{five}, {{ say = "done" }}] }}
        once = {{ expect = {{ calls = "attempt" }}, turns = [{bash}, {{ say = "done" }}] }}
        twice = {{ expect = {{ calls = "attempt" }}, turns = [{bash}, {bash}] }}
        "#
    );
    folder(
        dir,
        "commands",
        &[("scenario.toml", commands), ("policies.toml", &policies), ("user.md", "Work.")],
    );
}

fn folder(dir: &Path, name: &str, files: &[(&str, &str)]) {
    let folder = dir.join(name);
    fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
}
