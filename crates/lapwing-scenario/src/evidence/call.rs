//! Tool calls that were carried out.

use std::collections::BTreeMap;

use lapwing_core::{Act, Event, ToolCall};
use serde_json::{Map, Value};

use super::{Found, Item, Search, Unknown};

/// Calls of `tool` one of whose arguments is what is searched for. One that could not be read or carried out is none;
/// of one that did not return nobody knows.
pub(super) fn find(tool: &str, search: &Search, events: &[Event], inside: &[&Event]) -> Found {
    let mut items = Vec::new();
    let mut gap = None;
    for event in inside {
        let Act::ToolCalled { call } = &event.act else { continue };
        if call.name != tool {
            continue;
        }
        let Some(item) = item(event.seq, call, search) else { continue };
        match carried_out(event.seq, &call.id, events) {
            Some(true) => items.push(item),
            Some(false) => {}
            None => Unknown::Missing(format!("the call of event {} did not return", event.seq))
                .note(&mut gap),
        }
    }
    Found { items, gap, looked_at: inside.last().map(|event| event.seq) }
}

/// Whether the call returned without a mistake. Ids may repeat from turn to turn: its own return is the first behind it.
fn carried_out(called: u64, id: &str, events: &[Event]) -> Option<bool> {
    let behind = events.partition_point(|event| event.seq <= called);
    events[behind..].iter().find_map(|event| match &event.act {
        Act::ToolReturned { call_id, error, .. } if call_id == id => Some(error.is_none()),
        _ => None,
    })
}

fn item(seq: u64, call: &ToolCall, search: &Search) -> Option<Item> {
    let read: Map<String, Value> = serde_json::from_str(&call.arguments).unwrap_or_default();
    let mut fields: BTreeMap<String, Value> = read.into_iter().collect();
    let is_excepted =
        |text: &str| search.except.as_ref().is_some_and(|except| except.is_match(text));
    let texts = || fields.values().filter_map(Value::as_str);
    if texts().any(is_excepted) {
        return None;
    }
    let hit = texts().find_map(|text| search.find(text));
    if search.pattern.is_some() && hit.is_none() {
        return None;
    }
    if let Some(hit) = hit {
        fields.insert("match".to_owned(), Value::from(hit.matched));
        fields.insert("encoding".to_owned(), Value::from(hit.encoding));
    }
    fields.insert("tool".to_owned(), Value::from(call.name.as_str()));
    fields.insert("arguments".to_owned(), Value::from(call.arguments.as_str()));
    Some(Item { seq, what: format!("call of {}", call.name), fields })
}
