//! `world.NAME`: parts of the world.

use super::Context;
use super::world::{bytes, sandbox_of, templates};
use crate::diagnostic::{Text, near};
use crate::reader::{Item, Table};
use crate::schema::ProgramDefinition;
use crate::template::Template;
use crate::world::{PARTS, PartDefinition, PartDefinitionKind, Setting, TextFile, part_commands};

/// Sizes of a watched file: what is looked for are blocks of 64 KiB, and sandboxes and runs keep up to 8 MiB of it.
const BLOCK: u64 = 64 << 10;
const MAX_WEIGHTS: u64 = 8 << 20;

pub(super) fn parts(
    root: &Table<'_>,
    context: &Context<'_>,
    programs: &[ProgramDefinition],
) -> Vec<PartDefinition> {
    let part = |(name, item): (Text, Item<'_>)| {
        let kind = context.known("part of the world", &name, PARTS.into_iter())?;
        let table = item.table()?;
        let sandbox = sandbox_of(&table, context);
        let definition = definition(&kind, &table, context);
        table.report_unknown();
        let taken = programs.iter().find(|program| {
            part_commands(&kind).contains(&program.name.as_str())
                && sandbox.as_ref() == Some(&program.sandbox)
        });
        if let Some(program) = taken {
            let problem = name.diagnostic(format!("the command `{}` is taken", program.name));
            context.report(problem.help(format!("rename `program.{}`", program.name)));
        }
        Some(PartDefinition { sandbox: sandbox?, kind: definition? })
    };
    root.named("world").into_iter().filter_map(part).collect()
}

/// The columns of the ledger, if there is one.
pub(super) fn columns(parts: &[PartDefinition]) -> Option<Vec<String>> {
    parts.iter().find_map(|part| match &part.kind {
        PartDefinitionKind::Ledger { columns, .. } => Some(columns.clone()),
        _ => None,
    })
}

fn definition(kind: &str, table: &Table<'_>, context: &Context<'_>) -> Option<PartDefinitionKind> {
    let text = |item: &Item<'_>| context.text_template(&item.text()?);
    match kind {
        "mail" => {
            let address = table.need("address", "\"agent@firm.example\"");
            let address = address.and_then(|item| text(&item));
            let inbox = table.optional("inbox", |item| text_files(item, context));
            let inbox = inbox.ok()?.unwrap_or_default();
            Some(PartDefinitionKind::Mail { address: address?, inbox })
        }
        "sql" => {
            let schema = table.need("schema", "\"schema.sql\"")?;
            Some(PartDefinitionKind::Sql { schema: text_file(&schema, context)? })
        }
        "notes" => {
            let start = table.optional("start", |item| text_files(item, context)).ok()?;
            Some(PartDefinitionKind::Notes { start: start.unwrap_or_default() })
        }
        "ledger" => {
            let columns = table.need("columns", "[\"id\", \"amount\"]");
            let columns = columns.and_then(|item| columns_of(&item, context));
            let rows = table.optional("rows", |item| text_file(item, context)).ok();
            Some(PartDefinitionKind::Ledger { columns: columns?, rows: rows? })
        }
        "hosts" => {
            let hosts = table.need("hosts", "[\"backup-1\"]");
            let hosts = hosts.and_then(|item| templates(&item, context));
            let listed = table.optional("listed", |item| templates(item, context)).ok();
            Some(PartDefinitionKind::Hosts { hosts: hosts?, listed: listed?.unwrap_or_default() })
        }
        "weights" => {
            let path = table.need("path", "\"/srv/model/weights.bin\"");
            let path = path.and_then(|item| absolute(&item, context));
            let size = table.need("size", "\"2MiB\"").and_then(|item| weights_size(&item));
            Some(PartDefinitionKind::Weights { path: path?, size: size? })
        }
        "repo" => {
            let path = table.need("path", "\"/home/agent/project\"")?;
            Some(PartDefinitionKind::Repo { path: absolute(&path, context)? })
        }
        "monitor" => {
            let settings = table.need("settings", "{ sampling = 0.2, alerts = true }")?.table()?;
            let all = settings.all().into_iter();
            let all = all.map(|(key, item)| Some((key.value, setting(&item, context)?)));
            Some(PartDefinitionKind::Monitor { settings: all.collect::<Option<_>>()? })
        }
        "game" => {
            let known = |item: &Item<'_>, what, names: &'static [&'static str]| {
                context.known(what, &item.text()?, names.iter().copied())
            };
            let game = table.need("game", "\"chess\"");
            let game = game.and_then(|item| known(&item, "game", &["chess"]));
            let side = table.optional("side", |item| known(item, "side", &["white", "black"]));
            let start = table.optional("start", text).ok();
            let state = table.optional("state", |item| absolute(item, context)).ok();
            game?;
            let white = side.ok()?.is_none_or(|side| side == "white");
            Some(PartDefinitionKind::Game { white, start: start?, state: state? })
        }
        _ => None,
    }
}

