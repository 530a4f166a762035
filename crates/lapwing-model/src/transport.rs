//! One HTTP exchange: bytes out, bytes back, and a plain word for what broke.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::fmt::rfc2822;
use lapwing_core::{BoxFuture, ModelError, ModelErrorKind};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};

/// Keys below this length are stand-ins for local servers ("none", "EMPTY"); cutting such words out of answers
/// would damage them.
const SHORTEST_SECRET: usize = 8;

/// Longest answer that is kept. A completion with log-probabilities of every token stays far below it.
const LONGEST_ANSWER: usize = 64 << 20;

/// How long a connection is kept for another request.
const IDLE: Duration = Duration::from_secs(15);

/// An answer, as far as it came.
#[derive(Default)]
pub(crate) struct Exchange {
    pub(crate) status: Option<u16>,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) request_id: Option<String>,
    pub(crate) body: Vec<u8>,
    /// Why the answer is missing or incomplete.
    pub(crate) broken: Option<ModelError>,
    /// The request never reached anybody.
    pub(crate) is_unsent: bool,
    pub(crate) millis: u64,
}

/// How long an exchange may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// In all.
    pub(crate) total: Duration,
    /// Without a byte, once an answer began to come.
    pub(crate) silence: Duration,
}

/// A model of this process that speaks a wire format.
pub trait Service: fmt::Debug + Send + Sync {
    /// Whether it knows no conversation and only continues a text.
    fn continues_text(&self) -> bool;

    /// Answers a request to `path` below the base with a status and a body; one without a body asks what is there.
    fn answer<'a>(&'a self, path: &'a str, body: Option<&'a [u8]>)
    -> BoxFuture<'a, (u16, Vec<u8>)>;
}

/// Who answers.
#[derive(Debug)]
enum Wire {
    Http(Client),
    /// No network lies between, so that there is nothing to wait for and nothing to break.
    Inside(Arc<dyn Service>),
}

/// A connection to one endpoint.
#[derive(Debug)]
pub(crate) struct Transport {
    wire: Wire,
    base: Url,
    /// Sent with every request. The one with the key is marked sensitive, so that its debug form hides it.
    headers: HeaderMap,
    /// Behind every path, `?` included; empty for most.
    query: String,
    key: Option<SecretString>,
    /// What sets the address, for messages.
    base_setting: String,
}

impl Transport {
    /// A transport to `base`. The error is what the TLS library or the resolver of certificates says.
    pub(crate) fn new(
        base: Url,
        base_setting: &str,
        headers: HeaderMap,
        query: String,
        key: Option<SecretString>,
    ) -> Result<Self, String> {
        // Fails only where a provider was installed before, which then serves as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        // A redirected POST would arrive as a GET, perhaps elsewhere.
        let mut client = Client::builder().redirect(redirect::Policy::none());
        // Many servers close idle connections, and a request that meets such an end may have been billed.
        client = client.pool_idle_timeout(IDLE);
        if base.scheme() == "http" {
            // Local servers need no certificates, and machines without any must reach them.
            client = client.tls_certs_only([]);
        }
        if is_loopback(&base) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| causes(&error).join(": "))?;
        let base_setting = base_setting.to_owned();
        let wire = Wire::Http(client);
        Ok(Self { wire, base, headers, query, key, base_setting })
    }

    /// A way to the model `name` of this process, which `base` stands for.
    pub(crate) fn inside(name: &str, base: Url, service: Arc<dyn Service>) -> Self {
        Self {
            wire: Wire::Inside(service),
            base,
            headers: HeaderMap::new(),
            query: String::new(),
            key: None,
            base_setting: name.to_owned(),
        }
    }

    /// The address of `path` below the base.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url.set_query(self.query.strip_prefix('?'));
        url
    }

    /// Whether who answers knows no conversation and only continues a text.
    pub(crate) fn continues_text(&self) -> bool {
        match &self.wire {
            Wire::Http(_) => false,
            Wire::Inside(service) => service.continues_text(),
        }
    }

    /// Who answers at `path`, for messages.
    pub(crate) fn shown(&self, path: &str) -> String {
        match &self.wire {
            Wire::Http(_) => self.url(path).to_string(),
            Wire::Inside(_) => self.base_setting.clone(),
        }
    }

    /// Sends `body` to an address that [`Self::url`] gave.
    pub(crate) async fn post(&self, url: &Url, body: Vec<u8>, patience: Patience) -> Exchange {
        match &self.wire {
            Wire::Http(client) => {
                let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json");
                self.exchange(url, request.body(body), patience).await
            }
            Wire::Inside(service) => inside(service.as_ref(), self.below(url), Some(&body)).await,
        }
    }

    pub(crate) async fn get(&self, path: &str, patience: Patience) -> Exchange {
        match &self.wire {
            Wire::Http(client) => {
                let url = self.url(path);
                self.exchange(&url, client.get(url.clone()), patience).await
            }
            Wire::Inside(service) => inside(service.as_ref(), path, None).await,
        }
    }

    /// The path of an address below the base.
    fn below<'a>(&self, url: &'a Url) -> &'a str {
        let path = url.path();
        path.strip_prefix(self.base.path()).unwrap_or(path).trim_start_matches('/')
    }

    async fn exchange(&self, url: &Url, request: RequestBuilder, patience: Patience) -> Exchange {
        let started = Instant::now();
        let mut exchange = Exchange::default();
        let request = request.headers(self.headers.clone()).timeout(patience.total);
        let fault = |kind, message| Some(ModelError { kind, message });
        match receive(request, patience.silence, &mut exchange).await {
            Ok(Received::Whole) => (),
            Ok(Received::TooLong) => {
                let message = format!(
                    "the answer of {url} is longer than {LONGEST_ANSWER} bytes; is it the API of a model?"
                );
                exchange.broken = fault(ModelErrorKind::Malformed, message);
            }
            Ok(Received::Silent) => {
                let message = format!(
                    "the answer of {url} stopped after {} bytes and nothing came for {} s",
                    exchange.body.len(),
                    patience.silence.as_secs_f64()
                );
                exchange.broken = fault(ModelErrorKind::Transport, message);
            }
            Err(error) => {
                let received = exchange.body.len();
                exchange.is_unsent = error.is_connect();
                exchange.broken = Some(self.explain(url, &error, patience.total, received));
            }
        }
        self.scrub(&mut exchange.body);
        exchange.millis = started.elapsed().as_millis() as u64;
        exchange
    }

    /// Cuts the key out of what a server echoes.
    fn scrub(&self, body: &mut Vec<u8>) {
        let Some(key) = &self.key else { return };
        let key = key.expose_secret().as_bytes();
        if key.len() < SHORTEST_SECRET {
            return;
        }
        while let Some(at) = body.windows(key.len()).position(|window| window == key) {
            body.splice(at..at + key.len(), *b"[key]");
        }
    }

    fn explain(
        &self,
        url: &Url,
        error: &reqwest::Error,
        limit: Duration,
        received: usize,
    ) -> ModelError {
        let (base, host) = (&self.base, self.base.host_str().unwrap_or_default());
        let setting = &self.base_setting;
        let causes = causes(error);
        let cause = causes.last().map_or("", String::as_str);
        let message = if error.is_timeout() {
            format!(
                "{url} did not answer within {} s; is the server overloaded, or the answer very long?",
                limit.as_secs_f64()
            )
        } else if error.is_dns() {
            format!("no address for {host}: {cause}; check {setting} and the network")
        } else if is_tls(error) {
            format!(
                "no secure connection to {host}: {cause}; check the certificate, and whether {setting} should begin with http: or https:"
            )
        } else if is_refused(error) {
            format!(
                "{base} refused the connection; is the server running? set {setting} to where it listens"
            )
        } else if error.is_connect() {
            format!("no connection to {base}: {cause}; check {setting} and the network")
        } else {
            format!("the answer of {url} broke off after {received} bytes: {cause}")
        };
        ModelError { kind: ModelErrorKind::Transport, message }
    }
}

