//! `lapwing scenario render`: exactly what a model is given in one sample.

use std::io::{self, Write};
use std::process::ExitCode;

use lapwing_scenario::{DesignChoice, PhaseKind, Plan, RunPlace};
use serde_json::json;

use super::{Global, print_json, start};
use crate::args;
use crate::failure::Failure;
use crate::library;
use crate::render::{BOLD, DIM, Grid};
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
    if global.json {
        print_json(&json!({ "condition": condition, "seed": args.seed, "values": plan.values }))?;
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
    phases(&mut out, &plan)?;
    world(&mut out, &plan)?;
    Ok(ExitCode::SUCCESS)
}

fn phases(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    for phase in &plan.phases {
        let optional = if phase.optional { ", only with --with" } else { "" };
        writeln!(out, "\n  {BOLD}phase {}{BOLD:#}{optional}", phase.id)?;
        match &phase.kind {
            PhaseKind::Agent { sandbox, system, user, tools, nudge, turns } => {
                writeln!(
                    out,
                    "{DIM}  at most {turns} turns in sandbox {sandbox}, tools: {}{DIM:#}",
                    tools.join(", ")
                )?;
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
                    RunPlace::Backstage { .. } => "backstage".to_owned(),
                    RunPlace::Inside(sandbox) => format!("inside sandbox {sandbox}"),
                };
                writeln!(out, "{DIM}  programs/{program} runs {place}{DIM:#}")?;
            }
        }
    }
    Ok(())
}

fn text(out: &mut dyn Write, role: &str, text: &str) -> io::Result<()> {
    writeln!(out, "  {DIM}{role}{DIM:#}")?;
    text.lines().try_for_each(|line| writeln!(out, "    │ {}", harmless(line)))
}

fn world(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    for (name, sandbox) in &plan.sandboxes {
        writeln!(out, "\n  {BOLD}sandbox {name}{BOLD:#}, host name {}", sandbox.hostname)?;
        let mut files = Grid::new(&["mode", "bytes", "file", ""]);
        for file in &sandbox.files {
            let sealed = if sandbox.read_only.contains(&file.path) { "read-only" } else { "" };
            files.row([
                format!("{:o}", file.mode),
                file.bytes.len().to_string(),
                harmless(&file.path),
                sealed.to_owned(),
            ]);
        }
        files.write(out)?;
        for service in plan.services.iter().filter(|service| service.sandbox == *name) {
            writeln!(out, "  service {}: {}", service.name, service.argv.join(" "))?;
        }
        for program in plan.programs.iter().filter(|program| program.sandbox == *name) {
            writeln!(out, "  program {}: answered by {}", program.name, program.run)?;
        }
    }
    writeln!(out, "\n  {BOLD}values{BOLD:#}")?;
    plan.values.iter().try_for_each(|(name, value)| writeln!(out, "    {name}: {value}"))
}
