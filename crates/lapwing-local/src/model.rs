//! A model folder as something that answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Zoned;
use lapwing_lab::checkpoint::{CheckpointError, Model};
use lapwing_lab::nn::Config;
use lapwing_lab::organism::{self, Lineage, OrganismError};
use lapwing_lab::sample::{End, Sampling};
use lapwing_lab::{Tokenizer, TokenizerError};
use tokio::sync::mpsc;

use crate::engine::{Engine, Step, Wanted};
use crate::template::{Chat, ChatTemplate, TemplateError};
use crate::text::{Stops, Text};

/// A loaded model, whose threads wait for requests.
pub struct Local {
    /// What it is called.
    pub name: String,
    /// SHA-256 of its files' digests.
    pub address: String,
    /// Where it comes from, if it is an organism.
    pub lineage: Option<Lineage>,
    /// The shape of its network.
    pub config: Config,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    engine: Engine,
}

/// A folder that cannot be a model.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is no organism that can be trusted.
    #[error(transparent)]
    Organism(#[from] OrganismError),
    /// It is no checkpoint that can be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its chat template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It cannot read text.
    #[error("{} has no tokenizer.json, so that it can neither be asked nor answer", .0.display())]
    NoTokenizer(PathBuf),
}

/// A request that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The conversation has no form that the model knows.
    #[error(
        "{0} has no chat template: it continues a text, which is a single user message without tools"
    )]
    NoTemplate(String),
    /// The chat template does not take the conversation.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Nothing was asked.
    #[error("the prompt has no tokens")]
    Empty,
    /// A token is not in the vocabulary.
    #[error("token {token} is not in the vocabulary of {vocab_size} tokens")]
    Token {
        /// The token.
        token: u32,
        /// Tokens of the vocabulary.
        vocab_size: usize,
    },
    /// The prompt does not fit.
    #[error("the prompt has {len} tokens, and the model's context {max_positions}")]
    Context {
        /// Tokens of the prompt.
        len: usize,
        /// Positions of the model.
        max_positions: usize,
    },
    /// A setting cannot be.
    #[error("{key} is {value}; it must be {must}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        must: &'static str,
    },
    /// The tokenizer fails.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The engine has failed.
    #[error("the engine has stopped, which is a bug; standard error says more")]
    Lost,
}

/// How a prompt is answered.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Seed of what is drawn.
    pub seed: u64,
    /// Texts at which the answer stops; none may be empty.
    pub stop: Vec<String>,
    /// How many of the likeliest tokens are told with each one.
    pub top: usize,
}

impl Local {
    /// Loads the model in `folder`, to be continued on so many threads. An organism is held against its lineage.
    pub fn load(name: &str, folder: &Path, threads: usize) -> Result<Self, LoadError> {
        let (model, lineage, address) = if folder.join("lineage.json").exists() {
            let organism = organism::load(folder)?;
            let address = organism.lineage.address();
            (organism.model, Some(organism.lineage), address)
        } else {
            (Model::load(folder)?, None, organism::address(folder)?)
        };
        let template = ChatTemplate::load(folder)?;
        let tokenizer = model.tokenizer.ok_or_else(|| LoadError::NoTokenizer(folder.to_owned()))?;
        Ok(Self {
            name: name.to_owned(),
            address,
            lineage,
            config: model.network.config.clone(),
            tokenizer,
            template,
            engine: Engine::start(model.network, model.stops, threads.max(1)),
        })
    }

