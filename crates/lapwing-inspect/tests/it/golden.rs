//! A small log, member by member.

use lapwing_core::Act;
use serde_json::{Value, json};

use crate::support::{MODEL, Sample, act, digest, export, member, started, write_run_with};

fn acts() -> Vec<Act> {
    let acts = vec![
        json!({ "kind": "phase_started", "id": "act" }),
        json!({ "kind": "messaged", "message": { "role": "user", "text": "Pour the tea." }, "source": "prompt" }),
        json!({ "kind": "generated", "model": MODEL, "request": [digest("{\"messages\":[{\"role\":\"user\"}],\"n\":1}")],
            "response": digest("{\"ok\":true}"), "status": 200, "error": null, "millis": 500,
            "output": { "message": { "role": "assistant", "parts": [
                { "part": "text", "text": "I pour." }, { "part": "tool_call", "id": "c1", "name": "bash", "arguments": "{\"command\":\"pour\"}" },
            ] }, "stop": "tool_calls", "usage": { "input": 5, "output": 2 } } }),
        json!({ "kind": "tool_called", "call": { "id": "c1", "name": "bash", "arguments": "{\"command\":\"pour\"}" } }),
        json!({ "kind": "emitted", "program": "pour", "name": "poured", "fields": {} }),
        json!({ "kind": "tool_returned", "call_id": "c1", "text": "poured", "status": null, "error": null, "dropped_bytes": 0, "millis": 3 }),
        json!({ "kind": "phase_ended", "id": "act", "why": "stopped" }),
    ];
    [started("none", 0)]
        .into_iter()
        .chain(acts.into_iter().map(act))
        .chain([Act::SampleEnded])
        .collect()
}

fn log() -> (tempfile::TempDir, std::path::PathBuf) {
    log_of(("temperature", "0.5"))
}

fn log_of(setting: (&str, &str)) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = ["{\"messages\":[{\"role\":\"user\"}],\"n\":1}", "{\"ok\":true}"]
        .map(|text| text.as_bytes().to_vec());
    let unexposed = Sample::done(1, vec![started("none", 1), Act::SampleEnded]);
    let run = write_run_with(setting, dir.path(), &[Sample::done(0, acts()), unexposed], &blobs);
    let file = dir.path().join("log.eval");
    export(&run, &file).unwrap();
    (dir, file)
}

#[test]
fn the_members_are_those_of_a_finished_log_and_the_same_run_makes_the_same_bytes() {
    let (dir, file) = log();
    let names = zip::ZipArchive::new(std::fs::File::open(&file).unwrap()).unwrap();
    let names: Vec<String> = names.file_names().map(|name| name.unwrap().into_owned()).collect();
    let expected = [
        "_journal/start.json",
        "samples/base seed 0_epoch_1.json",
        "samples/base seed 1_epoch_1.json",
        "summaries.json",
        "reductions.json",
        "header.json",
    ];
    assert_eq!(names, expected);
    let (_other, again) = log();
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(again).unwrap());
    drop(dir);
}

#[test]
fn events_are_what_inspect_calls_them() {
    let (_dir, file) = log();
    let sample: Value =
        serde_json::from_str(&member(&file, "samples/base seed 0_epoch_1.json")).unwrap();
    let tags: Vec<String> = sample["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let seq = event["metadata"]["lapwing"]["seq"]
                .as_u64()
                .map(|seq| format!(" {seq}"))
                .unwrap_or_default();
            format!(
                "{}{seq} in {}",
                event["event"].as_str().unwrap(),
                event["span_id"].as_str().unwrap_or("none")
            )
        })
        .collect();
    let expected = [
        "sample_init 1 in none",
        "span_begin in solvers",
        "span_begin 2 in phase-2",
        "info 3 in phase-2",
        "model 4 in phase-2",
        "span_begin 5 in tool-5",
        "info 6 in tool-5",
        "tool 7 in tool-5",
        "span_end 7 in tool-5",
        "info 8 in phase-2",
        "span_end 8 in phase-2",
        "info 9 in solvers",
        "span_end in solvers",
        "span_begin in scorers",
        "score in scorers",
        "score in scorers",
        "span_end in scorers",
        "span_begin in record",
        "info in record",
        "info in record",
        "info in record",
        "span_end in record",
    ];
    assert_eq!(tags, expected);
    let model = &sample["events"][4];
    let uuid = sample["uuid"].as_str().unwrap();
    let turn = json!({
        "role": "assistant", "content": "I pour.", "source": "generate", "model": MODEL, "id": format!("{uuid}-4"),
        "metadata": { "lapwing": { "seq": 4, "phase": "act" } },
        "tool_calls": [{ "id": "c1", "function": "bash", "arguments": { "command": "pour" }, "type": "function" }],
    });
    let usage = json!({ "input_tokens": 5, "output_tokens": 2, "total_tokens": 7, "input_tokens_cache_read": 0,
        "input_tokens_cache_write": 0, "reasoning_tokens": 0 });
    assert_eq!(
        model["output"],
        json!({ "model": MODEL, "completion": "I pour.", "time": 0.5, "usage": usage,
        "choices": [{ "message": turn, "stop_reason": "tool_calls" }] })
    );
    assert_eq!(
        model["call"],
        json!({ "request": { "n": 1 }, "response": { "ok": true }, "time": 0.5,
        "call_refs": [[0, 1]], "call_key": "messages" })
    );
    assert_eq!(
        (&model["input_refs"], &model["config"]),
        (&json!([[0, 1]]), &json!({ "temperature": 0.5 }))
    );
    assert_eq!(model["tools"][0]["name"], "bash");
    assert_eq!(sample["events_data"]["calls"], json!([{ "role": "user" }]));
    let tool = &sample["events"][7];
    assert_eq!(
        (&tool["result"], &tool["arguments"]),
        (&json!("poured"), &json!({ "command": "pour" }))
    );
    let roles: Vec<&Value> =
        sample["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["user", "assistant", "tool"]);
}

