//! Messages, outputs and usage as Inspect has them.

use std::collections::BTreeMap;

use lapwing_core::{Event, Message, Output, Part, Reasoning, ToolCall, Usage};
use serde_json::{Map, Value, json};

/// A message under the id of the sample and the event that brought it: data frames take messages of one id for one message.
pub(crate) fn message(sample: &str, event: &Event, message: &Message, model: &str) -> Value {
    let mut value = match message {
        Message::System { text } => json!({ "role": "system", "content": text, "source": "input" }),
        Message::User { text } => json!({ "role": "user", "content": text, "source": "input" }),
        Message::Tool { call_id, name, text } => {
            json!({ "role": "tool", "content": text, "tool_call_id": call_id, "function": name })
        }
        Message::Assistant { parts } => {
            let calls: Vec<Value> = message.tool_calls().map(call).collect();
            let mut turn = json!({
                "role": "assistant", "content": content(parts), "source": "generate", "model": model,
            });
            if !calls.is_empty() {
                turn["tool_calls"] = Value::from(calls);
            }
            turn
        }
    };
    value["id"] = Value::from(format!("{sample}-{}", event.seq));
    value["metadata"] = json!({ "lapwing": { "seq": event.seq, "phase": event.phase } });
    value
}

/// One text as a text, anything else as a list.
fn content(parts: &[Part]) -> Value {
    let said: Vec<&Part> = parts.iter().filter(|part| !matches!(part, Part::ToolCall(_))).collect();
    match said.as_slice() {
        [] => Value::from(""),
        [Part::Text { text }] => Value::from(text.as_str()),
        parts => parts.iter().filter_map(|part| piece(part)).collect(),
    }
}

fn piece(part: &Part) -> Option<Value> {
    let signed = |mut value: Value, opaque: &Option<String>| {
        if let Some(opaque) = opaque {
            value["signature"] = Value::from(opaque.as_str());
        }
        value
    };
    Some(match part {
        Part::Text { text } => json!({ "type": "text", "text": text }),
        Part::Reasoning(Reasoning::Full { text, opaque, .. }) => {
            signed(json!({ "type": "reasoning", "reasoning": text }), opaque)
        }
        Part::Reasoning(Reasoning::Summary { text, opaque, .. }) => {
            let summary = json!({
                "type": "reasoning", "reasoning": "", "summary": text, "redacted": true,
            });
            signed(summary, opaque)
        }
        Part::Reasoning(Reasoning::Hidden { opaque, .. }) => {
            signed(json!({ "type": "reasoning", "reasoning": "", "redacted": true }), opaque)
        }
        Part::ToolCall(_) => return None,
    })
}

fn call(call: &ToolCall) -> Value {
    let (arguments, mistake) = arguments(call);
    let mut value = json!({
        "id": call.id, "function": call.name, "arguments": arguments, "type": "function",
    });
    if let Some(mistake) = mistake {
        value["parse_error"] = Value::from(mistake);
    }
    value
}

/// The arguments as an object. What is none stands under `raw`, with the reason.
pub(crate) fn arguments(call: &ToolCall) -> (Map<String, Value>, Option<String>) {
    match serde_json::from_str(&call.arguments) {
        Ok(arguments) => (arguments, None),
        Err(error) => {
            let raw = Value::from(call.arguments.as_str());
            (Map::from_iter([("raw".to_owned(), raw)]), Some(format!("not a JSON object: {error}")))
        }
    }
}

/// What a model returned. `turn` is its message as [`message`] has it.
pub(crate) fn output(model: &str, output: &Output, turn: &Value, seconds: f64) -> Value {
    let mut value = json!({
        "model": output.snapshot.as_deref().unwrap_or(model),
        "choices": [{ "message": turn, "stop_reason": output.stop }],
        "completion": output.message.text(),
        "time": seconds,
    });
    if let Some(usage) = &output.usage {
        value["usage"] = self::usage(usage);
    }
    if let Some(fingerprint) = &output.fingerprint {
        value["metadata"] = json!({ "fingerprint": fingerprint });
    }
    value
}

/// Tokens, counted as Inspect counts them: `input_tokens` without what a cache gave or took.
fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "total_tokens": usage.total(),
        "input_tokens_cache_read": usage.cache_read,
        "input_tokens_cache_write": usage.cache_write,
        "reasoning_tokens": usage.reasoning,
    })
}

pub(crate) fn usages(usages: BTreeMap<String, Usage>) -> Map<String, Value> {
    usages.into_iter().map(|(name, sum)| (name, usage(&sum))).collect()
}
