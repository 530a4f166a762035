//! Calls of tools: from the event that makes one to the event that ends it.

use std::io;

use lapwing_core::{Act, Event, Message, ToolCall};
use serde_json::{Value, json};

use super::Events;
use crate::export::message::{arguments, message};
use crate::names::time;

/// A call that has not returned.
pub(super) struct OpenCall {
    pub(super) seq: u64,
    pub(super) at_ms: u64,
    pub(super) call: ToolCall,
}

impl Events<'_, '_> {
    pub(super) fn returned(
        &mut self,
        event: &Event,
        call_id: &str,
        text: &str,
        error: Option<&str>,
        dropped: u64,
    ) -> io::Result<()> {
        let Some(open) = self.open.take() else { return self.info(event) };
        let said = Message::Tool {
            call_id: call_id.to_owned(),
            name: open.call.name.clone(),
            text: text.to_owned(),
        };
        let mut said = message(&self.uuid, event, &said, self.log.model);
        let error = error.map(|error| json!({ "type": "parsing", "message": error }));
        if let Some(error) = &error {
            said["error"] = error.clone();
        }
        self.conversation.push(&said, &mut self.texts)?;
        let mut body = self.tool(&open)?;
        body["result"] = Value::from(text);
        body["completed"] = Value::from(time(event.at_ms));
        body["working_time"] = json!(event.at_ms.saturating_sub(open.at_ms) as f64 / 1000.0);
        body["message_id"] = said["id"].clone();
        if let Some(error) = error {
            body["error"] = error;
        }
        if dropped > 0 {
            let shown = text.len() as u64;
            body["truncated"] = json!([shown + dropped, shown]);
        }
        self.tool_event(event, &open, body)
    }

    fn tool(&mut self, open: &OpenCall) -> io::Result<Value> {
        let (arguments, _) = arguments(&open.call);
        let mut arguments = Value::Object(arguments);
        self.texts.shorten(&mut arguments)?;
        Ok(json!({
            "id": open.call.id, "function": open.call.name, "arguments": arguments, "type": "function",
        }))
    }

    fn tool_event(&mut self, event: &Event, open: &OpenCall, body: Value) -> io::Result<()> {
        let span = format!("tool-{}", open.seq);
        let mut value = self.value(event, "tool", body, open.at_ms);
        value["span_id"] = Value::from(span.as_str());
        self.out.element(&value)?;
        let mut end = self.value(event, "span_end", json!({ "id": span }), event.at_ms);
        end["span_id"] = Value::from(span);
        self.out.element(&end)
    }

    /// Ends a call that never returned, because something broke or a limit was reached in it.
    pub(super) fn close_call(&mut self, at_ms: u64) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let mut body = self.tool(&open)?;
        body["error"] = json!({ "type": "unknown", "message": "the call did not return" });
        body["failed"] = Value::from(true);
        let event = Event { seq: open.seq, phase: String::new(), at_ms, act: Act::SampleEnded };
        self.tool_event(&event, &open, body)
    }
}
