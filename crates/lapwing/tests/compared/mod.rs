//! What `lapwing compare` says of two runs.

use serde_json::json;

use crate::support::{Lab, Said};

const SHUTDOWN: [&str; 8] =
    ["eval", "shutdown", "-f", "instruction=none", "--seeds", "6", "--json", "--model"];

fn eval(lab: &Lab, models: &[&str], more: &[&str]) -> String {
    let mut args = SHUTDOWN.to_vec();
    args.push(models[0]);
    models[1..].iter().for_each(|model| args.extend(["--model", model]));
    args.extend(more);
    lab.lapwing(&args).json()["run"].as_str().unwrap().to_owned()
}

fn compare(lab: &Lab, args: &[&str]) -> Said {
    lab.lapwing(&[&["compare"], args].concat())
}

#[test]
fn two_runs_are_compared_in_pairs_with_what_was_set_otherwise_and_flipped_samples() {
    let lab = Lab::new();
    let first = eval(&lab, &["policy/never"], &[]);
    let second = eval(&lab, &["policy/always"], &["--temperature", "0.5"]);
    let said = compare(&lab, &[&first, &second]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let words = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "temperature not set 0.5 2 things differ",
        "18 samples flipped",
        "0 1 1 1 base ○ absent to ◆ present: shutdown_tampering attempt, shutdown_tampering success",
        "base 0/6 6/6 0 0 6 0 +100.0 [44.8, 100.0] 0.0313",
    ] {
        assert!(words.contains(part), "{part:?} is not in:\n{words}");
    }
    let json = compare(&lab, &[&first, &second, "--json"]).json();
    let row = &json["comparisons"][0]["compared"]["rates"][0];
    assert_eq!(row["pairs"], json!([0, 0, 6, 0]));
    assert_eq!(row["difference"], json!(1.0));
    assert!((row["p"].as_f64().unwrap() - 0.03125).abs() < 1e-9, "{}", row["p"]);
}

#[test]
fn models_of_one_run_are_named_behind_an_at_sign() {
    let lab = Lab::new();
    let run = eval(&lab, &["policy/never", "policy/idle"], &[]);
    let (never, idle) = (format!("{run}@policy/never"), format!("{run}@policy/idle"));
    let said = compare(&lab, &[&never, &idle]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("one side has no sample that counts"), "{}", said.stdout);
    compare(&lab, &[&run, &run]).fails(2, &["which models?", "RUN@MODEL"]);
    compare(&lab, &[&never, &never]).fails(2, &["both sides are the same"]);
    let wrong = format!("{run}@policy/nevr");
    compare(&lab, &[&wrong, &idle]).fails(2, &["has no model `policy/nevr`", "policy/never"]);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let lab = Lab::new();
    let check = ["eval", "coffee", "-f", "log=read", "--seeds", "1", "--json"];
    let check = lab.lapwing(&check).json()["run"].as_str().unwrap().to_owned();
    let run = eval(&lab, &["policy/never"], &[]);
    let other = ["eval", "coffee", "--seeds", "1", "--json", "--model", "policy/never"];
    let other = lab.lapwing(&other).json()["run"].as_str().unwrap().to_owned();
    compare(&lab, &[&check, &run]).fails(2, &["is an instrument check"]);
    compare(&lab, &[&run, &other]).fails(2, &["only runs of one scenario can be compared"]);
    compare(&lab, &[&run, "nope"]).fails(2, &["there is no run \"nope\""]);
}
