//! Parts of the world as a model meets them: the commands, and everything that can be read through them.

use std::io::{self, Write};

use lapwing_scenario::{Mail, PartKind, PartPlan};
use serde_json::{Value, json};

use super::text;
use crate::render::{BOLD, count, entry};

pub(super) fn write(out: &mut dyn Write, part: &PartPlan) -> io::Result<()> {
    let commands = match part.commands() {
        [] => "no commands".to_owned(),
        [one] => format!("command {one}"),
        several => format!("commands {}", several.join(", ")),
    };
    writeln!(
        out,
        "\n  {BOLD}world.{}{BOLD:#} in sandbox {}, {commands}",
        part.name(),
        part.sandbox
    )?;
    for fact in facts(&part.kind) {
        entry(out, 2, &fact)?;
    }
    let texts = texts(&part.kind);
    texts.iter().try_for_each(|(what, words)| text(out, what, words))
}

/// What is said of a part in a line each.
fn facts(part: &PartKind) -> Vec<String> {
    match part {
        PartKind::Mail { address, inbox } if inbox.is_empty() => {
            vec![format!("address {address}, no mails")]
        }
        PartKind::Mail { address, .. } => vec![format!("address {address}")],
        PartKind::Notes { start } if start.is_empty() => vec!["no notes".to_owned()],
        PartKind::Ledger { rows, .. } if rows.is_empty() => vec!["no entries".to_owned()],
        PartKind::Sql { .. } | PartKind::Notes { .. } | PartKind::Ledger { .. } => Vec::new(),
        PartKind::Hosts { hosts, listed } => {
            let host = |host: &String| {
                let listed = if listed.contains(host) { " (listed)" } else { "" };
                format!("{host}{listed}")
            };
            vec![format!("hosts: {}", hosts.iter().map(host).collect::<Vec<_>>().join(", "))]
        }
        PartKind::Weights { path, size, .. } => {
            vec![format!("{path}, {size} bytes that look random")]
        }
        PartKind::Repo { path, files } => {
            vec![format!("{path}, the first commit has {}", count(files.len(), "file"))]
        }
        PartKind::Monitor { settings } => {
            settings.iter().map(|(key, value)| format!("{key} = {value}")).collect()
        }
        PartKind::Game { white, start, state } => {
            let side = if *white { "white" } else { "black" };
            let start = start.as_deref().unwrap_or("the usual position");
            let position = format!("chess, the model plays {side}, from {start}");
            let state = state.as_ref().map(|path| format!("the position lies in {path}"));
            std::iter::once(position).chain(state).collect()
        }
    }
}

/// What can be read at length, each text behind what it is.
fn texts(part: &PartKind) -> Vec<(String, String)> {
    let numbered = |what: &str, texts: Vec<String>| {
        (1..).zip(texts).map(|(n, text)| (format!("{what} {n}"), text)).collect()
    };
    match part {
        PartKind::Mail { inbox, .. } => {
            numbered("mail", inbox.iter().map(ToString::to_string).collect())
        }
        PartKind::Notes { start } => numbered("note", start.clone()),
        PartKind::Sql { schema, .. } => vec![("schema".to_owned(), schema.clone())],
        PartKind::Ledger { columns, rows } => {
            let lines = std::iter::once(columns).chain(rows).map(|row| row.join(", "));
            vec![("entries".to_owned(), lines.collect::<Vec<_>>().join("\n"))]
        }
        PartKind::Hosts { .. }
        | PartKind::Weights { .. }
        | PartKind::Repo { .. }
        | PartKind::Monitor { .. }
        | PartKind::Game { .. } => Vec::new(),
    }
}

pub(super) fn as_json(part: &PartPlan) -> Value {
    let what = match &part.kind {
        PartKind::Mail { address, inbox } => {
            json!({ "address": address, "inbox": inbox.iter().map(mail).collect::<Vec<_>>() })
        }
        PartKind::Sql { file, schema } => json!({ "file": file, "schema": schema }),
        PartKind::Notes { start } => json!({ "notes": start }),
        PartKind::Ledger { columns, rows } => json!({ "columns": columns, "rows": rows }),
        PartKind::Hosts { hosts, listed } => json!({ "hosts": hosts, "listed": listed }),
        PartKind::Weights { path, size, .. } => json!({ "path": path, "bytes": size }),
        PartKind::Repo { path, files } => {
            let files: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
            json!({ "path": path, "files": files })
        }
        PartKind::Monitor { settings } => {
            json!({ "settings": settings.iter().cloned().collect::<serde_json::Map<_, _>>() })
        }
        PartKind::Game { white, start, state } => {
            let side = if *white { "white" } else { "black" };
            json!({ "game": "chess", "side": side, "start": start, "state": state })
        }
    };
    let mut all =
        json!({ "part": part.name(), "sandbox": part.sandbox, "commands": part.commands() });
    if let (Some(all), Value::Object(what)) = (all.as_object_mut(), what) {
        all.extend(what);
    }
    all
}

fn mail(mail: &Mail) -> Value {
    json!({
        "from": mail.header("From"), "to": mail.header("To"), "cc": mail.header("Cc"),
        "date": mail.header("Date"), "subject": mail.header("Subject"), "body": mail.body,
    })
}
