//! The wire format on a port of the loopback.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::api::{Api, Body};

/// Longest body that is read.
const LONGEST: usize = 32 << 20;

/// A server that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port cannot be had.
    #[error("cannot listen at 127.0.0.1:{port}: {source}; --port 0 takes a free one")]
    Listen {
        /// The port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// No connection can be accepted any more.
    #[error("cannot accept connections: {0}")]
    Accept(io::Error),
}

/// Takes a port of the loopback; 0 is any that is free.
pub async fn bind(port: u16) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(("127.0.0.1", port)).await;
    bound.map_err(|source| ServeError::Listen { port, source })
}

/// Answers until `stop` ends, and then what was asked until then.
pub async fn serve(
    api: Arc<Api>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let open = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.map_err(ServeError::Accept)?.0,
            () = &mut stop => break,
        };
        let api = Arc::clone(&api);
        let service = service_fn(move |request| answer(Arc::clone(&api), request));
        let mut http = http1::Builder::new();
        // Without a timer a client that never ends its header would be waited for.
        http.timer(TokioTimer::new());
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
        // A connection that breaks is its client's matter.
        tokio::spawn(async move { connection.await.ok() });
    }
    drop(listener);
    open.shutdown().await;
    Ok(())
}

async fn answer(
    api: Arc<Api>,
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Events>>, Infallible> {
    let (head, body) = request.into_parts();
    let is_announced = body.size_hint().lower() > LONGEST as u64;
    let read = if is_announced { None } else { Limited::new(body, LONGEST).collect().await.ok() };
    let is_whole = read.is_some();
    let (status, body) = match read {
        Some(body) => {
            let path = head.uri.path();
            let path = path.strip_prefix("/v1/").unwrap_or(path);
            api.answer(head.method.as_str(), path, &body.to_bytes()).await
        }
        None => Api::too_long(LONGEST),
    };
    let (kind, body) = match body {
        Body::Whole(bytes) => ("application/json", Either::Left(Full::new(Bytes::from(bytes)))),
        Body::Stream(events) => ("text/event-stream", Either::Right(Events(events))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if !is_whole {
        // What is left of the request is not read.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// The events of a stream as a body.
struct Events(mpsc::Receiver<Vec<u8>>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event.into()))))
    }
}
