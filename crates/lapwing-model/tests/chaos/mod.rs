//! A server that fails three times in ten, in every way that servers do, and streams that are no streams.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapwing_core::{Message, Model as _, ModelErrorKind, Reply, Request};
use lapwing_model::{Budget, Client, Ledger, RetryConfig, Shared};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{KEY, answer, client_of, hello, read_request};

const INPUT: u64 = 400;
const OUTPUT: u64 = 30;
const MAX_TOKENS: u64 = 64;

/// What the server did.
#[derive(Default)]
struct Books {
    requests: AtomicU64,
    faults: AtomicU64,
    /// Tokens of answers that it generated, whether or not they arrived.
    billed: AtomicU64,
}

/// A server that repeats the last message of each conversation, and fails three times in ten.
async fn chaos() -> (String, Arc<Books>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let books = Arc::new(Books::default());
    let kept = Arc::clone(&books);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let books = Arc::clone(&kept);
            tokio::spawn(serve(stream, books));
        }
    });
    (base, books)
}

async fn serve(mut stream: TcpStream, books: Arc<Books>) {
    let request = read_request(&mut stream).await.unwrap_or_default();
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return };
    let path = head.split(' ').nth(1).unwrap_or_default();
    let number = books.requests.fetch_add(1, Ordering::Relaxed);
    let (content_type, said) = reply_to(path, &serde_json::from_str(body).unwrap_or_default());
    // A fixed sequence without a pattern: every kind of failure comes, also twice in a row.
    let drawn =
        number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
            >> 33;
    // The first answer is good: what cannot be read from an endpoint that never answered is a wrong address.
    let fails = number > 0 && drawn % 10 < 3;
    let kind = if fails { (drawn / 10) % 9 } else { 99 };
    if fails {
        books.faults.fetch_add(1, Ordering::Relaxed);
    }
    if matches!(kind, 3..=7 | 99) {
        books.billed.fetch_add(INPUT + OUTPUT, Ordering::Relaxed);
    }
    let whole = answer(200, &format!("content-type: {content_type}\r\n"), &said);
    let sent = match kind {
        0 => answer(429, "retry-after-ms: 1\r\n", r#"{"error":{"message":"slow down"}}"#),
        1 => answer(500, "", "internal error"),
        2 => answer(529, "", r#"{"error":{"type":"overloaded_error","message":"busy"}}"#),
        3 => String::new(),
        4 => whole[..whole.len() - 40].to_owned(),
        5 => answer(200, "content-type: application/json\r\n", "\u{0}\u{7f}{]garbage"),
        6 => answer(200, "content-type: text/html\r\n", "<html>please wait</html>"),
        7 => answer(
            200,
            "content-type: text/event-stream\r\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"ha",
        ),
        8 => {
            // It never answers; the client gives up.
            std::future::pending::<()>().await;
            return;
        }
        _ => whole,
    };
    stream.write_all(sent.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

/// The last message again, whole or streamed, in the format of `path`.
fn reply_to(path: &str, body: &Value) -> (&'static str, String) {
    let messages = body["messages"].as_array().or(body["input"].as_array());
    let last = messages.and_then(|messages| messages.last()).cloned().unwrap_or_default();
    let content = &last["content"];
    // The Messages API has what follows on each other on one side in one message.
    let block = content.as_array().and_then(|blocks| blocks.last());
    let text = block.map_or(content, |block| &block["text"]).as_str().unwrap_or_default();
    let usage = json!({ "input_tokens": INPUT, "output_tokens": OUTPUT });
    match path {
        "/v1/messages" => {
            let (first, rest) = text.split_at(text.len() / 2);
            let delta = |text: &str| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } });
            let events = [
                json!({ "type": "message_start", "message": { "model": "chaos-1", "usage": { "input_tokens": INPUT, "output_tokens": 1 } } }),
                json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
                delta(first),
                delta(rest),
                json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": OUTPUT } }),
                json!({ "type": "message_stop" }),
            ];
            let lines = events.map(|event| format!("event: {}\ndata: {event}\n\n", event["type"]));
            ("text/event-stream", lines.concat())
        }
        "/v1/responses" => {
            let item =
                json!({ "type": "message", "content": [{ "type": "output_text", "text": text }] });
            let whole = json!({ "status": "completed", "output": [item], "usage": usage });
            let event = json!({ "type": "response.completed", "response": whole });
            ("text/event-stream", format!("data: {event}\n\n"))
        }
        _ => {
            let usage = json!({ "prompt_tokens": INPUT, "completion_tokens": OUTPUT });
            let choice = json!({ "message": { "content": text }, "finish_reason": "stop" });
            let whole = json!({ "model": "chaos-1", "choices": [choice], "usage": usage });
            ("application/json", whole.to_string())
        }
    }
}

