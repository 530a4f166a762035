//! OpenAI's Responses.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_core::{
    Effort, GenerateConfig, Message, ModelErrorKind, Part, Reasoning, StopReason, ToolCall,
    ToolSpec, Usage,
};
use serde_json::json;

use crate::support::{KEY, answer, ask_as, at_once, client, hello, json, text};

const WHOLE: &str = include_str!("../wire/responses_tools.json");
const NAME: &str = "openai-responses/o9-demo";

fn sse(body: &str) -> String {
    answer(200, "content-type: text/event-stream\r\n", body)
}

fn stream() -> String {
    let whole: serde_json::Value = serde_json::from_str(WHOLE).unwrap();
    let created = json!({ "type": "response.created", "response": { "id": "resp_1", "status": "in_progress", "output": [] } });
    let delta = json!({ "type": "response.output_text.delta", "delta": "I " });
    // As it was sent, but on one line: an event's data has no line breaks of its own.
    let completed =
        format!(r#"{{"type":"response.completed","response":{}}}"#, WHOLE.replace('\n', ""));
    assert_eq!(whole["status"], "completed");
    format!(
        "event: response.created\ndata: {created}\n\ndata: {delta}\n\nevent: response.completed\ndata: {completed}\n\n"
    )
}

const REASONING: &str = r#"{ "type": "reasoning", "id": "rs_1", "summary": [ { "type": "summary_text", "text": "Look first." } ], "encrypted_content": "gAAA+/=", "status": null }"#;

#[tokio::test]
async fn an_answer_is_its_items_in_order_streamed_or_not() {
    for answer in [json(WHOLE), sse(&stream())] {
        let (reply, _) = ask_as(NAME, &hello(), vec![answer]).await;
        let output = reply.result.unwrap();
        let parts = vec![
            Part::Reasoning(Reasoning::Summary {
                text: "Look first.".to_owned(),
                opaque: Some(REASONING.to_owned()),
            }),
            text("I look."),
            Part::ToolCall(ToolCall {
                id: "call_1".to_owned(),
                name: "bash".to_owned(),
                arguments: r#"{"cmd":  "ls"}"#.to_owned(),
            }),
        ];
        assert_eq!(output.message, Message::Assistant { parts });
        let usage = Usage { input: 30, output: 20, cache_read: 10, cache_write: 0, reasoning: 15 };
        assert_eq!((output.stop, output.usage), (StopReason::ToolCalls, Some(usage)));
        assert_eq!(output.snapshot.as_deref(), Some("o9-demo-2026-01-01"));
    }
}

#[tokio::test]
async fn nothing_is_stored_there_and_encrypted_reasoning_goes_back_byte_for_byte() {
    let (reply, _) = ask_as(NAME, &hello(), vec![json(WHOLE)]).await;
    let mut request = hello();
    request.messages.push(reply.result.unwrap().message);
    request.messages.push(Message::Tool {
        call_id: "call_1".to_owned(),
        name: "bash".to_owned(),
        text: "a".to_owned(),
    });
    request.tools.push(ToolSpec {
        name: "bash".to_owned(),
        description: "Runs a command.".to_owned(),
        parameters: json!({ "type": "object" }),
    });
    request.config = GenerateConfig {
        max_tokens: Some(500),
        reasoning_effort: Some(Effort::Low),
        ..GenerateConfig::default()
    };
    let (reply, bodies) = ask_as(NAME, &request, vec![json(WHOLE)]).await;
    let sent = String::from_utf8(reply.attempts[0].request.concat()).unwrap();
    assert!(sent.contains(REASONING), "{sent}");
    let body = &bodies[0];
    assert_eq!(
        (&body["store"], &body["include"]),
        (&json!(false), &json!(["reasoning.encrypted_content"]))
    );
    assert_eq!(body["reasoning"], json!({ "effort": "low", "summary": "auto" }));
    assert_eq!((&body["max_output_tokens"], &body["stream"]), (&json!(500), &json!(null)));
    assert_eq!(body["tools"][0]["name"], "bash");
    let items: Vec<_> = body["input"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].as_str().or(item["role"].as_str()).unwrap().to_owned())
        .collect();
    assert_eq!(
        items,
        ["system", "user", "reasoning", "message", "function_call", "function_call_output"]
    );
    assert_eq!(
        body["input"][5],
        json!({ "type": "function_call_output", "call_id": "call_1", "output": "a" })
    );
}

#[tokio::test]
async fn a_model_that_does_not_reason_is_not_asked_for_it() {
    let (_, bodies) = ask_as("openai-responses/gpt-4.1", &hello(), vec![json(WHOLE)]).await;
    assert_eq!((&bodies[0]["include"], &bodies[0]["reasoning"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn refusals_limits_and_failures_are_told_apart() {
    let ends = [
        (
            json!({ "status": "incomplete", "incomplete_details": { "reason": "max_output_tokens" }, "output": [] }),
            StopReason::MaxTokens,
        ),
        (
            json!({ "status": "incomplete", "incomplete_details": { "reason": "content_filter" }, "output": [] }),
            StopReason::ContentFilter,
        ),
        (
            json!({ "status": "completed", "output": [{ "type": "message", "content": [{ "type": "refusal", "refusal": "no" }] }] }),
            StopReason::ContentFilter,
        ),
        (json!({ "status": "completed", "output": [] }), StopReason::Stop),
    ];
    for (body, stop) in ends {
        let (reply, _) = ask_as(NAME, &hello(), vec![json(&body.to_string())]).await;
        assert_eq!(reply.result.unwrap().stop, stop, "{body}");
    }
    let failed = json!({ "type": "response.failed", "response": { "status": "failed", "output": [], "error": { "code": "rate_limit_exceeded", "message": "slow" } } });
    let failed = sse(&format!("data: {failed}\n\n"));
    let half = sse(&stream()[..stream().len() / 2]);
    let (reply, _) = ask_as(NAME, &hello(), vec![failed, half, sse(&stream())]).await;
    let kinds: Vec<_> = reply.attempts.iter().map(|a| a.error.as_ref().map(|e| e.kind)).collect();
    assert_eq!(kinds, [Some(ModelErrorKind::RateLimit), Some(ModelErrorKind::Transport), None]);
}

#[test]
fn what_the_format_does_not_have_is_refused_before_anything_is_sent() {
    let model = client(NAME, "http://127.0.0.1:9/v1", Some(KEY), at_once()).unwrap();
    let seed = GenerateConfig { seed: Some(1), ..GenerateConfig::default() };
    let stop = GenerateConfig { stop: vec!["x".to_owned()], ..GenerateConfig::default() };
    for (config, words) in [(seed, "--seed"), (stop, "--stop")] {
        let error = model.codec().check(&config).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("openai/NAME does"), "{error}");
    }
}
