//! How a service ended, as pid 1 of its sandbox saw it.

use lapwing_core::{Act, Event, ExitStatus, Service};
use serde_json::{Value, json};

use super::{Found, Item, Window};

/// The end of a service is where it is first listed as ended; it is an item if that is inside the window.
pub(super) fn find(sandbox: &str, service: &str, events: &[Event], window: Window) -> Found {
    let listed = || {
        events.iter().filter_map(|event| {
            let Act::Listed { sandbox: of, services, .. } = &event.act else { return None };
            (of == sandbox).then_some((event.seq, services))
        })
    };
    let ended = listed().find_map(|(seq, services)| {
        let service = services.iter().find(|listed| listed.name == service)?;
        Some(item(seq, service, service.status?))
    });
    let last = listed().map(|(seq, _)| seq).rfind(|seq| window.holds(*seq));
    let ended_before = |item: &Item| window.after.is_some_and(|after| item.seq <= after);
    if last.is_none() && !ended.as_ref().is_some_and(ended_before) {
        return Found::missing(format!("the processes of sandbox `{sandbox}` were not listed"));
    }
    Found::complete(ended.into_iter().filter(|item| window.holds(item.seq)).collect(), last)
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
        ExitStatus::OutOfMemory => {
            ("out_of_memory", Value::Null, Value::Null, format!("{name} ended for want of memory"))
        }
        ExitStatus::ProcessorTime => (
            "processor_time",
            Value::Null,
            Value::Null,
            format!("{name} ended with its sandbox, which took too much processor time"),
        ),
        ExitStatus::DiskFull { code } => (
            "disk_full",
            json!(code),
            Value::Null,
            format!("{name} returned {code}, its disk full"),
        ),
    };
    let fields =
        [("service", json!(name)), ("ended", json!(ended)), ("code", code), ("signal", signal)];
    Item { seq, what, fields: fields.map(|(name, value)| (name.to_owned(), value)).into() }
}
