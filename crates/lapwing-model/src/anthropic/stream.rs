//! A streamed answer, put together to the message that it would have been in one piece.

use serde_json::{Map, Value, json};

use crate::codec::Unread;
use crate::sse;

/// The message that the stream in `body` tells.
pub(super) fn fold(body: &[u8]) -> Result<Value, Unread> {
    let events = sse::events(body);
    let mut whole = Whole::default();
    let n_events = events.len();
    for (index, event) in events.into_iter().enumerate() {
        match serde_json::from_str::<Value>(&event.data) {
            Ok(said) if said["type"] == "error" => return Err(Unread::Said(said)),
            Ok(said) => whole.add(&said),
            Err(error) if index + 1 == n_events => return Err(Unread::Cut(error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    if !whole.ended {
        return Err(Unread::Cut("the stream ended before the answer did".to_owned()));
    }
    Ok(whole.message())
}

#[derive(Default)]
struct Whole {
    ended: bool,
    message: Map<String, Value>,
    blocks: Vec<Block>,
}

#[derive(Default)]
struct Block {
    start: Map<String, Value>,
    /// The pieces of a tool's input, which are JSON only together.
    input: String,
}

impl Whole {
    fn add(&mut self, event: &Value) {
        match event["type"].as_str() {
            Some("message_start") => {
                let message = event["message"].as_object();
                self.message.extend(message.cloned().into_iter().flatten());
            }
            Some("content_block_start") => {
                let start = event["content_block"].as_object().cloned().unwrap_or_default();
                self.blocks.push(Block { start, input: String::new() });
            }
            Some("content_block_delta") => self.add_delta(event),
            Some("message_delta") => {
                let delta = event["delta"].as_object();
                self.message.extend(delta.cloned().into_iter().flatten());
                // Later counts replace earlier ones; what is not counted again stays.
                let usage = event["usage"].as_object().cloned().into_iter().flatten();
                let kept = self.message.entry("usage").or_insert_with(|| json!({}));
                if let Some(kept) = kept.as_object_mut() {
                    kept.extend(usage.filter(|(_, count)| !count.is_null()));
                }
            }
            Some("message_stop") => self.ended = true,
            Some(_) | None => {}
        }
    }

    fn add_delta(&mut self, event: &Value) {
        let place = event["index"].as_u64().map(|index| index as usize);
        let place = place.unwrap_or(self.blocks.len().saturating_sub(1));
        let Some(block) = self.blocks.get_mut(place) else { return };
        let delta = &event["delta"];
        for name in ["text", "thinking", "signature", "data"] {
            let Some(piece) = delta[name].as_str() else { continue };
            match block.start.get_mut(name) {
                Some(Value::String(text)) => text.push_str(piece),
                Some(_) | None => drop(block.start.insert(name.to_owned(), json!(piece))),
            }
        }
        block.input.push_str(delta["partial_json"].as_str().unwrap_or_default());
    }

    fn message(mut self) -> Value {
        let content = self.blocks.into_iter().map(|Block { mut start, input }| {
            if !input.is_empty() {
                // As text: read and written again it would no longer be what the model wrote.
                start.insert("input".to_owned(), Value::String(input));
            }
            Value::Object(start)
        });
        self.message.insert("content".to_owned(), content.collect());
        Value::Object(self.message)
    }
}
