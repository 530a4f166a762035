//! From the messages of a request to what a chat template is given.

use minijinja::value::{Value, ValueKind};

use super::super::body::Raw;
use super::super::fault::Fault;
use crate::template::{Chat, members, with};

/// Under which names a message may bear its reasoning; templates read the first.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// The conversation of a request.
pub(super) fn chat(raw: &Raw) -> Result<Chat, Fault> {
    let messages = raw.messages.as_deref().unwrap_or_default();
    if messages.is_empty() {
        return Err(Fault::of("messages", "messages is missing or empty"));
    }
    let tools = match raw.tool_choice.as_str() {
        None if raw.tool_choice.is_null() => raw.tools.clone(),
        Some("auto") => raw.tools.clone(),
        Some("none") => None,
        None | Some(_) => {
            let does = "lets the model choose: tool_choice can be auto or none";
            return Err(Fault::unsupported("tool_choice", does));
        }
    };
    let tools = tools.unwrap_or_default();
    if tools.iter().any(|tool| tool.kind() != ValueKind::Map) {
        return Err(Fault::of("tools", "each of tools must be an object"));
    }
    let variables = members(&raw.chat_template_kwargs);
    let variables = variables.filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value)));
    Ok(Chat {
        messages: messages.iter().map(message).collect::<Result<_, _>>()?,
        tools,
        variables: variables.collect(),
        continues: raw.continue_final_message.unwrap_or(false),
    })
}

/// A message as templates expect it: its content a text, arguments of calls as mappings, reasoning under its usual names.
fn message(message: &Value) -> Result<Value, Fault> {
    let member = |name: &str| message.get_attr(name).unwrap_or_default();
    if member("role").as_str().is_none() {
        return Err(Fault::of("messages", "each message must be an object with a role"));
    }
    let mut message = with(message, "content", content(&member("content"))?);
    let calls = member("tool_calls");
    if calls.kind() == ValueKind::Seq {
        let calls = calls.try_iter().into_iter().flatten();
        message = with(&message, "tool_calls", calls.map(|call| parsed(&call)).collect());
    }
    let reasoning = REASONING.iter().map(|name| member(name));
    if let Some(reasoning) = reasoning.into_iter().find(|value| value.as_str().is_some()) {
        if member("thinking").is_undefined() {
            message = with(&message, "thinking", reasoning.clone());
        }
        message = with(&message, "reasoning_content", reasoning);
    }
    Ok(message)
}

/// A text, or the texts of a list of parts.
fn content(content: &Value) -> Result<Value, Fault> {
    match content.kind() {
        ValueKind::String => Ok(content.clone()),
        ValueKind::None | ValueKind::Undefined => Ok(Value::from(())),
        ValueKind::Seq => {
            let parts = content.try_iter().into_iter().flatten();
            let texts: Option<Vec<String>> =
                parts.map(|part| Some(part.get_attr("text").ok()?.as_str()?.to_owned())).collect();
            let texts = texts.ok_or_else(|| Fault::of("messages", "only text can be read"))?;
            Ok(Value::from(texts.concat()))
        }
        _ => Err(Fault::of("messages", "the content of a message must be a text")),
    }
}

/// A call whose arguments are no longer text, if they are JSON.
fn parsed(call: &Value) -> Value {
    let function = call.get_attr("function").unwrap_or_default();
    let arguments = function.get_attr("arguments").unwrap_or_default();
    match arguments.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        Some(arguments) => with(call, "function", with(&function, "arguments", arguments)),
        None => call.clone(),
    }
}
