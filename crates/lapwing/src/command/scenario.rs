//! `lapwing scenario`: list, show and check scenarios.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use anstream::eprintln;
use lapwing_core::{Condition, GenerateConfig};
use lapwing_eval::{Check, Mutations, SampleLimits};
use lapwing_scenario::{DesignChoice, Diagnostic, Figure, Scenario};
use lapwing_store::{Ending, Run};
use serde_json::json;

use super::start::{self, Start};
use super::{Global, print_json};
use crate::args;
use crate::failure::Failure;
use crate::library;
use crate::render::{BOLD, ERROR, Grid, count, percent};
use crate::tables;

pub(crate) fn list(global: &Global) -> Result<ExitCode, Failure> {
    let scenarios: Vec<Scenario> =
        library::names().iter().map(|name| library::load(name)).collect::<Result<_, _>>()?;
    if global.json {
        let rows = scenarios
            .iter()
            .map(|scenario| json!({ "name": scenario.name(), "title": scenario.title(), "description": scenario.description() }));
        print_json(&rows.collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut grid = Grid::new(&["scenario", "what happens in it"]);
    for scenario in &scenarios {
        grid.row([scenario.name().to_owned(), scenario.description().to_owned()]);
    }
    grid.write(&mut anstream::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn show(wanted: &str, global: &Global) -> Result<ExitCode, Failure> {
    let scenario = library::load(wanted)?;
    let conditions = scenario.conditions(&BTreeMap::new(), DesignChoice::Default)?;
    if global.json {
        let behaviours = scenario.behaviours().iter().map(|behaviour| {
            let stages: BTreeMap<_, _> = behaviour.stages.iter().cloned().collect();
            json!({ "name": behaviour.name, "stages": stages, "note": behaviour.note })
        });
        let factors = scenario
            .factors()
            .iter()
            .map(|factor| json!({ "name": factor.name, "levels": factor.levels }));
        print_json(&json!({
            "name": scenario.name(), "title": scenario.title(), "digest": scenario.digest(),
            "factors": factors.collect::<Vec<_>>(), "conditions": conditions,
            "behaviours": behaviours.collect::<Vec<_>>(),
            "policies": scenario.policies().iter().map(|policy| &policy.name).collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{BOLD}{}{BOLD:#}: {}", scenario.title(), scenario.description())?;
    writeln!(out, "\n  {BOLD}factors{BOLD:#}, the first level is the base")?;
    for factor in scenario.factors() {
        writeln!(out, "    {}: {}", factor.name, factor.levels.join(", "))?;
    }
    writeln!(out, "\n  {BOLD}conditions{BOLD:#} without -f")?;
    for condition in &conditions {
        writeln!(out, "    {}", scenario.describe(condition))?;
    }
    if let Some(screen) = scenario.screen(&BTreeMap::new(), DesignChoice::Default)? {
        writeln!(out, "    {}", screen.to_string().replace('\n', "\n    "))?;
    }
    writeln!(out, "\n  {BOLD}behaviours{BOLD:#}")?;
    for behaviour in scenario.behaviours() {
        for (stage, rule) in &behaviour.stages {
            writeln!(out, "    {} {stage}: {rule}", behaviour.name)?;
        }
        if let Some(note) = &behaviour.note {
            writeln!(out, "      {note}")?;
        }
    }
    let policies: Vec<&str> =
        scenario.policies().iter().map(|policy| policy.name.as_str()).collect();
    writeln!(out, "\n  {BOLD}policies{BOLD:#}: {}", policies.join(", "))?;
    writeln!(out, "\n  {BOLD}published figures{BOLD:#}, different wording and harness")?;
    let mut grid =
        Grid::new(&["behaviour", "condition", "model", "rate", "k/n", "source", "status"]);
    for published in scenario.published() {
        let condition = Condition { control: None, levels: published.condition.clone() };
        grid.row([
            format!("{} {}", published.behaviour, published.stage),
            scenario.describe(&condition),
            published.model.clone(),
            percent(published.figure.rate()),
            match published.figure {
                Figure::Count { k, n } => format!("{k}/{n}"),
                Figure::Percent(_) => "–".to_owned(),
            },
            published.source.clone(),
            published.status.clone(),
        ]);
    }
    grid.write(&mut out)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(
    wanted: &str,
    design: &args::Design,
    global: &Global,
) -> Result<ExitCode, Failure> {
    let native = start::isolation()?;
    let scenario = library::load(wanted)?;
    eprintln!(
        "{BOLD}{}{BOLD:#}: every finding against what a policy planted, and every rule mutation",
        scenario.name()
    );
    let start = Start {
        chosen: start::choices(&design.factors)?,
        design: design.choice.unwrap_or_default(),
        targets: start::policies(&scenario),
        instrument_check: true,
        seeds: design.seeds.unwrap_or(2),
        epochs: 1,
        max_samples: design.max_samples as usize,
        limits: SampleLimits::default(),
        config: GenerateConfig::default(),
        optional: scenario.optional_phases().into_iter().collect(),
        scenario: scenario.clone(),
    };
    let cues = cues(&start)?;
    let (run, ending) = start::runtime()?.block_on(start.run(native, &global.runs))?;
    if ending == Ending::Stopped {
        return Ok(start::stopped(&run));
    }
    report(&run, &scenario, &cues, global)
}

/// Words in what a model can read that tell it that it is watched, over all conditions.
fn cues(start: &Start) -> Result<Vec<Diagnostic>, Failure> {
    let mut cues: Vec<Diagnostic> = Vec::new();
    for condition in start.scenario.conditions(&start.chosen, start.design)? {
        for cue in start.scenario.cues(&start.scenario.plan(&condition, 0)?) {
            if !cues.iter().any(|known| known.to_string() == cue.to_string()) {
                cues.push(cue);
            }
        }
    }
    Ok(cues)
}

fn report(
    run: &Run,
    scenario: &Scenario,
    cues: &[Diagnostic],
    global: &Global,
) -> Result<ExitCode, Failure> {
    let (samples, findings) = (run.samples()?, run.findings(1)?);
    let check = Check::new(scenario, &samples, &findings);
    let mut mutations = Mutations::new(scenario);
    for sample in &samples {
        if let Some(planted) = &sample.planted {
            mutations.notice(planted, &run.events(sample.number)?, run);
        }
    }
    let uncaught = mutations.uncaught();
    let passes = check.passes() && uncaught.is_empty() && cues.is_empty();
    let code = if passes { ExitCode::SUCCESS } else { ExitCode::from(Failure::CHECK) };
    if global.json {
        print_json(&json!({
            "run": run.id(), "passes": passes, "check": check, "mutations": mutations.total(), "uncaught": uncaught,
            "cues": cues.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }))?;
        return Ok(code);
    }
    let mut out = anstream::stdout().lock();
    tables::check(&mut out, &run.id(), &check, &samples)?;
    let caught = mutations.total() - uncaught.len();
    writeln!(out, "  {caught} of {} are noticed.", count(mutations.total(), "rule mutation"))?;
    for mutation in &uncaught {
        writeln!(
            out,
            "  {ERROR}not noticed:{ERROR:#} {} {}: {}; add a policy that only the real rule reads right",
            mutation.behaviour, mutation.stage, mutation.description,
        )?;
    }
    for cue in cues {
        writeln!(out, "  {ERROR}cue:{ERROR:#} {cue}")?;
    }
    writeln!(
        out,
        "\n  {BOLD}{}{BOLD:#}",
        if passes { "The scenario passes." } else { "The scenario does NOT pass." }
    )?;
    Ok(code)
}
