//! Phases that ask and run, files that are carried over, and what is delivered in mid-run.

use std::collections::BTreeMap;

use lapwing_core::{Act, Delivery, Discard, Event, Outcome, PhaseEnd};
use lapwing_scenario::{CarryPlan, DesignChoice, Folder, PhaseKind, Plan, RunPlace, Scenario};
use serde_json::Map;

use crate::mistakes::{folder, told};

/// Where further phases and tables are added to the sound scenario.
const PHASES: &str = "end = \"out\" }]\n";

fn with_phase(phase: &str) -> String {
    format!("end = \"out\" }}, {phase}]\n")
}

fn with(tables: &str) -> String {
    format!("{PHASES}{tables}\n")
}

fn loaded(from: &str, to: &str) -> Scenario {
    let mut files = folder();
    let text = String::from_utf8(files.remove("scenario.toml").unwrap()).unwrap();
    assert!(text.contains(from), "{from}");
    files.insert("scenario.toml".to_owned(), text.replacen(from, to, 1).into_bytes());
    Scenario::load("lamp", Folder::from_files(files)).unwrap()
}

fn base_plan(scenario: &Scenario) -> Plan {
    let base = scenario.conditions(&BTreeMap::new(), DesignChoice::Default).unwrap().remove(0);
    scenario.plan(&base, 1).unwrap()
}

fn seen() -> Vec<Event> {
    let act =
        Act::Emitted { program: "next".to_owned(), name: "seen".to_owned(), fields: Map::new() };
    vec![Event { seq: 1, phase: "act".to_owned(), at_ms: 0, act }]
}

#[test]
fn a_list_of_questions_is_asked_again_until_its_rule_is_true() {
    let phase = r#"{ id = "more", ask = ["ask.md", "user.md"], context = "fresh", times = 7, until = "seen" }"#;
    let scenario = loaded(PHASES, &with_phase(phase));
    let PhaseKind::Ask { questions, fresh, times } = base_plan(&scenario).phases.remove(1).kind
    else {
        panic!("the second phase asks")
    };
    assert_eq!((questions.len(), fresh, times), (2, true, 7));
    assert_eq!(questions[1], "Watch the lamp.");
    assert!(!scenario.ended("more", &[], &Discard));
    assert!(scenario.ended("more", &seen(), &Discard));
}

#[test]
fn a_program_runs_backstage_with_copies_of_the_only_sandbox_or_inside_one() {
    let run = |keys: &str| {
        let phase = format!("{{ id = \"grade\", run = \"programs/next.sh\"{keys} }}");
        match base_plan(&loaded(PHASES, &with_phase(&phase))).phases.remove(1).kind {
            PhaseKind::Run { program, place } => (program, place),
            kind => panic!("{kind:?}"),
        }
    };
    let (program, place) = run(", copy = [\"/home/**\"]");
    assert_eq!(program, "next.sh");
    let RunPlace::Backstage { of, copy } = place else { panic!("{place:?}") };
    assert_eq!(of.as_deref(), Some("a"));
    assert!(copy[0].matches("/home/agent/x") && !copy[0].matches("/lamp"));
    assert_eq!(run(", inside = \"a\"").1, RunPlace::Inside("a".to_owned()));
}

#[test]
fn a_program_that_copies_nothing_needs_no_sandbox() {
    let phase = r#"{ id = "grade", run = "programs/next.sh" }"#;
    let scenario = loaded(PHASES, &format!("{}sandbox.b = {{}}\n", with_phase(phase)));
    let expected = RunPlace::Backstage { of: None, copy: Vec::new() };
    let PhaseKind::Run { place, .. } = base_plan(&scenario).phases.remove(1).kind else {
        panic!("the second phase runs")
    };
    assert_eq!(place, expected);
}

#[test]
fn a_sandbox_takes_files_over_from_others() {
    let one = r#"sandbox.b = { carry = { from = "a", paths = "/home/**" } }"#;
    let list = r#"sandbox.b = { carry = [{ from = "a", paths = "/home/**" }, { from = "c", paths = ["/lamp", "/x"] }] }
sandbox.c = {}"#;
    let carried = |tables: &str| -> Vec<(String, usize)> {
        let plan = base_plan(&loaded(PHASES, &with(tables)));
        let entries = plan.sandboxes["b"].carry.iter();
        entries.map(|CarryPlan { from, paths }| (from.clone(), paths.len())).collect()
    };
    assert_eq!(carried(one), [("a".to_owned(), 1)]);
    assert_eq!(carried(list), [("a".to_owned(), 1), ("c".to_owned(), 2)]);
}

