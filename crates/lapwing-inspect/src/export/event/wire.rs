//! What went over the wire, as Inspect has it beside a model's turn.

use lapwing_core::{Digest, Role};
use serde_json::{Value, json};

use super::Events;
use crate::export::Broken;
use crate::export::conversation::ranges;

/// What went over the wire.
pub(super) struct Wire {
    pub(super) value: Value,
    /// Numbers of the messages that were sent, in the pool of messages; for roles whose conversation is not the sample's.
    pub(super) asked: Vec<usize>,
}

impl Events<'_, '_> {
    /// What went over the wire, its messages in the pool of calls. `None` if nothing did.
    pub(super) fn wire(
        &mut self,
        request: &[Digest],
        response: Option<Digest>,
        role: Role,
    ) -> Result<Option<Wire>, Broken> {
        if request.is_empty() && response.is_none() {
            return Ok(None);
        }
        let mut sent = Vec::new();
        for digest in request {
            sent.extend(self.log.source.run.blob(*digest)?.unwrap_or_default());
        }
        let mut sent = object(&sent);
        let mut wire = Wire { value: json!({}), asked: Vec::new() };
        let listed = ["messages", "contents"].into_iter().find(|key| sent[*key].is_array());
        if let Some(key) = listed {
            let messages = sent[key].take();
            let mut numbers = Vec::new();
            for mut message in messages.as_array().cloned().unwrap_or_default() {
                if let (false, Some(plain)) = (role == Role::Target, plain(&message)) {
                    wire.asked.push(self.conversation.pooled(plain, &mut self.texts)?);
                }
                self.texts.shorten(&mut message)?;
                let bytes = message.to_string().into_bytes();
                numbers.push(self.calls.keep(Digest::of(&bytes), &bytes)?);
            }
            wire.value["call_refs"] = json!(ranges(numbers.into_iter()));
            wire.value["call_key"] = Value::from(key);
            sent.as_object_mut().map(|sent| sent.remove(key));
        }
        self.texts.shorten(&mut sent)?;
        wire.value["request"] = sent;
        if let Some(response) = response {
            let came = self.log.source.run.blob(response)?.unwrap_or_default();
            let mut came = object(&came);
            self.texts.shorten(&mut came)?;
            wire.value["response"] = came;
        }
        Ok(Some(wire))
    }
}

/// The bytes as a JSON object; what is none stands under `text`.
fn object(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Value::Object(fields),
        Ok(_) | Err(_) => json!({ "text": String::from_utf8_lossy(bytes) }),
    }
}

/// A message of the wire, if it is one of text.
fn plain(wire: &Value) -> Option<Value> {
    let role = match wire["role"].as_str()? {
        "developer" => "system",
        role @ ("system" | "user" | "assistant") => role,
        _ => return None,
    };
    let content = match &wire["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => return None,
    };
    Some(json!({ "role": role, "content": content }))
}
