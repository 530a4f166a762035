//! A server that plays recorded answers, and clients of it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper that breaks fails the test that uses it"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lapwing_core::{Message, Model as _, ModelError, Output, Part, Reply, Request};
use lapwing_model::{Account, Client, Endpoint, RetryConfig, SetupError, Shared, Surroundings};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const KEY: &str = "sk-test-4f1d2c3b5a69";

/// A server that plays its answers in turn, one a connection, and then returns the requests that it read.
pub(crate) struct Server {
    pub(crate) base: String,
    requests: JoinHandle<Vec<String>>,
}

impl Server {
    /// The requests, once every answer was played. A client that asks too little fails here instead of never ending.
    pub(crate) async fn requests(self) -> Vec<String> {
        let played = tokio::time::timeout(Duration::from_secs(20), self.requests).await;
        played.expect("every answer is asked for").unwrap()
    }

    pub(crate) async fn play(answers: Vec<String>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}/v1", listener.local_addr()?);
        let requests = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept().await else { break };
                requests.push(read_request(&mut stream).await.unwrap_or_default());
                stream.write_all(answer.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            }
            requests
        });
        Ok(Self { base, requests })
    }
}

pub(crate) async fn read_request(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok(text);
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await? {
            0 => return Ok(text),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

pub(crate) fn json(body: &str) -> String {
    answer(200, "content-type: application/json\r\n", body)
}

/// Patience without pauses.
pub(crate) fn at_once() -> RetryConfig {
    RetryConfig {
        attempts: 3,
        first_pause: Duration::ZERO,
        attempt_limit: Duration::from_secs(20),
        ..RetryConfig::default()
    }
}

/// The client of `name` at `base`, with the key in `key` if there is one.
pub(crate) fn client(
    name: &str,
    base: &str,
    key: Option<&str>,
    retry: RetryConfig,
) -> Result<Client, SetupError> {
    let shared = Shared { retry, ledger: Arc::default(), cache: None, max_tokens: None };
    client_of(name, base, key, shared)
}

pub(crate) fn client_of(
    name: &str,
    base: &str,
    key: Option<&str>,
    shared: Shared,
) -> Result<Client, SetupError> {
    let env = |name: &str| key.filter(|_| name.ends_with("_API_KEY")).map(str::to_owned);
    let (configs, base_url) = (BTreeMap::new(), Some(base));
    let around = Surroundings { env: &env, configs: &configs, base_url, needs_keys: true };
    Client::new(Endpoint::find(name, around)?, None, Account::new(None), shared)
}

pub(crate) fn model(base: &str) -> Client {
    client("openai/demo", base, Some(KEY), at_once()).unwrap()
}

/// What one call of the model `name` comes to, and the bodies of its requests.
pub(crate) async fn ask_as(
    name: &str,
    request: &Request,
    answers: Vec<String>,
) -> (Reply, Vec<Value>) {
    let server = Server::play(answers).await.unwrap();
    let model = client(name, &server.base, Some(KEY), at_once()).unwrap();
    let reply = model.generate(request).await;
    let bodies = server.requests().await.into_iter().map(|request| {
        let body = request.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(body).unwrap_or_default()
    });
    (reply, bodies.collect())
}

pub(crate) fn hello() -> Request {
    let messages = vec![
        Message::System { text: "be brief".to_owned() },
        Message::User { text: "hello".to_owned() },
    ];
    Request { messages, ..Request::default() }
}

pub(crate) async fn ask(answers: Vec<String>) -> (Reply, Vec<String>) {
    let server = Server::play(answers).await.unwrap();
    let reply = model(&server.base).generate(&hello()).await;
    (reply, server.requests().await)
}

pub(crate) async fn output(body: &str) -> Output {
    ask(vec![json(body)]).await.0.result.unwrap()
}

pub(crate) async fn failure(answers: Vec<String>) -> ModelError {
    ask(answers).await.0.result.unwrap_err()
}

pub(crate) fn text(text: &str) -> Part {
    Part::Text { text: text.to_owned() }
}