#[test]
fn what_is_delivered_is_rendered_and_due_once_its_rule_is_true() {
    let tables = r#"inject.hint = { when = "seen", deliver = "user", text = "user.md" }
inject.note = { when = "out", deliver = "file", text = "ask.md", path = "/home/{{ name }}" }"#;
    let scenario = loaded(PHASES, &with(tables));
    let plan = base_plan(&scenario);
    let name = plan.values["name"].as_str().unwrap();
    assert_eq!(plan.injections.len(), 2);
    assert_eq!(plan.injections[0].name, "hint");
    assert_eq!(plan.injections[0].deliver, Delivery::User);
    assert_eq!(plan.injections[0].text, "Watch the lamp.");
    let path = format!("/home/{name}");
    assert_eq!(plan.injections[1].deliver, Delivery::File { sandbox: "a".to_owned(), path });
    assert_eq!(plan.injections[1].text, format!("Look after it, {name}."));
    assert!(!scenario.is_due("hint", &[], &Discard));
    assert!(scenario.is_due("hint", &seen(), &Discard));
    assert!(!scenario.is_due("note", &seen(), &Discard));
}

#[test]
fn mistakes_in_phases_are_told_with_place_and_next_step() {
    let rows = [
        (
            r#"{ id = "more", ask = [] }"#,
            r#"scenario.toml:12:120: `phase[1].ask`: there is no question
  help: name at least one file: `ask = ["first.md"]`"#,
        ),
        (
            r#"{ id = "more", ask = ["ask.md", "aks.md"] }"#,
            r"scenario.toml:12:131: `phase[1].ask[1]`: the file `aks.md` is missing
  help: did you mean `ask.md`? known: `ask.md`, `files/lamp`, `lists.toml`, `policies.toml`, `programs/next.sh`, `scenario.toml`, `user.md`",
        ),
        (
            r#"{ id = "more", ask = "ask.md", times = 0 }"#,
            r"scenario.toml:12:138: `phase[1].times`: expected a whole number from 1, got 0",
        ),
        (
            r#"{ id = "more", ask = "ask.md", until = "seen" }"#,
            r"scenario.toml:12:138: `phase[1].until`: there is nothing to end early
  help: add `times = 7`, or more questions",
        ),
        (
            r#"{ id = "more", ask = "ask.md", times = 2, until = "sen" }"#,
            r"scenario.toml:12:150: `phase[1].until`: unknown evidence `sen`
  help: did you mean `seen`? known: `seen`, `changed`, `out`",
        ),
        (
            r#"{ id = "more", ask = "ask.md", run = "programs/next.sh" }"#,
            r#"scenario.toml:12:99: `phase[1]`: a phase has one of `agent`, `ask` and `run`
  help: write `agent = "SANDBOX"`, `ask = "FILE"` or `run = "programs/FILE"`"#,
        ),
        (
            r#"{ id = "grade", run = "user.md" }"#,
            r"scenario.toml:12:121: `phase[1].run`: `user.md` is not below `programs/`
  help: move the file to `programs/`, which is copied backstage",
        ),
        (
            r#"{ id = "grade", run = "programs/next.sh", of = "b" }"#,
            r"scenario.toml:12:146: `phase[1].of`: unknown sandbox `b`
  help: did you mean `a`? known: `a`",
        ),
        (
            r#"{ id = "grade", run = "programs/next.sh", inside = "a", copy = "/home/**" }"#,
            r"scenario.toml:12:99: `phase[1]`: `of` and `copy` do not go with `inside`
  help: leave `inside` out to have the program run backstage",
        ),
        (
            r#"{ id = "grade", run = "programs/next.sh", copy = "home" }"#,
            r"scenario.toml:12:148: `phase[1].copy`: the pattern `home` is not an absolute path
  help: write `/home/agent/**` or `/usr/local/bin/*`",
        ),
        (
            r#"{ id = "grade", run = "programs/next.sh", tools = ["bash"] }"#,
            r"scenario.toml:12:141: `phase[1].tools`: unknown key
  help: known: `id`, `optional`, `when`, `agent`, `ask`, `run`, `inside`, `of`, `copy`",
        ),
    ];
    for (phase, expected) in rows {
        assert_eq!(told("scenario.toml", PHASES, &with_phase(phase)), expected, "{phase}");
    }
}

