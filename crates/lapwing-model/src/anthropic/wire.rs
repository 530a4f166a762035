//! The answer: a list of blocks. What is missing or odd is left out here, and the raw bytes are kept elsewhere.

use lapwing_core::{Message, Output, Part, Reasoning, StopReason, ToolCall, Usage};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::stream;
use crate::codec::Unread;
use crate::sse;

#[derive(Deserialize)]
struct WireMessage {
    #[serde(default)]
    model: Value,
    #[serde(default)]
    stop_reason: Value,
    #[serde(default)]
    usage: Value,
    content: Vec<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
struct WireBlock {
    #[serde(default)]
    r#type: Value,
    #[serde(default)]
    text: Value,
    #[serde(default)]
    thinking: Value,
    #[serde(default)]
    id: Value,
    #[serde(default)]
    name: Value,
    #[serde(default)]
    input: Option<Box<RawValue>>,
}

/// The turn of the model `id` in `body`, streamed or not, or why there is none.
pub(crate) fn read(id: &str, body: &[u8]) -> Result<Output, Unread> {
    if sse::is_stream(body) {
        let whole = stream::fold(body)?.to_string();
        return read_whole(id, whole.as_bytes());
    }
    read_whole(id, body)
}

fn read_whole(id: &str, body: &[u8]) -> Result<Output, Unread> {
    let message: WireMessage = serde_json::from_slice(body)?;
    let mut parts = Vec::new();
    for raw in &message.content {
        let block: WireBlock = serde_json::from_str(raw.get()).unwrap_or_default();
        match block.r#type.as_str() {
            Some("text") => {
                let text = block.text.as_str().unwrap_or_default();
                if !text.is_empty() {
                    parts.push(Part::Text { text: text.to_owned() });
                }
            }
            Some("thinking" | "redacted_thinking") => {
                parts.push(Part::Reasoning(reasoning(id, &block, raw.get())));
            }
            Some("tool_use") => parts.push(Part::ToolCall(call(&block, parts.len()))),
            Some(_) | None => {}
        }
    }
    Ok(Output {
        message: Message::Assistant { parts },
        stop: stop_reason(&message.stop_reason),
        usage: usage(&message.usage),
        snapshot: message.model.as_str().map(str::to_owned),
        fingerprint: None,
        tokens: None,
    })
}

/// Claude 3.7 shows its thinking; later models show a summary of it, or none.
fn reasoning(id: &str, block: &WireBlock, raw: &str) -> Reasoning {
    let text = block.thinking.as_str().unwrap_or_default().to_owned();
    let opaque = Some(raw.to_owned());
    match text {
        text if text.is_empty() => Reasoning::Hidden { opaque },
        text if id.contains("claude-3-7") => Reasoning::Full { text, opaque },
        text => Reasoning::Summary { text, opaque },
    }
}

fn call(block: &WireBlock, index: usize) -> ToolCall {
    let raw = block.input.as_ref().map_or("{}", |raw| raw.get());
    ToolCall {
        id: block.id.as_str().map_or_else(|| format!("call-{index}"), str::to_owned),
        name: block.name.as_str().unwrap_or_default().to_owned(),
        // A string is what was streamed.
        arguments: serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned()),
    }
}

fn stop_reason(reason: &Value) -> StopReason {
    match reason.as_str().unwrap_or_default() {
        "end_turn" | "stop_sequence" => StopReason::Stop,
        "tool_use" => StopReason::ToolCalls,
        "max_tokens" => StopReason::MaxTokens,
        "model_context_window_exceeded" => StopReason::ModelLength,
        "refusal" => StopReason::ContentFilter,
        _ => StopReason::Unknown,
    }
}

fn usage(usage: &Value) -> Option<Usage> {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    Some(Usage {
        input: count("input_tokens")?,
        output: count("output_tokens").unwrap_or(0),
        cache_read: count("cache_read_input_tokens").unwrap_or(0),
        cache_write: count("cache_creation_input_tokens").unwrap_or(0),
        reasoning: 0,
    })
}
