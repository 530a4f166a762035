//! `lapwing scenario render`: exactly what a model is given in one sample.

mod json;
mod world;

use std::io::{self, Write};
use std::process::ExitCode;

use lapwing_core::{Delivery, Network, NewFile, Observe};
use lapwing_eval::tool_spec;
use lapwing_scenario::{
    Codebook, DesignChoice, Glob, PhaseKind, Plan, RunPlace, SandboxPlan, Scenario,
};
use serde_json::Value;

use super::{Global, print_json, start};
use crate::args;
use crate::failure::Failure;
use crate::library;
use crate::render::{BOLD, DIM, Grid, columns, count, entry, note, wrap};
use crate::transcript::harmless;

pub(crate) fn run(args: &args::Render, global: &Global) -> Result<ExitCode, Failure> {
    let scenario = library::load(&args.scenario)?;
    let chosen = start::choices(&args.factors)?;
    if let Some((factor, _)) = chosen.iter().find(|(_, levels)| levels.len() > 1) {
        return Err(Failure::new(
            Failure::USAGE,
            format!("-f {factor}: more than one level is chosen"),
        )
        .help("one sample is rendered: choose one level of each factor"));
    }
    let Some(condition) = scenario.conditions(&chosen, DesignChoice::Default)?.into_iter().next()
    else {
        return Err(Failure::new(Failure::USAGE, "the scenario has no such condition"));
    };
    let plan = scenario.plan(&condition, args.seed)?;
    let in_words = scenario.organism_plan(&condition, args.seed)?;
    if global.json {
        print_json(&json::sample(&condition, args.seed, &plan, in_words.as_ref()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "{BOLD}{}{BOLD:#}  {}  seed {}",
        scenario.name(),
        scenario.describe(&condition),
        args.seed
    )?;
    phases(&mut out, &scenario, &plan)?;
    if scenario.has_organism() {
        organism(&mut out, in_words.as_ref())?;
    }
    sandboxes(&mut out, &plan, args.full)?;
    plan.world.iter().try_for_each(|part| world::write(&mut out, part))?;
    injections(&mut out, &plan)?;
    if args.full {
        writeln!(out, "\n  {BOLD}programs{BOLD:#}, out of the model's reach")?;
        files(&mut out, &plan.backstage, &[], true)?;
    }
    writeln!(out, "\n  {BOLD}values{BOLD:#}")?;
    for (name, value) in &plan.values {
        drawn(&mut out, name, value, args.full)?;
    }
    if !args.full && plan.sandboxes.values().any(|sandbox| !sandbox.files.is_empty()) {
        writeln!(out, "\n{DIM}  --full shows what is in the files{DIM:#}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A value that templates can name: a line as JSON, a longer text by its beginning unless all is shown.
fn drawn(out: &mut dyn Write, name: &str, value: &Value, full: bool) -> io::Result<()> {
    let Some((first, others)) = value.as_str().and_then(|text| text.split_once('\n')) else {
        return entry(out, 4, &format!("{name}: {value}"));
    };
    if full {
        return text(out, &format!("  {name}"), &format!("{first}\n{others}"));
    }
    let more = count(others.lines().count(), "more line");
    entry(out, 4, &format!("{name}: {first} … {more} (--full)"))
}

/// What a tiny model is given instead.
fn organism(out: &mut dyn Write, plan: Option<&Plan>) -> io::Result<()> {
    writeln!(out, "\n  {BOLD}organism{BOLD:#}, for a model that only continues a text")?;
    let Some(plan) = plan else {
        return note(out, "this condition has no mapping to its words, and is not run");
    };
    for phase in &plan.phases {
        match &phase.kind {
            PhaseKind::Agent { user, .. } => text(out, &phase.id, user)?,
            PhaseKind::Ask { questions, .. } => text(out, &phase.id, &questions.join("\n"))?,
            PhaseKind::Run { .. } => {}
        }
    }
    let codebook = plan.codebook.iter().flat_map(Codebook::lines).collect::<Vec<_>>();
    text(out, "codebook", &codebook.join("\n"))
}

fn phases(out: &mut dyn Write, scenario: &Scenario, plan: &Plan) -> io::Result<()> {
    for phase in &plan.phases {
        let id = &phase.id;
        let optional = phase.optional.then(|| format!(", only with --with {id}"));
        writeln!(out, "\n  {BOLD}phase {id}{BOLD:#}{}", optional.unwrap_or_default())?;
        for (key, rule) in scenario.phase_rules(id) {
            note(out, &format!("{key}: {rule}"))?;
        }
        match &phase.kind {
            PhaseKind::Agent { sandbox, system, user, tools, nudge, turns } => {
                let (turns, tools_named) = (count(*turns as usize, "turn"), tools.join(", "));
                note(out, &format!("at most {turns} in sandbox {sandbox}, tools: {tools_named}"))?;
                for spec in tools.iter().filter_map(|tool| tool_spec(tool)) {
                    let spec = serde_json::to_string(&spec).unwrap_or_default();
                    text(out, "tool", &spec)?;
                }
                if let Some(system) = system {
                    text(out, "system", system)?;
                }
                text(out, "user", user)?;
                if let Some(nudge) = nudge {
                    text(out, "user, after a turn without a tool call", nudge)?;
                }
            }
            PhaseKind::Ask { questions, fresh, times } => {
                let where_asked =
                    if *fresh { "in a fresh conversation" } else { "in the same conversation" };
                let times =
                    if *times > 1 { format!(", up to {times} times") } else { String::new() };
                for question in questions {
                    text(out, &format!("user, {where_asked}{times}"), question)?;
                }
            }
            PhaseKind::Run { program, place } => {
                let place = match place {
                    RunPlace::Backstage { of: Some(of), copy } if copy.is_empty() => {
                        format!("backstage, beside sandbox {of}")
                    }
                    RunPlace::Backstage { of: Some(of), copy } => {
                        format!("backstage, beside sandbox {of} and with copies of {}", globs(copy))
                    }
                    RunPlace::Backstage { of: None, .. } => "backstage".to_owned(),
                    RunPlace::Inside(sandbox) => format!("inside sandbox {sandbox}"),
                };
                note(out, &format!("programs/{program} runs {place}"))?;
            }
        }
    }
    Ok(())
}

fn text(out: &mut dyn Write, role: &str, text: &str) -> io::Result<()> {
    writeln!(out, "  {DIM}{role}{DIM:#}")?;
    let room = columns().map_or(usize::MAX, |columns| columns.saturating_sub(6));
    for line in text.lines() {
        for row in wrap(&harmless(line), room) {
            writeln!(out, "{}", format!("    │ {row}").trim_end())?;
        }
    }
    Ok(())
}

fn globs(globs: &[Glob]) -> String {
    globs.iter().map(Glob::pattern).collect::<Vec<_>>().join(", ")
}

fn sandboxes(out: &mut dyn Write, plan: &Plan, full: bool) -> io::Result<()> {
    for (name, sandbox) in &plan.sandboxes {
        writeln!(
            out,
            "\n  {BOLD}sandbox {name}{BOLD:#}, host name {}",
            harmless(&sandbox.hostname)
        )?;
        writeln!(out, "{DIM}  {}{DIM:#}", limits(sandbox))?;
        network(out, sandbox)?;
        files(out, &sandbox.files, &sandbox.read_only, full)?;
        let is_file = |path: &&String| sandbox.files.iter().any(|file| file.path == **path);
        for path in sandbox.read_only.iter().filter(|path| !is_file(path)) {
            writeln!(out, "  read-only: {}", harmless(path))?;
        }
        for carry in &sandbox.carry {
            let paths = globs(&carry.paths);
            entry(out, 2, &format!("carried over from sandbox {}: {paths}", carry.from))?;
        }
        if let Some(setup) = &sandbox.setup {
            writeln!(out, "  set up by a script of {}", count(setup.lines().count(), "line"))?;
            if full {
                text(out, "set-up", setup)?;
            }
        }
        for service in plan.services.iter().filter(|service| service.sandbox == *name) {
            entry(out, 2, &format!("service {}: {}", service.name, service.argv.join(" ")))?;
        }
        for program in plan.programs.iter().filter(|program| program.sandbox == *name) {
            writeln!(out, "  command {}: answered by programs/{}", program.name, program.run)?;
        }
    }
    Ok(())
}

/// What its network is and what is recorded, where that is not as usual.
fn network(out: &mut dyn Write, sandbox: &SandboxPlan) -> io::Result<()> {
    if let Some(beside) = &sandbox.beside {
        writeln!(out, "  on the network of sandbox {beside}")?;
    }
    if !sandbox.names.is_empty() {
        entry(out, 2, &format!("reached as {}", sandbox.names.join(", ")))?;
    }
    if sandbox.network == Network::Sinkhole {
        writeln!(out, "  connections to the outside are taken, recorded and lead nowhere")?;
    }
    let Observe { exec, connect } = sandbox.observe;
    let recorded = [(exec, "programs that are run"), (connect, "connections that are tried")];
    let recorded: Vec<&str> =
        recorded.into_iter().filter(|(is, _)| *is).map(|(_, what)| what).collect();
    if !recorded.is_empty() {
        writeln!(out, "  recorded: {}", recorded.join(", "))?;
    }
    Ok(())
}

fn limits(sandbox: &SandboxPlan) -> String {
    let limits = &sandbox.limits;
    let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    format!(
        "memory {}, disk {}, {}",
        mebibytes(limits.memory_bytes),
        mebibytes(limits.disk_bytes),
        count(sandbox.files.len(), "file")
    )
}

fn files(out: &mut dyn Write, files: &[NewFile], sealed: &[String], full: bool) -> io::Result<()> {
    if full {
        for file in files {
            let seal = if sealed.contains(&file.path) { ", read-only" } else { "" };
            let role = format!(
                "{:o} {} bytes{seal} {}",
                file.mode,
                file.bytes.len(),
                harmless(&file.path)
            );
            text(out, &role, &String::from_utf8_lossy(&file.bytes))?;
        }
        return Ok(());
    }
    if files.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(&["mode", "bytes", "file"]);
    for file in files {
        let seal = if sealed.contains(&file.path) { " (read-only)" } else { "" };
        grid.row([
            format!("{:o}", file.mode),
            file.bytes.len().to_string(),
            format!("{}{seal}", file.path),
        ]);
    }
    grid.write(out)
}

fn injections(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    for injection in &plan.injections {
        let how = match &injection.deliver {
            Delivery::User => "user message".to_owned(),
            Delivery::Mail => "mail".to_owned(),
            Delivery::File { sandbox, path } => format!("file {path} of sandbox {sandbox}"),
        };
        writeln!(out, "\n  {BOLD}injection {}{BOLD:#}, once its rule holds", injection.name)?;
        text(out, &harmless(&how), &injection.text)?;
    }
    Ok(())
}
