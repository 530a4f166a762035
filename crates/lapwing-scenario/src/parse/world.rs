//! `vary`, `text`, `sandbox`, `service` and `program`.

use std::collections::BTreeMap;

use lapwing_core::Limits;

use super::Context;
use super::evidence::globs;
use super::network;
use crate::diagnostic::{Text, near};
use crate::reader::{Item, Table};
use crate::schema::{
    Content, FileDefinition, ProgramDefinition, SandboxDefinition, ServiceDefinition, Vary,
};
use crate::template::Template;
use crate::{CarryPlan, Demand};

pub(super) fn vary(
    root: &Table<'_>,
    context: &mut Context<'_>,
    lists: &BTreeMap<String, Vec<String>>,
) -> Vec<Vary> {
    let mut all = Vec::new();
    for (name, item) in root.named("vary") {
        if let Some(name) = declared(&name, context) {
            all.extend(one_vary(name, &item, context, lists));
        }
    }
    all
}

/// Texts of files that other templates name, each over the factors, the draws and the texts before it.
pub(super) fn texts(root: &Table<'_>, context: &mut Context<'_>) -> Vec<(String, Template)> {
    let mut all = Vec::new();
    for (name, item) in root.named("text") {
        let template = context.file_template(&item);
        let Some(name) = declared(&name, context) else { continue };
        all.extend(template.map(|template| (name, template)));
    }
    all
}

/// Makes `name` a name that templates can use.
fn declared(name: &Text, context: &mut Context<'_>) -> Option<String> {
    let identifier = context.identifier(name)?;
    if !context.variables.insert(identifier.clone()) {
        let problem = name.diagnostic(format!("`{identifier}` already means something else"));
        let help = "factors, `vary`, `text` and `nonce` share their names; choose another";
        context.report(problem.help(help));
        return None;
    }
    Some(identifier)
}

fn one_vary(
    name: String,
    item: &Item<'_>,
    context: &Context<'_>,
    lists: &BTreeMap<String, Vec<String>>,
) -> Option<Vary> {
    let known = |text: &Text| context.known("list", text, lists.keys().map(String::as_str));
    if item.is_text() {
        return Some(Vary { name, list: known(&item.text()?)?, n: None });
    }
    let table = item.table()?;
    let list = table.need("list", "\"names\"").and_then(|item| known(&item.text()?));
    let n = table.need("n", "5").and_then(|item| {
        let n = item.count(1)? as usize;
        let length = list.as_ref().and_then(|list| lists.get(list)).map_or(n, Vec::len);
        if n > length {
            item.fail(|place| {
                place
                    .diagnostic(format!("{n} distinct entries from a list of {length}"))
                    .help("lengthen the list or draw fewer")
            });
            return None;
        }
        Some(n)
    });
    table.report_unknown();
    Some(Vary { name, list: list?, n: Some(n?) })
}

