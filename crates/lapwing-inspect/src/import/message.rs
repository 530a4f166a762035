//! Messages and outputs of Inspect as ours.

use lapwing_core::{Digest, Message, Output, Part, Reasoning, StopReason, ToolCall, Usage};
use serde_json::{Value, json};

/// What tells messages apart: all but their ids and what is noted beside them.
pub(crate) fn digest(message: &Value) -> Digest {
    let said = json!({
        "role": message["role"], "content": parts(&message["content"]),
        "calls": calls(message).iter().map(|call| &call.arguments).collect::<Vec<_>>(),
        "of": message["tool_call_id"],
    });
    Digest::of(said.to_string().as_bytes())
}

/// A message; `None` for a role that is not known.
pub(crate) fn message(value: &Value) -> Option<Message> {
    let whole = || text(&value["content"]);
    Some(match value["role"].as_str()? {
        "system" | "developer" => Message::System { text: whole() },
        "user" => Message::User { text: whole() },
        "assistant" => Message::Assistant { parts: turn(value) },
        "tool" => Message::Tool {
            call_id: value["tool_call_id"].as_str().unwrap_or_default().to_owned(),
            name: value["function"].as_str().unwrap_or_default().to_owned(),
            text: match value["error"]["message"].as_str() {
                Some(error) if whole().is_empty() => error.to_owned(),
                Some(_) | None => whole(),
            },
        },
        _ => return None,
    })
}

fn turn(message: &Value) -> Vec<Part> {
    let said = parts(&message["content"]);
    said.into_iter().chain(calls(message).into_iter().map(Part::ToolCall)).collect()
}

/// The texts of a content, or of what a tool gave, joined by line breaks.
pub(crate) fn text(content: &Value) -> String {
    let texts = parts(content).into_iter().filter_map(|part| match part {
        Part::Text { text } => Some(text),
        Part::Reasoning(_) | Part::ToolCall(_) => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn parts(content: &Value) -> Vec<Part> {
    match content {
        Value::Null => Vec::new(),
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::Array(pieces) => pieces.iter().map(piece).collect(),
        Value::Object(_) => vec![piece(content)],
        Value::String(text) => vec![Part::Text { text: text.clone() }],
        Value::Bool(_) | Value::Number(_) => vec![Part::Text { text: content.to_string() }],
    }
}

fn piece(piece: &Value) -> Part {
    let field = |name: &str| piece[name].as_str().map(str::to_owned);
    match piece["type"].as_str().unwrap_or_default() {
        "text" => Part::Text { text: field("text").unwrap_or_default() },
        "reasoning" => {
            let opaque = field("signature");
            Part::Reasoning(match (piece["redacted"] == true, field("summary")) {
                (true, Some(text)) => Reasoning::Summary { text, opaque },
                (true, None) => Reasoning::Hidden { opaque: opaque.or_else(|| field("reasoning")) },
                (false, _) => {
                    Reasoning::Full { text: field("reasoning").unwrap_or_default(), opaque }
                }
            })
        }
        "tool_use" | "data" => Part::Text { text: piece.to_string() },
        // Of an image, a sound or a film only what it is: this version looks at texts.
        other => Part::Text { text: format!("[{other}]") },
    }
}

pub(crate) fn calls(message: &Value) -> Vec<ToolCall> {
    message["tool_calls"].as_array().into_iter().flatten().map(call).collect()
}

/// A call, of a message or of the event of a tool.
pub(crate) fn call(value: &Value) -> ToolCall {
    let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let arguments = match &value["arguments"] {
        Value::String(arguments) => arguments.clone(),
        Value::Null => "{}".to_owned(),
        arguments => arguments.to_string(),
    };
    ToolCall { id: field("id"), name: field("function"), arguments }
}

/// What a model returned; `None` if there is no turn in it.
pub(crate) fn output(value: &Value) -> Option<Output> {
    let choice = value["choices"].get(0)?;
    Some(Output {
        message: Message::Assistant { parts: turn(&choice["message"]) },
        stop: match choice["stop_reason"].as_str().unwrap_or_default() {
            "stop" => StopReason::Stop,
            "tool_calls" => StopReason::ToolCalls,
            "max_tokens" | "length" => StopReason::MaxTokens,
            "model_length" => StopReason::ModelLength,
            "content_filter" => StopReason::ContentFilter,
            _ => StopReason::Unknown,
        },
        usage: value["usage"].is_object().then(|| usage(&value["usage"])),
        snapshot: value["model"].as_str().filter(|name| !name.is_empty()).map(str::to_owned),
        fingerprint: None,
        tokens: None,
    })
}

fn usage(value: &Value) -> Usage {
    let count = |name: &str| value[name].as_u64().unwrap_or_default();
    Usage {
        input: count("input_tokens"),
        output: count("output_tokens"),
        cache_read: count("input_tokens_cache_read"),
        cache_write: count("input_tokens_cache_write"),
        reasoning: count("reasoning_tokens"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_keeps_its_texts_reasoning_and_calls() {
        let value = json!({
            "role": "assistant",
            "content": [
                { "type": "reasoning", "reasoning": "hm", "signature": "s" },
                { "type": "reasoning", "reasoning": "x9", "redacted": true },
                { "type": "text", "text": "yes" },
                { "type": "image", "image": "data:image/png;base64,AA==" },
            ],
            "tool_calls": [{ "id": "1", "function": "bash", "arguments": { "cmd": "ls" } }],
        });
        let text = |text: &str| Part::Text { text: text.to_owned() };
        let hidden = Reasoning::Hidden { opaque: Some("x9".to_owned()) };
        let call = ToolCall {
            id: "1".to_owned(),
            name: "bash".to_owned(),
            arguments: r#"{"cmd":"ls"}"#.to_owned(),
        };
        let parts = vec![
            Part::Reasoning(Reasoning::Full {
                text: "hm".to_owned(),
                opaque: Some("s".to_owned()),
            }),
            Part::Reasoning(hidden),
            text("yes"),
            text("[image]"),
            Part::ToolCall(call),
        ];
        assert_eq!(message(&value), Some(Message::Assistant { parts }));
    }

    #[test]
    fn the_error_of_a_tool_stands_for_a_missing_result() {
        let value = json!({
            "role": "tool", "content": "", "tool_call_id": "1", "function": "bash",
            "error": { "type": "timeout", "message": "too slow" },
        });
        assert_eq!(message(&value).unwrap().text(), "too slow");
        assert_eq!(message(&json!({ "role": "ghost", "content": "" })), None);
    }
}
