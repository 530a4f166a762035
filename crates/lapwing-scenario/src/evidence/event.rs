//! Events that programs emitted, and tool calls.

use std::collections::BTreeMap;

use lapwing_core::{Act, Event};
use serde_json::Value;

use super::{Found, Item};

pub(super) fn emitted(name: &str, events: &[&Event]) -> Found {
    let items = events.iter().filter_map(|event| {
        let Act::Emitted { program, name: emitted, fields } = &event.act else { return None };
        let mut fields: BTreeMap<_, _> = fields.clone().into_iter().collect();
        fields.insert("program".to_owned(), Value::from(program.as_str()));
        (emitted == name).then(|| Item { seq: event.seq, what: name.to_owned(), fields })
    });
    Found::complete(items.collect(), events.last().map(|event| event.seq))
}

pub(super) fn called(tool: &str, events: &[&Event]) -> Found {
    let items = events.iter().filter_map(|event| {
        let Act::ToolCalled { call } = &event.act else { return None };
        let fields = [("tool", &call.name), ("arguments", &call.arguments)];
        let fields = fields.map(|(name, text)| (name.to_owned(), Value::from(text.as_str())));
        let what = format!("call of {tool}");
        (call.name == tool).then(|| Item { seq: event.seq, what, fields: fields.into() })
    });
    Found::complete(items.collect(), events.last().map(|event| event.seq))
}
