//! Streamed chat completions, and other shapes of reasoning.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_core::{
    GenerateConfig, Message, ModelErrorKind, Output, Part, Reasoning, Request, StopReason,
    ToolCall, Usage,
};
use serde_json::json;

use crate::support::{answer, ask_as, hello, text};

const TOOLS: &str = include_str!("../wire/tools.sse");

fn sse(body: &str) -> String {
    answer(200, "content-type: text/event-stream\r\n", body)
}

async fn streamed(body: &str) -> Output {
    ask_as("vllm/demo", &hello(), vec![sse(body)]).await.0.result.unwrap()
}

#[tokio::test]
async fn a_stream_is_put_together_from_its_pieces() {
    let output = streamed(TOOLS).await;
    let call = |id: &str, arguments: &str| {
        let (id, name, arguments) = (id.to_owned(), "bash".to_owned(), arguments.to_owned());
        Part::ToolCall(ToolCall { id, name, arguments })
    };
    let opaque = Some(r#"{"reasoning_content":"First look."}"#.to_owned());
    let parts = vec![
        Part::Reasoning(Reasoning::Full { text: "First look.".to_owned(), opaque }),
        text("Looking."),
        call("a", r#"{"cmd":  "ls" }"#),
        call("b", r#"{"cmd":"pwd"}"#),
    ];
    assert_eq!(output.message, Message::Assistant { parts });
    assert_eq!(output.stop, StopReason::ToolCalls);
    let usage = Usage { input: 40, output: 12, cache_read: 0, cache_write: 0, reasoning: 5 };
    assert_eq!(output.usage, Some(usage));
    assert_eq!(output.snapshot.as_deref(), Some("demo-2026-01-02"));
}

#[tokio::test]
async fn a_stream_that_ends_early_is_repeated_and_what_came_is_kept() {
    for cut in [TOOLS.len() / 3, TOOLS.find("finish_reason\":\"tool").unwrap()] {
        let half = &TOOLS[..cut];
        let (reply, _) = ask_as("vllm/demo", &hello(), vec![sse(half), sse(TOOLS)]).await;
        assert_eq!(reply.attempts[0].response, half.as_bytes());
        let error = reply.attempts[0].error.as_ref().unwrap();
        assert_eq!(error.kind, ModelErrorKind::Transport, "{error}");
        assert!(error.message.contains("broke off"), "{error}");
        assert_eq!(reply.attempts[0].receipt.presumed, None);
        assert!(reply.result.is_ok());
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_is_classed_by_what_it_says() {
    let rows = [
        (r#"{"error":{"message":"slow","code":429}}"#, ModelErrorKind::RateLimit),
        (
            r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#,
            ModelErrorKind::ContextLength,
        ),
        (r#"{"error":{"message":"upstream","code":502}}"#, ModelErrorKind::Overloaded),
    ];
    for (said, kind) in rows {
        let bad = sse(&format!(": wait\n\ndata: {said}\n\n"));
        let passes = kind != ModelErrorKind::ContextLength;
        let answers = if passes { vec![bad, sse(TOOLS)] } else { vec![bad] };
        let (reply, _) = ask_as("vllm/demo", &hello(), answers).await;
        assert_eq!(reply.attempts[0].error.as_ref().unwrap().kind, kind, "{said}");
        assert_eq!(reply.result.is_ok(), passes, "{said}");
    }
}

#[tokio::test]
async fn a_server_may_answer_whole_although_it_was_asked_to_stream() {
    let config = GenerateConfig { max_tokens: Some(100_000), ..GenerateConfig::default() };
    let request = Request { config, ..hello() };
    let whole = crate::support::json(include_str!("../wire/plain.json"));
    let (reply, bodies) = ask_as("openai/demo", &request, vec![whole]).await;
    assert_eq!(bodies[0]["stream"], json!(true));
    assert_eq!(bodies[0]["stream_options"], json!({ "include_usage": true }));
    assert_eq!(reply.result.unwrap().message, Message::assistant("Hello."));
}

#[tokio::test]
async fn reasoning_between_tags_is_kept_apart_from_the_answer() {
    let full =
        |text: &str| Part::Reasoning(Reasoning::Full { text: text.to_owned(), opaque: None });
    let rows = [
        ("<think>\nhm\n</think>\n\nyes", vec![full("hm"), text("yes")]),
        ("hm</think>yes", vec![full("hm"), text("yes")]),
        ("<think>cut in the midst", vec![full("cut in the midst")]),
        ("<think></think>yes", vec![text("yes")]),
        ("the tag <think> and </think>", vec![text("the tag <think> and </think>")]),
    ];
    for (content, parts) in rows {
        let body = json!({ "choices": [{ "message": { "content": content } }] }).to_string();
        let (reply, _) = ask_as("ollama/demo", &hello(), vec![crate::support::json(&body)]).await;
        assert_eq!(reply.result.unwrap().message, Message::Assistant { parts }, "{content}");
    }
}

#[tokio::test]
async fn a_router_tells_who_served_and_its_details_go_back() {
    let body = r#"data: {"provider":"Upstream","choices":[{"index":0,"delta":{"reasoning":"a","reasoning_details":[{"type":"reasoning.text","index":0,"text":"a"}]}}]}

data: {"choices":[{"index":0,"delta":{"reasoning":"b","reasoning_details":[{"type":"reasoning.text","index":0,"text":"b","signature":"S+/="}]}}]}

data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}

data: [DONE]

"#;
    let (reply, bodies) = ask_as("openrouter/x/demo", &hello(), vec![sse(body)]).await;
    assert_eq!(bodies[0]["model"], "x/demo");
    assert_eq!(reply.attempts[0].receipt.upstream.as_deref(), Some("Upstream"));
    let output = reply.result.unwrap();
    let Message::Assistant { parts } = &output.message else { panic!("not the assistant") };
    let Part::Reasoning(Reasoning::Full { text, opaque: Some(opaque) }) = &parts[0] else {
        panic!("no reasoning: {parts:?}")
    };
    assert_eq!(text, "ab");
    let mut request = hello();
    request.messages.extend([output.message.clone(), Message::User { text: "so?".to_owned() }]);
    let (_, bodies) = ask_as("openrouter/x/demo", &request, vec![sse(body)]).await;
    let details =
        json!([{ "type": "reasoning.text", "index": 0, "text": "ab", "signature": "S+/=" }]);
    assert_eq!(bodies[0]["messages"][2]["reasoning_details"], details, "{opaque}");
}