async fn inside(service: &dyn Service, path: &str, body: Option<&[u8]>) -> Exchange {
    let started = Instant::now();
    let (status, body) = service.answer(path, body).await;
    let millis = started.elapsed().as_millis() as u64;
    Exchange { status: Some(status), body, millis, ..Exchange::default() }
}

/// Whether an answer was read to its end.
enum Received {
    Whole,
    TooLong,
    Silent,
}

async fn receive(
    request: RequestBuilder,
    silence: Duration,
    exchange: &mut Exchange,
) -> Result<Received, reqwest::Error> {
    let mut response = request.send().await?;
    exchange.read_head(&response);
    loop {
        let Ok(chunk) = tokio::time::timeout(silence, response.chunk()).await else {
            return Ok(Received::Silent);
        };
        let Some(chunk) = chunk? else { return Ok(Received::Whole) };
        let room = LONGEST_ANSWER - exchange.body.len();
        exchange.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(Received::TooLong);
        }
    }
}

impl Exchange {
    fn read_head(&mut self, response: &Response) {
        let headers = response.headers();
        self.status = Some(response.status().as_u16());
        text(headers, CONTENT_TYPE.as_str()).clone_into(&mut self.content_type);
        self.retry_after = retry_after(headers, SystemTime::now());
        let ids = ["request-id", "x-request-id", "apim-request-id"].map(|name| text(headers, name));
        self.request_id = ids.into_iter().find(|id| !id.is_empty()).map(str::to_owned);
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The pause that the server asks for, in milliseconds, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    for name in ["retry-after-ms", "x-ms-retry-after-ms"] {
        if let Ok(millis) = text(headers, name).trim().parse::<f64>() {
            return Duration::try_from_secs_f64(millis / 1000.0).ok();
        }
    }
    let asked = text(headers, RETRY_AFTER.as_str()).trim();
    if let Ok(seconds) = asked.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = rfc2822::DateTimeParser::new().parse_timestamp(asked).ok()?.as_second();
    let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(u64::try_from(until).ok()?.saturating_sub(now)))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What an error and its causes say, from the outside in.
fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    chain(error).map(ToString::to_string).collect()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn is_refused(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|cause| cause.kind() == io::ErrorKind::ConnectionRefused)
    })
}

/// Whether TLS failed; its errors travel inside I/O errors, which do not name what they hold as their source.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| {
        let held = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause.is::<rustls::Error>() || held.is_some_and(|held| is_tls(held))
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn pauses_are_read_in_milliseconds_in_seconds_and_as_dates() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let rows = [
            ("retry-after", "2.5", Some(Duration::from_millis(2500))),
            ("retry-after", "86400", Some(Duration::from_hours(24))),
            ("retry-after-ms", "250", Some(Duration::from_millis(250))),
            // The date is the example of RFC 9110, section 5.6.7.
            ("retry-after", "Sun, 06 Nov 1994 08:51:37 GMT", Some(Duration::from_mins(2))),
            ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT", Some(Duration::ZERO)),
            ("retry-after", "-1", None),
            ("retry-after", "soon", None),
        ];
        for (name, value, expected) in rows {
            let pair = (HeaderName::from_static(name), HeaderValue::from_static(value));
            let headers = HeaderMap::from_iter([pair]);
            assert_eq!(retry_after(&headers, now), expected, "{name}: {value}");
        }
    }
}