fn model(name: &str, base: &str, ledger: &Arc<Ledger>) -> Arc<Client> {
    let retry = RetryConfig {
        attempts: 25,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(20),
        attempt_limit: Duration::from_millis(300),
        ..RetryConfig::default()
    };
    let ledger = Arc::clone(ledger);
    let shared = Shared { retry, ledger, cache: None, max_tokens: Some(MAX_TOKENS) };
    Arc::new(client_of(name, base, Some(KEY), shared).unwrap())
}

/// Many calls at a time, each with a text of its own.
async fn many(model: &Arc<Client>, n_calls: usize) -> Vec<(String, Reply)> {
    let mut calls = JoinSet::new();
    for number in 0..n_calls {
        let model = Arc::clone(model);
        calls.spawn(async move {
            let text = format!("{number} {}", "x".repeat(900));
            let mut request: Request = hello();
            request.messages.push(Message::User { text: text.clone() });
            (text, model.generate(&request).await)
        });
    }
    calls.join_all().await
}

const NAMES: [&str; 3] = ["openai/chaos", "openai-responses/chaos", "anthropic/chaos"];

#[tokio::test]
async fn every_call_gets_its_own_answer_once_and_every_billed_token_is_in_the_books() {
    for name in NAMES {
        let (base, books) = chaos().await;
        let ledger = Arc::new(Ledger::new(Some(Budget::Tokens(100_000_000))));
        let model = model(name, &base, &ledger);
        let replies = many(&model, 1).await.into_iter().chain(many(&model, 150).await);
        let (mut answered, mut reported) = (0, 0);
        for (text, reply) in replies {
            let output = reply.result.unwrap();
            assert_eq!(output.message.text(), text);
            let good = reply.attempts.iter().filter(|attempt| attempt.error.is_none()).count();
            assert_eq!(good, 1);
            reported += output.usage.unwrap().total();
            answered += 1;
        }
        let spent = ledger.spent();
        let faults = books.faults.load(Ordering::Relaxed);
        let billed = books.billed.load(Ordering::Relaxed);
        assert_eq!((answered, spent.usage.total()), (151, reported), "{name}");
        assert!(faults > 30, "{name}: {faults} faults");
        assert!(spent.tokens() >= billed, "{name}: {} booked, {billed} billed", spent.tokens());
    }
}

#[tokio::test]
async fn a_budget_is_never_exceeded_and_what_it_does_not_hold_is_refused_as_such() {
    const BUDGET: u64 = 60_000;
    for name in NAMES {
        let (base, books) = chaos().await;
        let ledger = Arc::new(Ledger::new(Some(Budget::Tokens(BUDGET))));
        let replies = many(&model(name, &base, &ledger), 200).await;
        let (answered, refused): (Vec<_>, Vec<_>) =
            replies.into_iter().map(|(_, reply)| reply.result).partition(Result::is_ok);
        let kinds: Vec<_> = refused.into_iter().map(|result| result.unwrap_err().kind).collect();
        assert!(kinds.iter().all(|kind| *kind == ModelErrorKind::Budget), "{name}: {kinds:?}");
        assert!(!answered.is_empty() && !kinds.is_empty(), "{name}: {} answered", answered.len());
        let billed = books.billed.load(Ordering::Relaxed);
        let spent = ledger.spent().tokens();
        assert!(billed <= BUDGET && spent <= BUDGET, "{name}: {billed} of {BUDGET}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_of_a_server_make_a_client_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..3000,
        flip in 0_usize..3000,
        format in 0_usize..3,
    ) {
        let (name, stream) = [
            ("vllm/x", include_str!("../wire/tools.sse")),
            ("anthropic/x", include_str!("../wire/anthropic_tools.sse")),
            ("openai-responses/x", include_str!("../wire/responses_tools.json")),
        ][format];
        let mut bytes = stream.as_bytes()[..cut.min(stream.len())].to_vec();
        if let Some(byte) = bytes.get_mut(flip) {
            *byte = byte.wrapping_add(1);
        }
        bytes.extend(noise);
        let shared = Shared { retry: RetryConfig::default(), ledger: Arc::default(), cache: None, max_tokens: None };
        let model = client_of(name, "http://127.0.0.1:9/v1", Some(KEY), shared).unwrap();
        let once = model.codec().reads(&bytes);
        prop_assert_eq!(once, model.codec().reads(&bytes));
    }
}
