//! Chat completions, whole answers and failures.

use std::time::Duration;

use lapwing_core::{
    Message, Model as _, ModelErrorKind, Output, Part, Reasoning, StopReason, Tokens, ToolCall,
    Usage,
};
use lapwing_model::{RetryConfig, SetupError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::support::{
    KEY, Server, answer, ask, at_once, client, failure, hello, json, model, output, text,
};

#[tokio::test]
async fn a_plain_answer_is_read_past_unknown_fields() {
    let output = output(include_str!("../wire/plain.json")).await;
    let expected = Output {
        message: Message::assistant("Hello."),
        stop: StopReason::Stop,
        usage: Some(Usage { input: 36, output: 9, cache_read: 64, cache_write: 0, reasoning: 0 }),
        snapshot: Some("demo-2026-01-02".to_owned()),
        fingerprint: Some("fp_7".to_owned()),
        tokens: None,
    };
    assert_eq!(output, expected);
}

#[tokio::test]
async fn the_segments_of_an_attempt_are_the_bytes_on_the_wire() {
    let (reply, requests) = ask(vec![json(include_str!("../wire/plain.json"))]).await;
    let attempt = &reply.attempts[0];
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert_eq!(attempt.request.concat(), body.as_bytes());
    assert_eq!(attempt.request.len(), 4);
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("authorization: Bearer {KEY}")), "{head}");
    assert_eq!(attempt.response, include_bytes!("../wire/plain.json"));
    assert_eq!((attempt.status, &attempt.error), (Some(200), &None));
}

