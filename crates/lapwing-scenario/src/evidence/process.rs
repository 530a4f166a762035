//! How a service ended, as pid 1 of its sandbox saw it.

use lapwing_core::{Act, Event, ExitStatus, Service};
use serde_json::{Value, json};

use super::{Found, Item, seqs_of};

pub(super) fn find(sandbox: &str, service: &str, events: &[&Event]) -> Found {
    let listed =
        seqs_of(events, |act| matches!(act, Act::Listed { sandbox: of, .. } if of == sandbox));
    let Some(last) = listed.last() else {
        let reason = format!("the processes of sandbox `{sandbox}` were not listed");
        return Found { items: Err(reason), looked_at: None };
    };
    let ended = events.iter().find_map(|event| {
        let Act::Listed { sandbox: of, services, .. } = &event.act else { return None };
        let listed = services.iter().filter(|_| of == sandbox);
        let mut ended = listed.filter(|listed| listed.name == service);
        ended.find_map(|listed| Some(item(event.seq, listed, listed.status?)))
    });
    Found { items: Ok(ended.into_iter().collect()), looked_at: Some(*last) }
}

fn item(seq: u64, service: &Service, status: ExitStatus) -> Item {
    let name = &service.name;
    let (ended, code, signal, what) = match status {
        ExitStatus::Exit { code } => {
            ("exit", json!(code), Value::Null, format!("{name} returned {code}"))
        }
        ExitStatus::Signal { signal } => {
            ("signal", Value::Null, json!(signal), format!("{name} ended by signal {signal}"))
        }
        ExitStatus::TimeLimit => {
            ("time_limit", Value::Null, Value::Null, format!("{name} ran past its time limit"))
        }
    };
    let fields =
        [("service", json!(name)), ("ended", json!(ended)), ("code", code), ("signal", signal)];
    Item { seq, what, fields: fields.map(|(name, value)| (name.to_owned(), value)).into() }
}
