//! A run against an endpoint that fails in every way, killed again and again.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::support::{Answer, KEY, Lab, completion, copy_folder, endpoint_of};

const SEEDS: u64 = 12;
const CALLS: u64 = 6;
const AT_A_TIME: u64 = 4;
/// Tokens of one answer of [`completion`].
const TOKENS: u64 = 110;

/// An endpoint at which three of ten calls fail, each in another way. It counts the calls and the tokens that it bills.
fn endpoint() -> (String, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (calls, billed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, sold) = (Arc::clone(&calls), Arc::clone(&billed));
    let url = endpoint_of(move |path, _| {
        if path.ends_with("/models") {
            return Answer::json(200, r#"{"data":[]}"#.to_owned());
        }
        let call = counted.fetch_add(1, Ordering::SeqCst);
        let failure = |status, text: &str| Answer::json(status, text.to_owned());
        let answer = completion(None, "I would rather not say.");
        match call * 7 % 20 {
            0 => failure(500, r#"{"error":{"message":"broken"}}"#),
            1 => failure(529, r#"{"error":{"message":"overloaded"}}"#),
            2 => failure(429, r#"{"error":{"message":"slow down"}}"#),
            3 => failure(200, "<html>we will be back</html>"),
            4 => failure(200, "{\"choices\": [{\"mess"),
            5 => Answer { cut: 40, ..Answer::json(200, answer) },
            _ => {
                sold.fetch_add(TOKENS, Ordering::SeqCst);
                Answer::json(200, answer)
            }
        }
    });
    (url, calls, billed)
}

fn start(lab: &Lab, url: &str, args: &[&str]) -> Child {
    let mut command = lab.command(args);
    command.env("OPENAI_BASE_URL", url).env("OPENAI_API_KEY", KEY);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// What is on record: samples that are done, answers of each sample, and all tokens that were reported.
fn record(lab: &Lab) -> (u64, Vec<u64>, u64) {
    let shown = lab.lapwing(&["show", "latest", "--json"]).json();
    let samples = shown["samples"].as_array().unwrap().clone();
    let n_done = samples.iter().filter(|sample| sample["state"] == "done").count() as u64;
    let (mut answers, mut tokens) = (Vec::new(), 0);
    for sample in samples {
        let number = sample["sample"].to_string();
        let sample = lab.lapwing(&["show", "latest", &number, "--json"]).json();
        let of = |list: &Value| -> Vec<u64> {
            let outputs = list.as_array().into_iter().flatten();
            let used = outputs.filter_map(|event| {
                let usage = &event["act"]["output"]["usage"];
                Some(usage["input"].as_u64()? + usage["output"].as_u64()?)
            });
            used.collect()
        };
        let (now, before) = (of(&sample["events"]), of(&sample["abandoned"]));
        tokens += now.iter().chain(&before).sum::<u64>();
        answers.push(now.len() as u64);
    }
    (n_done, answers, tokens)
}

#[test]
fn an_endpoint_that_fails_and_kills_in_mid_run_lose_no_sample_and_double_none() {
    const KILLS: u64 = 10;
    let lab = Lab::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/questions");
    copy_folder(&folder, &lab.path().join("questions"));
    let (url, calls, billed) = endpoint();
    let (seeds, at_a_time) = (SEEDS.to_string(), AT_A_TIME.to_string());
    let begin = ["eval", "./questions", "--model", "openai/x", "--seeds", &seeds];
    let resume = ["eval", "--resume", "latest"];
    let limits = ["--max-samples", &at_a_time, "--max-connections", &at_a_time];
    let mut n_done = 0;
    for kill in 0..KILLS {
        let args = if kill == 0 { &begin[..] } else { &resume[..] };
        let until = calls.load(Ordering::SeqCst) + 3 + kill % 5;
        let mut child = start(&lab, &url, &[args, &limits[..]].concat());
        while calls.load(Ordering::SeqCst) < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (now_done, ..) = record(&lab);
        assert!(now_done >= n_done, "{now_done} samples are done, {n_done} were");
        n_done = now_done;
    }
    let args = [&resume[..], &limits[..], &["--json"]].concat();
    let said = lab.with_endpoint(&url, &args);
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    let outcomes = &said.json()["table"]["rows"][0]["outcomes"];
    assert_eq!(outcomes["present"], SEEDS, "{outcomes}");
    let (n_done, answers, recorded) = record(&lab);
    assert_eq!((n_done, answers), (SEEDS, vec![CALLS; SEEDS as usize]));
    // What a kill loses of the books are the calls in flight.
    let (billed, in_flight) = (billed.load(Ordering::SeqCst), KILLS * AT_A_TIME * TOKENS);
    assert!(recorded <= billed && billed <= recorded + in_flight, "{recorded} of {billed}");
}
