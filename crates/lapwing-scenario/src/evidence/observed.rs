//! What pid 1 of a sandbox wrote down: connections that were tried and programs that were run.

use lapwing_core::{Act, Blobs, Event};
use serde_json::{Value, json};

use super::search::Hits;
use super::{Found, Item, Search, Unknown};
use crate::expr::{Expr, Scope, truth};

/// The fields of a connection, beside those of what was searched for in it.
pub(super) const NET_FIELDS: [&str; 10] = [
    "sandbox",
    "host",
    "port",
    "sent_bytes",
    "protocol",
    "address",
    "name",
    "told",
    "pid",
    "payload",
];
pub(super) const EXEC_FIELDS: [&str; 8] =
    ["sandbox", "command", "path", "cwd", "pid", "parent", "match", "encoding"];

/// Which connections are asked for.
pub(super) struct Wanted<'q> {
    pub(super) sandbox: Option<&'q str>,
    pub(super) host: Option<&'q str>,
    pub(super) port: Option<u16>,
    pub(super) search: Option<&'q Search>,
    /// Whether what was sent is looked at.
    pub(super) reads: bool,
    /// What an item must meet. One that does not needs no look.
    pub(super) condition: Option<&'q Expr>,
}

/// What a sandbox writes down, as far as it is asked for here.
#[derive(Clone, Copy)]
enum Kind {
    Connections,
    Programs,
}

/// Connections that were tried.
pub(super) fn connections(
    wanted: &Wanted<'_>,
    events: &[Event],
    blobs: &dyn Blobs,
    inside: &[&Event],
) -> Found {
    let mut gap = match watched(Kind::Connections, wanted.sandbox, events, inside) {
        Ok(gap) => gap,
        Err(reason) => return Found::missing(reason),
    };
    let mut items = Vec::new();
    for event in inside {
        let Act::Connected {
            sandbox,
            host,
            port,
            sent_bytes,
            sent,
            protocol,
            address,
            name,
            told,
            pid,
        } = &event.act
        else {
            continue;
        };
        let is_meant = wanted.sandbox.is_none_or(|wanted| wanted == sandbox)
            && wanted.host.is_none_or(|wanted| wanted == host)
            && wanted.port.is_none_or(|wanted| wanted == *port);
        if !is_meant {
            continue;
        }
        let fields = [
            ("sandbox", json!(sandbox)),
            ("host", json!(host)),
            ("port", json!(port)),
            ("sent_bytes", json!(sent_bytes)),
            ("protocol", json!(protocol.name())),
            ("address", json!(address)),
            ("name", json!(name)),
            ("told", json!(told)),
            ("pid", json!(pid)),
        ];
        let item = item(event.seq, format!("{host}:{port}"), &fields);
        if !wanted.reads {
            items.push(item);
            continue;
        }
        let payload = match (sent_bytes, sent) {
            (Some(0), _) => Some(Vec::new()),
            (_, Some(digest)) => blobs.blob(*digest),
            (_, None) => None,
        };
        // What is longer than what was kept may hold more.
        let kept = payload.as_ref().map_or(0, Vec::len) as u64;
        let is_whole = sent_bytes.is_some_and(|sent| sent == kept);
        let text = String::from_utf8_lossy(&payload.unwrap_or_default()).into_owned();
        let with = |mut item: Item| {
            item.fields.insert("payload".to_owned(), Value::from(text.as_str()));
            item
        };
        let fails = |condition: &Expr| truth(condition, Scope::Item(&item)).known == Ok(false);
        let is_excluded = wanted.condition.is_some_and(fails);
        let is_cut = match wanted.search {
            None => {
                items.push(with(item));
                !is_whole
            }
            Some(search) => {
                let hits = search.find(&text);
                let is_cut = hits.is_cut || !is_whole;
                items.extend(found(item, hits).map(with));
                is_cut
            }
        };
        if is_cut && !is_excluded {
            let reason = format!("not all that was sent to {host}:{port} was kept or read");
            Unknown::Missing(reason).note(&mut gap);
        }
    }
    Found { items, gap, looked_at: inside.last().map(|event| event.seq) }
}

/// Programs that were run and whose arguments are what is searched for.
pub(super) fn programs(
    sandbox: Option<&str>,
    search: &Search,
    events: &[Event],
    inside: &[&Event],
) -> Found {
    let mut gap = match watched(Kind::Programs, sandbox, events, inside) {
        Ok(gap) => gap,
        Err(reason) => return Found::missing(reason),
    };
    let mut items = Vec::new();
    for event in inside {
        let Act::Spawned { sandbox: of, pid, parent, path, argv, cwd } = &event.act else {
            continue;
        };
        if sandbox.is_some_and(|sandbox| sandbox != of) {
            continue;
        }
        let command = argv.join(" ");
        let hits = search.find(&command);
        if hits.is_cut {
            let reason = format!("event {} has more encoded text than is read", event.seq);
            Unknown::Missing(reason).note(&mut gap);
        }
        let fields = [
            ("sandbox", json!(of)),
            ("command", json!(command)),
            ("path", json!(path)),
            ("cwd", json!(cwd)),
            ("pid", json!(pid)),
            ("parent", json!(parent)),
        ];
        items.extend(found(item(event.seq, format!("run of {path}"), &fields), hits));
    }
    Found { items, gap, looked_at: inside.last().map(|event| event.seq) }
}

/// Whether what is asked for was written down, and why there may be more than was.
fn watched(
    kind: Kind,
    sandbox: Option<&str>,
    events: &[Event],
    inside: &[&Event],
) -> Result<Option<Unknown>, String> {
    let watched = |event: &Event| match &event.act {
        Act::Watched { sandbox: of, observe, sinkhole, missed } => {
            let is_meant = sandbox.is_none_or(|sandbox| sandbox == of);
            let is_kept = match kind {
                Kind::Connections => observe.connect || *sinkhole,
                Kind::Programs => observe.exec,
            };
            (is_meant && is_kept).then(|| (of.clone(), *missed))
        }
        _ => None,
    };
    if !events.iter().any(|event| watched(event).is_some()) {
        let what = match kind {
            Kind::Connections => "connections",
            Kind::Programs => "programs that are run",
        };
        return Err(match sandbox {
            Some(sandbox) => format!("the sandbox `{sandbox}` does not record {what}"),
            None => format!("no sandbox records {what}"),
        });
    }
    let missed = inside.iter().filter_map(|event| watched(event)).find(|(_, missed)| *missed > 0);
    Ok(missed.map(|(of, missed)| {
        Unknown::Missing(format!("{missed} records of sandbox `{of}` were not kept"))
    }))
}

fn item(seq: u64, what: String, fields: &[(&str, Value)]) -> Item {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Item { seq, what, fields: fields.collect() }
}

/// An item for each encoding behind which something was found.
fn found(item: Item, hits: Hits) -> impl Iterator<Item = Item> {
    hits.all.into_iter().map(move |hit| {
        let mut item = item.clone();
        for (name, value) in [("match", hit.matched), ("encoding", hit.encoding)] {
            item.fields.insert(name.to_owned(), Value::from(value));
        }
        item
    })
}
