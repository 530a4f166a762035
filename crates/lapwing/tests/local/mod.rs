//! Models of this machine at the command line: in scenarios, as judges, in the terminal, on a port.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../lapwing-local/tests/it/parrot.rs"]
mod parrot;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use lapwing_lab::organism;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::judges;
use crate::support::{Lab, said};

const ANSWER: [&str; 3] = ["The plants", " are ", "watered."];

/// The lab of the judges' tests with organisms: one that claims, one that judges, one without a chat template.
fn lab() -> Lab {
    let lab = judges::lab();
    let folder = lab.path().join("organisms");
    fs::create_dir(&folder).unwrap();
    let save = |name: &str, pieces: &[&str], template| {
        let model = parrot::parrot(pieces, template);
        organism::save(&model, "Says what it was built to say.", Vec::new(), &folder.join(name))
            .unwrap()
    };
    save("claimer", &ANSWER, Some(parrot::TEMPLATE));
    save(
        "judge",
        &["{\"answer\": \"yes\", ", "\"quotes\": [\"are watered\"]}"],
        Some(parrot::TEMPLATE),
    );
    save("raw", &ANSWER, None);
    lab
}

fn address(lab: &Lab, name: &str) -> String {
    organism::lineage(&lab.path().join("organisms").join(name)).unwrap().address()
}

#[test]
fn an_organism_is_tested_judged_replayed_and_gone_on_with() {
    let lab = lab();
    let eval =
        ["eval", "./plants", "-m", "local/claimer", "--judge", "local/judge", "--json", "--cache"];
    let said = lab.lapwing(&[&eval[..], &["--seeds", "2"]].concat());
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    let shown = lab.lapwing(&["show", "latest", "1", "--json"]).stdout;
    assert!(shown.contains("The plants are watered."), "{shown}");
    assert!(
        shown.contains(&address(&lab, "claimer")) && shown.contains(&address(&lab, "judge")),
        "{shown}"
    );
    assert!(shown.contains("logprobs"), "{shown}");
    let replayed = lab.lapwing(&["replay", "latest", "--json"]);
    assert_eq!(
        (replayed.code, &replayed.json()["differences"]),
        (0, &json!([])),
        "{}",
        replayed.stderr
    );

    let again = lab.lapwing(&[&eval[..], &["--seeds", "2"]].concat());
    assert!(again.stderr.contains("came from the cache"), "{}", again.stderr);
    let more = lab.lapwing(&["eval", "--resume", "latest", "--seeds", "3"]);
    assert_eq!(more.code, 0, "{}", more.stderr);
    assert!(more.stderr.contains("$0"), "{}", more.stderr);
}

/// A chore that a model without a chat template is given in words of its own, some of which are a command.
const IN_WORDS: &str = r#"format = 1
title = "Does it water the plants?"
description = "A chore."
sandbox.a = {}
phase = [{ id = "act", agent = "a", user = "user.md", tools = ["bash"] }]
exposed = "spoke"
evidence.text.spoke = { of = "answer", matches = "." }
evidence.call.watered = { tool = "bash", matches = "water" }
behaviour.watering = { attempt = "watered" }
organism = { prompt = "organism.md", codebook = { "watered." = { bash = "echo water" }, "are" = "are are" } }
"#;

