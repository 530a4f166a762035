//! The seam behind which every model stands: an API, a local organism, a policy, a person, a replay.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BoxFuture, Message, Usage};

/// Anything that continues a conversation.
pub trait Model: Send + Sync {
    /// The name under which results are shown, for example `openai/gpt-x` or `policy/never`.
    fn name(&self) -> &str;

    /// Continues the conversation of `request`.
    ///
    /// Every attempt on the wire is returned, with its raw bytes, whether or not the call succeeded, so that
    /// a reply that cannot be parsed is still recorded. Retrying is the model's own business.
    fn generate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply>;
}

/// A conversation to be continued.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: Vec<ToolSpec>,
    /// How to sample.
    pub config: GenerateConfig,
    /// Where in its sample it is asked. Known to policies and people; nothing of it is sent to a provider.
    pub place: Place,
}

/// Where in a sample a model is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The id of the phase.
    pub phase: String,
    /// The turns that the model has had in this phase before.
    pub turn: u32,
}

/// A tool as it is described to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name by which it is called.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// How to sample; what is `None` is left to the provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerateConfig {
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling mass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Most tokens to generate in one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// The provider's sampling seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Every try on the wire, in order; empty for models that use none.
    pub attempts: Vec<Attempt>,
    /// The answer of the last attempt, or why there is none.
    pub result: Result<Output, ModelError>,
}

/// One exchange on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The request body in segments whose concatenation is what was sent; equal segments are stored once.
    pub request: Vec<Vec<u8>>,
    /// HTTP status, if an answer came.
    pub status: Option<u16>,
    /// The response body exactly as it came, as far as it came.
    pub response: Vec<u8>,
    /// Why this attempt did not yield an output.
    pub error: Option<ModelError>,
    /// Wall time of the attempt in milliseconds.
    pub millis: u64,
}

/// A model's turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The assistant message.
    pub message: Message,
    /// Why generation stopped.
    pub stop: StopReason,
    /// Tokens used, if the provider says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The snapshot that the provider says it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The provider's fingerprint of its system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Token ids and log-probabilities, where the model gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
}

/// Token ids and log-probabilities of one output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    /// Ids of the prompt.
    pub prompt: Vec<u32>,
    /// Ids that were generated.
    pub completion: Vec<u32>,
    /// Natural log-probability of each generated id under the sampling distribution's model, `[completion.len()]`.
    pub logprobs: Vec<f32>,
}

/// Why generation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model ended its turn or hit a stop sequence.
    Stop,
    /// The model asks for tools.
    ToolCalls,
    /// The call's own token limit.
    MaxTokens,
    /// The conversation no longer fits the model's context.
    ModelLength,
    /// The provider filtered or refused.
    ContentFilter,
    /// Anything else that the provider says.
    Unknown,
}

/// A call that yielded no output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// What class of failure it is.
    pub kind: ModelErrorKind,
    /// What happened and what to do next, in words.
    pub message: String,
}

/// Classes of failed calls, by what a user can do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelErrorKind {
    /// Too many requests, or quota spent.
    RateLimit,
    /// The provider is overloaded or failed on its side.
    Overloaded,
    /// The provider refused the request on grounds of policy.
    Refused,
    /// The conversation does not fit the model's context.
    ContextLength,
    /// The key is missing, wrong or not allowed.
    Auth,
    /// The request is malformed, or the model is unknown there.
    BadRequest,
    /// No connection, a broken one, or a time-out.
    Transport,
    /// An answer came that cannot be read.
    Malformed,
}
