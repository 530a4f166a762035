//! OpenAI's Chat Completions and the many servers that are compatible with it.

mod body;
mod wire;

use std::time::{Duration, Instant};

use lapwing_core::{Attempt, BoxFuture, Model, ModelError, ModelErrorKind, Output, Reply, Request};
use reqwest::Url;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::fault::{self, Fault};
use crate::retry::RetryConfig;
use crate::transport::Transport;

const OFFICIAL_BASE: &str = "https://api.openai.com/v1";
const OFFICIAL_HOST: &str = "api.openai.com";
const CHAT: &str = "chat/completions";
const MODELS: &str = "models";

/// How long a look at an endpoint may take.
const LOOK: Duration = Duration::from_secs(20);

/// A model behind an OpenAI-compatible endpoint.
#[derive(Debug)]
pub struct OpenAi {
    id: String,
    name: String,
    transport: Transport,
    retry: RetryConfig,
}

/// A client that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The endpoint's address cannot be used.
    #[error(
        "OPENAI_BASE_URL {url:?} {reason}; it should look like https://api.openai.com/v1 or http://127.0.0.1:8000/v1"
    )]
    BaseUrl {
        /// The address, without a user's name and password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The official endpoint needs a key.
    #[error(
        "no key for {OFFICIAL_HOST}; set OPENAI_API_KEY, or OPENAI_BASE_URL to a server that needs none"
    )]
    NoKey,
    /// The key holds characters that no key has.
    #[error("OPENAI_API_KEY holds a line break or another character that no key has; set it again")]
    MalformedKey,
    /// The HTTP client cannot be made.
    #[error("cannot prepare secure connections: {0}; install the system's ca-certificates")]
    Client(String),
}

impl OpenAi {
    /// The model that the endpoint at `base_url` knows as `id`.
    pub fn new(
        id: &str,
        base_url: &str,
        key: Option<SecretString>,
        retry: RetryConfig,
    ) -> Result<Self, SetupError> {
        let base = parse_base(base_url)?;
        // A key read from a file often ends in a line feed, which a server that echoes it would not repeat.
        let key = key.map(|key| SecretString::from(key.expose_secret().trim()));
        let key = key.filter(|key| !key.expose_secret().is_empty());
        if key.is_none() && base.host_str() == Some(OFFICIAL_HOST) {
            return Err(SetupError::NoKey);
        }
        let authorization = key.as_ref().map(authorization).transpose()?;
        let transport = Transport::new(base, key, authorization).map_err(SetupError::Client)?;
        Ok(Self { id: id.to_owned(), name: format!("openai/{id}"), transport, retry })
    }

    /// The model `id` at `OPENAI_BASE_URL`, the official endpoint if that is unset, with the key in
    /// `OPENAI_API_KEY`, which only the official endpoint must have.
    pub fn from_env(id: &str) -> Result<Self, SetupError> {
        let value = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let base = value("OPENAI_BASE_URL").filter(|base| !base.trim().is_empty());
        let key = value("OPENAI_API_KEY").map(SecretString::from);
        Self::new(id, base.as_deref().unwrap_or(OFFICIAL_BASE), key, RetryConfig::default())
    }

