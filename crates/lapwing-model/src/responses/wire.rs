//! The answer: a list of items. What is missing or odd is left out here, and the raw bytes are kept elsewhere.

use lapwing_core::{Message, Output, Part, Reasoning, StopReason, ToolCall, Usage};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::codec::Unread;
use crate::sse;

#[derive(Deserialize)]
struct WireResponse {
    #[serde(default)]
    model: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    incomplete_details: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    usage: Value,
    output: Vec<Box<RawValue>>,
}

/// An event of a stream. The last one holds the whole response.
#[derive(Deserialize)]
struct WireEvent {
    #[serde(default)]
    r#type: Value,
    #[serde(default)]
    response: Option<Box<RawValue>>,
}

/// The turn in `body`, streamed or not, or why there is none.
pub(crate) fn read(body: &[u8]) -> Result<Output, Unread> {
    if !sse::is_stream(body) {
        return read_whole(body);
    }
    let events = sse::events(body);
    let n_events = events.len();
    for (index, event) in events.into_iter().enumerate() {
        if event.data.trim() == "[DONE]" {
            continue;
        }
        let read: WireEvent = match serde_json::from_str(&event.data) {
            Ok(read) => read,
            Err(error) if index + 1 == n_events => return Err(Unread::Cut(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        match (read.r#type.as_str().unwrap_or(&event.kind), read.response) {
            ("response.completed" | "response.incomplete" | "response.failed", Some(response)) => {
                return read_whole(response.get().as_bytes());
            }
            ("error", _) => {
                let said = serde_json::from_str(&event.data).unwrap_or_default();
                return Err(Unread::Said(said));
            }
            _ => {}
        }
    }
    Err(Unread::Cut("the stream ended before the answer did".to_owned()))
}

fn read_whole(body: &[u8]) -> Result<Output, Unread> {
    let response: WireResponse = serde_json::from_slice(body)?;
    if !response.error.is_null() {
        return Err(Unread::Said(serde_json::json!({ "error": response.error })));
    }
    let usage = usage(&response.usage);
    let mut parts = Vec::new();
    let mut refused = false;
    for raw in &response.output {
        let item: Value = serde_json::from_str(raw.get()).unwrap_or_default();
        match item["type"].as_str() {
            Some("reasoning") => parts.push(Part::Reasoning(reasoning(&item, raw.get()))),
            Some("function_call") => parts.push(Part::ToolCall(call(&item, parts.len()))),
            Some("message") => {
                for part in item["content"].as_array().into_iter().flatten() {
                    let refusal = part["refusal"].as_str();
                    refused |= refusal.is_some();
                    let text = refusal.or_else(|| part["text"].as_str()).unwrap_or_default();
                    if !text.is_empty() {
                        parts.push(Part::Text { text: text.to_owned() });
                    }
                }
            }
            Some(_) | None => {}
        }
    }
    let is_reasoning = |part: &Part| matches!(part, Part::Reasoning(_));
    if usage.is_some_and(|usage| usage.reasoning > 0) && !parts.iter().any(is_reasoning) {
        parts.insert(0, Part::Reasoning(Reasoning::Hidden { opaque: None }));
    }
    let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let incomplete = response.incomplete_details["reason"].as_str();
    let stop = match (response.status.as_str(), incomplete) {
        _ if refused => StopReason::ContentFilter,
        (Some("incomplete"), Some("max_output_tokens")) => StopReason::MaxTokens,
        (Some("incomplete"), Some("content_filter")) => StopReason::ContentFilter,
        _ if calls => StopReason::ToolCalls,
        (Some("completed"), _) => StopReason::Stop,
        _ => StopReason::Unknown,
    };
    Ok(Output {
        message: Message::Assistant { parts },
        stop,
        usage,
        snapshot: response.model.as_str().map(str::to_owned),
        fingerprint: None,
        tokens: None,
    })
}

/// Reasoning as far as it is shown: its text, else its summary, else nothing.
fn reasoning(item: &Value, raw: &str) -> Reasoning {
    let texts = |name: &str| {
        let parts = item[name].as_array().map_or(&[][..], Vec::as_slice);
        let texts: Vec<_> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
        Some(texts.join("\n\n")).filter(|text| !text.is_empty())
    };
    let opaque = Some(raw.to_owned());
    match (texts("content"), texts("summary")) {
        (Some(text), _) => Reasoning::Full { text, opaque },
        (None, Some(text)) => Reasoning::Summary { text, opaque },
        (None, None) => Reasoning::Hidden { opaque },
    }
}

fn call(item: &Value, index: usize) -> ToolCall {
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let id = Some(text("call_id")).filter(|id| !id.is_empty());
    ToolCall {
        id: id.unwrap_or_else(|| format!("call-{index}")),
        name: text("name"),
        arguments: text("arguments"),
    }
}

fn usage(usage: &Value) -> Option<Usage> {
    let count = |pointer| usage.pointer(pointer).and_then(Value::as_u64);
    let cache_read = count("/input_tokens_details/cached_tokens").unwrap_or(0);
    Some(Usage {
        input: count("/input_tokens")?.saturating_sub(cache_read),
        output: count("/output_tokens").unwrap_or(0),
        cache_read,
        cache_write: 0,
        reasoning: count("/output_tokens_details/reasoning_tokens").unwrap_or(0),
    })
}
