//! A request's body. What would be ignored although it changes answers is refused.

use lapwing_lab::sample::Sampling;
use minijinja::Value as Ordered;
use serde::Deserialize;
use serde_json::Value;

use super::fault::Fault;
use crate::model::Ask;

/// Most choices of one request.
const MOST_CHOICES: usize = 128;
/// Most tokens that are told with each one.
const MOST_TOP: u64 = 20;
/// Most tokens of a completion for which the format sets a default.
const USUAL_COMPLETION: u64 = 16;

/// The members of both formats that are read.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Raw {
    pub(super) model: String,
    /// Mappings in the order of their members, which templates may print.
    pub(super) messages: Option<Vec<Ordered>>,
    pub(super) tools: Option<Vec<Ordered>>,
    pub(super) prompt: Value,
    pub(super) chat_template_kwargs: Ordered,
    pub(super) tool_choice: Value,
    pub(super) continue_final_message: Option<bool>,
    pub(super) logprobs: Value,
    pub(super) top_logprobs: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    n: Option<usize>,
    stop: Value,
    seed: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    return_token_ids: Option<bool>,
    response_format: Value,
    logit_bias: Value,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    echo: Option<bool>,
    suffix: Option<String>,
    best_of: Option<usize>,
    functions: Value,
    reasoning_effort: Value,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            model: String::new(),
            messages: None,
            tools: None,
            prompt: Value::Null,
            chat_template_kwargs: Ordered::UNDEFINED,
            tool_choice: Value::Null,
            continue_final_message: None,
            logprobs: Value::Null,
            top_logprobs: None,
            temperature: None,
            top_p: None,
            max_tokens: None,
            max_completion_tokens: None,
            n: None,
            stop: Value::Null,
            seed: None,
            stream: None,
            stream_options: None,
            return_token_ids: None,
            response_format: Value::Null,
            logit_bias: Value::Null,
            presence_penalty: None,
            frequency_penalty: None,
            echo: None,
            suffix: None,
            best_of: None,
            functions: Value::Null,
            reasoning_effort: Value::Null,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// How a request is answered, in both formats.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "so it is in the format")]
pub(super) struct Settings {
    pub(super) ask: Ask,
    pub(super) n: usize,
    pub(super) stream: bool,
    /// Whether a stream ends with what was used.
    pub(super) include_usage: bool,
    /// Whether log-probabilities are told.
    pub(super) log_probabilities: bool,
    /// Whether the ids of tokens are told.
    pub(super) token_ids: bool,
}

impl Raw {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(body).map_err(|error| Fault::body(&error))
    }

    /// The settings of a conversation's answer.
    pub(super) fn chat_settings(&self) -> Result<Settings, Fault> {
        let tells = match &self.logprobs {
            Value::Null | Value::Bool(false) => false,
            Value::Bool(true) => true,
            _ => return Err(Fault::of("logprobs", "logprobs must be true or false")),
        };
        let top = self.top_logprobs.unwrap_or(0);
        if top > 0 && !tells {
            return Err(Fault::of("top_logprobs", "top_logprobs needs logprobs to be true"));
        }
        self.settings(tells, top, None)
    }

    /// The settings of a text's continuation.
    pub(super) fn completion_settings(&self) -> Result<Settings, Fault> {
        let top = match &self.logprobs {
            Value::Null => None,
            value => Some(
                value.as_u64().ok_or_else(|| Fault::of("logprobs", "logprobs must be a number"))?,
            ),
        };
        self.settings(top.is_some(), top.unwrap_or(0), Some(USUAL_COMPLETION))
    }

    fn settings(&self, tells: bool, top: u64, usual: Option<u64>) -> Result<Settings, Fault> {
        self.refuse_unsupported()?;
        if top > MOST_TOP {
            let message = format!("at most {MOST_TOP} log-probabilities are told for each token");
            return Err(Fault::of("top_logprobs", message));
        }
        let n = self.n.unwrap_or(1);
        if !(1..=MOST_CHOICES).contains(&n) {
            return Err(Fault::of("n", format!("n is {n}; it must be 1 to {MOST_CHOICES}")));
        }
        let max_tokens = self.max_completion_tokens.or(self.max_tokens).or(usual);
        if max_tokens == Some(0) {
            return Err(Fault::of("max_tokens", "max_tokens is 0; it must be at least 1"));
        }
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(1.0),
            top_p: self.top_p.unwrap_or(1.0),
            max_tokens: max_tokens.map_or(usize::MAX, |most| most as usize),
        };
        let seed = match self.seed {
            Some(seed) => seed.cast_unsigned(),
            None => getrandom::u64().unwrap_or_default(),
        };
        let options = self.stream_options.as_ref();
        Ok(Settings {
            ask: Ask { sampling, seed, stop: stops(&self.stop)?, top: top as usize },
            n,
            stream: self.stream.unwrap_or(false),
            include_usage: options.and_then(|options| options.include_usage).unwrap_or(false),
            log_probabilities: tells,
            token_ids: self.return_token_ids.unwrap_or(false),
        })
    }

    fn refuse_unsupported(&self) -> Result<(), Fault> {
        let is_set = |value: &Value| {
            !value.is_null() && value.as_object().is_none_or(|object| !object.is_empty())
        };
        let is_penalty = |value: Option<f64>| value.is_some_and(|value| value != 0.0);
        let wants_form = is_set(&self.response_format) && self.response_format["type"] != "text";
        let rows = [
            ("response_format", wants_form, "constrains no answer"),
            ("logit_bias", is_set(&self.logit_bias), "samples from the model as it is"),
            (
                "presence_penalty",
                is_penalty(self.presence_penalty),
                "samples from the model as it is",
            ),
            (
                "frequency_penalty",
                is_penalty(self.frequency_penalty),
                "samples from the model as it is",
            ),
            ("echo", self.echo == Some(true), "answers with new tokens only"),
            ("suffix", self.suffix.as_ref().is_some_and(|text| !text.is_empty()), "only goes on"),
            (
                "best_of",
                self.best_of.is_some_and(|best| best > 1),
                "ranks no answers; n asks for several",
            ),
            ("functions", is_set(&self.functions), "takes tools"),
            (
                "reasoning_effort",
                is_set(&self.reasoning_effort),
                "lets a model think as it was trained to",
            ),
        ];
        match rows.into_iter().find(|(_, is_wanted, _)| *is_wanted) {
            Some((param, _, does)) => Err(Fault::unsupported(param, does)),
            None => Ok(()),
        }
    }
}

/// `stop`: a text or a list of texts.
fn stops(value: &Value) -> Result<Vec<String>, Fault> {
    let fault = || Fault::of("stop", "stop must be a text or a list of texts, none of them empty");
    let texts = match value {
        Value::Null => return Ok(Vec::new()),
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts
            .iter()
            .map(|text| text.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(fault)?,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Err(fault()),
    };
    if texts.iter().any(String::is_empty) { Err(fault()) } else { Ok(texts) }
}