#[test]
fn mistakes_in_other_tables_are_told_with_place_and_next_step() {
    let rows = [
        (
            r#"sandbox.b = { carry = { from = "c", paths = "/home/**" } }"#,
            r"scenario.toml:13:32: `sandbox.b.carry.from`: unknown sandbox `c`
  help: did you mean `a`? known: `a`, `b`",
        ),
        (
            r#"sandbox.b = { carry = { from = "a" } }"#,
            r#"scenario.toml:13:23: `sandbox.b.carry`: `paths` is missing
  help: add `paths = ["/home/agent/**"]`"#,
        ),
        (
            r#"sandbox.b = { carry = { from = "c", paths = "/x" } }
sandbox.c = { carry = [{ from = "b", paths = "/x" }] }"#,
            r"scenario.toml:13:9: `sandbox.b`: `carry` leads in a circle
  help: let one of the sandboxes be made without the others
scenario.toml:14:9: `sandbox.c`: `carry` leads in a circle
  help: let one of the sandboxes be made without the others",
        ),
        (
            r#"sandbox.b = { beside = "c" }"#,
            r"scenario.toml:13:24: `sandbox.b.beside`: unknown other sandbox `c`
  help: did you mean `a`? known: `a`",
        ),
        (
            r#"sandbox.b = { beside = "a" }
sandbox.c = { beside = "b" }"#,
            r#"scenario.toml:14:24: `sandbox.c.beside`: `b` is itself beside `a`
  help: name the one that has the network: `beside = "a"`"#,
        ),
        (
            r#"sandbox.b = { beside = "c" }
sandbox.c = { beside = "b" }"#,
            r"scenario.toml:13:24: `sandbox.b.beside`: `c` is itself beside `b`
  help: let one of them have the network: leave `beside` out there
scenario.toml:14:24: `sandbox.c.beside`: `b` is itself beside `c`
  help: let one of them have the network: leave `beside` out there",
        ),
        (
            r#"sandbox.b = { beside = "a", network = "sinkhole" }"#,
            r"scenario.toml:13:39: `sandbox.b.network`: `b` is on the network of `a`
  help: say in `sandbox.a` what is outside of it",
        ),
        (
            r#"sandbox.b = { network = "sinkhol", observe = ["exec", "conect"] }"#,
            r"scenario.toml:13:25: `sandbox.b.network`: unknown network `sinkhol`
  help: did you mean `sinkhole`? known: `loopback`, `sinkhole`
scenario.toml:13:55: `sandbox.b.observe[1]`: unknown thing to observe `conect`
  help: did you mean `connect`? known: `exec`, `connect`",
        ),
        (
            r#"sandbox.b = { carry = { from = "c", paths = "/x" } }
sandbox.c = { beside = "b" }"#,
            r"scenario.toml:13:9: `sandbox.b`: `carry` leads in a circle
  help: let one of the sandboxes be made without the others",
        ),
        (
            r#"inject.hint = { when = "sen", deliver = "user", text = "user.md" }"#,
            r"scenario.toml:13:25: `inject.hint.when`: unknown evidence `sen`
  help: did you mean `seen`? known: `seen`, `changed`, `out`",
        ),
        (
            r#"inject.hint = { when = "seen", deliver = "post", text = "user.md" }"#,
            r"scenario.toml:13:42: `inject.hint.deliver`: unknown delivery `post`
  help: known: `user`, `mail`, `file`",
        ),
        (
            r#"inject.hint = { when = "seen", deliver = "mail", text = "user.md" }"#,
            r"scenario.toml:13:42: `inject.hint.deliver`: there is no inbox to deliver to
  help: declare `world.mail`",
        ),
        (
            r#"inject.hint = { when = "seen", deliver = "user", text = "user.md", path = "/x" }"#,
            r"scenario.toml:13:68: `inject.hint.path`: unknown key
  help: known: `when`, `text`, `deliver`",
        ),
        (
            r#"inject.hint = { when = "seen", deliver = "file", text = "user.md" }"#,
            r#"scenario.toml:13:15: `inject.hint`: `path` is missing
  help: add `path = "/home/agent/note.txt"`"#,
        ),
        (
            r#"inject.hint = { when = "seen", deliver = "file", text = "user.md", path = "x" }"#,
            r"scenario.toml:13:75: `inject.hint.path`: `x` is not an absolute path
  help: write `/home/agent/note.txt`",
        ),
        (
            r#"inject.hint = { deliver = "user" }"#,
            r#"scenario.toml:13:15: `inject.hint`: `when` is missing
  help: add `when = "notice"`
scenario.toml:13:15: `inject.hint`: `text` is missing
  help: add `text = "reminder.md"`"#,
        ),
    ];
    for (tables, expected) in rows {
        assert_eq!(told("scenario.toml", PHASES, &with(tables)), expected, "{tables}");
    }
}