    /// Fails if the endpoint is down, is no API, or does not take the key. Costs one small request and no tokens.
    ///
    /// # Errors
    /// What to do next, in words. An endpoint that cannot list its models is taken to be there.
    pub fn reach(&self) -> BoxFuture<'_, Result<(), ModelError>> {
        Box::pin(async {
            let exchange = self.transport.get(MODELS, LOOK.min(self.retry.attempt_limit)).await;
            let Some(fault) = fault::of_exchange(&self.transport.url(MODELS), &exchange) else {
                return Ok(());
            };
            let hopeless = exchange.broken.is_some()
                || fault::is_web_page(&exchange)
                || fault.error.kind == ModelErrorKind::Auth;
            if hopeless { Err(fault.error) } else { Ok(()) }
        })
    }

    async fn attempt(&self, segments: &[Vec<u8>], body: &[u8]) -> (Attempt, Result<Output, Fault>) {
        let exchange = self.transport.post(CHAT, body.to_vec(), self.retry.attempt_limit).await;
        let url = self.transport.url(CHAT);
        let result = match fault::of_exchange(&url, &exchange) {
            Some(fault) => Err(fault),
            None => wire::read(&exchange.body).map_err(|reason| {
                let message =
                    format!("{url} answered with JSON that is no chat completion: {reason}");
                Fault::lasting(ModelErrorKind::Malformed, message)
            }),
        };
        let attempt = Attempt {
            request: segments.to_vec(),
            status: exchange.status,
            response: exchange.body,
            error: result.as_ref().err().map(|fault| fault.error.clone()),
            millis: exchange.millis,
        };
        (attempt, result)
    }

    /// The final error of a call: what the last attempt met, and what the endpoint tells beyond it.
    async fn explain(&self, error: ModelError, attempts: &[Attempt]) -> ModelError {
        let ModelError { kind, mut message } = error;
        if attempts.last().and_then(|attempt| attempt.status) == Some(404) {
            message.push_str(&self.what_is_there().await);
        }
        if attempts.len() > 1 {
            message = format!("{message} (after {} attempts)", attempts.len());
        }
        ModelError { kind, message }
    }

    /// Which models the endpoint has that are named much like this one.
    async fn what_is_there(&self) -> String {
        let exchange = self.transport.get(MODELS, LOOK).await;
        let list: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
        let entries = list.get("data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let ids = entries.iter().filter_map(|entry| entry.get("id")?.as_str());
        let mut near: Vec<_> = ids
            .map(|id| (strsim::jaro_winkler(id, &self.id), fault::quote(id)))
            .filter(|(likeness, _)| *likeness > 0.7)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let near: Vec<_> = near.into_iter().take(3).map(|(_, id)| id).collect();
        if near.is_empty() {
            format!("; see the models it has at {}", self.transport.url(MODELS))
        } else {
            format!("; it has {}", near.join(", "))
        }
    }
}

impl Model for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn generate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let dialect = match self.transport.base().host_str() {
                Some(OFFICIAL_HOST) => body::Dialect::Official,
                Some(_) | None => body::Dialect::Compatible,
            };
            let segments = body::segments(&self.id, request, dialect);
            let body = segments.concat();
            let started = Instant::now();
            let mut attempts = Vec::new();
            loop {
                let (attempt, result) = self.attempt(&segments, &body).await;
                attempts.push(attempt);
                let fault = match result {
                    Ok(output) => return Reply { attempts, result: Ok(output) },
                    Err(fault) => fault,
                };
                let failed = attempts.len() as u32;
                let elapsed = started.elapsed();
                let Some(pause) = self.retry.pause(fault.retry, failed, elapsed, &body) else {
                    let error = self.explain(fault.error, &attempts).await;
                    return Reply { attempts, result: Err(error) };
                };
                tokio::time::sleep(pause).await;
            }
        })
    }
}

fn parse_base(text: &str) -> Result<Url, SetupError> {
    let refuse = |url: &str, reason: String| SetupError::BaseUrl { url: url.to_owned(), reason };
    let mut url = Url::parse(text.trim())
        .map_err(|error| refuse(text, format!("is no address ({error})")))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Neither fails for an address that has them.
        url.set_username("").and_then(|()| url.set_password(None)).ok();
        let reason = "holds a name or password, which would be recorded; use OPENAI_API_KEY";
        return Err(refuse(url.as_str(), reason.to_owned()));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refuse(url.as_str(), "is no http or https address".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        url.set_query(None);
        url.set_fragment(None);
        return Err(refuse(url.as_str(), "is followed by ? or #".to_owned()));
    }
    Ok(url)
}

fn authorization(key: &SecretString) -> Result<HeaderValue, SetupError> {
    let value = format!("Bearer {}", key.expose_secret());
    let mut value = HeaderValue::from_str(&value).map_err(|_| SetupError::MalformedKey)?;
    value.set_sensitive(true);
    Ok(value)
}
