//! OpenAI's wire format: Chat Completions, Completions and Models, with what vLLM adds (token ids, messages that are gone on with).

mod body;
mod chat;
mod choice;
mod completion;
mod fault;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lapwing_core::Digest;
use lapwing_lab::Random;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::model::{Answer, Ask, AskError, Local};
use body::Settings;
use fault::Fault;

/// A model behind the wire format.
pub struct Api {
    model: Arc<Local>,
    /// What answers call the model.
    served: String,
}

/// The body of a response.
pub enum Body {
    /// JSON.
    Whole(Vec<u8>),
    /// Server-sent events, which come one by one.
    Stream(mpsc::Receiver<Vec<u8>>),
}

/// What all objects of one answer have in common.
struct Envelope {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    fingerprint: String,
}

/// A request whose answers have begun to come.
struct Begun {
    settings: Settings,
    prompt: Vec<u32>,
    /// The text of the prompt's end, where a template may have begun the answer.
    rendered: String,
    answers: Vec<Answer>,
}

impl Api {
    /// The model, which answers call `served`.
    pub fn new(model: Arc<Local>, served: &str) -> Arc<Self> {
        Arc::new(Self { model, served: served.to_owned() })
    }

    /// Answers a request for the path below `/v1`: a status and a body.
    pub async fn answer(self: &Arc<Self>, method: &str, path: &str, body: &[u8]) -> (u16, Body) {
        let done = match (method, path) {
            ("GET", "models") => {
                Ok(Body::json(&json!({ "object": "list", "data": [self.card()] })))
            }
            ("GET", path) if path.strip_prefix("models/") == Some(&self.model.name) => {
                Ok(Body::json(&self.card()))
            }
            ("POST", "chat/completions") => chat::answer(self, body).await,
            ("POST", "completions") => completion::answer(self, body).await,
            (_, "models" | "chat/completions" | "completions") => Err(Fault::method(method, path)),
            (_, path) => Err(match path.strip_prefix("models/") {
                Some(name) => Fault::model(name, &self.model.name),
                None => Fault::path(path),
            }),
        };
        match done {
            Ok(body) => (200, body),
            Err(fault) => (fault.status, Body::json(&fault.to_json())),
        }
    }

    /// The answer to a body that is longer than any that is read.
    pub(crate) fn too_long(most: usize) -> (u16, Body) {
        let fault = Fault::too_long(most);
        (fault.status, Body::json(&fault.to_json()))
    }

    fn card(&self) -> Value {
        json!({
            "id": self.model.name,
            "object": "model",
            "created": now(),
            "owned_by": "lapwing",
            "max_model_len": self.model.config.max_positions,
        })
    }

    /// Whether a request means this model.
    fn check_model(&self, name: &str) -> Result<(), Fault> {
        let known = name == self.model.name || Some(name) == self.model.name.strip_prefix("local/");
        if known { Ok(()) } else { Err(Fault::model(name, &self.model.name)) }
    }

    /// Begins as many answers as are wanted.
    async fn begin(
        &self,
        settings: Settings,
        rendered: String,
        prompt: Vec<u32>,
    ) -> Result<Begun, AskError> {
        let mut answers = Vec::new();
        for index in 0..settings.n {
            let ask = Ask { seed: choice_seed(settings.ask.seed, index), ..settings.ask.clone() };
            answers.push(self.model.answer(prompt.clone(), ask).await?);
        }
        Ok(Begun { settings, prompt, rendered, answers })
    }

    fn envelope(&self, kind: &str, object: &'static str, begun: &Begun) -> Envelope {
        let tokens: Vec<u8> = begun.prompt.iter().flat_map(|token| token.to_le_bytes()).collect();
        let seed = begun.settings.ask.seed.to_le_bytes();
        Envelope {
            id: format!("{kind}-{}", Digest::of(&[&tokens[..], &seed[..]].concat()).short()),
            object,
            created: now(),
            model: self.served.clone(),
            fingerprint: self.model.address.clone(),
        }
    }
}

impl Envelope {
    fn of(&self, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        })
    }
}

impl Body {
    fn json(value: &Value) -> Self {
        Self::Whole(value.to_string().into_bytes())
    }

    /// All bytes, when they have come.
    pub async fn bytes(self) -> Vec<u8> {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Stream(mut events) => {
                let mut bytes = Vec::new();
                while let Some(event) = events.recv().await {
                    bytes.extend(event);
                }
                bytes
            }
        }
    }
}

/// The seed of one of several choices; the first has the request's own.
fn choice_seed(seed: u64, index: usize) -> u64 {
    if index == 0 { seed } else { Random::new(seed, &format!("choice {index}")).bits() }
}

/// What was used, as both formats say it.
fn usage(n_prompt: usize, n_completion: usize) -> Value {
    json!({
        "prompt_tokens": n_prompt,
        "completion_tokens": n_completion,
        "total_tokens": n_prompt + n_completion,
    })
}

/// An event of a stream.
fn event(value: &Value) -> Vec<u8> {
    format!("data: {value}\n\n").into_bytes()
}

/// The event behind the last one.
fn done() -> Vec<u8> {
    b"data: [DONE]\n\n".to_vec()
}

/// An error in mid-stream.
fn broken(error: AskError) -> Vec<u8> {
    event(&Fault::from(error).to_json())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
