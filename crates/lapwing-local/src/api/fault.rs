//! Errors in the form that official clients expect.

use serde_json::{Value, json};

use crate::model::AskError;

/// Why a request is not answered.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: u16,
    message: String,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Fault {
    fn new(status: u16, message: String) -> Self {
        Self { status, message, param: None, code: None }
    }

    /// A member that cannot be.
    pub(super) fn of(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), code: Some("invalid_value"), ..Self::new(400, message.into()) }
    }

    /// A member that is understood and not done.
    pub(super) fn unsupported(param: &'static str, does: &str) -> Self {
        let message =
            format!("{param} is not supported by this server, which {does}; leave it out");
        Self { param: Some(param), code: Some("unsupported_parameter"), ..Self::new(400, message) }
    }

    /// A body that is no request.
    pub(super) fn body(reason: &serde_json::Error) -> Self {
        let message = format!("the body is no request that is understood: {reason}");
        Self { code: Some("invalid_json"), ..Self::new(400, message) }
    }

    pub(super) fn model(name: &str, known: &str) -> Self {
        let message = format!("the model {name:?} is not served here; {known:?} is");
        Self { param: Some("model"), code: Some("model_not_found"), ..Self::new(404, message) }
    }

    pub(super) fn path(path: &str) -> Self {
        let known = "/v1/models, /v1/chat/completions and /v1/completions";
        let message = format!("there is nothing at {path:?}; there are {known}");
        Self { code: Some("unknown_url"), ..Self::new(404, message) }
    }

    pub(super) fn method(method: &str, path: &str) -> Self {
        let message = format!("/v1/{path} does not take {method}");
        Self { code: Some("method_not_allowed"), ..Self::new(405, message) }
    }

    pub(super) fn too_long(most: usize) -> Self {
        let message = format!("the body has more than {most} bytes");
        Self { code: Some("request_too_large"), ..Self::new(413, message) }
    }

    pub(super) fn to_json(&self) -> Value {
        let kind = if self.status < 500 { "invalid_request_error" } else { "server_error" };
        let Self { message, param, code, .. } = self;
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
    }
}

impl From<AskError> for Fault {
    fn from(error: AskError) -> Self {
        let message = error.to_string();
        match error {
            AskError::NoTemplate(_) | AskError::Template(_) => Self::of("messages", message),
            AskError::Empty | AskError::Token { .. } => Self::of("prompt", message),
            AskError::Context { .. } => {
                let code = Some("context_length_exceeded");
                Self { param: Some("messages"), code, ..Self::new(400, message) }
            }
            AskError::Setting { key, .. } => Self::of(key, message),
            AskError::Tokenizer(_) | AskError::Lost => Self::new(500, message),
        }
    }
}
