//! The wire format over HTTP.

use std::sync::Arc;

use lapwing_local::{Api, bind, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::saying;

struct Server {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

async fn server() -> Server {
    let listener = bind(0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let model = saying(&["a", "b"]);
    let api = Api::new(Arc::clone(&model), &model.name);
    let (stop, stopped) = oneshot::channel();
    let until = async move {
        stopped.await.ok();
    };
    let running = tokio::spawn(async move { serve(api, listener, until).await.unwrap() });
    Server { address, stop, running }
}

/// Sends bytes and returns all that comes back until the server closes the connection.
async fn exchange(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn paths_methods_and_bodies_are_answered_with_their_status() {
    let server = server().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let chat = r#"{"model":"parrot","messages":[{"role":"user","content":"Hi"}]}"#;
    let huge =
        "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99000000\r\n\r\n{".to_owned();
    let rows = [
        (get("/v1/models"), "200 OK", "\"id\":\"local/parrot\""),
        (get("/v1/models/local/parrot"), "200 OK", "\"max_model_len\":64"),
        (get("/v1/models/other"), "404 Not Found", "model_not_found"),
        (get("/v1/embeddings"), "404 Not Found", "unknown_url"),
        (get("/v1/completions"), "405 Method Not Allowed", "method_not_allowed"),
        (post("/v1/chat/completions", chat), "200 OK", "\"content\":\"ab\""),
        (post("/v1/chat/completions", "{"), "400 Bad Request", "invalid_json"),
        (huge, "413 Payload Too Large", "request_too_large"),
    ];
    for (request, status, part) in rows {
        let answer = exchange(&server, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
        assert!(
            answer.contains(part) && answer.contains("content-type: application/json"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_stream_is_one_of_events_to_its_end() {
    let server = server().await;
    let body = r#"{"model":"parrot","prompt":"Hi","stream":true}"#;
    let answer = exchange(&server, &post("/v1/completions", body)).await;
    assert!(answer.contains("content-type: text/event-stream"), "{answer}");
    assert!(answer.contains("\"text\":\"a\"") && answer.contains("data: [DONE]"), "{answer}");
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_answered() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = r#"{"model":"parrot","prompt":"Hi"}"#;
    let head = post("/v1/completions", body).replace(body, "");
    let head = head.replace("host: x\r\n", "host: x\r\nexpect: 100-continue\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server says so when it wants the body: the request is under way.
    let mut wanted = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut wanted).await.unwrap();
    let Server { stop, running, .. } = server;
    stop.send(()).unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\"text\":\"ab\""), "{answer}");
    running.await.unwrap();
}
