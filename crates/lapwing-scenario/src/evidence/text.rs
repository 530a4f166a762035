//! What a model wrote.

use lapwing_core::{Act, Event, Message, Part, Reasoning, Role};
use regex::Regex;
use serde_json::Value;

use super::{Found, Item, TextOf};

pub(super) fn find(of: TextOf, pattern: &Regex, events: &[&Event]) -> Found {
    let mut items = Vec::new();
    let mut hidden = None;
    for event in events {
        let Act::Generated { role: Role::Target, output: Some(output), .. } = &event.act else {
            continue;
        };
        let text = match of {
            TextOf::Answer => output.message.text(),
            TextOf::Reasoning => {
                let (shown, is_hidden) = reasoning(&output.message);
                hidden = hidden.or(is_hidden.then_some(event.seq));
                shown
            }
        };
        if let Some(found) = pattern.find(&text) {
            let what = format!("bytes {} to {}", found.start(), found.end());
            let fields = [("match", found.as_str()), ("text", text.as_str())];
            let fields = fields.map(|(name, text)| (name.to_owned(), Value::from(text)));
            items.push(Item { seq: event.seq, what, fields: fields.into() });
        }
    }
    // What was found stands; that there is no more cannot be said of a text that was not shown whole.
    let gap = hidden.map(|seq| format!("the provider hides the reasoning of event {seq}"));
    Found { items, gap, looked_at: events.last().map(|event| event.seq) }
}

/// The reasoning that is shown, its parts joined by line breaks, and whether some is hidden or only summarised.
pub(super) fn reasoning(message: &Message) -> (String, bool) {
    let parts = match message {
        Message::Assistant { parts } => parts.as_slice(),
        Message::System { .. } | Message::User { .. } | Message::Tool { .. } => &[],
    };
    let mut shown = Vec::new();
    let mut hidden = false;
    for part in parts {
        match part {
            Part::Reasoning(Reasoning::Full { text, .. }) => shown.push(text.as_str()),
            Part::Reasoning(Reasoning::Summary { text, .. }) => {
                shown.push(text.as_str());
                hidden = true;
            }
            Part::Reasoning(Reasoning::Hidden { .. }) => hidden = true,
            Part::Text { .. } | Part::ToolCall(_) => {}
        }
    }
    (shown.join("\n"), hidden)
}
