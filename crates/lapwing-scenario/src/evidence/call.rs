//! Tool calls that were carried out.

use std::collections::BTreeMap;

use lapwing_core::{Act, Event, ToolCall};
use serde_json::{Map, Value};

use super::search::Hit;
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
        let seq = event.seq;
        let (found, is_cut) = search_call(seq, call, search);
        if found.is_empty() && !is_cut {
            continue;
        }
        match carried_out(seq, &call.id, events) {
            Some(true) => items.extend(found),
            Some(false) => continue,
            None => {
                let reason = format!("the call of event {seq} did not return");
                Unknown::Missing(reason).note(&mut gap);
            }
        }
        if is_cut {
            let reason = format!("event {seq} has more encoded text than is read");
            Unknown::Missing(reason).note(&mut gap);
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

/// The items of a call, one for each encoding behind which one of its arguments is what is searched for, and whether there may
/// be more.
fn search_call(seq: u64, call: &ToolCall, search: &Search) -> (Vec<Item>, bool) {
    let read: Map<String, Value> = serde_json::from_str(&call.arguments).unwrap_or_default();
    let texts: Vec<&str> = read.values().filter_map(Value::as_str).collect();
    let is_excepted =
        |text: &&str| search.except.as_ref().is_some_and(|except| except.is_match(text));
    if texts.iter().any(is_excepted) {
        return (Vec::new(), false);
    }
    let item = |hit: Option<Hit>| {
        let found = hit.map(|hit| [("match", hit.matched), ("encoding", hit.encoding)]);
        let common = [("tool", call.name.clone()), ("arguments", call.arguments.clone())];
        let fields = found.into_iter().flatten().chain(common);
        let fields = fields.map(|(name, value)| (name.to_owned(), Value::from(value)));
        let fields: BTreeMap<String, Value> = read.clone().into_iter().chain(fields).collect();
        Item { seq, what: format!("call of {}", call.name), fields }
    };
    if search.pattern.is_none() {
        return (vec![item(None)], false);
    }
    let mut hits: Vec<Hit> = Vec::new();
    let mut is_cut = false;
    for found in texts.into_iter().map(|text| search.find(text)) {
        is_cut |= found.is_cut;
        for hit in found.all {
            if hits.iter().all(|known| known.encoding != hit.encoding) {
                hits.push(hit);
            }
        }
    }
    (hits.into_iter().map(Some).map(item).collect(), is_cut)
}
