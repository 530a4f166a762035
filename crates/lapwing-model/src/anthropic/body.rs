//! The request: a head, every message, a tail.
//!
//! What a tool returned is a part of a user's message, so consecutive messages of the user's side are one message on the wire.
//! A segment ends where its message's last block may still grow, so that the mark of the prompt cache, which moves to the end of
//! the conversation, changes no earlier segment.

use lapwing_core::{GenerateConfig, Message, Part, Reasoning, Request, ToolSpec};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// The format wants a limit of tokens; this one is sent where none is given.
const MAX_TOKENS: u64 = 16_384;

/// Put into the last block that the provider's prompt cache should keep.
const MARK: &str = r#","cache_control":{"type":"ephemeral"}"#;

/// The setting that the format does not have, and why.
pub(crate) fn refused(id: &str, config: &GenerateConfig) -> Option<(&'static str, &'static str)> {
    let thinks = config.reasoning_tokens.is_some() || config.reasoning_effort.is_some();
    let effort = config.reasoning_effort.map(lapwing_core::Effort::word);
    match config {
        _ if config.seed.is_some() => Some(("--seed", "the Messages API has no seed")),
        _ if config.logprobs => Some(("--logprobs", "the Messages API gives none")),
        _ if config.temperature.is_some_and(|t| !(0.0..=1.0).contains(&t)) => {
            Some(("--temperature", "the Messages API takes 0 to 1"))
        }
        _ if thinks && config.temperature.is_some_and(|t| (t - 1.0).abs() > f64::EPSILON) => {
            Some(("--temperature", "a model that thinks is sampled at temperature 1"))
        }
        _ if matches!(effort, Some("none" | "minimal")) => {
            Some(("--reasoning-effort", "the Messages API knows low to max; leave it out for none"))
        }
        _ if effort.is_some() && config.reasoning_tokens.is_none() && !thinks_adaptively(id) => {
            Some(("--reasoning-effort", "models up to Claude 4.5 take --reasoning-tokens"))
        }
        _ if config.reasoning_tokens.is_some_and(|n| n < 1024) => {
            Some(("--reasoning-tokens", "the least is 1024"))
        }
        _ if config.reasoning_tokens.is_some_and(|n| n >= max_tokens(config)) => {
            Some(("--reasoning-tokens", "it must be less than --max-tokens, which it is part of"))
        }
        _ => None,
    }
}

/// Whether a model takes an effort without a number of tokens, as all do that came after Claude 4.5.
fn thinks_adaptively(id: &str) -> bool {
    const OLDER: [&str; 10] = [
        "claude-2",
        "claude-3",
        "claude-sonnet-4-0",
        "claude-sonnet-4-2",
        "claude-sonnet-4-5",
        "claude-haiku-4-5",
        "claude-opus-4-0",
        "claude-opus-4-1",
        "claude-opus-4-2",
        "claude-opus-4-5",
    ];
    !OLDER.iter().any(|older| id.starts_with(older))
}

/// The limit of tokens that is sent.
pub(crate) fn max_tokens(config: &GenerateConfig) -> u64 {
    config.max_tokens.unwrap_or(MAX_TOKENS)
}

