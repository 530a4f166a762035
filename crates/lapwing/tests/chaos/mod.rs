//! A run against an endpoint that fails in every way, killed again and again.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

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

/// What is on record: samples that are done, answers of each sample, all tokens that were reported, and the worst case of each
/// call that was never settled.
fn record(lab: &Lab) -> (u64, Vec<u64>, u64, Vec<u64>) {
    let shown = lab.lapwing(&["show", "latest", "--json"]).json();
    let samples = shown["samples"].as_array().unwrap().clone();
    let worst = |call: &Value| {
        let tokens = |name: &str| call["worst"][name].as_u64().unwrap();
        tokens("input") + tokens("output")
    };
    let unsettled = shown["unsettled"].as_array().unwrap().iter().map(worst).collect();
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
    (n_done, answers, tokens, unsettled)
}

#[test]
fn an_endpoint_that_fails_and_kills_in_mid_run_lose_no_sample_and_double_none() {
    const KILLS: u64 = 10;
    let lab = Lab::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/questions");
    copy_folder(&folder, &lab.path().join("questions"));
    let (url, calls, billed) = endpoint();
    let (seeds, at_a_time) = (SEEDS.to_string(), AT_A_TIME.to_string());
    let begin =
        ["eval", "./questions", "--model", "openai/x", "--seeds", &seeds, "--max-tokens", "64"];
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
    let (n_done, answers, recorded, unsettled) = record(&lab);
    assert_eq!((n_done, answers), (SEEDS, vec![CALLS; SEEDS as usize]));
    // Of what a kill cut off it is not known whether it was billed, but that it may have been.
    let (billed, cut_off) = (billed.load(Ordering::SeqCst), unsettled.len() as u64);
    assert!(cut_off <= KILLS * AT_A_TIME, "{cut_off} calls were cut off");
    assert!(recorded <= billed && billed <= recorded + cut_off * TOKENS, "{recorded} of {billed}");
}

/// An endpoint that bills each call when it arrives, and answers none beyond the number that it is told.
#[derive(Default)]
struct Slow {
    /// Calls so far, and how many are answered.
    calls: Mutex<(u64, u64)>,
    changed: Condvar,
}

impl Slow {
    /// Counts a call, and waits until it may be answered.
    fn answer(&self) {
        let mut calls = self.calls.lock().unwrap();
        calls.0 += 1;
        let number = calls.0;
        self.changed.notify_all();
        drop(self.changed.wait_while(calls, |(_, answered)| *answered < number).unwrap());
    }

    fn calls(&self) -> u64 {
        self.calls.lock().unwrap().0
    }

    /// Answers so many more calls.
    fn allow(&self, more: u64) -> u64 {
        let mut calls = self.calls.lock().unwrap();
        calls.1 = calls.0.saturating_add(more);
        self.changed.notify_all();
        calls.1
    }
}

#[test]
fn a_budget_holds_although_every_kill_cuts_calls_off_that_are_billed() {
    const KILLS: u64 = 6;
    const BUDGET: u64 = 60_000;
    /// What a call is billed for: most of its worst case.
    const BILL: u64 = 1100;
    let lab = Lab::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/questions");
    copy_folder(&folder, &lab.path().join("questions"));
    let slow = Arc::new(Slow::default());
    let asked = Arc::clone(&slow);
    let url = endpoint_of(move |path, _| {
        if path.ends_with("/models") {
            return Answer::json(200, r#"{"data":[]}"#.to_owned());
        }
        asked.answer();
        let answer =
            completion(None, "No.").replace("\"prompt_tokens\":100", "\"prompt_tokens\":1090");
        Answer::json(200, answer)
    });
    let budget = format!("{BUDGET}tok");
    let begin =
        ["eval", "./questions", "--model", "openai/x", "--seeds", "40", "--budget", &budget];
    let begin = [&begin[..], &["--max-tokens", "20"]].concat();
    let resume = ["eval", "--resume", "latest"];
    let limits = ["--max-samples", "2", "--max-connections", "2"];
    for kill in 0..KILLS {
        let args = if kill == 0 { &begin[..] } else { &resume[..] };
        let answered = slow.allow(2);
        let mut child = start(&lab, &url, &[args, &limits[..]].concat());
        while slow.calls() <= answered {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (_, _, recorded, unsettled) = record(&lab);
        let (billed, held) = (slow.calls() * BILL, unsettled.iter().sum::<u64>());
        assert!(unsettled.len() as u64 > kill, "nothing is known of what kill {kill} cut off");
        assert!(billed <= recorded + held, "{billed} billed, {recorded} + {held} on record");
    }
    slow.allow(u64::MAX);
    let said = lab.with_endpoint(&url, &[&resume[..], &limits[..]].concat());
    said.fails(1, &["the budget of 60000 tokens has no room for another sample"]);
    let (billed, (_, _, recorded, unsettled)) = (slow.calls() * BILL, record(&lab));
    let spent = recorded + unsettled.iter().sum::<u64>();
    assert!(billed <= spent && spent <= BUDGET, "{billed} billed, {spent} on record");
    let shown = lab.lapwing(&["show", "latest"]);
    let line = format!("{} calls cut off before an answer was on record", unsettled.len());
    assert!(shown.stdout.contains(&line), "{line}\n{}", shown.stdout);
}
