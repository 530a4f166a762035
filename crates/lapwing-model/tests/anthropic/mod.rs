//! Anthropic's Messages.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_core::{
    Effort, GenerateConfig, Message, ModelErrorKind, Output, Part, Reasoning, Request, StopReason,
    ToolCall, ToolSpec, Usage,
};
use serde_json::{Value, json};

use crate::support::{KEY, Server, answer, ask_as, at_once, client, hello, json, text};
use lapwing_core::Model as _;

const THINKING: &str = include_str!("../wire/anthropic_thinking.json");
const STREAM: &str = include_str!("../wire/anthropic_tools.sse");
const NAME: &str = "anthropic/claude-demo-4";

fn sse(body: &str) -> String {
    answer(200, "content-type: text/event-stream\r\n", body)
}

fn bash() -> ToolSpec {
    ToolSpec {
        name: "bash".to_owned(),
        description: "Runs a command.".to_owned(),
        parameters: json!({ "type": "object" }),
    }
}

async fn output(answer: String) -> Output {
    ask_as(NAME, &hello(), vec![answer]).await.0.result.unwrap()
}

#[tokio::test]
async fn an_answer_is_its_blocks_in_order_with_usage_and_snapshot() {
    let output = output(json(THINKING)).await;
    let opaque = |block: &str| Some(block.to_owned());
    let parts = vec![
        Part::Reasoning(Reasoning::Summary {
            text: "Look first.".to_owned(),
            opaque: opaque(
                r#"{ "type": "thinking",  "thinking": "Look \u0066irst.", "signature": "Eq+/w==", "new": [1.0] }"#,
            ),
        }),
        Part::Reasoning(Reasoning::Hidden {
            opaque: opaque(r#"{ "type": "redacted_thinking", "data": "EmwK/+==" }"#),
        }),
        text("I look."),
        Part::ToolCall(ToolCall {
            id: "toolu_1".to_owned(),
            name: "bash".to_owned(),
            arguments: r#"{ "cmd":  "ls", "a": 1 }"#.to_owned(),
        }),
    ];
    assert_eq!(output.message, Message::Assistant { parts });
    assert_eq!(output.stop, StopReason::ToolCalls);
    let usage = Usage { input: 12, output: 34, cache_read: 100, cache_write: 7, reasoning: 0 };
    assert_eq!(
        (output.usage, output.snapshot.as_deref()),
        (Some(usage), Some("claude-demo-4-20260101"))
    );
}

#[tokio::test]
async fn a_streamed_answer_is_the_same_as_a_whole_one() {
    let output = output(sse(STREAM)).await;
    let parts = vec![
        Part::Reasoning(Reasoning::Summary {
            text: "Look first.".to_owned(),
            opaque: Some(
                r#"{"signature":"Eq+/w==","thinking":"Look first.","type":"thinking"}"#.to_owned(),
            ),
        }),
        text("I look."),
        Part::ToolCall(ToolCall {
            id: "toolu_1".to_owned(),
            name: "bash".to_owned(),
            arguments: r#"{"cmd":  "ls", "a": 1}"#.to_owned(),
        }),
    ];
    assert_eq!(output.message, Message::Assistant { parts });
    let usage = Usage { input: 12, output: 34, cache_read: 100, cache_write: 7, reasoning: 0 };
    assert_eq!((output.stop, output.usage), (StopReason::ToolCalls, Some(usage)));
}

#[tokio::test]
async fn thinking_goes_back_byte_for_byte_and_results_are_one_message() {
    let turn = output(json(THINKING)).await.message;
    let tool = |id: &str, text: &str| Message::Tool {
        call_id: id.to_owned(),
        name: "bash".to_owned(),
        text: text.to_owned(),
    };
    let mut request = hello();
    request.tools.push(bash());
    request.messages.extend([
        turn,
        tool("toolu_1", "a\nb"),
        tool("toolu_2", ""),
        Message::User { text: "quick".to_owned() },
    ]);
    let server = Server::play(vec![json(THINKING)]).await.unwrap();
    let reply = client(NAME, &server.base, Some(KEY), at_once()).unwrap().generate(&request).await;
    let raw = server.requests().await.remove(0);
    let (head, body) = raw.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("x-api-key: {KEY}")), "{head}");
    assert!(
        head.contains("anthropic-version: 2023-06-01") && !head.contains("authorization"),
        "{head}"
    );
    assert_eq!(reply.attempts[0].request.concat(), body.as_bytes());
    for block in [
        r#"{ "type": "thinking",  "thinking": "Look \u0066irst.", "signature": "Eq+/w==", "new": [1.0] }"#,
        r#"{ "type": "redacted_thinking", "data": "EmwK/+==" }"#,
        r#""input":{ "cmd":  "ls", "a": 1 }"#,
    ] {
        assert!(body.contains(block), "{block} is not in {body}");
    }
    let body: Value = serde_json::from_str(body).unwrap();
    let mark = json!({ "type": "ephemeral" });
    assert_eq!(
        body["system"],
        json!([{ "type": "text", "text": "be brief", "cache_control": mark }])
    );
    assert_eq!(body["tools"][0]["input_schema"], json!({ "type": "object" }));
    let roles: Vec<_> =
        body["messages"].as_array().unwrap().iter().map(|m| m["role"].clone()).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    let results = json!([
        { "type": "tool_result", "tool_use_id": "toolu_1", "content": "a\nb" },
        { "type": "tool_result", "tool_use_id": "toolu_2", "content": "" },
        { "type": "text", "text": "quick", "cache_control": mark },
    ]);
    assert_eq!(body["messages"][2]["content"], results);
}

