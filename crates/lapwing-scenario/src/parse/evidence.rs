//! `evidence.KIND.NAME`.

use lapwing_core::ChangeKind;
use regex::Regex;

use super::Context;
use super::judge::judge;
use crate::decode::Decoder;
use crate::diagnostic::{Text, near};
use crate::evidence::{CHANGES, Glob, Query, QueryKind, READ_FIELDS, Search, TextOf};
use crate::expr::{Expr, regex_message};
use crate::reader::{Item, Reported, Table};
use crate::world::part_events;

const KINDS: [&str; 10] =
    ["event", "part", "run", "file", "process", "net", "exec", "call", "text", "judge"];

/// The names of all queries, in the order of the file.
pub(super) fn names(root: &Table<'_>) -> Vec<String> {
    let kinds = root.named("evidence").into_iter();
    let tables = kinds.filter_map(|(_, item)| item.table());
    tables.flat_map(|table| table.all()).map(|(name, _)| name.value).collect()
}

/// The names of all queries of one kind.
pub(super) fn names_of_kind(root: &Table<'_>, kind: &str) -> Vec<String> {
    let kinds = root.named("evidence").into_iter().filter(|(name, _)| name.value == kind);
    kinds.flat_map(|(_, item)| item.keys()).collect()
}

/// All queries, each behind those that it names.
pub(super) fn queries(root: &Table<'_>, context: &Context<'_>) -> Vec<Query> {
    let mut queries: Vec<(Text, Query)> = Vec::new();
    for (kind, item) in root.named("evidence") {
        if context.known("kind of evidence", &kind, KINDS.into_iter()).is_none() {
            continue;
        }
        for (name, item) in item.table().map_or_else(Vec::new, |table| table.all()) {
            if let Some((_, other)) = queries.iter().find(|(other, _)| other.value == name.value) {
                let problem = name
                    .diagnostic(format!("`{}` is already the name of other evidence", other.name));
                context.report(problem.help("names are shared by all kinds; choose another"));
                continue;
            }
            let query = context
                .identifier(&name)
                .and_then(|_| query(&kind.value, &name.value, &item.table()?, context));
            queries.extend(query.map(|query| (name, query)));
        }
    }
    ordered(queries, context)
}

fn query(kind: &str, name: &str, table: &Table<'_>, context: &Context<'_>) -> Option<Query> {
    let phase = table.optional("phase", |item| {
        context.known("phase", &item.text()?, context.phases.iter().map(String::as_str))
    });
    let after = table.optional("after", |item| other(item, context));
    let before = table.optional("before", |item| other(item, context));
    let kind = match kind {
        "event" => event(table),
        "part" => part(table, context),
        "run" => run(table),
        "file" => file(table, context),
        "process" => process(table, context),
        "net" => net(table, context),
        "exec" => exec(table, context),
        "call" => call(table, context),
        "text" => text(table, context),
        _ => judge(table, context),
    };
    let condition = table.optional("where", |item| condition(item, kind.as_ref()?, context));
    table.report_unknown();
    let (mut kind, condition) = (kind?, condition.ok()?);
    if let (QueryKind::File { reads, .. } | QueryKind::Net { reads, .. }, Some(condition)) =
        (&mut kind, &condition)
    {
        *reads |= condition.names().iter().any(|found| READ_FIELDS.contains(&found.name));
    }
    Some(Query {
        name: name.to_owned(),
        kind,
        phase: phase.ok()?,
        after: after.ok()?,
        before: before.ok()?,
        condition,
    })
}

fn other(item: &Item<'_>, context: &Context<'_>) -> Option<String> {
    let name =
        context.known("evidence", &item.text()?, context.queries.iter().map(String::as_str))?;
    context.uses.evidence(&name);
    Some(name)
}

fn event(table: &Table<'_>) -> Option<QueryKind> {
    let name = table.need("name", "\"notice\"")?.text()?;
    let program = table.optional("program", Item::text).ok()?;
    Some(QueryKind::Event { name: name.value, program: program.map(|program| program.value) })
}

fn part(table: &Table<'_>, context: &Context<'_>) -> Option<QueryKind> {
    let part = table.need("part", "\"mail\"").and_then(|item| {
        let parts = context.parts.iter().map(String::as_str);
        context.known("part of the world", &item.text()?, parts)
    });
    let event = table.need("event", "\"sent\"").and_then(|item| item.text());
    let (part, event) = (part?, event?);
    let events = part_events(&part).iter().map(|(event, _)| *event);
    let event = context.known("event of the part", &event, events)?;
    Some(QueryKind::Part { part, event })
}

fn run(table: &Table<'_>) -> Option<QueryKind> {
    let phase = table.need("phase", "\"grade\"");
    let query = table.need("query", "\"visible\"").and_then(|item| item.text());
    phase?;
    Some(QueryKind::Run { query: query?.value })
}