/// The body for the model `id`.
pub(crate) fn segments(id: &str, request: &Request, stream: bool) -> Result<Vec<String>, String> {
    // Writing to the provider's cache costs more than reading; it pays where the conversation comes again.
    let caches = !request.tools.is_empty();
    let mut segments = vec![head(id, request, stream, caches)];
    let mut open = Side::None;
    for message in &request.messages {
        let (side, blocks) = match message {
            Message::System { .. } => continue,
            Message::User { text } => (Side::User, vec![text_block(text)?]),
            Message::Tool { call_id, name: _, text } => {
                let block =
                    json!({ "type": "tool_result", "tool_use_id": call_id, "content": text });
                (Side::User, vec![block.to_string()])
            }
            Message::Assistant { parts } => (Side::Assistant, assistant(parts)),
        };
        if blocks.is_empty() {
            continue;
        }
        let opening = match open {
            Side::None => format!(r#"{{"role":"{}","content":["#, side.role()),
            _ if open == side => "},".to_owned(),
            _ => format!(r#"}}]}},{{"role":"{}","content":["#, side.role()),
        };
        let blocks = blocks.join(",");
        segments.push(format!("{opening}{}", &blocks[..blocks.len() - 1]));
        open = side;
    }
    segments.push(match open {
        Side::None => "]}".to_owned(),
        Side::User if caches => format!("{MARK}}}]}}]}}"),
        Side::User | Side::Assistant => "}]}]}".to_owned(),
    });
    Ok(segments)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    None,
    User,
    Assistant,
}

impl Side {
    fn role(self) -> &'static str {
        match self {
            Self::User | Self::None => "user",
            Self::Assistant => "assistant",
        }
    }
}

fn head(id: &str, request: &Request, stream: bool, caches: bool) -> String {
    let config = &request.config;
    let (thinking, output) = match (config.reasoning_tokens, config.reasoning_effort) {
        (Some(tokens), effort) => (
            Some(json!({ "type": "enabled", "budget_tokens": tokens })),
            effort.map(|effort| json!({ "effort": effort.word() })),
        ),
        (None, Some(effort)) => (
            Some(json!({ "type": "adaptive", "display": "summarized" })),
            Some(json!({ "effort": effort.word() })),
        ),
        (None, None) => (None, None),
    };
    let settings = [
        ("model", Some(json!(id))),
        ("max_tokens", Some(json!(max_tokens(config)))),
        ("temperature", config.temperature.map(Value::from)),
        ("top_p", config.top_p.map(Value::from)),
        ("stop_sequences", (!config.stop.is_empty()).then(|| json!(config.stop))),
        ("thinking", thinking),
        ("output_config", output),
        ("tools", (!request.tools.is_empty()).then(|| tools(&request.tools))),
        ("system", system(&request.messages, caches)),
        ("stream", stream.then_some(json!(true))),
    ];
    let settings = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let object = Value::Object(settings.collect::<Map<_, _>>()).to_string();
    format!(r#"{},"messages":["#, &object[..object.len() - 1])
}

fn tools(tools: &[ToolSpec]) -> Value {
    let tools = tools.iter().map(|ToolSpec { name, description, parameters }| {
        json!({ "name": name, "description": description, "input_schema": parameters })
    });
    tools.collect()
}

/// The system's messages, wherever they stand: the format has them beside the conversation.
fn system(messages: &[Message], caches: bool) -> Option<Value> {
    let texts: Vec<&str> = messages
        .iter()
        .filter_map(|message| match message {
            Message::System { text } => Some(text.as_str()),
            Message::User { .. } | Message::Assistant { .. } | Message::Tool { .. } => None,
        })
        .collect();
    if texts.is_empty() {
        return None;
    }
    let mut block = json!({ "type": "text", "text": texts.join("\n\n") });
    if caches {
        block["cache_control"] = json!({ "type": "ephemeral" });
    }
    Some(json!([block]))
}

fn text_block(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("the Messages API takes no message without text".to_owned());
    }
    Ok(json!({ "type": "text", "text": text }).to_string())
}

fn assistant(parts: &[Part]) -> Vec<String> {
    let block = |part: &Part| match part {
        Part::Text { text } => text_block(text).ok(),
        Part::ToolCall(call) => {
            let input = input(&call.arguments);
            let (id, name) = (json!(call.id), json!(call.name));
            Some(format!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{input}}}"#))
        }
        Part::Reasoning(
            Reasoning::Full { opaque, .. }
            | Reasoning::Summary { opaque, .. }
            | Reasoning::Hidden { opaque },
        ) => opaque.as_deref().filter(|opaque| is_thinking(opaque)).map(str::to_owned),
    };
    parts.iter().filter_map(block).collect()
}

/// Arguments as the object that the format wants. Those of another model may be none.
fn input(arguments: &str) -> String {
    match serde_json::from_str::<&RawValue>(arguments) {
        Ok(raw) if raw.get().starts_with('{') => raw.get().to_owned(),
        Ok(_) | Err(_) => json!({ "arguments": arguments }).to_string(),
    }
}

/// Whether a block is this format's own; those of other providers do not go back.
fn is_thinking(opaque: &str) -> bool {
    #[derive(Deserialize)]
    struct Block {
        r#type: String,
    }
    serde_json::from_str::<Block>(opaque)
        .is_ok_and(|block| matches!(block.r#type.as_str(), "thinking" | "redacted_thinking"))
}