#[tokio::test]
async fn a_longer_conversation_shares_the_segments_of_its_beginning() {
    let mut request = hello();
    request.tools.push(bash());
    let (short, _) = ask_as(NAME, &request, vec![json(THINKING)]).await;
    request.messages.push(short.result.unwrap().message);
    request.messages.push(Message::User { text: "and?".to_owned() });
    let (long, _) = ask_as(NAME, &request, vec![json(THINKING)]).await;
    let (short, long) = (&short.attempts[0].request, &long.attempts[0].request);
    assert_eq!(long[..2], short[..2]);
    assert_eq!(long.last(), short.last());
}

#[tokio::test]
async fn settings_are_sent_as_the_format_has_them() {
    let config = GenerateConfig {
        max_tokens: Some(4000),
        stop: vec!["END".to_owned()],
        reasoning_effort: Some(Effort::High),
        ..GenerateConfig::default()
    };
    let request = Request { config, ..hello() };
    let (_, bodies) = ask_as(NAME, &request, vec![json(THINKING)]).await;
    let body = &bodies[0];
    assert_eq!((&body["max_tokens"], &body["stop_sequences"]), (&json!(4000), &json!(["END"])));
    assert_eq!(body["output_config"], json!({ "effort": "high" }));
    assert_eq!(body["thinking"]["type"], "adaptive");
    assert_eq!(body["stream"], Value::Null);
    let config = GenerateConfig { reasoning_tokens: Some(2048), ..GenerateConfig::default() };
    let request = Request { config, ..hello() };
    let (_, bodies) = ask_as(NAME, &request, vec![sse(STREAM)]).await;
    assert_eq!(bodies[0]["thinking"], json!({ "type": "enabled", "budget_tokens": 2048 }));
    assert_eq!((&bodies[0]["max_tokens"], &bodies[0]["stream"]), (&json!(16_384), &json!(true)));
}

#[tokio::test]
async fn a_last_word_of_the_assistant_is_continued() {
    let mut request = hello();
    request.messages.push(Message::assistant("So"));
    let (_, bodies) = ask_as(NAME, &request, vec![json(THINKING)]).await;
    let last = &bodies[0]["messages"][1];
    assert_eq!(
        last,
        &json!({ "role": "assistant", "content": [{ "type": "text", "text": "So" }] })
    );
}

