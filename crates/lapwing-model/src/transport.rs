//! One HTTP exchange: bytes out, bytes back, and a plain word for what broke.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lapwing_core::{ModelError, ModelErrorKind};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};

/// Keys below this length are stand-ins for local servers ("none", "EMPTY"); cutting such words out of answers
/// would damage them.
const SHORTEST_SECRET: usize = 8;

/// Longest answer that is kept. A completion with log-probabilities of every token stays far below it.
const LONGEST_ANSWER: usize = 64 << 20;

/// An answer, as far as it came.
pub(crate) struct Exchange {
    pub(crate) status: Option<u16>,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
    /// Why the answer is missing or incomplete.
    pub(crate) broken: Option<ModelError>,
    pub(crate) millis: u64,
}

/// A connection to one endpoint.
#[derive(Debug)]
pub(crate) struct Transport {
    client: Client,
    base: Url,
    /// `Bearer` and the key; marked sensitive, so that its debug form hides it.
    authorization: Option<HeaderValue>,
    key: Option<SecretString>,
}

impl Transport {
    /// A transport to `base`. The error is what the TLS library or the resolver of certificates says.
    pub(crate) fn new(
        base: Url,
        key: Option<SecretString>,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, String> {
        // Fails only where a provider was installed before, which then serves as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        // A redirected POST would arrive as a GET, perhaps elsewhere.
        let mut client = Client::builder().redirect(redirect::Policy::none());
        if base.scheme() == "http" {
            // Local servers need no certificates, and machines without any must reach them.
            client = client.tls_certs_only([]);
        }
        if is_loopback(&base) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| causes(&error).join(": "))?;
        Ok(Self { client, base, authorization, key })
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The address of `path` below the base.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base.as_str().trim_end_matches('/'))
    }

    pub(crate) async fn post(&self, path: &str, body: Vec<u8>, limit: Duration) -> Exchange {
        let url = self.url(path);
        let request = self.client.post(&url).header(CONTENT_TYPE, "application/json").body(body);
        self.exchange(&url, request, limit).await
    }

    pub(crate) async fn get(&self, path: &str, limit: Duration) -> Exchange {
        let url = self.url(path);
        self.exchange(&url, self.client.get(&url), limit).await
    }

    async fn exchange(&self, url: &str, mut request: RequestBuilder, limit: Duration) -> Exchange {
        let started = Instant::now();
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let mut exchange = Exchange {
            status: None,
            content_type: String::new(),
            retry_after: None,
            body: Vec::new(),
            broken: None,
            millis: 0,
        };
        match receive(request.timeout(limit), &mut exchange).await {
            Ok(Received::Whole) => (),
            Ok(Received::TooLong) => {
                let message = format!(
                    "the answer of {url} is longer than {LONGEST_ANSWER} bytes; is it an OpenAI-compatible API?"
                );
                exchange.broken = Some(ModelError { kind: ModelErrorKind::Malformed, message });
            }
            Err(error) => {
                exchange.broken = Some(self.explain(url, &error, limit, exchange.body.len()));
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
        url: &str,
        error: &reqwest::Error,
        limit: Duration,
        received: usize,
    ) -> ModelError {
        let (base, host) = (&self.base, self.base.host_str().unwrap_or_default());
        let causes = causes(error);
        let cause = causes.last().map_or("", String::as_str);
        let message = if error.is_timeout() {
            format!(
                "{url} did not answer within {} s; is the server overloaded, or the answer very long?",
                limit.as_secs_f64()
            )
        } else if error.is_dns() {
            format!("no address for {host}: {cause}; check OPENAI_BASE_URL and the network")
        } else if is_tls(error) {
            format!(
                "no secure connection to {host}: {cause}; check the certificate, and whether OPENAI_BASE_URL should begin with http: or https:"
            )
        } else if is_refused(error) {
            format!(
                "{base} refused the connection; is the server running? set OPENAI_BASE_URL to where it listens"
            )
        } else if error.is_connect() {
            format!("no connection to {base}: {cause}; check OPENAI_BASE_URL and the network")
        } else {
            format!("the answer of {url} broke off after {received} bytes: {cause}")
        };
        ModelError { kind: ModelErrorKind::Transport, message }
    }
}

/// Whether an answer was read to its end.
enum Received {
    Whole,
    TooLong,
}

async fn receive(
    request: RequestBuilder,
    exchange: &mut Exchange,
) -> Result<Received, reqwest::Error> {
    let mut response = request.send().await?;
    exchange.status = Some(response.status().as_u16());
    text(response.headers(), CONTENT_TYPE.as_str()).clone_into(&mut exchange.content_type);
    exchange.retry_after = retry_after(response.headers());
    while let Some(chunk) = response.chunk().await? {
        let room = LONGEST_ANSWER - exchange.body.len();
        exchange.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(Received::TooLong);
        }
    }
    Ok(Received::Whole)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The pause that the server asks for, if it is given in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = text(headers, RETRY_AFTER.as_str()).trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
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
