//! The answer. Everything is optional: what is missing or odd is left out here, and the raw bytes are kept elsewhere.

use lapwing_core::{Message, Output, Part, Reasoning, StopReason, Tokens, ToolCall, Usage};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::stream;
use crate::codec::{Dialect, Unread};
use crate::sse;

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    model: Value,
    #[serde(default)]
    system_fingerprint: Value,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    prompt_token_ids: Value,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Box<RawValue>,
    #[serde(default)]
    finish_reason: Value,
    #[serde(default)]
    logprobs: Value,
    #[serde(default)]
    token_ids: Value,
}

#[derive(Deserialize)]
struct WireMessage {
    #[serde(default)]
    content: Value,
    #[serde(default)]
    refusal: Value,
    #[serde(default)]
    tool_calls: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
struct WireCall {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    function: WireFunction,
}

#[derive(Default, Deserialize)]
struct WireFunction {
    #[serde(default)]
    name: Value,
    #[serde(default)]
    arguments: Option<Box<RawValue>>,
}

/// The members in which compatible servers put reasoning, each exactly as it came.
#[derive(Deserialize)]
pub(super) struct ReasoningMembers {
    #[serde(default)]
    reasoning_content: Option<Box<RawValue>>,
    #[serde(default)]
    reasoning: Option<Box<RawValue>>,
    #[serde(default)]
    reasoning_details: Option<Box<RawValue>>,
}

impl ReasoningMembers {
    /// Reads them from a JSON object that may hold more.
    pub(super) fn parse(object: &str) -> Option<Self> {
        serde_json::from_str(object).ok()
    }

