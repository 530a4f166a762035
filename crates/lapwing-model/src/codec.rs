//! The wire formats: from a request to the bytes that are sent, and from the bytes that came to an output.

use lapwing_core::{GenerateConfig, ModelError, ModelErrorKind, Output, Request, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{anthropic, chat, responses};

/// Above this limit of tokens an answer is streamed, so that no proxy gives up on a connection that is silent for minutes.
const LONG: u64 = 8192;

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// OpenAI's Chat Completions.
    Openai,
    /// OpenAI's Responses.
    OpenaiResponses,
    /// Anthropic's Messages.
    Anthropic,
}

/// Where servers of one format differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// The provider that made the format.
    Official,
    /// OpenRouter: reasoning has an object of its own.
    Openrouter,
    /// vLLM: an assistant message at the end can be continued.
    Vllm,
    /// A model of this process: as vLLM, always with token ids and log-probabilities, and always with a seed.
    Local,
    /// Everything else.
    Compatible,
}

/// Whether answers are streamed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Streaming {
    /// Where they can be long.
    #[default]
    Auto,
    /// All of them.
    Always,
    /// None of them.
    Never,
}

/// Everything that decides which bytes a request becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codec {
    /// The wire format.
    pub format: Format,
    /// Where servers of the format differ.
    pub dialect: Dialect,
    /// What the provider calls the model.
    pub id: String,
    /// Whether answers are streamed.
    pub streaming: Streaming,
}

/// A setting that the provider does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{model} does not take {setting}: {why}")]
pub struct SettingError {
    /// The model's name at the provider.
    pub model: String,
    /// The setting, as the command line names it.
    pub setting: &'static str,
    /// Why, and what can be done.
    pub why: &'static str,
}

/// Why there is no output in the bytes of an answer that claims success.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Unread {
    /// The stream ended too early.
    Cut(String),
    /// The server reports an error of its own in it.
    Said(Value),
    /// It is something else.
    Odd(String),
}

impl From<serde_json::Error> for Unread {
    fn from(error: serde_json::Error) -> Self {
        Self::Odd(error.to_string())
    }
}

impl Codec {
    /// The path below the base at which completions are asked for.
    pub(crate) fn path(&self) -> &'static str {
        match self.format {
            Format::Openai => "chat/completions",
            Format::OpenaiResponses => "responses",
            Format::Anthropic => "messages",
        }
    }

    /// What the format calls an answer, for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match self.format {
            Format::Openai => "chat completion",
            Format::OpenaiResponses => "response of the Responses API",
            Format::Anthropic => "message of the Messages API",
        }
    }

    /// Refuses what the provider does not take, before anything is paid.
    ///
    /// # Errors
    /// The first setting that is not taken.
    pub fn check(&self, config: &GenerateConfig) -> Result<(), SettingError> {
        let refused = match self.format {
            Format::Openai => chat::refused(self, config),
            Format::OpenaiResponses => responses::refused(config),
            Format::Anthropic => anthropic::refused(&self.id, config),
        };
        match refused {
            Some((setting, why)) => Err(SettingError { model: self.id.clone(), setting, why }),
            None => Ok(()),
        }
    }

    /// The request's body in segments whose concatenation is one JSON object.
    pub(crate) fn segments(&self, request: &Request) -> Result<Vec<Vec<u8>>, ModelError> {
        let fault = |message: String| ModelError { kind: ModelErrorKind::BadRequest, message };
        self.check(&request.config).map_err(|error| fault(error.to_string()))?;
        let stream = self.streams(&request.config);
        let segments = match self.format {
            Format::Openai => chat::segments(self, request, stream),
            Format::OpenaiResponses => responses::segments(&self.id, request, stream),
            Format::Anthropic => anthropic::segments(&self.id, request, stream),
        };
        let segments = segments.map_err(|why| fault(format!("{}: {why}", self.id)))?;
        Ok(segments.into_iter().map(String::into_bytes).collect())
    }

    pub(crate) fn streams(&self, config: &GenerateConfig) -> bool {
        let known_to_stream = match (self.format, self.dialect) {
            (Format::Openai, Dialect::Vllm | Dialect::Local | Dialect::Compatible) => false,
            (Format::Openai, Dialect::Official | Dialect::Openrouter)
            | (Format::OpenaiResponses | Format::Anthropic, _) => true,
        };
        match self.streaming {
            Streaming::Always => true,
            Streaming::Never => false,
            Streaming::Auto => {
                config.max_tokens.map_or(known_to_stream, |max_tokens| max_tokens > LONG)
            }
        }
    }

    /// The most tokens that the answer to a request of these settings can have; `None` if nothing says.
    pub(crate) fn most_output(&self, config: &GenerateConfig) -> Option<u64> {
        match self.format {
            Format::Openai | Format::OpenaiResponses => config.max_tokens,
            Format::Anthropic => Some(anthropic::max_tokens(config)),
        }
    }

    /// The output in `body`, streamed or not.
    pub(crate) fn read(&self, body: &[u8]) -> Result<Output, Unread> {
        match self.format {
            Format::Openai => chat::read(self.dialect, body),
            Format::OpenaiResponses => responses::read(body),
            Format::Anthropic => anthropic::read(&self.id, body),
        }
    }

    /// Whether `body` holds an output.
    pub fn reads(&self, body: &[u8]) -> bool {
        self.read(body).is_ok()
    }

    /// What a router says about who served the answer in `body`.
    pub(crate) fn upstream(&self, body: &[u8]) -> Option<String> {
        match self.dialect {
            Dialect::Openrouter => chat::upstream(body),
            Dialect::Official | Dialect::Vllm | Dialect::Local | Dialect::Compatible => None,
        }
    }

    /// An upper bound of what a call with this body can use.
    pub(crate) fn worst_case(&self, body_bytes: usize, config: &GenerateConfig) -> Option<Usage> {
        // A token stands for at least one byte; what providers add around tools and messages is less than the JSON around them
        // and this margin.
        const MARGIN: u64 = 1024;
        let input = body_bytes as u64 + MARGIN;
        Some(Usage { input, output: self.most_output(config)?, ..Usage::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_can_be_long_are_streamed_where_servers_are_known_to_stream() {
        let rows = [
            (Format::Anthropic, Dialect::Official, None, true),
            (Format::Anthropic, Dialect::Official, Some(4096), false),
            (Format::OpenaiResponses, Dialect::Official, None, true),
            (Format::Openai, Dialect::Official, None, true),
            (Format::Openai, Dialect::Openrouter, None, true),
            (Format::Openai, Dialect::Compatible, None, false),
            (Format::Openai, Dialect::Vllm, Some(8193), true),
        ];
        for (format, dialect, max_tokens, expected) in rows {
            let config = GenerateConfig { max_tokens, ..GenerateConfig::default() };
            let codec = |streaming| Codec { format, dialect, id: "m".to_owned(), streaming };
            assert_eq!(codec(Streaming::Auto).streams(&config), expected, "{format:?} {dialect:?}");
            assert!(codec(Streaming::Always).streams(&config));
            assert!(!codec(Streaming::Never).streams(&config));
        }
    }
}