#[tokio::test]
async fn a_refusal_and_other_ends_are_told_apart() {
    let rows = [
        ("end_turn", StopReason::Stop),
        ("stop_sequence", StopReason::Stop),
        ("max_tokens", StopReason::MaxTokens),
        ("refusal", StopReason::ContentFilter),
        ("model_context_window_exceeded", StopReason::ModelLength),
        ("pause_turn", StopReason::Unknown),
    ];
    for (reason, stop) in rows {
        let body = json!({ "content": [{ "type": "text", "text": "x" }], "stop_reason": reason });
        assert_eq!(output(json(&body.to_string())).await.stop, stop, "{reason}");
    }
}

#[tokio::test]
async fn failures_are_classed_by_status_and_words() {
    let rows = [
        (401, "authentication_error", "invalid x-api-key", ModelErrorKind::Auth),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 9 tokens > 8",
            ModelErrorKind::ContextLength,
        ),
        (400, "invalid_request_error", "Your credit balance is too low", ModelErrorKind::RateLimit),
        (400, "invalid_request_error", "odd", ModelErrorKind::BadRequest),
        (404, "not_found_error", "model: x", ModelErrorKind::BadRequest),
    ];
    for (status, class, words, kind) in rows {
        let body = json!({ "type": "error", "error": { "type": class, "message": words } });
        let bad = answer(status, "request-id: req_7\r\n", &body.to_string());
        let list = json(r#"{"data":[{"id":"claude-demo-5"}]}"#);
        let answers = if status == 404 { vec![bad, list] } else { vec![bad] };
        let (reply, _) = ask_as(NAME, &hello(), answers).await;
        assert_eq!(reply.attempts[0].receipt.request_id.as_deref(), Some("req_7"));
        let error = reply.result.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_also_when_it_says_so_in_a_stream() {
    let said = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let stream = sse(&format!("event: error\ndata: {said}\n\n"));
    let half = sse(&STREAM[..STREAM.len() / 2]);
    let answers = vec![answer(529, "", said), stream, half, sse(STREAM)];
    let server = Server::play(answers).await.unwrap();
    let retry = lapwing_model::RetryConfig { attempts: 5, ..at_once() };
    let model = client(NAME, &server.base, Some(KEY), retry).unwrap();
    let reply = model.generate(&hello()).await;
    let kinds: Vec<_> = reply.attempts.iter().map(|a| a.error.as_ref().map(|e| e.kind)).collect();
    let overloaded = Some(ModelErrorKind::Overloaded);
    assert_eq!(kinds, [overloaded, overloaded, Some(ModelErrorKind::Transport), None]);
}

#[test]
fn what_the_format_does_not_have_is_refused_before_anything_is_sent() {
    let model = client(NAME, "http://127.0.0.1:9/v1", Some(KEY), at_once()).unwrap();
    let rows = [
        (GenerateConfig { seed: Some(1), ..GenerateConfig::default() }, "--seed"),
        (GenerateConfig { temperature: Some(1.5), ..GenerateConfig::default() }, "--temperature"),
        (
            GenerateConfig { reasoning_effort: Some(Effort::None), ..GenerateConfig::default() },
            "--reasoning-effort",
        ),
        (GenerateConfig { reasoning_tokens: Some(100), ..GenerateConfig::default() }, "1024"),
        (
            GenerateConfig { reasoning_tokens: Some(20_000), ..GenerateConfig::default() },
            "--max-tokens",
        ),
    ];
    let high = GenerateConfig { reasoning_effort: Some(Effort::High), ..GenerateConfig::default() };
    assert!(model.codec().check(&high).is_ok());
    let older = "anthropic/claude-sonnet-4-5-20250929";
    let older = client(older, "http://127.0.0.1:9/v1", Some(KEY), at_once()).unwrap();
    let error = older.codec().check(&high).unwrap_err().to_string();
    assert!(error.contains("--reasoning-tokens"), "{error}");
    for (config, words) in rows {
        let error = model.codec().check(&config).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
