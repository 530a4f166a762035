//! Chat templates: from a conversation to the text that a model was trained on, as `transformers` renders it.

mod json;

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use regex::Regex;

const DEFAULT: &str = "chat_template";
const TOOL_USE: &str = "tool_use";

/// A compiled template with the special tokens that it may name.
pub struct ChatTemplate {
    environment: Environment<'static>,
    special: Vec<(String, Value)>,
}

/// A conversation, as a client of Chat Completions writes it.
#[derive(Clone, Debug, Default)]
pub struct Chat {
    /// The messages, each a mapping.
    pub messages: Vec<Value>,
    /// The tools, each a mapping.
    pub tools: Vec<Value>,
    /// More variables of the template.
    pub variables: Vec<(String, Value)>,
    /// Whether the last message is gone on with instead of answered.
    pub continues: bool,
}

/// What is wrong with a template or with a conversation.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file holds no JSON, or not what it should.
    #[error("{} is not what it should be: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The template cannot be compiled.
    #[error("the chat template of {}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The template does not take the conversation.
    #[error("the chat template refuses the conversation: {0}")]
    Refused(String),
    /// The template fails.
    #[error("the chat template fails: {0}")]
    Failed(String),
    /// There is nothing to go on with.
    #[error("the last message cannot be gone on with: {0}")]
    NoContinuation(&'static str),
}

/// What a template says by `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

impl Chat {
    /// Adds a message of one text.
    pub fn push(&mut self, role: &str, text: &str) {
        self.messages.push(Value::from_pairs([("role", role), ("content", text)]));
    }
}

impl ChatTemplate {
    /// The template of a model folder: `chat_template.jinja`, else that of `tokenizer_config.json`; `None` if there is none.
    pub fn load(folder: &Path) -> Result<Option<Self>, TemplateError> {
        let config_path = folder.join("tokenizer_config.json");
        let config: serde_json::Value = match read(&config_path)? {
            Some(text) => serde_json::from_str(&text).map_err(|error| TemplateError::Json {
                path: config_path.clone(),
                reason: error.to_string(),
            })?,
            None => serde_json::Value::Null,
        };
        let mut path = folder.join("chat_template.jinja");
        let mut sources = Vec::new();
        if let Some(text) = read(&path)? {
            sources.push((DEFAULT, text));
        } else {
            path = config_path;
            sources = named(&config["chat_template"]);
        }
        if sources.is_empty() {
            return Ok(None);
        }
        let mut environment = environment();
        for (name, source) in sources {
            let syntax = |error: Error| TemplateError::Syntax {
                path: path.clone(),
                reason: format!("{error:#}"),
            };
            environment.add_template_owned(name, without_generation(&source)).map_err(syntax)?;
        }
        Ok(Some(Self { environment, special: special_tokens(&config) }))
    }

    /// The text of a conversation, up to where the model goes on. `now` is what the template may take for today.
    pub fn render(&self, chat: &Chat, now: &Zoned) -> Result<String, TemplateError> {
        let wanted = if chat.tools.is_empty() { DEFAULT } else { TOOL_USE };
        let template = self
            .environment
            .get_template(wanted)
            .or_else(|_| self.environment.get_template(DEFAULT))
            .map_err(|error| TemplateError::Failed(error.to_string()))?;
        let mark = if chat.continues { Some(Mark::set(chat)?) } else { None };
        let messages = mark.as_ref().map_or(&chat.messages, |mark| &mark.messages);
        let tools = (!chat.tools.is_empty()).then_some(&chat.tools);
        let own = context! {
            messages,
            tools,
            documents => (),
            add_generation_prompt => !chat.continues,
            now => Value::from_object(Now(now.clone())),
        };
        let variables = Value::from_pairs(self.special.iter().chain(&chat.variables).cloned());
        let text =
            template.render(context! { ..own, ..variables }).map_err(|error| failed(&error))?;
        match mark {
            Some(_) => Mark::cut(&text),
            None => Ok(text),
        }
    }
}

/// The time, which only `strftime_now` looks at.
#[derive(Debug)]
struct Now(Zoned);

impl minijinja::value::Object for Now {}

/// A mark behind the last message, at which the text is cut, as `transformers` does it.
struct Mark {
    messages: Vec<Value>,
}

impl Mark {
    const TEXT: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

    fn set(chat: &Chat) -> Result<Self, TemplateError> {
        let last = chat.messages.last();
        let last = last.ok_or(TemplateError::NoContinuation("there is none"))?;
        let content = last.get_attr("content").unwrap_or_default();
        let content = content.as_str().ok_or(TemplateError::NoContinuation("it has no text"))?;
        let marked = with(last, "content", Value::from(format!("{content}{}", Self::TEXT)));
        let mut messages = chat.messages.clone();
        messages.pop();
        messages.push(marked);
        Ok(Self { messages })
    }