    /// Whether it answers conversations; else it continues texts.
    pub fn is_chat(&self) -> bool {
        self.template.is_some()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The text of a conversation. A model without a chat template takes a single user message as it is.
    pub fn render(&self, chat: &Chat) -> Result<String, AskError> {
        if let Some(template) = &self.template {
            return Ok(template.render(chat, &Zoned::now())?);
        }
        let raw = match chat.messages.as_slice() {
            [only] if chat.tools.is_empty() && !chat.continues => {
                let member = |name| only.get_attr(name).unwrap_or_default();
                let is_user = member("role").as_str() == Some("user");
                member("content").as_str().filter(|_| is_user).map(str::to_owned)
            }
            _ => None,
        };
        raw.ok_or_else(|| AskError::NoTemplate(self.name.clone()))
    }

    /// The tokens of a rendered conversation.
    pub fn chat_tokens(&self, rendered: &str) -> Result<Vec<u32>, AskError> {
        // A chat template writes the token of the beginning itself.
        if self.is_chat() {
            Ok(self.tokenizer.encode(rendered)?)
        } else {
            self.text_tokens(rendered)
        }
    }

    /// The tokens of a text that is continued.
    pub fn text_tokens(&self, text: &str) -> Result<Vec<u32>, AskError> {
        Ok(self.tokenizer.encode_whole(text)?)
    }

    /// Begins to answer; waits while the queue is full. Whoever drops the answer gives it up.
    pub async fn answer(self: &Arc<Self>, prompt: Vec<u32>, ask: Ask) -> Result<Answer, AskError> {
        self.check(&prompt)?;
        check_sampling(ask.sampling)?;
        let room = self.config.max_positions + 1 - prompt.len();
        let max_tokens = ask.sampling.max_tokens.clamp(1, room);
        let sampling = Sampling { max_tokens, ..ask.sampling };
        let wanted = Wanted { prompt, sampling, seed: ask.seed, top: ask.top };
        let steps = self.engine.submit(wanted).await;
        let (text, stops) = (Text::default(), Stops::new(ask.stop));
        Ok(Answer { model: Arc::clone(self), steps, text, stops, has_ended: false })
    }

    fn check(&self, prompt: &[u32]) -> Result<(), AskError> {
        let Config { vocab_size, max_positions, .. } = self.config;
        if prompt.is_empty() {
            return Err(AskError::Empty);
        }
        if prompt.len() > max_positions {
            return Err(AskError::Context { len: prompt.len(), max_positions });
        }
        match prompt.iter().find(|token| **token as usize >= vocab_size) {
            Some(token) => Err(AskError::Token { token: *token, vocab_size }),
            None => Ok(()),
        }
    }
}

fn check_sampling(sampling: Sampling) -> Result<(), AskError> {
    let Sampling { temperature, top_p, .. } = sampling;
    if !(temperature >= 0.0 && temperature.is_finite()) {
        let must = "0 or more";
        return Err(AskError::Setting { key: "temperature", value: temperature, must });
    }
    if !(top_p > 0.0 && top_p <= 1.0) {
        let must = "above 0 and at most 1";
        return Err(AskError::Setting { key: "top_p", value: top_p, must });
    }
    Ok(())
}

/// An answer that is being generated.
pub struct Answer {
    model: Arc<Local>,
    steps: mpsc::UnboundedReceiver<Step>,
    text: Text,
    stops: Stops,
    has_ended: bool,
}

/// One more token of an answer, and the text that it makes certain.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Text without special tokens and stops; often none, where a character or a possible stop is not whole yet.
    pub text: String,
    /// The token.
    pub step: Step,
    /// Why the answer ends with it, if it does.
    pub end: Option<End>,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Its text.
    pub text: String,
    /// Its tokens, with the one that stopped it.
    pub steps: Vec<Step>,
    /// Why it ended.
    pub end: End,
}

impl Answer {
    /// The next piece; `None` behind the last one.
    pub async fn next(&mut self) -> Result<Option<Piece>, AskError> {
        if self.has_ended {
            return Ok(None);
        }
        let step = self.steps.recv().await.ok_or(AskError::Lost)?;
        let tokenizer = &self.model.tokenizer;
        let mut new = String::new();
        // A token that stops an answer is no part of its text.
        if step.end != Some(End::Stop) {
            new = self.text.push(tokenizer, step.token)?;
        }
        if step.end.is_some() {
            new.push_str(&self.text.finish(tokenizer)?);
        }
        let (mut text, is_stopped) = self.stops.push(&new);
        let end = if is_stopped { Some(End::Stop) } else { step.end };
        self.has_ended = end.is_some();
        if self.has_ended {
            // The engine need not go on behind a stop.
            self.steps.close();
            text.push_str(&self.stops.finish());
        }
        Ok(Some(Piece { text, step, end }))
    }

    /// All of it.
    pub async fn finish(mut self) -> Result<Finished, AskError> {
        let mut finished = Finished { text: String::new(), steps: Vec::new(), end: End::Length };
        while let Some(piece) = self.next().await? {
            finished.text.push_str(&piece.text);
            finished.steps.push(piece.step);
            finished.end = piece.end.unwrap_or(finished.end);
        }
        Ok(finished)
    }
}