    /// `,"name":value` for each, to be put before the closing brace of an object.
    pub(super) fn joined(&self) -> String {
        let members = [
            ("reasoning_content", &self.reasoning_content),
            ("reasoning", &self.reasoning),
            ("reasoning_details", &self.reasoning_details),
        ];
        let present = members.into_iter().filter_map(|(name, raw)| Some((name, raw.as_ref()?)));
        let members = present.map(|(name, raw)| format!(r#","{name}":{}"#, raw.get()));
        members.collect::<Vec<_>>().concat()
    }

    fn reasoning(&self) -> Option<Reasoning> {
        let texts = [&self.reasoning_content, &self.reasoning].into_iter().flatten();
        let text = texts
            .filter_map(|raw| serde_json::from_str::<String>(raw.get()).ok())
            .find(|text| !text.is_empty());
        let details: Option<Value> =
            self.reasoning_details.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok());
        let details = details.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_summary = details.iter().any(|detail| detail["type"] == "reasoning.summary");
        let opaque = Some(format!("{{{}}}", self.joined().trim_start_matches(',')));
        match text {
            Some(text) if is_summary => Some(Reasoning::Summary { text, opaque }),
            Some(text) => Some(Reasoning::Full { text, opaque }),
            None if details.is_empty() => None,
            None => Some(Reasoning::Hidden { opaque }),
        }
    }
}

/// The turn in `body`, streamed or not, or why there is none.
pub(crate) fn read(dialect: Dialect, body: &[u8]) -> Result<Output, Unread> {
    if sse::is_stream(body) {
        let whole = stream::fold(body)?.to_string();
        return read_whole(dialect, whole.as_bytes());
    }
    read_whole(dialect, body)
}

/// Who served it, as routers say.
pub(crate) fn upstream(body: &[u8]) -> Option<String> {
    let whole: Value = if sse::is_stream(body) {
        stream::fold(body).ok()?
    } else {
        serde_json::from_slice(body).ok()?
    };
    Some(whole.get("provider")?.as_str()?.to_owned())
}

fn read_whole(dialect: Dialect, body: &[u8]) -> Result<Output, Unread> {
    let completion: Completion = serde_json::from_slice(body)?;
    let choice = completion.choices.first();
    let choice = choice.ok_or_else(|| Unread::Odd("its list of choices is empty".to_owned()))?;
    let raw = choice.message.get();
    let message: WireMessage = serde_json::from_str(raw)?;
    let usage = usage(&completion.usage);
    let refusal = message.refusal.as_str().filter(|text| !text.is_empty());
    let calls = tool_calls(message.tool_calls.as_deref());
    let stop = match refusal {
        Some(_) => StopReason::ContentFilter,
        None => stop_reason(&choice.finish_reason, !calls.is_empty()),
    };
    let mut reasoning = ReasoningMembers::parse(raw).and_then(|members| members.reasoning());
    let mut answer = content(&message.content);
    if reasoning.is_none() && dialect != Dialect::Official {
        (reasoning, answer) = without_tags(answer);
    }
    let is_hidden = usage.is_some_and(|usage| usage.reasoning > 0);
    let reasoning = reasoning.or_else(|| is_hidden.then_some(Reasoning::Hidden { opaque: None }));
    let texts = [answer, refusal.map(str::to_owned)].into_iter().flatten();
    let parts = reasoning
        .into_iter()
        .map(Part::Reasoning)
        .chain(texts.map(|text| Part::Text { text }))
        .chain(calls.into_iter().map(Part::ToolCall))
        .collect();
    Ok(Output {
        message: Message::Assistant { parts },
        stop,
        usage,
        snapshot: completion.model.as_str().map(str::to_owned),
        fingerprint: completion.system_fingerprint.as_str().map(str::to_owned),
        tokens: tokens(&completion.prompt_token_ids, choice),
    })
}

/// Takes reasoning between `<think>` and `</think>` out of an answer. Some chat templates write the first tag themselves, so
/// that only the second is in the answer; where only the first is, the answer was cut in mid-thought.
fn without_tags(answer: Option<String>) -> (Option<Reasoning>, Option<String>) {
    const BEGIN: &str = "<think>";
    const END: &str = "</think>";
    let Some(answer) = answer else { return (None, None) };
    let opened = answer.trim_start().strip_prefix(BEGIN);
    let (thought, rest) = match (opened, answer.split_once(END)) {
        (Some(opened), _) => opened.split_once(END).unwrap_or((opened, "")),
        (None, Some((before, rest))) if !before.contains(BEGIN) => (before, rest),
        (None, _) => return (None, Some(answer)),
    };
    let (thought, rest) = (thought.trim(), rest.trim_start());
    let full = Reasoning::Full { text: thought.to_owned(), opaque: None };
    ((!thought.is_empty()).then_some(full), (!rest.is_empty()).then(|| rest.to_owned()))
}

/// The answer text: a string, or the texts of a list of parts.
fn content(content: &Value) -> Option<String> {
    let text = match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str())
            .collect::<Vec<_>>()
            .join("\n"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The calls in a list; one that is odd is a call without a name, so that it is answered and not lost.
fn tool_calls(list: Option<&RawValue>) -> Vec<ToolCall> {
    let list: Vec<&RawValue> =
        list.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default();
    list.into_iter()
        .map(|call| serde_json::from_str(call.get()).unwrap_or_default())
        .enumerate()
        .map(|(index, call)| tool_call(index, &call))
        .collect()
}

fn tool_call(index: usize, call: &WireCall) -> ToolCall {
    let arguments = call.function.arguments.as_ref().map_or("", |raw| raw.get());
    ToolCall {
        id: call.id.as_str().map_or_else(|| format!("call-{index}"), str::to_owned),
        name: call.function.name.as_str().unwrap_or_default().to_owned(),
        // A string by the book; some servers send the object itself.
        arguments: serde_json::from_str(arguments).unwrap_or_else(|_| arguments.to_owned()),
    }
}

fn stop_reason(reason: &Value, calls_tools: bool) -> StopReason {
    match reason.as_str().unwrap_or_default() {
        "length" => StopReason::MaxTokens,
        "model_length" => StopReason::ModelLength,
        "content_filter" => StopReason::ContentFilter,
        _ if calls_tools => StopReason::ToolCalls,
        "stop" => StopReason::Stop,
        _ => StopReason::Unknown,
    }
}

fn usage(usage: &Value) -> Option<Usage> {
    let count = |object: &Value, name| object.get(name).and_then(Value::as_u64);
    let detail = |of, name| usage.get(of).and_then(|details| count(details, name)).unwrap_or(0);
    let cache_read = detail("prompt_tokens_details", "cached_tokens");
    Some(Usage {
        input: count(usage, "prompt_tokens")?.saturating_sub(cache_read),
        output: count(usage, "completion_tokens").unwrap_or(0),
        cache_read,
        cache_write: 0,
        reasoning: detail("completion_tokens_details", "reasoning_tokens"),
    })
}

/// Token ids and log-probabilities, if the server gives both and they fit together.
fn tokens(prompt: &Value, choice: &Choice) -> Option<Tokens> {
    let completion = ids(&choice.token_ids)?;
    let entries = choice.logprobs.get("content")?.as_array()?;
    let logprobs: Option<Vec<f32>> =
        entries.iter().map(|entry| Some(entry.get("logprob")?.as_f64()? as f32)).collect();
    let logprobs = logprobs.filter(|logprobs| logprobs.len() == completion.len())?;
    Some(Tokens { prompt: ids(prompt)?, completion, logprobs })
}

fn ids(list: &Value) -> Option<Vec<u32>> {
    list.as_array()?.iter().map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}
