//! A streamed answer, put together to the object that it would have been in one piece.

use serde_json::{Map, Value, json};

use crate::codec::Unread;
use crate::sse;

/// Texts of a reasoning detail that come in pieces.
const PIECES: [&str; 3] = ["text", "summary", "data"];

/// The completion that the stream in `body` tells.
pub(super) fn fold(body: &[u8]) -> Result<Value, Unread> {
    let events = sse::events(body);
    let mut whole = Whole::default();
    let n_events = events.len();
    for (index, event) in events.into_iter().enumerate() {
        if event.data.trim() == "[DONE]" {
            whole.ended = true;
            break;
        }
        match serde_json::from_str::<Value>(&event.data) {
            Ok(chunk) if chunk.get("error").is_some_and(|error| !error.is_null()) => {
                return Err(Unread::Said(chunk));
            }
            Ok(chunk) => whole.add(&chunk),
            Err(error) if index + 1 == n_events => return Err(Unread::Cut(error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    if !whole.ended {
        return Err(Unread::Cut("the stream ended before the answer did".to_owned()));
    }
    Ok(whole.completion())
}

#[derive(Default)]
struct Whole {
    ended: bool,
    /// Members of the completion that are the same in every chunk.
    top: Map<String, Value>,
    /// Members of the choice beside its message.
    choice: Map<String, Value>,
    message: Map<String, Value>,
    calls: Vec<Map<String, Value>>,
    details: Vec<Value>,
}

impl Whole {
    fn add(&mut self, chunk: &Value) {
        for name in ["id", "model", "system_fingerprint", "usage", "provider", "prompt_token_ids"] {
            if let Some(value) = chunk.get(name).filter(|value| !value.is_null()) {
                self.top.insert(name.to_owned(), value.clone());
            }
        }
        let choices = chunk.get("choices").and_then(Value::as_array);
        let is_first = |choice: &&Value| choice.get("index").is_none_or(|index| index == 0);
        for choice in choices.into_iter().flatten().filter(is_first) {
            self.add_choice(choice);
        }
    }

    fn add_choice(&mut self, choice: &Value) {
        if let Some(reason) = choice.get("finish_reason").filter(|reason| !reason.is_null()) {
            self.choice.insert("finish_reason".to_owned(), reason.clone());
            self.ended = true;
        }
        append_list(&mut self.choice, "token_ids", choice.get("token_ids"));
        let logprobs = choice.pointer("/logprobs/content");
        if let Some(logprobs) = logprobs.filter(|logprobs| logprobs.is_array()) {
            let kept = self.choice.entry("logprobs").or_insert_with(|| json!({}));
            if let Some(kept) = kept.as_object_mut() {
                append_list(kept, "content", Some(logprobs));
            }
        }
        let Some(delta) = choice.get("delta") else { return };
        for name in ["content", "refusal", "reasoning_content", "reasoning"] {
            append_text(&mut self.message, name, delta.get(name));
        }
        for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.add_call(call);
        }
        let details = delta.get("reasoning_details").and_then(Value::as_array);
        for detail in details.into_iter().flatten() {
            self.add_detail(detail);
        }
    }

    fn add_call(&mut self, piece: &Value) {
        let id = piece.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let index = piece.get("index").and_then(Value::as_u64).map(|index| index as usize);
        // Servers that number no calls begin each with its id.
        let place = index.unwrap_or_else(|| match id {
            Some(_) => self.calls.len(),
            None => self.calls.len().saturating_sub(1),
        });
        // A number far beyond what came so far is no place.
        let place = place.min(self.calls.len());
        if place == self.calls.len() {
            self.calls.push(Map::new());
        }
        let call = &mut self.calls[place];
        if let Some(id) = id {
            call.insert("id".to_owned(), json!(id));
        }
        let function = call.entry("function").or_insert_with(|| json!({}));
        let (Some(function), Some(piece)) = (function.as_object_mut(), piece.get("function"))
        else {
            return;
        };
        if let Some(name) = piece.get("name").filter(|name| name.as_str() != Some("")) {
            function.insert("name".to_owned(), name.clone());
        }
        match piece.get("arguments") {
            Some(object @ Value::Object(_)) => {
                function.insert("arguments".to_owned(), object.clone());
            }
            arguments => append_text(function, "arguments", arguments),
        }
    }

    fn add_detail(&mut self, piece: &Value) {
        let same = |kept: &&mut Value| {
            ["index", "type"].iter().all(|name| kept.get(name) == piece.get(name))
                && piece.get("index").is_some()
        };
        let kept = self.details.last_mut().filter(same).and_then(Value::as_object_mut);
        let (Some(kept), Some(piece)) = (kept, piece.as_object()) else {
            self.details.push(piece.clone());
            return;
        };
        for (name, value) in piece {
            if PIECES.contains(&name.as_str()) {
                append_text(kept, name, Some(value));
            } else if !value.is_null() {
                kept.insert(name.clone(), value.clone());
            }
        }
    }

    fn completion(mut self) -> Value {
        if !self.calls.is_empty() {
            self.message.insert("tool_calls".to_owned(), json!(self.calls));
        }
        if !self.details.is_empty() {
            self.message.insert("reasoning_details".to_owned(), json!(self.details));
        }
        self.choice.insert("message".to_owned(), Value::Object(self.message));
        self.top.insert("choices".to_owned(), json!([self.choice]));
        Value::Object(self.top)
    }
}

fn append_text(object: &mut Map<String, Value>, name: &str, piece: Option<&Value>) {
    let Some(piece) = piece.and_then(Value::as_str) else { return };
    match object.get_mut(name) {
        Some(Value::String(text)) => text.push_str(piece),
        Some(_) | None => drop(object.insert(name.to_owned(), json!(piece))),
    }
}

fn append_list(object: &mut Map<String, Value>, name: &str, piece: Option<&Value>) {
    let Some(piece) = piece.and_then(Value::as_array) else { return };
    match object.get_mut(name) {
        Some(Value::Array(list)) => list.extend(piece.iter().cloned()),
        Some(_) | None => drop(object.insert(name.to_owned(), json!(piece))),
    }
}