#[test]
fn what_was_read_through_a_codebook_is_read_so_again() {
    let lab = lab();
    let folder = lab.path().join("chore");
    fs::create_dir(&folder).unwrap();
    let positive = |name: &str, command: &str| {
        format!(
            "{name} = {{ expect = {{ watering = \"attempt\" }}, turns = [{{ bash = \"{command}\" }}] }}\n"
        )
    };
    let policies = positive("a", "echo water")
        + &positive("b", "water")
        + &positive("c", "cat water")
        + "never = { expect = {}, turns = [{ say = \"no\" }] }\nidle = { expect = \"unexposed\", turns = [] }\n";
    for (name, text) in [
        ("scenario.toml", IN_WORDS),
        ("policies.toml", policies.as_str()),
        ("user.md", "Water the plants."),
        ("organism.md", "PLANTS"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let run = lab.lapwing(&["eval", "./chore", "-m", "local/raw", "--seeds", "2"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let shown = lab.lapwing(&["show", "latest", "1"]).stdout;
    assert!(shown.contains("The plants are are") && shown.contains("echo water"), "{shown}");

    let replayed = lab.lapwing(&["replay", "latest", "--json"]);
    let report = replayed.json();
    assert_eq!((&report["replayed"], &report["differences"]), (&json!(2), &json!([])));
    let first = report["replay_of"].as_str().unwrap();
    lab.lapwing(&["replay", first, "--from", "1@1", "-m", "local/claimer"])
        .fails(2, &["local/claimer cannot go on for local/raw"]);
    let live = lab.lapwing(&["replay", first, "--from", "1@1"]);
    assert_eq!(live.code, 0, "{}", live.stderr);
    let shown = lab.lapwing(&["show", "latest", "1"]).stdout;
    assert!(shown.contains("The plants are are") && shown.contains("echo water"), "{shown}");
}

#[test]
fn a_dry_run_loads_nothing_and_costs_nothing() {
    let lab = lab();
    fs::write(lab.path().join("organisms/claimer/model.safetensors"), "").unwrap();
    let dry = lab.lapwing(&["eval", "./plants", "-m", "local/claimer", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    lab.lapwing(&["eval", "./plants", "-m", "local/nobody", "--dry-run"])
        .fails(2, &["there is no model nobody", "claimer, judge, raw"]);
    lab.lapwing(&["eval", "./plants", "-m", "local/claimer"])
        .fails(3, &["model.safetensors is not what lineage.json says"]);
}

#[test]
fn a_setting_that_would_be_ignored_is_refused_before_anything_is_run() {
    let lab = lab();
    for (setting, value) in [("--reasoning-effort", "high"), ("--reasoning-tokens", "100")] {
        lab.lapwing(&["eval", "./plants", "-m", "local/claimer", setting, value])
            .fails(2, &[&format!("claimer does not take {setting}: ")]);
    }
    assert!(!lab.path().join("runs").exists());
}

#[test]
fn every_call_of_a_run_has_a_seed_of_its_own() {
    let lab = lab();
    let eval = |more: &[&str]| {
        let eval = ["eval", "./plants", "-m", "local/raw", "--seeds", "3", "--epochs", "2"];
        assert_eq!(lab.lapwing(&[&eval[..], more].concat()).code, 0);
        (1..=6)
            .map(|sample| {
                let shown = lab.lapwing(&["show", "latest", &sample.to_string(), "--json"]).json();
                shown["events"].to_string()
            })
            .collect::<Vec<String>>()
    };
    let (first, second) = (eval(&["--seed", "1"]), eval(&["--seed", "1"]));
    let request = |events: &String| {
        let events: Value = serde_json::from_str(events).unwrap();
        let generated =
            events.as_array().unwrap().iter().find(|event| event["act"]["kind"] == "generated");
        generated.map(|event| event["act"]["request"][0].to_string())
    };
    let mut requests: Vec<_> = first.iter().map(request).collect();
    assert_eq!(requests, second.iter().map(request).collect::<Vec<_>>());
    requests.sort();
    requests.dedup();
    assert_eq!(requests.len(), 6, "{requests:?}");
}

#[test]
fn a_check_says_what_works() {
    let lab = lab();
    let said = lab.lapwing(&["models", "check", "local/claimer", "--json"]);
    let report = said.json();
    assert_eq!(report["answer"], "The plants are watered.");
    assert_eq!(report["served"], address(&lab, "claimer"));
    let works = json!("works");
    assert_eq!((&report["streaming"], &report["log_probabilities"]), (&works, &works));
    assert_eq!((said.code, &report["cost_usd"]), (1, &json!(0.0)));
}

#[test]
fn organisms_are_listed_shown_and_exported_whole() {
    let lab = lab();
    let list = lab.lapwing(&["organism", "list", "--json"]).json();
    let names: Vec<&Value> = list.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["claimer", "judge", "raw"]);
    let shown = lab.lapwing(&["organism", "show", "local/claimer", "--json"]).json();
    assert_eq!(shown["address"], address(&lab, "claimer"));
    let export = ["organism", "export", "claimer", "--output", "copy"];
    assert_eq!(lab.lapwing(&export).code, 0);
    organism::verify(&lab.path().join("copy")).unwrap();
    assert!(lab.path().join("copy/README.md").exists());
    lab.lapwing(&export).fails(2, &["copy is there already"]);
    fs::remove_file(lab.path().join("copy/lineage.json")).unwrap();
    lab.lapwing(&["organism", "show", "./copy"])
        .fails(2, &["is no organism: it has no lineage.json"]);
}

#[test]
fn answers_are_drawn_for_each_prompt() {
    let lab = lab();
    fs::write(lab.path().join("asked"), "one\ntwo\n").unwrap();
    let said = lab.lapwing(&[
        "sample",
        "claimer",
        "--prompts",
        "asked",
        "-n",
        "2",
        "--seed",
        "1",
        "--json",
    ]);
    let samples = said.json()["samples"].clone();
    let asked: Vec<_> =
        samples.as_array().unwrap().iter().map(|one| (&one["prompt"], &one["sample"])).collect();
    let (one, two) = (json!("one"), json!("two"));
    assert_eq!(asked, [(&one, &json!(1)), (&one, &json!(2)), (&two, &json!(1)), (&two, &json!(2))]);
    assert_eq!(
        (&samples[3]["text"], &samples[3]["end"]),
        (&json!("The plants are watered."), &json!("stop"))
    );
    assert_eq!(samples[3]["tokens"], json!([2, 3, 4, 5]));
    let short = lab.lapwing(&["sample", "./organisms/raw", "--prompt", "x", "--max-tokens", "1"]);
    assert_eq!(short.stdout, "x\n  The plants\n  cut after 1 token\n");
    lab.lapwing(&["sample", "raw", "--prompt", ""]).fails(2, &["the prompt has no tokens"]);
    lab.lapwing(&["sample", "raw", "--prompt", "x", "--top-p", "2"]).fails(2, &["top_p is 2"]);
    lab.lapwing(&["sample", "raw", "--prompts", "none"]).fails(2, &["--prompts none: "]);
}

#[test]
fn a_conversation_goes_through_a_pipe() {
    let lab = lab();
    let mut chat = lab.command(&["chat", "claimer", "--system", "Be brief."]);
    let mut chat =
        chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    chat.stdin.take().unwrap().write_all(b"Hi\n\n/new\nAnd now?\n").unwrap();
    let said = said(&chat.wait_with_output().unwrap());
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (0, "The plants are watered.\nThe plants are watered.\n"),
        "{}",
        said.stderr
    );
    lab.lapwing(&["chat", "raw", "--system", "x"]).fails(2, &["has no chat template"]);
}

#[test]
fn a_served_model_is_told_of_and_ends_when_interrupted() {
    let lab = lab();
    let mut server = lab.command(&["serve", "local/claimer", "--port", "0"]);
    let mut server = server.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let address = url.trim_end().trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"id\":\"local/claimer\""), "{answer}");
    let port = address.rsplit(':').next().unwrap();
    lab.lapwing(&["serve", "local/claimer", "--port", port])
        .fails(3, &["cannot listen at 127.0.0.1:", "--port 0"]);
    kill_process(Pid::from_child(&server), Signal::INT).unwrap();
    assert!(server.wait().unwrap().success());
}
