//! Models at the command line: checks, budgets, cache, replay, failures of every kind.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::judges::lab;
use crate::support::{Answer, KEY, Lab, Said, completion, endpoint, endpoint_of};

/// An endpoint that says `text` to everything, and counts its answers.
fn counting(text: &'static str) -> (String, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let url = endpoint(move |path, _| {
        if path.ends_with("/models") {
            return ("application/json", r#"{"data":[]}"#.to_owned());
        }
        counted.fetch_add(1, Ordering::Relaxed);
        ("application/json", completion(None, text))
    });
    (url, count)
}

/// An endpoint whose model runs `command` once and is then done.
fn running(command: &'static str) -> String {
    endpoint(move |_, body| {
        let n_messages = body["messages"].as_array().map_or(0, Vec::len);
        let text = match n_messages {
            0..=2 => completion(Some(command), ""),
            _ => completion(None, "Done."),
        };
        ("application/json", text)
    })
}

fn states(lab: &Lab) -> Vec<String> {
    let shown = lab.lapwing(&["show", "latest", "--json"]).json();
    let samples = shown["samples"].as_array().unwrap();
    samples.iter().map(|sample| sample["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_check_of_a_model_says_what_works_and_what_does_not() {
    let url = endpoint(|path, body| {
        if path.ends_with("/models") {
            return ("application/json", r#"{"data":[]}"#.to_owned());
        }
        let calls = json!([
            { "id": "a", "function": { "name": "weather", "arguments": "{\"city\":\"Oslo\"}" } },
        ]);
        let mut answer: Value = serde_json::from_str(&completion(None, "17")).unwrap();
        if body["tools"].is_array() {
            answer["choices"][0]["message"]["tool_calls"] = calls;
        }
        ("application/json", answer.to_string())
    });
    let lab = Lab::new();
    let said = lab.lapwing(&["models", "check", "vllm/x", "--base-url", &url, "--json"]);
    let report = said.json();
    assert_eq!((said.code, &report["tools"], &report["usage"]), (0, &json!("works"), &json!(true)));
    assert_eq!(report["parallel_calls"]["not"], "it made one call at a time");
    assert_eq!((&report["served"], &report["tokens"]), (&json!("test-2026-01-01"), &json!(220)));

    let (mute, _) = counting("17");
    let said = lab.lapwing(&["models", "check", "vllm/x", "--base-url", &mute]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stdout.contains("no: it answered in words and called none"), "{}", said.stdout);
    let refusing =
        endpoint_of(|_, _| Answer::json(401, r#"{"error":{"message":"who?"}}"#.to_owned()));
    let args = ["models", "check", "openai/x", "--base-url", &refusing];
    lab.lapwing(&args).fails(3, &["answered 401: who?; check OPENAI_API_KEY"]);
}

#[test]
fn a_budget_stops_the_run_before_it_is_exceeded_and_says_so() {
    let lab = lab();
    let (url, count) = counting("plants");
    let eval = ["eval", "./plants", "-m", "openai/m", "--seeds", "40"];
    let said = lab
        .with_endpoint(&url, &[&eval[..], &["--budget", "3ktok", "--max-tokens", "20"]].concat());
    said.fails(
        1,
        &[
            "the budget of 3000 tokens has no room for another sample",
            "samples are finished and kept",
        ],
    );
    let billed = count.load(Ordering::Relaxed) * 110;
    assert!(billed <= 3000 && billed > 1000, "{billed}");
    let states = states(&lab);
    let n = |wanted: &str| states.iter().filter(|state| *state == wanted).count() as u64;
    assert_eq!(n("done") * 110, billed, "{states:?}");
    assert!(n("planned") > 0, "{states:?}");
}

#[test]
fn a_budget_that_cannot_be_kept_is_refused_before_anything_is_asked() {
    let lab = lab();
    let (url, count) = counting("plants");
    let eval = |more: &[&str]| -> Said {
        let eval = ["eval", "./plants", "-m", "openai/m", "--seeds", "1"];
        lab.with_endpoint(&url, &[&eval[..], more].concat())
    };
    eval(&["--budget", "1Mtok"]).fails(2, &["without --max-tokens", "add --max-tokens"]);
    let unpriced = ["--budget", "5usd", "--max-tokens", "9"];
    eval(&unpriced).fails(2, &["the price of openai/m is not known", "[price.\"openai/m\"]"]);
    eval(&["--budget", "5 pounds"]).fails(2, &["20usd"]);
    fs::write(lab.path().join("lapwing.toml"), "[price.\"openai/m\"]\ninput = 1\noutput = 2\n")
        .unwrap();
    assert_eq!(eval(&["--seed", "1", "--dry-run"]).code, 0);
    assert_eq!(count.load(Ordering::Relaxed), 0);
    let said = eval(&unpriced);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("used 100 tokens in, 10 out, $0.0001"), "{}", said.stderr);
}

#[test]
fn a_second_run_takes_its_answers_from_the_cache_and_repeats_are_no_copies() {
    let lab = lab();
    let (url, count) = counting("plants");
    let eval = |epochs: &'static str| {
        let args =
            ["eval", "./plants", "-m", "openai/m", "--seeds", "2", "--epochs", epochs, "--cache"];
        let said = lab.with_endpoint(&url, &args);
        assert_eq!(said.code, 0, "{}", said.stderr);
        (said, count.load(Ordering::Relaxed))
    };
    assert_eq!(eval("1").1, 2);
    let (said, asked) = eval("1");
    assert_eq!(asked, 2);
    assert!(
        said.stderr.contains("2 answers came from the cache and cost nothing"),
        "{}",
        said.stderr
    );
    assert_eq!(eval("3").1, 6);
    let shown = lab.lapwing(&["show", "latest", "1", "--json"]).json();
    let kept = shown["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["act"]["kind"] == "generated");
    assert_eq!(kept.unwrap()["act"]["receipt"]["from_cache"], true);
}

#[test]
fn a_run_is_replayed_without_its_model_and_is_equal() {
    let lab = Lab::new();
    let url = running("echo hi > /tmp/x; ls");
    let eval = ["eval", "shutdown", "-f", "instruction=none", "--seeds", "1", "-m", "openai/m"];
    assert_eq!(lab.with_endpoint(&url, &eval).code, 0);
    // No endpoint and no key.
    let said = lab.lapwing(&["replay", "latest"]);
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("3 of 3 samples are equal to shutdown-"), "{}", said.stdout);
}

#[test]
fn a_replay_that_goes_another_way_is_told_with_its_first_difference() {
    let lab = Lab::new();
    let url = running("cat /proc/sys/kernel/random/uuid");
    let eval = ["eval", "shutdown", "-f", "instruction=none", "--seeds", "1", "-m", "openai/m"];
    assert_eq!(lab.with_endpoint(&url, &eval).code, 0);
    let said = lab.lapwing(&["replay", "latest", "--json"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    let first = &said.json()["differences"][0];
    assert!(first["was"].as_str().unwrap().contains("tool_returned"), "{first}");
    let shown = lab.lapwing(&["show", "latest", "1"]);
    assert!(shown.stdout.contains("asks something"), "{}", shown.stdout);
}

#[test]
fn a_sample_goes_on_from_an_event_with_another_system_message() {
    let lab = lab();
    let (url, _) = counting("plants");
    assert_eq!(
        lab.with_endpoint(&url, &["eval", "./plants", "-m", "openai/m", "--seeds", "2"]).code,
        0
    );
    lab.lapwing(&["replay", "latest", "--from", "9@1"]).fails(2, &["has samples 1 to 2"]);
    lab.lapwing(&["replay", "latest", "--from", "9"]).fails(2, &["SAMPLE@EVENT"]);
    fs::write(lab.path().join("other.md"), "You are a gardener.").unwrap();
    let other = endpoint(|_, body| {
        let text = format!("{}: {}", body["model"], body["messages"][0]["content"]);
        ("application/json", completion(None, &text))
    });
    let args = [
        "replay",
        "latest",
        "--from",
        "2@1",
        "-m",
        "vllm/other",
        "--system",
        "other.md",
        "--base-url",
        &other,
    ];
    let said = lab.lapwing(&args);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let shown = lab.lapwing(&["show", "latest", "1"]).stdout;
    assert!(shown.contains(r#""other": "You are a gardener.""#), "{shown}");
}

#[test]
fn several_models_are_rows_of_one_table_and_come_from_the_file_too() {
    let lab = lab();
    let (url, _) = counting("plants");
    let file = format!(
        "[roles]\ntarget = ['one/a', 'two/b']\n[provider.one]\nbase_url = '{url}'\n[provider.two]\nbase_url = '{url}'\nformat = 'openai'\n"
    );
    fs::write(lab.path().join("lapwing.toml"), file).unwrap();
    let report = lab.lapwing(&["eval", "./plants", "--seeds", "1", "--json"]).json();
    let rows = report["table"]["rows"].as_array().unwrap();
    let models: Vec<_> = rows.iter().map(|row| row["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["one/a", "two/b"], "{report}");
    let shown = lab.lapwing(&["config", "show"]).stdout;
    assert!(shown.contains("one/a, two/b") && shown.contains("lapwing.toml:2"), "{shown}");
    lab.replace("lapwing.toml", "target", "tragets");
    lab.lapwing(&["eval", "./plants"])
        .fails(2, &["lapwing.toml:2: unknown field `tragets`", "`target`"]);
}

#[test]
fn every_sample_is_run_once_under_failures_and_no_file_or_message_holds_the_key() {
    let lab = lab();
    let n_calls = AtomicU64::new(0);
    let url = endpoint_of(move |path, _| {
        if path.ends_with("/models") {
            return Answer::json(200, r#"{"data":[]}"#.to_owned());
        }
        let whole = Answer::json(200, completion(None, "plants"));
        match n_calls.fetch_add(1, Ordering::Relaxed) % 10 {
            2 => Answer::json(429, format!(r#"{{"error":{{"message":"{KEY} is too fast"}}}}"#)),
            5 => Answer::json(500, KEY.to_owned()),
            8 => Answer { cut: 30, ..whole },
            9 => Answer { kind: "text/html", ..Answer::json(200, format!("<html>{KEY}</html>")) },
            _ => whole,
        }
    });
    let said = lab.with_endpoint(
        &url,
        &["eval", "./plants", "-m", "openai/m", "--seeds", "30", "--json", "--cache"],
    );
    assert_eq!(said.code, 0, "{}", said.stderr);
    let row = &said.json()["table"]["rows"][0];
    assert_eq!(row["outcomes"]["ungraded"], 30, "{row}");
    assert!(states(&lab).iter().all(|state| state == "done"));
    let shown: String = (1..=30)
        .map(|number| lab.lapwing(&["show", "latest", &number.to_string(), "--json"]).stdout)
        .collect();
    assert!(shown.contains("rate_limit") && shown.contains("[key] is too fast"));
    assert!(![&said.stdout, &said.stderr, &shown].iter().any(|text| text.contains(KEY)));
    for file in lab.files() {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes());
        assert!(!found, "the key is in {}", file.display());
    }
}
