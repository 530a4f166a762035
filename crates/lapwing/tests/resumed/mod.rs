//! What `lapwing eval --resume` does with a run that was killed, stopped, failed or finished.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::{Lab, completion, endpoint, said};

const DRAWN: [&str; 6] = ["eval", "shutdown", "-f", "instruction=none", "--model", "policy/p=0.5"];

fn eval<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&DRAWN[..], &["--json"], more].concat()
}

fn resume(lab: &Lab, more: &[&str]) -> Value {
    let said = lab.lapwing(&[&["eval", "--resume", "latest", "--json"], more].concat());
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    said.json()
}

fn done(lab: &Lab) -> u64 {
    let listed = lab.lapwing(&["runs", "--json"]).json();
    listed["runs"][0]["done"].as_u64().unwrap_or(0)
}

/// Findings by sample key, without the numbers of events: other samples beside change nothing.
fn findings(lab: &Lab) -> BTreeMap<String, Value> {
    let shown = lab.lapwing(&["show", "latest", "--json"]).json();
    let samples = shown["samples"].as_array().unwrap().iter();
    samples.map(|sample| (sample["key"].to_string(), sample["findings"].clone())).collect()
}

/// Milliseconds at which the events of each finished sample were recorded, by its number.
fn times(lab: &Lab) -> BTreeMap<u64, Vec<Value>> {
    let shown = lab.lapwing(&["show", "latest", "--json"]).json();
    let is_done = |sample: &&Value| !sample["findings"].is_null();
    let numbers = shown["samples"].as_array().unwrap().iter().filter(is_done);
    let numbers = numbers.map(|sample| sample["sample"].as_u64().unwrap());
    let times = numbers.map(|number| {
        let sample = lab.lapwing(&["show", "latest", &number.to_string(), "--json"]).json();
        let events = sample["events"].as_array().unwrap().iter();
        (number, events.map(|event| event["at_ms"].clone()).collect())
    });
    times.collect()
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been() {
    let (lab, whole) = (Lab::new(), Lab::new());
    let seeds = ["--seeds", "8", "--max-samples", "3"];
    assert_eq!(whole.lapwing(&eval(&seeds)).code, 0);
    let mut args = eval(&seeds);
    let mut kept: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for _ in 0..3 {
        let before = kept.len() as u64;
        let mut child =
            lab.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while done(&lab) <= before {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let now = times(&lab);
        assert!(kept.iter().all(|(number, times)| now[number] == *times), "{kept:?}\n{now:?}");
        kept = now;
        args = vec!["eval", "--resume", "latest", "--max-samples", "3"];
    }
    resume(&lab, &[]);
    assert_eq!(findings(&lab), findings(&whole));
    let now = times(&lab);
    assert_eq!(now.len(), 24);
    assert!(kept.iter().all(|(number, times)| now[number] == *times));
}

#[test]
fn seeds_epochs_and_models_are_added_to_a_finished_run() {
    let (lab, whole) = (Lab::new(), Lab::new());
    assert_eq!(lab.lapwing(&eval(&["--seeds", "1"])).code, 0);
    let before = findings(&lab);
    let dry = ["--seeds", "2", "--epochs", "2", "--model", "policy/never"];
    let left = lab.lapwing(&[&["eval", "--resume", "latest", "--dry-run"], &dry[..]].concat());
    assert!(
        left.stdout.contains("0 samples not finished + 21 added = 21 samples"),
        "{}",
        left.stdout
    );
    let report = resume(&lab, &dry);
    let n: Vec<u64> = report["table"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["outcomes"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum())
        .collect();
    assert!(n.iter().all(|n| *n == 4), "{n:?}");
    let all = ["--seeds", "2", "--epochs", "2", "--model", "policy/never"];
    assert_eq!(whole.lapwing(&eval(&all)).code, 0);
    assert_eq!(findings(&lab), findings(&whole));
    assert!(before.iter().all(|(key, found)| findings(&whole)[key] == *found));
    let nothing = lab.lapwing(&["eval", "--resume", "latest"]);
    assert_eq!(nothing.code, 0);
    assert!(nothing.stderr.contains("nothing is left to run"), "{}", nothing.stderr);
}

#[test]
fn samples_that_ended_in_an_error_are_run_again_on_demand_alone() {
    let lab = Lab::new();
    let works = Arc::new(AtomicBool::new(false));
    let url = endpoint({
        let works = Arc::clone(&works);
        move |path, body| {
            let is_reached = path.ends_with("/models") || body["messages"].as_array().is_none();
            if works.load(Ordering::SeqCst) || is_reached {
                ("application/json", completion(None, "I will not."))
            } else {
                ("application/json", "{}".to_owned())
            }
        }
    });
    let model =
        ["eval", "shutdown", "-f", "instruction=none", "--seeds", "1", "--model", "openai/x"];
    let broken = lab.with_endpoint(&url, &model);
    assert_eq!(broken.code, 3, "{}", broken.stderr);
    works.store(true, Ordering::SeqCst);
    let nothing = lab.with_endpoint(&url, &["eval", "--resume", "latest"]);
    assert!(nothing.stderr.contains("nothing is left to run"), "{}", nothing.stderr);
    let said = lab.with_endpoint(&url, &["eval", "--resume", "latest", "--retry-errors", "--json"]);
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    let row = &said.json()["table"]["rows"][0];
    assert!(row["outcomes"]["error"].is_null(), "{row}");
    let shown = lab.lapwing(&["show", "latest"]);
    assert!(shown.stdout.contains("resumed"), "{}", shown.stdout);
}

#[test]
fn what_a_run_is_made_of_cannot_be_changed() {
    let lab = Lab::new();
    assert_eq!(lab.lapwing(&eval(&["--seeds", "2"])).code, 0);
    let refused = |more: &[&str]| lab.lapwing(&[&["eval", "--resume", "latest"], more].concat());
    refused(&["--seeds", "1"]).fails(2, &["it has 2 seeds already", "can only add"]);
    refused(&["-f", "instruction=allow"]).fails(2, &["its conditions are settled"]);
    refused(&["--temperature", "1"]).fails(2, &["how its models sample is settled"]);
    refused(&["--model", "opnai/x"]).fails(2, &["there is no provider `opnai`", "openai/x"]);
    lab.lapwing(&["eval"]).fails(2, &["required"]);
    lab.lapwing(&["eval", "shutdown", "--retry-errors"]).fails(2, &["--retry-errors"]);
    lab.lapwing(&["eval", "--resume", "nope"]).fails(2, &["no run \"nope\""]);
    let listed = lab.lapwing(&["runs", "--json"]).json();
    assert_eq!(
        (&listed["runs"][0]["state"], &listed["runs"][0]["planned"]),
        (&"finished".into(), &6.into())
    );
}

#[test]
fn a_root_in_the_scenarios_folder_is_found_again_and_must_be_the_same() {
    let lab = Lab::new();
    assert_eq!(lab.lapwing(&["scenario", "new", "tiny"]).code, 0);
    lab.replace("tiny/scenario.toml", "[sandbox.a]\n", "[sandbox.a]\nroot = \".root\"\n");
    let root = lab.path().join("tiny/.root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::write(root.join("bin/sh"), "no shell").unwrap();
    let lapwing = |args: &[&str]| {
        let mut command = lab.command(args);
        said(&command.env("LAPWING_CACHE", lab.path().join("cache")).output().unwrap())
    };
    // Nothing can be run in this root, which does not matter here.
    assert_eq!(lapwing(&["eval", "./tiny", "--model", "policy/never", "--seeds", "1"]).code, 0);
    let more = |seeds: &str| lapwing(&["eval", "--resume", "latest", "--seeds", seeds]);
    let resumed = more("2");
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert!(resumed.stderr.contains("0 samples not finished + 4 added"), "{}", resumed.stderr);
    fs::write(root.join("bin/sh"), "another shell").unwrap();
    let refused =
        ["`sandbox.a.root`", "not those with which the run began", "put the old ones back"];
    more("3").fails(3, &refused);
    lapwing(&["replay", "latest"]).fails(3, &refused);
    fs::rename(&root, lab.path().join("elsewhere")).unwrap();
    more("3").fails(3, &["tiny/.root", "there is nothing"]);
    let listed = lapwing(&["runs", "--json"]).json();
    assert_eq!(listed["runs"][0]["state"], "finished");
}
