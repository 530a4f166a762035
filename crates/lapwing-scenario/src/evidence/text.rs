//! What a model wrote.

use std::collections::HashMap;

use lapwing_core::{Act, Event, Message, Part, Reasoning, Role, ToolCall};
use serde_json::{Map, Value, json};

use super::{Found, Item, Search, TextOf, Unknown};

pub(super) fn find(of: TextOf, search: &Search, events: &[Event], inside: &[&Event]) -> Found {
    let mut items = Vec::new();
    let mut gap = None;
    let mut turns: HashMap<&str, u64> = HashMap::new();
    let mut wanted = inside.iter().map(|event| event.seq).peekable();
    for event in events {
        while wanted.next_if(|seq| *seq < event.seq).is_some() {}
        let Act::Generated { role: Role::Target, output: Some(output), .. } = &event.act else {
            continue;
        };
        let turn = turns.entry(&event.phase).or_default();
        *turn += 1;
        if wanted.peek() != Some(&event.seq) {
            continue;
        }
        let text = match of {
            TextOf::Answer => answer(&output.message),
            TextOf::Reasoning => {
                let (shown, is_hidden) = reasoning(&output.message);
                if is_hidden {
                    // What was found stands; that there is no more cannot be said of a text that was not shown whole.
                    let reason = format!("the provider hides the reasoning of event {}", event.seq);
                    Unknown::Missing(reason).note(&mut gap);
                }
                shown
            }
        };
        let hits = search.find(&text);
        if hits.is_cut {
            let reason = format!("event {} has more encoded text than is read", event.seq);
            Unknown::Missing(reason).note(&mut gap);
        }
        for hit in hits.all {
            let what = hit.place();
            let fields = [
                ("match", Value::from(hit.matched)),
                ("text", Value::from(text.as_str())),
                ("turn", json!(*turn)),
                ("encoding", Value::from(hit.encoding)),
            ];
            let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
            items.push(Item { seq: event.seq, what, fields });
        }
    }
    Found { items, gap, looked_at: inside.last().map(|event| event.seq) }
}

/// What a turn says, then what it hands in with `submit`, joined by line breaks.
pub(super) fn answer(message: &Message) -> String {
    let submitted = message.tool_calls().filter_map(submitted);
    let texts = std::iter::once(message.text()).chain(submitted);
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The answer of a call of `submit` that can be read.
fn submitted(call: &ToolCall) -> Option<String> {
    let arguments: Map<String, Value> = serde_json::from_str(&call.arguments).ok()?;
    let answer = arguments.get("answer")?.as_str()?;
    (call.name == "submit").then(|| answer.to_owned())
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