    fn cut(text: &str) -> Result<String, TemplateError> {
        let place = text.rfind(Self::TEXT.trim_end());
        let place =
            place.ok_or(TemplateError::NoContinuation("the chat template leaves it out"))?;
        let before = &text[..place];
        // A template that trims messages has trimmed the mark.
        let is_whole = text[place..].starts_with(Self::TEXT);
        Ok(if is_whole { before } else { before.trim_end() }.to_owned())
    }
}

/// A mapping with a member set, in its place or at the end.
pub(crate) fn with(mapping: &Value, name: &str, value: Value) -> Value {
    let mut pairs: Vec<(Value, Value)> = members(mapping).collect();
    match pairs.iter_mut().find(|(key, _)| key.as_str() == Some(name)) {
        Some(pair) => pair.1 = value,
        None => pairs.push((Value::from(name), value)),
    }
    Value::from_pairs(pairs)
}

/// The members of a mapping, in order; none of anything else.
pub(crate) fn members(mapping: &Value) -> impl Iterator<Item = (Value, Value)> {
    let keys = (mapping.kind() == ValueKind::Map).then(|| mapping.try_iter().ok()).flatten();
    keys.into_iter().flatten().map(|key| {
        let value = mapping.get_item(&key).unwrap_or_default();
        (key, value)
    })
}

/// Jinja as `transformers` sets it up.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_formatter(format_as_python);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
    });
    environment.add_function("strftime_now", |state: &mut State<'_, '_>, format: String| {
        let now = state.lookup("now").unwrap_or_default();
        let now = now.downcast_object_ref::<Now>();
        let now = now.map_or_else(Zoned::now, |now| now.0.clone());
        jiff::fmt::strtime::format(format.as_bytes(), &now)
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    });
    environment
}

/// Python writes these three with a capital letter.
fn format_as_python(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    let word = match (value.kind(), value.is_true()) {
        (ValueKind::None, _) => "None",
        (ValueKind::Bool, true) => "True",
        (ValueKind::Bool, false) => "False",
        _ => return minijinja::escape_formatter(out, state, value),
    };
    out.write_str(word).map_err(Error::from)
}

#[expect(clippy::needless_pass_by_value, reason = "a filter is called so")]
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let separators: Option<Vec<String>> = options.get("separators")?;
    let style = json::Style {
        indent: options.get("indent")?,
        separators: separators.and_then(|pair| <[String; 2]>::try_from(pair).ok()),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let text = json::dumps(value, &style);
    text.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

fn failed(error: &Error) -> TemplateError {
    match error.source().and_then(|source| source.downcast_ref::<Raised>()) {
        Some(Raised(message)) => TemplateError::Refused(message.clone()),
        None => TemplateError::Failed(error.to_string()),
    }
}

/// `chat_template` of `tokenizer_config.json`: one template, or several with names.
fn named(value: &serde_json::Value) -> Vec<(&'static str, String)> {
    if let Some(source) = value.as_str() {
        return vec![(DEFAULT, source.to_owned())];
    }
    let entries = value.as_array().map_or(&[][..], Vec::as_slice);
    let entry = |wanted: &str| {
        let found = entries.iter().find(|entry| entry["name"] == wanted)?;
        found["template"].as_str().map(str::to_owned)
    };
    let pairs = [(DEFAULT, entry("default")), (TOOL_USE, entry(TOOL_USE))];
    pairs.into_iter().filter_map(|(name, source)| Some((name, source?))).collect()
}

/// `bos_token` and its like, each a text or an object that holds one.
fn special_tokens(config: &serde_json::Value) -> Vec<(String, Value)> {
    let object = config.as_object().into_iter().flatten();
    let tokens = object.filter(|(name, _)| name.ends_with("_token"));
    tokens
        .filter_map(|(name, value)| {
            let text = value.as_str().or_else(|| value["content"].as_str())?;
            Some((name.clone(), Value::from(text)))
        })
        .collect()
}

/// `{% generation %}` marks what was generated, for training; here it changes nothing.
fn without_generation(source: &str) -> String {
    let replace = |source: &str, tag: &str, with: &str| match Regex::new(tag) {
        Ok(tag) => tag.replace_all(source, with).into_owned(),
        Err(_) => source.to_owned(),
    };
    let begun = replace(source, r"\{%([-+]?)\s*generation\s*([-+]?)%\}", "{%$1 if true $2%}");
    replace(&begun, r"\{%([-+]?)\s*endgeneration\s*([-+]?)%\}", "{%$1 endif $2%}")
}

fn read(path: &Path) -> Result<Option<String>, TemplateError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TemplateError::Io { path: path.to_owned(), source }),
    }
}