pub(super) fn sandboxes(root: &Table<'_>, context: &Context<'_>) -> Vec<SandboxDefinition> {
    let named = root.named("sandbox");
    let names: Vec<&str> = named.iter().map(|(name, _)| name.value.as_str()).collect();
    let sandbox = |(name, item): &(Text, Item<'_>)| sandbox(name, &item.table()?, &names, context);
    let sandboxes: Vec<SandboxDefinition> = named.iter().filter_map(sandbox).collect();
    for (name, _) in named.iter().filter(|(name, _)| is_circle(&name.value, &sandboxes)) {
        let problem = name.diagnostic("`carry` leads in a circle");
        context.report(problem.help("let one of the sandboxes be made without the others"));
    }
    network::check(&named, &sandboxes);
    sandboxes
}

/// Whether the files of `name` come from `name` itself.
fn is_circle(name: &str, sandboxes: &[SandboxDefinition]) -> bool {
    let mut waiting = vec![name];
    let mut seen = Vec::new();
    while let Some(next) = waiting.pop() {
        let Some(sandbox) = sandboxes.iter().find(|sandbox| sandbox.name == next) else { continue };
        // One that stands beside another is made after it.
        let from = sandbox.carry.iter().map(|carry| carry.from.as_str());
        for needed in from.chain(sandbox.beside.as_deref().filter(|_| next != name)) {
            if !seen.contains(&needed) {
                seen.push(needed);
                waiting.push(needed);
            }
        }
    }
    seen.contains(&name)
}

fn sandbox(
    name: &Text,
    table: &Table<'_>,
    names: &[&str],
    context: &Context<'_>,
) -> Option<SandboxDefinition> {
    let hostname = match table.get("hostname") {
        Some(item) => context.text_template(&item.text()?),
        None => Some(Template::of_text(name)),
    };
    let files = table.get("files").and_then(|item| folder(&item, context));
    let setup = table.get("setup").and_then(|item| context.file_template(&item));
    let carry = table.optional("carry", |item| {
        let tables = if item.is_list() { item.list()? } else { vec![item.clone()] };
        tables.iter().map(|item| carry(&item.table()?, names, context)).collect()
    });
    let read_only = table.get("read_only").and_then(|item| templates(&item, context));
    let defaults = Limits::default();
    let memory = table.get("memory").and_then(|item| bytes(&item));
    let disk = table.get("disk").and_then(|item| bytes(&item));
    let cpus = table.get("cpus").and_then(|item| cpus(&item));
    let limits = Limits {
        memory_bytes: memory.unwrap_or(defaults.memory_bytes),
        disk_bytes: disk.unwrap_or(defaults.disk_bytes),
        millicores: cpus.unwrap_or(defaults.millicores),
        cpu_seconds: table.get("cpu_seconds").and_then(|item| item.count(1)),
        ..defaults
    };
    let beside = table.optional("beside", |item| network::beside(name, item, names, context));
    let hosts = table.get("names").and_then(|item| templates(&item, context));
    let network = table.optional("network", |item| network::outside(item, context));
    let observe = table.optional("observe", |item| network::observe(item, context));
    let demand = demand(name, table, context);
    table.report_unknown();
    Some(SandboxDefinition {
        beside: beside.ok()?,
        names: hosts.unwrap_or_default(),
        network: network.ok()?.unwrap_or_default(),
        observe: observe.ok()?.unwrap_or_default(),
        name: name.value.clone(),
        hostname: hostname?,
        files: files.unwrap_or_default(),
        setup,
        carry: carry.ok()?.unwrap_or_default(),
        read_only: read_only.unwrap_or_default(),
        limits,
        demand,
    })
}

/// What a sandbox asks of the machine.
fn demand(name: &Text, table: &Table<'_>, context: &Context<'_>) -> Demand {
    let root = table.get("root").and_then(|item| item.text());
    if let Some(root) = root.as_ref().filter(|root| root.value.trim().is_empty()) {
        let problem = root.diagnostic("the root file system has no name");
        context.report(problem.help("write `host`, or the path of a folder or an archive"));
    }
    let enforce = table.get("enforce").and_then(|item| item.text());
    if let Some(enforce) = &enforce {
        context.known("enforcement", enforce, ["kernel", "best-effort"].into_iter());
    }
    Demand { sandbox: name.value.clone(), root, enforce }
}

/// A share of the processors in thousandths of one.
fn cpus(item: &Item<'_>) -> Option<u64> {
    let cpus = item.number()?;
    if !(0.01..=1024.0).contains(&cpus) {
        item.fail(|place| {
            place
                .diagnostic(format!("`{cpus}` is no number of processors"))
                .help("write a number from 0.01 to 1024: `cpus = 1.5`")
        });
        return None;
    }
    Some((cpus * 1000.0).round() as u64)
}

fn carry(table: &Table<'_>, names: &[&str], context: &Context<'_>) -> Option<CarryPlan> {
    let from = table
        .need("from", "\"a\"")
        .and_then(|item| context.known("sandbox", &item.text()?, names.iter().copied()));
    let paths = table.need("paths", "[\"/home/agent/**\"]").and_then(|item| globs(&item, context));
    table.report_unknown();
    Some(CarryPlan { from: from?, paths: paths? })
}

/// The files of a folder of the scenario.
fn folder(item: &Item<'_>, context: &Context<'_>) -> Option<Vec<FileDefinition>> {
    let name = item.text()?;
    let files = files(&name.value, context);
    if files.is_empty() {
        let tops = context.folder.files().keys().filter_map(|path| path.split_once('/'));
        let help = near(&name.value, tops.map(|(top, _)| top));
        context
            .report(name.diagnostic(format!("the folder `{}` is missing", name.value)).help(help));
        return None;
    }
    Some(files)
}

/// The files below `top`. Their templates are checked here, where their names are known.
pub(super) fn files(top: &str, context: &Context<'_>) -> Vec<FileDefinition> {
    let files = context.folder.below(top).map(|(path, bytes)| {
        let Some(rendered) = path.strip_suffix(".j2") else {
            return FileDefinition {
                path: path.to_owned(),
                content: Content::Bytes(bytes.to_vec()),
            };
        };
        let file = format!("{top}/{path}");
        let text = context.problems.keep(context.folder.text(&file)).unwrap_or_default();
        let template = Template::of_file(&file, text);
        context.checked(template.clone());
        FileDefinition { path: rendered.to_owned(), content: Content::Template(template) }
    });
    files.collect()
}

/// A size such as `512MiB`.
pub(super) fn bytes(item: &Item<'_>) -> Option<u64> {
    let text = item.text()?;
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let size = units.iter().find_map(|(unit, shift)| {
        let number: u64 = text.value.strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
    });
    if size.is_none() {
        let problem = text.diagnostic(format!("`{}` is not a size", text.value));
        item.fail(|_| problem.help("write a whole number and KiB, MiB or GiB: `512MiB`"));
    }
    size
}

pub(super) fn services(root: &Table<'_>, context: &Context<'_>) -> Vec<ServiceDefinition> {
    let service = |(name, item): (Text, Item<'_>)| {
        let table = item.table()?;
        let argv = table.need("run", "[\"worker\"]").and_then(|item| templates(&item, context));
        let sandbox = sandbox_of(&table, context);
        table.report_unknown();
        Some(ServiceDefinition { name: name.value, sandbox: sandbox?, argv: argv? })
    };
    root.named("service").into_iter().filter_map(service).collect()
}

pub(super) fn programs(root: &Table<'_>, context: &Context<'_>) -> Vec<ProgramDefinition> {
    let program = |(name, item): (Text, Item<'_>)| {
        let table = item.table()?;
        let run = table.need("run", "\"programs/runner.sh\"");
        let run = run.and_then(|item| executable(&item, context));
        let sandbox = sandbox_of(&table, context);
        table.report_unknown();
        Some(ProgramDefinition { name: name.value, sandbox: sandbox?, run: run? })
    };
    root.named("program").into_iter().filter_map(program).collect()
}

/// The program file, relative to `programs/`, without the suffix of a template.
pub(super) fn run(item: &Item<'_>, context: &Context<'_>) -> Option<String> {
    let name = item.text()?;
    let path = context.file(&name)?;
    let Some(inside) = path.strip_prefix("programs/") else {
        let problem = name.diagnostic(format!("`{path}` is not below `programs/`"));
        context.report(problem.help("move the file to `programs/`, which is copied backstage"));
        return None;
    };
    Some(inside.strip_suffix(".j2").unwrap_or(inside).to_owned())
}

/// A program file that runs backstage, where it is executed as it stands.
pub(super) fn executable(item: &Item<'_>, context: &Context<'_>) -> Option<String> {
    let run = run(item, context)?;
    let name = item.text()?;
    let bytes = context.folder.files().get(&name.value)?;
    if !bytes.starts_with(b"#!") {
        let problem = name.diagnostic(format!("`{}` does not begin with `#!`", name.value));
        context.report(problem.help("write the interpreter on its first line: `#!/bin/sh`"));
        return None;
    }
    Some(run)
}

pub(super) fn sandbox_of(table: &Table<'_>, context: &Context<'_>) -> Option<String> {
    let name = table.need("sandbox", "\"a\"")?.text()?;
    context.sandbox(&name)
}

pub(super) fn templates(item: &Item<'_>, context: &Context<'_>) -> Option<Vec<Template>> {
    item.texts()?.iter().map(|text| context.text_template(text)).collect()
}
