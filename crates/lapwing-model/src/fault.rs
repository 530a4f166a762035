//! From an answer that is no completion to what a user can do about it.

use std::time::Duration;

use lapwing_core::{ModelError, ModelErrorKind};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::codec::Unread;
use crate::retry::Retry;
use crate::sse;
use crate::transport::Exchange;

/// Most characters of a server's own words that a message repeats.
const LONGEST_QUOTE: usize = 300;

/// A failed attempt.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) error: ModelError,
    pub(crate) retry: Retry,
}

impl Fault {
    pub(crate) fn lasting(kind: ModelErrorKind, message: String) -> Self {
        Self { error: ModelError { kind, message }, retry: Retry::Never }
    }

    pub(crate) fn passing(kind: ModelErrorKind, message: String, asked: Option<Duration>) -> Self {
        Self { error: ModelError { kind, message }, retry: Retry::After(asked) }
    }
}

/// What messages name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hints<'a> {
    /// The address that was asked.
    pub(crate) url: &'a str,
    /// What sets its base.
    pub(crate) base_setting: &'a str,
    /// What holds the key.
    pub(crate) key_setting: &'a str,
}

/// What a server says about its failure, wherever it puts it.
struct Complaint {
    code: String,
    words: String,
}

/// The fault of an exchange, if it can be told without reading a completion.
pub(crate) fn of_exchange(hints: Hints<'_>, exchange: &Exchange) -> Option<Fault> {
    if let Some(error) = &exchange.broken {
        // Too long, and as long the next time.
        let lasting = error.kind == ModelErrorKind::Malformed;
        let retry = if lasting { Retry::Never } else { Retry::After(None) };
        return Some(Fault { error: error.clone(), retry });
    }
    let status = exchange.status.unwrap_or_default();
    if (200..300).contains(&status) && sse::is_stream(&exchange.body) {
        return None;
    }
    if (200..300).contains(&status) && is_answer(&exchange.body) {
        return None;
    }
    let body = serde_json::from_slice(&exchange.body).unwrap_or(Value::Null);
    if !(200..300).contains(&status) {
        return Some(of_status(hints, status, &complaint(&body, exchange), exchange));
    }
    let says_error = body.get("error").is_some_and(|error| !error.is_null());
    if says_error && body.get("choices").is_none() && body.get("output").is_none() {
        return Some(of_said(hints, &body, exchange));
    }
    if !body.is_object() {
        return Some(unreadable(hints, exchange));
    }
    None
}

/// Whether `body` is an object with what an answer holds and without an error. What it holds is read by the format alone.
fn is_answer(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Outline {
        error: Option<IgnoredAny>,
        choices: Option<IgnoredAny>,
        output: Option<IgnoredAny>,
        content: Option<IgnoredAny>,
    }
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let outline = serde_json::from_slice(body).ok().filter(|_| is_object);
    outline.is_some_and(|Outline { error, choices, output, content }| {
        error.is_none() && (choices.is_some() || output.is_some() || content.is_some())
    })
}

/// The fault of an answer that claims success and holds no output; `noun` is what it should hold.
pub(crate) fn of_unread(
    hints: Hints<'_>,
    unread: Unread,
    noun: &str,
    exchange: &Exchange,
) -> Fault {
    let url = hints.url;
    match unread {
        Unread::Said(body) => of_said(hints, &body, exchange),
        Unread::Cut(why) => {
            let message = format!("the stream of {url} broke off: {why}");
            Fault::passing(ModelErrorKind::Transport, message, None)
        }
        Unread::Odd(why) => {
            let message = format!("{url} answered with JSON that is no {noun}: {why}");
            Fault::lasting(ModelErrorKind::Malformed, message)
        }
    }
}

/// The fault of an error that is reported inside a successful answer: routers give an upstream's status as its code, streams a
/// kind in words.
fn of_said(hints: Hints<'_>, body: &Value, exchange: &Exchange) -> Fault {
    let complaint = complaint(body, exchange);
    let status = complaint.code.parse().ok().filter(|code| (400..600).contains(code));
    let status = status.unwrap_or_else(|| match complaint.code.as_str() {
        "rate_limit_error" | "rate_limit_exceeded" => 429,
        "overloaded_error" => 529,
        "authentication_error" | "invalid_api_key" => 401,
        "permission_error" => 403,
        "invalid_request_error" | "invalid_prompt" | "context_length_exceeded" => 400,
        code if code.starts_with("content_") => 400,
        _ => 502,
    });
    of_status(hints, status, &complaint, exchange)
}