fn net(table: &Table<'_>, context: &Context<'_>) -> Option<QueryKind> {
    let sandbox = table.optional("sandbox", |item| context.sandbox(&item.text()?));
    let host = table.optional("host", Item::text);
    let port = table.optional("port", |item| {
        let port = u16::try_from(item.count(1)?).ok();
        if port.is_none() {
            item.fail(|place| place.diagnostic("a port is at most 65535"));
        }
        port
    });
    let search = searched(table, context).ok()?;
    Some(QueryKind::Net {
        sandbox: sandbox.ok()?,
        host: host.ok()?.map(|host| host.value),
        port: port.ok()?,
        reads: search.is_some(),
        search,
    })
}

fn exec(table: &Table<'_>, context: &Context<'_>) -> Option<QueryKind> {
    let sandbox = table.optional("sandbox", |item| context.sandbox(&item.text()?));
    let pattern = table.optional("matches", |item| regex(item, context));
    let search = search(table, context, pattern.ok()?);
    Some(QueryKind::Exec { sandbox: sandbox.ok()?, search: search? })
}

/// `matches` with `decode`, where there may be neither. An error was reported.
fn searched(table: &Table<'_>, context: &Context<'_>) -> Result<Option<Search>, Reported> {
    let pattern = table.optional("matches", |item| regex(item, context));
    let decode = decoders(table, context).ok_or(Reported)?;
    match (pattern?, decode) {
        (Some(pattern), decode) => {
            Ok(Some(Search { pattern: Some(pattern), except: None, decode }))
        }
        (None, decode) if decode.is_empty() => Ok(None),
        (None, _) => {
            let problem = table.place().diagnostic("`decode` without `matches` has no effect");
            context.report(problem.help("add `matches = \"PATTERN\"`"));
            Err(Reported)
        }
    }
}

fn file(table: &Table<'_>, context: &Context<'_>) -> Option<QueryKind> {
    let sandbox = match table.get("sandbox") {
        Some(item) => context.sandbox(&item.text()?),
        None => only_sandbox(table, context),
    };
    let paths = table.need("path", "[\"/home/agent/**\"]").and_then(|item| globs(&item, context));
    let except = table.get("except").map_or(Some(Vec::new()), |item| globs(&item, context));
    let changed = match table.get("changed") {
        Some(item) => item.texts()?.iter().map(|text| change(text, context)).collect(),
        None => Some(CHANGES.map(|(_, kind)| kind).to_vec()),
    };
    let search = searched(table, context).ok()?;
    Some(QueryKind::File {
        sandbox: sandbox?,
        paths: paths?,
        except: except?,
        changed: changed?,
        reads: search.is_some(),
        search,
    })
}

pub(super) fn only_sandbox(table: &Table<'_>, context: &Context<'_>) -> Option<String> {
    if let [only] = context.sandboxes.as_slice() {
        return Some(only.name.clone());
    }
    let names = context.sandboxes.iter().map(|sandbox| sandbox.name.as_str());
    let problem = table.place().diagnostic("`sandbox` is missing and there is not exactly one");
    context.report(problem.help(near("", names)));
    None
}

pub(super) fn globs(item: &Item<'_>, context: &Context<'_>) -> Option<Vec<Glob>> {
    let compiled = item.texts()?.into_iter().map(|text| {
        context.fixed(&text)?;
        let glob = Glob::new(&text.value).map_err(|message| {
            text.diagnostic(message).help("write `/home/agent/**` or `/usr/local/bin/*`")
        });
        context.problems.keep(glob)
    });
    compiled.collect()
}

fn change(text: &Text, context: &Context<'_>) -> Option<ChangeKind> {
    let name = context.known("change", text, CHANGES.iter().map(|(word, _)| *word))?;
    CHANGES.iter().find(|(word, _)| *word == name).map(|(_, kind)| *kind)
}

fn process(table: &Table<'_>, context: &Context<'_>) -> Option<QueryKind> {
    let service = table.need("service", "\"worker\"")?.text()?;
    let service = context.known(
        "service",
        &service,
        context.services.iter().map(|service| service.name.as_str()),
    )?;
    let sandbox = context.services.iter().find(|known| known.name == service)?.sandbox.clone();
    Some(QueryKind::Process { sandbox, service })
}

fn call(table: &Table<'_>, context: &Context<'_>) -> Option<QueryKind> {
    let tool = table.need("tool", "\"bash\"").and_then(|item| item.text());
    let pattern = table.optional("matches", |item| regex(item, context));
    let search = search(table, context, pattern.ok()?);
    Some(QueryKind::Call { tool: tool?.value, search: search? })
}

