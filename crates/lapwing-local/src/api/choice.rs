//! What both formats tell of a choice: why it ended, and the probabilities of its tokens.

use lapwing_lab::sample::End;
use serde_json::{Value, json};

use crate::engine::Step;
use crate::model::Local;

/// Why an answer ended, in OpenAI's words.
pub(super) fn reason(end: End, calls: bool) -> &'static str {
    match end {
        End::Stop if calls => "tool_calls",
        End::Stop => "stop",
        End::Length | End::Context => "length",
    }
}

/// How a token is shown: its text, or its spelling where it has no text of its own.
pub(super) fn shown(model: &Local, token: u32) -> String {
    let tokenizer = model.tokenizer();
    let text = tokenizer.decode(&[token]).unwrap_or_default();
    if text.is_empty() { tokenizer.spelling(token).unwrap_or_default() } else { text }
}

/// `logprobs` of Chat Completions for some tokens.
pub(super) fn chat_logprobs(model: &Local, steps: &[Step]) -> Value {
    let entry = |token: u32, log_probability: f32| {
        let text = shown(model, token);
        // A part of a character is no text, and its bytes are not known.
        let bytes = (!text.contains(char::REPLACEMENT_CHARACTER)).then(|| text.as_bytes().to_vec());
        json!({ "token": text, "logprob": log_probability, "bytes": bytes })
    };
    let entries = steps.iter().map(|step| {
        let top: Vec<Value> = step.top.iter().map(|(token, value)| entry(*token, *value)).collect();
        let mut entry = entry(step.token, step.log_probability);
        entry["top_logprobs"] = Value::Array(top);
        entry
    });
    json!({ "content": entries.collect::<Vec<_>>(), "refusal": null })
}

/// `logprobs` of Completions for some tokens, the first of which begins at the character `offset`.
pub(super) fn text_logprobs(model: &Local, steps: &[Step], mut offset: usize) -> Value {
    let (mut tokens, mut offsets) = (Vec::new(), Vec::new());
    for step in steps {
        let text = shown(model, step.token);
        offsets.push(offset);
        offset += text.chars().count();
        tokens.push(text);
    }
    let top = |step: &Step| {
        let pairs = step.top.iter().map(|(token, value)| (shown(model, *token), json!(value)));
        Value::Object(pairs.collect())
    };
    json!({
        "tokens": tokens,
        "token_logprobs": steps.iter().map(|step| step.log_probability).collect::<Vec<_>>(),
        "top_logprobs": steps.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}

/// Ids of tokens.
pub(super) fn ids(steps: &[Step]) -> Vec<u32> {
    steps.iter().map(|step| step.token).collect()
}