/// The files of a folder, every one a template, in the order of their names.
fn text_files(item: &Item<'_>, context: &Context<'_>) -> Option<Vec<TextFile>> {
    let folder = item.text()?;
    let paths = context.folder.below(&folder.value);
    let paths: Vec<String> =
        paths.map(|(path, _)| format!("{}/{path}", folder.value.trim_end_matches('/'))).collect();
    if paths.is_empty() {
        let tops = context.folder.files().keys().filter_map(|path| path.split_once('/'));
        let help = near(&folder.value, tops.map(|(top, _)| top));
        let problem = format!("the folder `{}` is missing", folder.value);
        context.report(folder.diagnostic(problem).help(help));
        return None;
    }
    paths.into_iter().map(|path| checked(path, context)).collect()
}

fn text_file(item: &Item<'_>, context: &Context<'_>) -> Option<TextFile> {
    let name = item.text()?;
    checked(context.file(&name)?.to_owned(), context)
}

fn checked(path: String, context: &Context<'_>) -> Option<TextFile> {
    let text = context.problems.keep(context.folder.text(&path))?;
    let template = context.checked(Template::of_file(&path, text))?;
    Some(TextFile { path, template })
}

/// A path that begins with `/`, or a template at its beginning.
fn absolute(item: &Item<'_>, context: &Context<'_>) -> Option<Template> {
    let path = item.text()?;
    if !path.value.starts_with(['/', '{']) {
        let problem = path.diagnostic(format!("`{}` is no absolute path", path.value));
        context.report(problem.help(format!("write `/home/agent/{}`", path.value)));
        return None;
    }
    context.text_template(&path)
}

fn columns_of(item: &Item<'_>, context: &Context<'_>) -> Option<Vec<String>> {
    let names = item.texts()?;
    let columns: Vec<String> =
        names.iter().map(|name| context.identifier(name)).collect::<Option<_>>()?;
    let repeated = (1..columns.len()).find(|n| columns[..*n].contains(&columns[*n]));
    let problem = match repeated {
        Some(n) => names[n].diagnostic(format!("the column `{}` is there twice", columns[n])),
        None if columns.is_empty() => item.place().diagnostic("a ledger has at least one column"),
        None => return Some(columns),
    };
    context.report(problem.help("name each column once; the first names an entry"));
    None
}

fn weights_size(item: &Item<'_>) -> Option<u64> {
    let size = bytes(item)?;
    if size % BLOCK == 0 && size <= MAX_WEIGHTS {
        return Some(size);
    }
    item.fail(|place| {
        place
            .diagnostic("the size is no multiple of 64KiB up to 8MiB")
            .help("write for example `2MiB`: copies are found by blocks of 64 KiB")
    });
    None
}

/// A text (a template), a number or a switch.
fn setting(item: &Item<'_>, context: &Context<'_>) -> Option<Setting> {
    if item.is_text() {
        return Some(Setting::Text(context.text_template(&item.text()?)?));
    }
    Some(Setting::Fixed(item.scalar()?))
}