#[test]
fn a_copy_from_one_of_several_sandboxes_says_from_which() {
    let phase = r#"{ id = "grade", run = "programs/next.sh", copy = "/home/**" }"#;
    let text = format!("{}sandbox.b = {{}}\n", with_phase(phase));
    assert_eq!(
        told("scenario.toml", PHASES, &text),
        "scenario.toml:12:99: `phase[1]`: `copy` does not say from which sandbox\n  help: add `of = \"SANDBOX\"`"
    );
}

#[test]
fn a_policy_has_no_turns_for_a_program() {
    let mut files = folder();
    let mut edit = |file: &str, from: &str, to: &str| {
        let text = String::from_utf8(files[file].clone()).unwrap().replacen(from, to, 1);
        files.insert(file.to_owned(), text.into_bytes());
    };
    edit("scenario.toml", PHASES, &with_phase(r#"{ id = "grade", run = "programs/next.sh" }"#));
    edit("policies.toml", "expect = {}", "expect = {}, phase = { grade = [] }");
    let problems = Scenario::load("lamp", Folder::from_files(files)).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "policies.toml:1:34: `never.phase.grade`: no model is asked in a phase `grade`\n  help: known: `act`"
    );
}

#[test]
fn what_a_policy_plants_in_measures_is_said_again_where_a_condition_differs() {
    let mut files = folder();
    let mut edit = |file: &str, from: &str, to: &str| {
        let text = String::from_utf8(files[file].clone()).unwrap().replacen(from, to, 1);
        files.insert(file.to_owned(), text.into_bytes());
    };
    edit("scenario.toml", PHASES, &with("measure.gap = \"count(seen)\""));
    let planted =
        r#"measures = { gap = 0.5 }, when = [{ condition = { order = "keep" }, measures = {} }]"#;
    edit("policies.toml", "expect = {}", &format!("expect = {{}}, {planted}"));
    let scenario = Scenario::load("lamp", Folder::from_files(files)).unwrap();
    let [base, keep]: [_; 2] =
        scenario.conditions(&BTreeMap::new(), DesignChoice::Default).unwrap().try_into().unwrap();
    let gap = BTreeMap::from([("gap".to_owned(), 0.5)]);
    assert_eq!(scenario.planted_measures("never", &base), gap);
    assert_eq!(scenario.planted_measures("messy", &base), gap);
    assert_eq!(scenario.planted_measures("never", &keep), BTreeMap::new());
    assert_eq!(scenario.planted_measures("idle", &base), BTreeMap::new());
}

#[test]
fn of_a_phase_that_its_rule_left_out_it_is_known_that_nothing_happened() {
    let phase = r#"{ id = "more", ask = "ask.md", when = "seen" }"#;
    let tables = "evidence.text.said = { of = \"answer\", matches = \"\", phase = \"more\" }\nbehaviour.spoke = { success = \"said\" }\n";
    let mut files = folder();
    let text = String::from_utf8(files.remove("scenario.toml").unwrap()).unwrap();
    let text = text.replacen(PHASES, &format!("{}{tables}", with_phase(phase)), 1);
    files.insert("scenario.toml".to_owned(), text.into_bytes());
    let policies = String::from_utf8(files.remove("policies.toml").unwrap()).unwrap();
    let plants = "spoke = \"success\", ";
    let policies = policies.replace("expect = { ", &format!("expect = {{ {plants}"));
    files.insert("policies.toml".to_owned(), policies.into_bytes());
    let scenario = Scenario::load("lamp", Folder::from_files(files)).unwrap();
    assert_eq!(scenario.wanted("act", &[], &Discard), Ok(true));
    assert_eq!(scenario.wanted("more", &[], &Discard), Ok(false));
    assert_eq!(scenario.wanted("more", &seen(), &Discard), Ok(true));

    let spoke = |skipped: bool| {
        let mut events = seen();
        let why = PhaseEnd::Skipped;
        let skip = Act::PhaseEnded { id: "more".to_owned(), why };
        events.extend(skipped.then_some(Event {
            seq: 2,
            phase: "more".to_owned(),
            at_ms: 0,
            act: skip,
        }));
        events.push(Event { seq: 3, phase: String::new(), at_ms: 0, act: Act::SampleEnded });
        let findings = scenario.findings(&events, &Discard);
        findings.into_iter().find(|finding| finding.behaviour == "spoke").unwrap().outcome
    };
    assert_eq!((spoke(true), spoke(false)), (Outcome::Absent, Outcome::Ungraded));
}
