//! An endpoint in a process of its own that answers every call alike, and a bare client.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::process::{Cost, measure};

/// Names what this program is to be, instead of the benchmark.
pub(crate) const ROLE: &str = "LAPWING_ENGINE_BENCH";

/// A running endpoint; it ends with this value.
pub(crate) struct Endpoint {
    child: Child,
    port: u16,
}

impl Endpoint {
    pub(crate) fn start(latency: Duration) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, format!("endpoint {}", latency.as_millis()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `n_calls` of a bare client cost, `at_a_time` of them in flight.
pub(crate) fn client(endpoint: &Endpoint, n_calls: u64, at_a_time: u64) -> Cost {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(ROLE, format!("client {n_calls} {at_a_time} {}", endpoint.url()));
    measure(&mut command)
}

pub(crate) fn play(role: &str) {
    let words: Vec<&str> = role.split(' ').collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match words.as_slice() {
        ["endpoint", latency] => {
            runtime.block_on(serve(Duration::from_millis(latency.parse().unwrap())));
        }
        ["client", n_calls, at_a_time, url] => {
            runtime.block_on(call(n_calls.parse().unwrap(), at_a_time.parse().unwrap(), url));
        }
        _ => unreachable!("{role}"),
    }
}

async fn serve(latency: Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, latency));
    }
}

async fn answer(mut stream: TcpStream, latency: Duration) {
    let body = json!({
        "id": "c", "object": "chat.completion", "model": "bench-1",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": {
            "role": "assistant",
            "content": "I looked at the question, thought about it, and this is what I answer. ".repeat(4),
        } }],
        "usage": { "prompt_tokens": 500, "completion_tokens": 60, "total_tokens": 560 },
    })
    .to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    let response = format!("{head}{}\r\n\r\n{body}", body.len());
    let mut pending: Vec<u8> = Vec::new();
    loop {
        let Some(length) = request(&pending) else {
            if stream.read_buf(&mut pending).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        pending.drain(..length);
        tokio::time::sleep(latency).await;
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The length of the whole request at the start of `bytes`.
fn request(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let body = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = end + body.map_or(0, |length| length.trim().parse().unwrap());
    (bytes.len() >= length).then_some(length)
}

/// Sends what a sample of six questions sends, and reads the answers as JSON.
async fn call(n_calls: u64, at_a_time: u64, url: &str) {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let client = reqwest::Client::new();
    let left = Arc::new(AtomicU64::new(n_calls));
    let url: Arc<str> = format!("{url}/chat/completions").into();
    let workers = (0..at_a_time).map(|_| {
        let (client, left, url) = (client.clone(), Arc::clone(&left), Arc::clone(&url));
        tokio::spawn(async move {
            while left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .is_ok()
            {
                let turn = left.load(Ordering::SeqCst) % crate::CALLS;
                let bytes = client.post(&*url).body(body(turn)).send().await.unwrap();
                let bytes = bytes.bytes().await.unwrap();
                let _: Value = serde_json::from_slice(&bytes).unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

/// A conversation that has had this many turns.
fn body(turn: u64) -> Vec<u8> {
    let question = json!({ "role": "user", "content": "What do you make of this? ".repeat(10) });
    let answer = json!({ "role": "assistant", "content": "I looked at the question. ".repeat(12) });
    let turns = (0..turn).flat_map(|_| [question.clone(), answer.clone()]);
    let messages: Vec<Value> = turns.chain([question.clone()]).collect();
    serde_json::to_vec(&json!({ "model": "bench", "messages": messages })).unwrap()
}
