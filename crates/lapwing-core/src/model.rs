//! The seam behind which every model stands: an API, a local organism, a policy, a person, a replay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Books, BoxFuture, Condition, Digest, Message, RecordError, SampleKey, Usage};

/// Anything that continues a conversation.
pub trait Model: Send + Sync {
    /// The name under which results are shown, for example `openai/gpt-x` or `policy/never`.
    fn name(&self) -> &str;

    /// Whether it knows no conversation and only continues a text, as a small organism without a chat template does. Such a
    /// model is asked in the words of a scenario's `organism` view, where there is one: a single user message, no tools.
    fn continues_text(&self) -> bool {
        false
    }

    /// Continues the conversation of `request`.
    ///
    /// Every attempt on the wire is returned, with its raw bytes, whether or not the call succeeded, so that
    /// a reply that cannot be parsed is still recorded. Retrying is the model's own business.
    fn generate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply>;

    /// As [`Self::generate`], in a sample whose record is `books`: what happened so far is durable before the model is asked. A
    /// model that is paid for has the worst case of every attempt put on record with it.
    ///
    /// # Errors
    /// The record cannot be written. Nothing more is sent then.
    fn ask<'a>(
        &'a self,
        request: &'a Request,
        books: &'a mut dyn Books,
    ) -> BoxFuture<'a, Result<Reply, RecordError>> {
        Box::pin(async move {
            books.commit(self.name(), None).await?;
            Ok(self.generate(request).await)
        })
    }
}

/// A conversation to be continued.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: Vec<ToolSpec>,
    /// How to sample.
    pub config: GenerateConfig,
    /// Where in its sample it is asked. Known to policies, people and caches; nothing of it is sent to a provider.
    pub place: Place,
    /// Where the model tells how long it waits for a provider's leave.
    pub waits: Waits,
}

/// Where in a sample a model is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The id of the phase.
    pub phase: String,
    /// The turns that the model has had in this phase before.
    pub turn: u32,
    /// Which draw of an answer it is.
    pub draw: Draw,
}

/// The position of one answer among all that could be drawn. Two calls with the same content are copies of one draw only if
/// their positions are equal too.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Draw {
    /// The sample's condition.
    pub condition: Condition,
    /// The sample's seed.
    pub seed: u64,
    /// The repeat of the seed.
    pub epoch: u32,
    /// Answers that were had in the sample before, from any model.
    pub call: u64,
}

impl Draw {
    /// The draw that follows `call` answers of the sample `key`.
    pub fn new(key: &SampleKey, call: u64) -> Self {
        Self { condition: key.condition.clone(), seed: key.seed, epoch: key.epoch, call }
    }

    /// The sampling seed of this draw in a run whose seed is `seed`: another one for each call, and the same in every such run. It
    /// has 31 bits, which every provider takes.
    pub fn sampling_seed(&self, seed: u64) -> u64 {
        let draw = serde_json::to_string(self).unwrap_or_default();
        let [a, b, c, d, ..] = *Digest::of(format!("{seed} {draw}").as_bytes()).as_bytes();
        u64::from(u32::from_le_bytes([a, b, c, d]) >> 1)
    }
}

/// Time that a model spends without the provider's leave to ask: pauses between attempts and waiting in line. It does not
/// count towards a limit of time, because it says nothing about the sample.
#[derive(Clone, Debug, Default)]
pub struct Waits(Arc<WaitCounts>);

#[derive(Debug, Default)]
struct WaitCounts {
    waiting: AtomicU64,
    millis: AtomicU64,
}

impl Waits {
    /// Marks the begin of a wait.
    pub fn begin(&self) {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Marks the end of a wait that took `millis`.
    pub fn end(&self, millis: u64) {
        self.0.millis.fetch_add(millis, Ordering::Relaxed);
        // Whoever sees that it has ended sees its milliseconds too.
        self.0.waiting.fetch_sub(1, Ordering::Release);
    }

    /// Whether a wait goes on.
    pub fn is_waiting(&self) -> bool {
        self.0.waiting.load(Ordering::Acquire) > 0
    }

    /// Milliseconds of all waits that have ended.
    pub fn millis(&self) -> u64 {
        self.0.millis.load(Ordering::Relaxed)
    }
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
    /// Texts at which generation stops.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// How much to reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<Effort>,
    /// Whether log-probabilities of the generated tokens are asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub logprobs: bool,
    /// Most tokens of reasoning, for models that take a number instead of an effort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
}

/// How much a model is asked to reason; each provider knows some of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as there is.
    Minimal,
    /// Little.
    Low,
    /// A middle amount.
    Medium,
    /// Much.
    High,
    /// More than much.
    Xhigh,
    /// As much as there is.
    Max,
}

impl Effort {
    /// All of them, from little to much.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max];

    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
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
    /// What else is known of it.
    pub receipt: Receipt,
}

/// What is known of an attempt beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Receipt {
    /// The provider's id of the request, to quote to its support.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Who served it behind a router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Whether the answer was drawn in an earlier run and nothing was paid for it now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub from_cache: bool,
    /// The most that an attempt without a usage report may have cost; `None` if it was reported, or nothing can have been billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presumed: Option<Usage>,
}

impl Receipt {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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
    /// The run's budget does not hold another call.
    Budget,
}
