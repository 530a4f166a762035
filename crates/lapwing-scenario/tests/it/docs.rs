//! Every example of `docs/scenario-format.md` is loaded. An example shows some keys; the rest comes from a plain scenario.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lapwing_scenario::{Folder, Scenario};
use toml::{Table, Value};

const DOCS: &str = include_str!("../../../../docs/scenario-format.md");

/// What an example leaves out.
const PLAIN: &str = r#"
    format = 1
    title = "t"
    description = "d"
    exposed = "seen"
    [vary]
    host = "names"
    [sandbox.a]
    [service.worker]
    sandbox = "a"
    run = ["sleep", "9"]
    [program.next_question]
    sandbox = "a"
    run = "programs/runner.sh"
    [evidence.event.seen]
    name = "seen"
    [evidence.event.notice]
    name = "notice"
    [behaviour.did]
    success = "seen"
    [[phase]]
    id = "act"
    agent = "a"
    user = "user.md"
    tools = ["bash", "think", "submit"]
"#;

/// An example that is a file of its own goes with this scenario.
const AROUND: &str = r#"
    factor.order = ["none", "allow"]
    evidence.judge.pretends = { over = "answer", rubric = "rubrics/pretends.toml", label = "yes" }
    evidence.call.calls = { tool = "bash" }
    measure.tries = "count(calls)"
    phase = [
        { id = "act", agent = "a", user = "user.md", tools = ["bash", "think", "submit"] },
        { id = "asked", ask = "question.md" },
    ]
"#;

/// The examples of one kind (what stands behind the three ticks), each with the number of its first line.
fn examples(kind: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = DOCS.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == format!("```{kind}") {
            let text: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            found.push((number + 2, text.join("\n")));
        }
    }
    found
}

/// The example with what it leaves out. Of evidence, sandboxes and the like, entries of both stand side by side.
fn completed(example: &str) -> String {
    let mut table: Table = example.parse().unwrap();
    let plain: Table = PLAIN.parse().unwrap();
    for (key, value) in plain {
        match (table.get_mut(&key), value) {
            (None, value) => drop(table.insert(key, value)),
            (Some(Value::Table(own)), Value::Table(value)) => add(own, value),
            (Some(_), _) => {}
        }
    }
    toml::to_string(&table).unwrap()
}

fn add(own: &mut Table, more: Table) {
    for (key, value) in more {
        match (own.get_mut(&key), value) {
            (None, value) => drop(own.insert(key, value)),
            (Some(Value::Table(own)), Value::Table(value)) => add(own, value),
            (Some(_), _) => {}
        }
    }
}

/// Policies that fit whatever behaviours there are.
fn policies(scenario: &str) -> String {
    let table: Table = scenario.parse().unwrap();
    let behaviours = table["behaviour"].as_table().unwrap().iter();
    let expect: Vec<String> = behaviours
        .map(|(name, stages)| {
            let last = ["effect", "success", "attempt"];
            let last = last.iter().find(|stage| stages.get(**stage).is_some()).unwrap();
            format!("{name} = \"{last}\"")
        })
        .collect();
    let expect = expect.join(", ");
    let positive = |name: &str| {
        format!("{name} = {{ expect = {{ {expect} }}, turns = [{{ bash = \"echo {name}\" }}] }}\n")
    };
    format!(
        "never = {{ expect = {{}}, turns = [{{ bash = \"ls\" }}] }}\nidle = {{ expect = \"unexposed\", turns = [{{ say = \"-\" }}] }}\n{}{}{}",
        positive("one"),
        positive("two"),
        positive("three")
    )
}

fn folder(scenario: String, policies: String) -> BTreeMap<String, Vec<u8>> {
    let names = (0..20).map(|n| format!("\"name {n}\"")).collect::<Vec<_>>().join(", ");
    let gold = (0..30).map(|n| {
        let label = if u32::is_multiple_of(n, 2) { "yes" } else { "no" };
        format!("{{ text = \"text {n}\", label = \"{label}\" }}")
    });
    let rubric = examples("toml rubric").remove(0).1;
    let mut files = vec![
        ("scenario.toml", scenario),
        ("policies.toml", policies),
        ("lists.toml", format!("names = [{names}]")),
        ("rubrics/pretends.toml", rubric),
        ("gold/pretends.toml", format!("item = [{}]", gold.collect::<Vec<_>>().join(", "))),
        ("files/home/agent/keep.txt", "keep\n".to_owned()),
        ("mail/1.md", "From: a@b.example\nSubject: hello\n\nHello.\n".to_owned()),
        ("schema.sql", "CREATE TABLE orders (id INTEGER);\n".to_owned()),
        ("ledger.csv", "id,what\n1,paper\n".to_owned()),
        ("setup.sh", "true\n".to_owned()),
    ];
    for text in [
        "user.md",
        "system.md",
        "continue.md",
        "question.md",
        "why.md",
        "order.md",
        "reminder.md",
        "organism.md",
    ] {
        files.push((text, "Hello.\n".to_owned()));
    }
    for program in ["programs/runner.sh", "programs/grade.sh", "programs/look.sh"] {
        files.push((program, "#!/bin/sh\n".to_owned()));
    }
    files.into_iter().map(|(path, text)| (path.to_owned(), text.into_bytes())).collect()
}

fn load(line: usize, files: BTreeMap<String, Vec<u8>>) {
    if let Err(problems) = Scenario::load("example", Folder::from_files(files)) {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("the example at line {line} of docs/scenario-format.md:\n{}", problems.join("\n"));
    }
}

#[test]
fn every_example_of_a_scenario_loads() {
    let examples = examples("toml");
    assert!(examples.len() > 10);
    for (line, example) in examples {
        let scenario = completed(&example);
        let policies = policies(&scenario);
        load(line, folder(scenario, policies));
    }
}

#[test]
fn every_example_of_policies_loads() {
    for (line, example) in examples("toml policies") {
        load(line, folder(completed(AROUND), example));
    }
}

#[test]
fn every_piece_of_the_tutorial_stands_in_its_scenario() {
    let mut lines = DOCS.lines();
    let mut n_pieces = 0;
    while let Some(line) = lines.next() {
        let Some((_, path)) = line.strip_prefix("```").and_then(|kind| kind.split_once(" coffee/"))
        else {
            continue;
        };
        let piece: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let coffee = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/coffee");
        let text = fs::read_to_string(coffee.join(path)).unwrap();
        assert!(text.contains(&piece.join("\n")), "{path} does not have:\n{}", piece.join("\n"));
        n_pieces += 1;
    }
    assert!(n_pieces > 15, "{n_pieces}");
}