#[tokio::test]
async fn tool_arguments_and_reasoning_are_kept_exactly_as_sent() {
    let output = output(include_str!("../wire/tools.json")).await;
    let call = |id: &str, arguments: &str| {
        let (id, name, arguments) = (id.to_owned(), "bash".to_owned(), arguments.to_owned());
        Part::ToolCall(ToolCall { id, name, arguments })
    };
    let parts = vec![
        Part::Reasoning(Reasoning::Full {
            text: "I should look first.".to_owned(),
            opaque: Some(r#"{"reasoning_content":"I should look \u0066irst."}"#.to_owned()),
        }),
        call("a", r#"{"cmd":  "ls" ,"#),
        call("call-1", r#"{ "cmd":  "pwd" }"#),
    ];
    assert_eq!(output.message, Message::Assistant { parts });
    assert_eq!(output.stop, StopReason::ToolCalls);
}

#[tokio::test]
async fn odd_tool_calls_do_not_cost_the_answer() {
    let rows = [
        ("null", 0),
        ("{}", 0),
        (r#""""#, 0),
        ("[null]", 1),
        (r#"[{"id": "x", "type": "custom"}, {"function": null}]"#, 2),
    ];
    for (calls, count) in rows {
        let message = format!(r#"{{"content": "text", "tool_calls": {calls}}}"#);
        let output = output(&format!(r#"{{"choices": [{{"message": {message}}}]}}"#)).await;
        assert_eq!(output.message.text(), "text", "{calls}");
        assert_eq!(output.message.tool_calls().count(), count, "{calls}");
        assert!(output.message.tool_calls().all(|call| call.name.is_empty()), "{calls}");
    }
}

#[tokio::test]
async fn a_refusal_is_a_filtered_answer_with_its_text() {
    let output = output(include_str!("../wire/refusal.json")).await;
    assert_eq!(output.message, Message::assistant("I cannot help with that."));
    assert_eq!((output.stop, output.usage), (StopReason::ContentFilter, None));
}

#[tokio::test]
async fn reasoning_that_is_counted_but_not_shown_is_hidden() {
    let output = output(include_str!("../wire/hidden.json")).await;
    let parts = vec![Part::Reasoning(Reasoning::Hidden { opaque: None }), text("one\ntwo")];
    assert_eq!(output.message, Message::Assistant { parts });
    assert_eq!(output.stop, StopReason::Unknown);
}

#[tokio::test]
async fn a_summary_of_reasoning_is_told_from_the_reasoning() {
    let output = output(include_str!("../wire/summary.json")).await;
    let Message::Assistant { parts } = output.message else { panic!("not the assistant") };
    let Part::Reasoning(Reasoning::Summary { text, opaque: Some(opaque) }) = &parts[0] else {
        panic!("not a summary: {parts:?}")
    };
    assert_eq!(text, "Thought about it.");
    assert!(opaque.contains(r#"{ "type": "reasoning.encrypted", "data": "AAEC" }"#), "{opaque}");
    assert_eq!(output.stop, StopReason::MaxTokens);
}

#[tokio::test]
async fn log_probabilities_are_kept_where_token_ids_come_with_them() {
    let output = output(include_str!("../wire/logprobs.json")).await;
    let expected =
        Tokens { prompt: vec![1, 2, 3], completion: vec![10, 11], logprobs: vec![-0.5, -1.25] };
    assert_eq!(output.tokens, Some(expected));
}

#[tokio::test]
async fn every_try_of_a_repeated_call_is_an_attempt() {
    let answers = vec![
        answer(429, "retry-after: 0\r\n", r#"{"error": {"message": "slow down"}}"#),
        answer(500, "", r#"{"detail": "oops"}"#),
        json(include_str!("../wire/plain.json")),
    ];
    let (reply, requests) = ask(answers).await;
    let statuses: Vec<_> = reply.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(429), Some(500), Some(200)]);
    assert_eq!(requests.len(), 3);
    let first = reply.attempts[0].error.as_ref().unwrap();
    assert_eq!(first.kind, ModelErrorKind::RateLimit);
    assert!(first.message.contains("slow down"));
    assert_eq!(reply.result.unwrap().message, Message::assistant("Hello."));
}

#[tokio::test]
async fn patience_ends_with_the_last_error_and_the_number_of_attempts() {
    let busy = answer(529, "", r#"{"error": "overloaded"}"#);
    let (reply, _) = ask(vec![busy.clone(), busy.clone(), busy]).await;
    let error = reply.result.unwrap_err();
    assert_eq!((reply.attempts.len(), error.kind), (3, ModelErrorKind::Overloaded));
    assert!(error.message.contains("529: overloaded"), "{error}");
    assert!(error.message.ends_with("(after 3 attempts)"), "{error}");
}

#[tokio::test]
async fn failures_that_cannot_pass_are_not_repeated() {
    let rows = [
        (401, r#"{"error": {"message": "bad key"}}"#, ModelErrorKind::Auth, "check OPENAI_API_KEY"),
        (403, r#"{"error": {"message": "no"}}"#, ModelErrorKind::Auth, "check OPENAI_API_KEY"),
        (429, r#"{"error": {"code": "insufficient_quota"}}"#, ModelErrorKind::RateLimit, "quota"),
        (
            400,
            r#"{"error": {"message": "x", "code": "context_length_exceeded"}}"#,
            ModelErrorKind::ContextLength,
            "does not fit",
        ),
        (
            400,
            r#"{"object": "error", "message": "the maximum context length is 8"}"#,
            ModelErrorKind::ContextLength,
            "does not fit",
        ),
        (
            400,
            r#"{"error": {"message": "x", "code": "content_policy_violation"}}"#,
            ModelErrorKind::Refused,
            "policy",
        ),
        (
            400,
            r#"{"error": {"message": "filtered", "code": "content_filter"}}"#,
            ModelErrorKind::Refused,
            "policy",
        ),
        (
            400,
            r#"{"error": {"message": "flagged", "code": "invalid_prompt"}}"#,
            ModelErrorKind::Refused,
            "policy",
        ),
        (402, r#"{"error": {"message": "pay"}}"#, ModelErrorKind::RateLimit, "credit is spent"),
        (413, "too large", ModelErrorKind::ContextLength, "does not fit"),
        (422, r#"{"detail": "odd field"}"#, ModelErrorKind::BadRequest, "422: odd field"),
        (302, "", ModelErrorKind::BadRequest, "set --base-url to the final address"),
    ];
    for (status, body, kind, words) in rows {
        let error = failure(vec![answer(status, "", body)]).await;
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn an_unknown_model_is_answered_with_near_names() {
    let unknown = answer(404, "", r#"{"error": {"message": "no such model"}}"#);
    let list = json(r#"{"data": [{"id": "demo-large"}, {"id": "zzz"}, {"id": "demos"}]}"#);
    let error = failure(vec![unknown.clone(), list]).await;
    assert_eq!(error.kind, ModelErrorKind::BadRequest);
    assert!(error.message.ends_with("404: no such model; it has demos, demo-large"), "{error}");

    let error = failure(vec![unknown, answer(404, "", "")]).await;
    assert!(error.message.contains("; see the models it has at http://127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn answers_that_are_no_completion_say_what_they_are() {
    let rows = [
        (answer(200, "content-type: text/html\r\n", "<html>hi</html>"), "a web page"),
        (answer(200, "", "  <!doctype html>"), "a web page"),
        (
            answer(200, "content-type: text/plain\r\n", "\u{1b}[2Jhi"),
            r#"text/plain that is no JSON object: " [2Jhi""#,
        ),
        (json(r#"{"choices": []}"#), "its list of choices is empty"),
        (json(r#"{"object": "list"}"#), "missing field `choices`"),
    ];
    for (answer, words) in rows {
        let error = failure(vec![answer]).await;
        assert_eq!(error.kind, ModelErrorKind::Malformed, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn an_error_inside_a_successful_answer_is_classed_by_its_code() {
    let error = failure(vec![json(r#"{"error": {"message": "upstream", "code": 401}}"#)]).await;
    assert_eq!(error.kind, ModelErrorKind::Auth);
}

#[tokio::test]
async fn a_cut_answer_is_kept_as_far_as_it_came_and_repeated() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"cho".to_owned();
    let (reply, _) = ask(vec![cut, json(include_str!("../wire/plain.json"))]).await;
    assert_eq!(reply.attempts[0].response, b"{\"cho");
    let error = &reply.attempts[0].error.as_ref().unwrap().message;
    assert!(error.contains("broke off after 5 bytes"), "{error}");
    assert!(reply.result.is_ok());
}

#[tokio::test]
async fn an_answer_without_end_is_cut_and_not_asked_for_again() {
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat((64 << 20) + 1));
    let (reply, requests) = ask(vec![endless]).await;
    assert_eq!((requests.len(), reply.attempts.len()), (1, 1));
    assert_eq!(reply.attempts[0].response.len(), 64 << 20);
    let error = reply.result.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Malformed);
    assert!(error.message.contains("is longer than"), "{error}");
}

#[tokio::test]
async fn a_closed_port_is_named_with_the_next_step() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let expected = format!(
        "{base} refused the connection; is the server running? set --base-url to where it listens"
    );
    let reached = model(&base).reach().await.unwrap_err();
    assert_eq!((reached.kind, &reached.message), (ModelErrorKind::Transport, &expected));
    let reply = model(&base).generate(&hello()).await;
    assert_eq!(reply.attempts.len(), 3);
    assert_eq!(reply.result.unwrap_err().message, format!("{expected} (after 3 attempts)"));
}

#[tokio::test]
async fn a_host_without_address_is_named() {
    // An empty label fails in the resolver itself, without a query.
    let error = model("http://no..where/v1").reach().await.unwrap_err();
    assert!(error.message.starts_with("no address for no..where: "), "{error}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}/v1", listener.local_addr().unwrap());
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(json("{}").as_bytes()).await.unwrap();
        stream
    };
    let model = model(&base);
    let (reached, _stream) = tokio::join!(model.reach(), server);
    let error = reached.unwrap_err();
    assert!(error.message.starts_with("no secure connection to 127.0.0.1: "), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let retry = RetryConfig { attempts: 1, attempt_limit: Duration::from_millis(50), ..at_once() };
    let model = client("openai/demo", &base, None, retry).unwrap();
    let error = model.generate(&hello()).await.result.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Transport);
    assert!(error.message.contains("did not answer within 0.05 s"), "{error}");
}

#[tokio::test]
async fn an_endpoint_is_reached_by_any_answer_of_an_api() {
    let rows = [
        (json(r#"{"data": []}"#), None),
        (answer(404, "", r#"{"detail": "no list"}"#), None),
        (answer(503, "", "warming up"), None),
        (answer(401, "", r#"{"error": {"message": "who?"}}"#), Some(ModelErrorKind::Auth)),
        (answer(200, "content-type: text/html\r\n", "<p>"), Some(ModelErrorKind::Malformed)),
    ];
    for (answer, expected) in rows {
        let server = Server::play(vec![answer]).await.unwrap();
        let reached = model(&server.base).reach().await;
        assert_eq!(reached.err().map(|error| error.kind), expected);
    }
}

#[tokio::test]
async fn the_key_is_in_no_attempt_error_or_debug_form() {
    let echo = format!(r#"{{"error": {{"message": "{KEY} is wrong, {KEY}"}}}}"#);
    let server = Server::play(vec![answer(401, "", &echo)]).await.unwrap();
    let key = format!("{KEY}\n");
    let model = client("openai/demo", &server.base, Some(&key), at_once()).unwrap();
    let reply = model.generate(&hello()).await;
    let kept: Vec<u8> = reply
        .attempts
        .iter()
        .flat_map(|a| [a.request.concat(), a.response.clone()].concat())
        .collect();
    assert!(!String::from_utf8(kept).unwrap().contains(KEY));
    assert!(!format!("{model:?} {reply:?}").contains(KEY));
    assert!(reply.result.unwrap_err().message.contains("[key] is wrong, [key]"));
}

#[test]
fn a_client_that_cannot_work_is_refused_with_the_next_step() {
    let new =
        |base: &str, key: Option<&str>| client("openai/demo", base, key, RetryConfig::default());
    let official = "https://api.openai.com/v1";
    assert!(matches!(new(official, None), Err(SetupError::NoKey { .. })));
    assert!(matches!(new(official, Some("  ")), Err(SetupError::NoKey { .. })));
    assert!(matches!(new(official, Some("a\nb")), Err(SetupError::MalformedKey { .. })));
    for base in ["localhost:8000", "ftp://host/v1", "not an address", "http://host/v1?key=x"] {
        assert!(matches!(new(base, None), Err(SetupError::BaseUrl { .. })), "{base}");
    }
    let error = new("https://me:hunter22@host/v1", None).unwrap_err().to_string();
    assert!(!error.contains("hunter22"), "{error}");
    assert!(!new("http://host/v1?key=secret", None).unwrap_err().to_string().contains("secret"));
}

#[test]
fn a_model_is_named_after_its_wire_format() {
    assert_eq!(model("http://127.0.0.1:9/v1/").name(), "openai/demo");
}