/// The fault of an answer that claims success and is no JSON object.
fn unreadable(hints: Hints<'_>, exchange: &Exchange) -> Fault {
    let Hints { url, base_setting, .. } = hints;
    let message = if is_web_page(exchange) {
        format!(
            "{url} answered with a web page instead of JSON; check that {base_setting} is the API's address (it usually ends in /v1)"
        )
    } else {
        format!(
            "{url} answered with {} that is no JSON object: {:?}; is it the API of a model?",
            if exchange.content_type.is_empty() { "bytes" } else { &exchange.content_type },
            quote(&String::from_utf8_lossy(&exchange.body)),
        )
    };
    Fault::lasting(ModelErrorKind::Malformed, message)
}

pub(crate) fn is_web_page(exchange: &Exchange) -> bool {
    exchange.content_type.starts_with("text/html")
        || exchange.body.trim_ascii_start().starts_with(b"<")
}

fn of_status(hints: Hints<'_>, status: u16, complaint: &Complaint, exchange: &Exchange) -> Fault {
    use ModelErrorKind::{
        Auth, BadRequest, ContextLength, Malformed, Overloaded, RateLimit, Refused,
    };
    let Hints { url, base_setting, key_setting } = hints;
    let Complaint { code, words } = complaint;
    let said = format!("{url} answered {status}: {words}");
    let asked = exchange.retry_after;
    match status {
        401 | 403 if is_web_page(exchange) => Fault::lasting(
            Malformed,
            format!("{url} answered {status} with a web page; check {base_setting} and the proxy"),
        ),
        401 | 403 => Fault::lasting(Auth, format!("{said}; check {key_setting}")),
        402 => Fault::lasting(RateLimit, format!("{said}; the account's credit is spent")),
        429 if code == "insufficient_quota" => {
            Fault::lasting(RateLimit, format!("{said}; the account's quota is spent"))
        }
        429 => Fault {
            error: ModelError { kind: RateLimit, message: said },
            retry: Retry::Throttled(asked),
        },
        408 | 409 | 500.. => {
            Fault::passing(Overloaded, format!("{said}; the server failed on its side"), asked)
        }
        300..=399 => Fault::lasting(
            BadRequest,
            format!(
                "{url} redirects elsewhere ({status}); set {base_setting} to the final address"
            ),
        ),
        _ if status == 413 || code == "context_length_exceeded" || is_about_length(words) => {
            Fault::lasting(
                ContextLength,
                format!("{said}; the conversation does not fit the model's context"),
            )
        }
        _ if words.contains("credit balance") => {
            Fault::lasting(RateLimit, format!("{said}; the account's credit is spent"))
        }
        // OpenAI's word for a prompt that its policy does not allow.
        _ if code.starts_with("content_") || code == "invalid_prompt" => {
            Fault::lasting(Refused, format!("{said}; refused on grounds of policy"))
        }
        _ => Fault::lasting(BadRequest, said),
    }
}

fn is_about_length(words: &str) -> bool {
    ["context length", "maximum context", "prompt is too long", "context window", "context size"]
        .iter()
        .any(|hint| words.contains(hint))
}

fn complaint(body: &Value, exchange: &Exchange) -> Complaint {
    let error = body.get("error").unwrap_or(body);
    let words = [error.get("message"), Some(error), body.get("message"), body.get("detail")];
    let words = words.into_iter().flatten().find_map(Value::as_str).map(str::to_owned);
    let words = words.unwrap_or_else(|| {
        if is_web_page(exchange) {
            "a web page".to_owned()
        } else {
            String::from_utf8_lossy(&exchange.body).into_owned()
        }
    });
    let code = match (error.get("code"), error.get("type")) {
        (Some(Value::Number(code)), _) => code.to_string(),
        (Some(Value::String(code)), _) | (_, Some(Value::String(code))) => code.clone(),
        _ => String::new(),
    };
    Complaint { code, words: quote(&words) }
}

/// A server's words on one line: cut, and without control characters.
pub(crate) fn quote(words: &str) -> String {
    if words.trim().is_empty() {
        return "(nothing)".to_owned();
    }
    let mut line: String = words
        .trim()
        .chars()
        .take(LONGEST_QUOTE)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.len() < words.trim().len() {
        line.push('…');
    }
    line
}
