//! From an answer that is no completion to what a user can do about it.

use lapwing_core::{ModelError, ModelErrorKind};
use serde_json::Value;

use crate::retry::Retry;
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

    fn passing(kind: ModelErrorKind, message: String, exchange: &Exchange) -> Self {
        Self { error: ModelError { kind, message }, retry: Retry::After(exchange.retry_after) }
    }
}

/// What a server says about its failure, wherever it puts it.
struct Complaint {
    code: String,
    words: String,
}

/// The fault of an exchange with `url`, if it can be told without reading a completion.
pub(crate) fn of_exchange(url: &str, exchange: &Exchange) -> Option<Fault> {
    if let Some(error) = &exchange.broken {
        // Too long, and as long the next time.
        let lasting = error.kind == ModelErrorKind::Malformed;
        let retry = if lasting { Retry::Never } else { Retry::After(None) };
        return Some(Fault { error: error.clone(), retry });
    }
    let status = exchange.status.unwrap_or_default();
    let body = serde_json::from_slice(&exchange.body).unwrap_or(Value::Null);
    if !(200..300).contains(&status) {
        return Some(of_status(url, status, &complaint(&body, exchange), exchange));
    }
    if body.get("error").is_some_and(|error| !error.is_null()) && body.get("choices").is_none() {
        // Routers report an upstream failure inside a successful answer, its status as the code.
        let complaint = complaint(&body, exchange);
        let status = complaint.code.parse().ok().filter(|code| (400..600).contains(code));
        return Some(of_status(url, status.unwrap_or(502), &complaint, exchange));
    }
    if !body.is_object() {
        return Some(unreadable(url, exchange));
    }
    None
}

/// The fault of an answer that claims success and is no JSON object.
fn unreadable(url: &str, exchange: &Exchange) -> Fault {
    let message = if is_web_page(exchange) {
        format!(
            "{url} answered with a web page instead of JSON; check that OPENAI_BASE_URL is the API's address (it usually ends in /v1)"
        )
    } else if exchange.content_type.starts_with("text/event-stream") {
        format!("{url} streams although it was not asked to; turn streaming off at the server")
    } else {
        format!(
            "{url} answered with {} that is no JSON object: {:?}; is it an OpenAI-compatible API?",
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

fn of_status(url: &str, status: u16, complaint: &Complaint, exchange: &Exchange) -> Fault {
    use ModelErrorKind::{
        Auth, BadRequest, ContextLength, Malformed, Overloaded, RateLimit, Refused,
    };
    let Complaint { code, words } = complaint;
    let said = format!("{url} answered {status}: {words}");
    let about_length = words.contains("context length") || words.contains("maximum context");
    match status {
        401 | 403 if is_web_page(exchange) => Fault::lasting(
            Malformed,
            format!("{url} answered {status} with a web page; check OPENAI_BASE_URL and the proxy"),
        ),
        401 | 403 => Fault::lasting(Auth, format!("{said}; check OPENAI_API_KEY")),
        429 if code == "insufficient_quota" => {
            Fault::lasting(RateLimit, format!("{said}; the account's quota is spent"))
        }
        429 => {
            Fault::passing(RateLimit, format!("{said}; lower the number of connections"), exchange)
        }
        408 | 409 | 500.. => {
            Fault::passing(Overloaded, format!("{said}; the server failed on its side"), exchange)
        }
        300..=399 => Fault::lasting(
            BadRequest,
            format!(
                "{url} redirects elsewhere ({status}); set OPENAI_BASE_URL to the final address"
            ),
        ),
        _ if code == "context_length_exceeded" || about_length => Fault::lasting(
            ContextLength,
            format!("{said}; the conversation does not fit the model's context"),
        ),
        _ if code.starts_with("content_") => {
            Fault::lasting(Refused, format!("{said}; refused on grounds of policy"))
        }
        _ => Fault::lasting(BadRequest, said),
    }
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
    let code = match error.get("code") {
        Some(Value::String(code)) => code.clone(),
        Some(Value::Number(code)) => code.to_string(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => {
            String::new()
        }
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