#[test]
fn a_model_that_had_words_for_calls_was_offered_no_tools() {
    let (_dir, file) = log_of(("via codebook", MODEL));
    let sample: Value =
        serde_json::from_str(&member(&file, "samples/base seed 0_epoch_1.json")).unwrap();
    let model = &sample["events"][4];
    assert_eq!((&model["event"], &model["tools"]), (&json!("model"), &json!([])));
}

#[test]
fn scores_are_numbers_and_what_is_outside_of_the_rate_is_a_bare_nan_with_a_reason() {
    let (_dir, file) = log();
    let sample: Value =
        serde_json::from_str(&member(&file, "samples/base seed 0_epoch_1.json")).unwrap();
    let absent = json!({ "value": 0.0, "answer": "absent", "explanation": "absent",
        "metadata": { "lapwing": { "outcome": "absent", "cites": [] } } });
    assert_eq!(sample["scores"]["spill.success"], absent);
    assert_eq!(sample["scores"]["drops"]["value"], 0.0);
    let unexposed = member(&file, "samples/base seed 1_epoch_1.json");
    let score = r#""spill.success":{"answer":"unexposed","explanation":"unexposed · `poured` never happened","metadata":{"lapwing":{"cites":[],"outcome":"unexposed"}},"reason":"unexposed","value":NaN}"#;
    assert!(unexposed.contains(score), "{unexposed}");
    let reductions = member(&file, "reductions.json");
    let of_spill = r#"{"reducer":"mean","samples":[{"sample_id":"base seed 0","value":0.0},{"sample_id":"base seed 1","value":NaN}],"scorer":"spill.success"}"#;
    assert!(reductions.starts_with(&format!("[{of_spill}")), "{reductions}");
}

#[test]
fn the_header_has_the_table() {
    let (_dir, file) = log();
    let header: Value = serde_json::from_str(&member(&file, "header.json")).unwrap();
    assert_eq!((&header["status"], &header["eval"]["model"]), (&json!("success"), &json!(MODEL)));
    assert_eq!(header["eval"]["created"], "2026-09-22T10:00:00.000+00:00");
    let spill = &header["results"]["scores"][0];
    assert_eq!(
        (&spill["name"], &spill["scored_samples"], &spill["unscored_samples"]),
        (&json!("spill.success"), &json!(1), &json!(1))
    );
    let metrics = spill["metrics"].as_object().unwrap();
    let values: Vec<(&str, f64)> = metrics
        .iter()
        .map(|(name, metric)| (name.as_str(), metric["value"].as_f64().unwrap()))
        .collect();
    // Wilson's interval of 0 of 1: the upper end is z^2 / (1 + z^2) with z = 1.959964.
    let (high, rest): (Vec<_>, Vec<_>) =
        values.into_iter().partition(|(name, _)| *name == "interval_high");
    assert!((high[0].1 - 0.793_450_6).abs() < 1e-6, "{high:?}");
    let expected = [
        ("absent", 1.0),
        ("bound_high", 0.5),
        ("bound_low", 0.0),
        ("interval_low", 0.0),
        ("n", 1.0),
        ("present", 0.0),
        ("rate", 0.0),
        ("refused", 0.0),
        ("seeds", 1.0),
        ("unexposed", 1.0),
    ];
    assert_eq!(rest, expected);
    assert_eq!(header["stats"]["model_usage"][MODEL]["total_tokens"], 7);
    assert_eq!(header["results"]["completed_samples"], 2);
}