fn text(table: &Table<'_>, context: &Context<'_>) -> Option<QueryKind> {
    let of = table.need("of", "\"answer\"").and_then(|item| {
        let name =
            context.known("part of a turn", &item.text()?, ["answer", "reasoning"].into_iter())?;
        Some(if name == "answer" { TextOf::Answer } else { TextOf::Reasoning })
    });
    let pattern =
        table.need("matches", "\"(?i)shut ?down\"").and_then(|item| regex(&item, context));
    let search = search(table, context, pattern.clone());
    pattern?;
    Some(QueryKind::Text { of: of?, search: search? })
}

fn search(table: &Table<'_>, context: &Context<'_>, pattern: Option<Regex>) -> Option<Search> {
    let except = table.optional("except", |item| regex(item, context));
    let decode = decoders(table, context);
    Some(Search { pattern, except: except.ok()?, decode: decode? })
}

fn regex(item: &Item<'_>, context: &Context<'_>) -> Option<Regex> {
    let text = item.text()?;
    context.fixed(&text)?;
    let pattern = Regex::new(&text.value).map_err(|error| {
        text.diagnostic(regex_message(&error)).help("the pattern is a regular expression")
    });
    context.problems.keep(pattern)
}

/// `decode`: a list of decoders, or `"all"`.
fn decoders(table: &Table<'_>, context: &Context<'_>) -> Option<Vec<Decoder>> {
    let Some(item) = table.get("decode") else { return Some(Vec::new()) };
    if item.is_text() {
        context.known("decoder", &item.text()?, ["all"].into_iter())?;
        return Some(Decoder::ALL.to_vec());
    }
    let decoders = item.texts()?.into_iter().map(|text| {
        let name =
            context.known("decoder", &text, Decoder::ALL.iter().map(|known| known.name()))?;
        Decoder::ALL.into_iter().find(|known| known.name() == name)
    });
    decoders.collect()
}

/// Notes what must be read because `rule` asks for their text: `first(note).text`.
pub(super) fn note_reads<'e>(queries: &mut [Query], rules: impl IntoIterator<Item = &'e Expr>) {
    for rule in rules {
        for (name, field) in rule.fields() {
            let named = queries.iter_mut().find(|query| query.name == name);
            let kind = named.map(|query| &mut query.kind);
            if let Some(QueryKind::File { reads, .. } | QueryKind::Net { reads, .. }) = kind {
                *reads |= READ_FIELDS.contains(&field);
            }
        }
    }
}

/// A `where`: an expression over the fields of one item.
fn condition(item: &Item<'_>, kind: &QueryKind, context: &Context<'_>) -> Option<Expr> {
    let text = item.text()?;
    let condition = context.expression(&text)?;
    let fields = fields(kind, context);
    for found in condition.names() {
        let problem = if found.evidence_only {
            text.diagnostic_at(
                found.offset,
                format!("`where` sees one item and cannot name the evidence `{}`", found.name),
            )
            .help("use the fields of the item here and the evidence in a rule")
        } else if let Some(fields) = fields.as_ref().filter(|fields| !fields.contains(&found.name))
        {
            text.diagnostic_at(found.offset, format!("unknown field `{}`", found.name))
                .help(near(found.name, fields.iter().copied()))
        } else {
            continue;
        };
        context.report(problem);
        return None;
    }
    Some(condition)
}

/// The fields of the items of `kind`; `None` where programs name them.
fn fields<'c>(kind: &QueryKind, context: &'c Context<'_>) -> Option<Vec<&'c str>> {
    let QueryKind::Part { part, event } = kind else { return kind.fields() };
    let (_, fields) = part_events(part).iter().find(|(name, _)| name == event)?;
    let columns = fields.contains(&"*").then_some(context.columns.as_ref());
    let columns = columns.map_or(Some(&[][..]), |columns| columns.map(Vec::as_slice))?;
    let fixed = fields.iter().copied().filter(|field| *field != "*");
    Some(fixed.chain(columns.iter().map(String::as_str)).chain(["program"]).collect())
}

/// Sorts so that each query stands behind those that it names; queries that name each other in a circle are reported.
fn ordered(mut waiting: Vec<(Text, Query)>, context: &Context<'_>) -> Vec<Query> {
    let mut ordered: Vec<Query> = Vec::new();
    // A name that was reported as unsound cannot come any more and is not waited for.
    let declared: Vec<String> = waiting.iter().map(|(_, query)| query.name.clone()).collect();
    loop {
        let is_ready = |(_, query): &(Text, Query)| {
            let mut named = [&query.after, &query.before].into_iter().flatten();
            named.all(|name| {
                !declared.contains(name) || ordered.iter().any(|query| query.name == *name)
            })
        };
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
        waiting = rest;
        if ready.is_empty() {
            break;
        }
        ordered.extend(ready.into_iter().map(|(_, query)| query));
    }
    for (name, _) in &waiting {
        let problem = name.diagnostic("`after` and `before` lead in a circle");
        context.report(problem.help("let one of the queries stand alone"));
    }
    ordered
}
