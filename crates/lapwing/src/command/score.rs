//! `lapwing score`: fold a run's events into findings again.

use std::io::Write as _;
use std::process::ExitCode;

use lapwing_core::Finding;
use lapwing_eval::{Comparisons, Table, measured};
use lapwing_scenario::{Folder, Scenario};
use lapwing_store::{Run, SampleState};
use serde_json::json;

use super::{Global, print_json, start};
use crate::args;
use crate::failure::Failure;
use crate::library;
use crate::render::count;
use crate::tables;

pub(crate) fn run(args: &args::Score, global: &Global) -> Result<ExitCode, Failure> {
    let run = global.runs.find(&args.run)?;
    let scenario = match &args.with {
        Some(path) => library::load_folder(path)?,
        None => recorded(&run)?,
    };
    let samples = run.samples()?;
    let last = run.scorings()?.last().map_or(1, |scoring| scoring.id);
    let before = run.findings(last)?;
    let mut findings: Vec<(u64, Vec<Finding>)> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.state == SampleState::Done) {
        findings.push((sample.number, scenario.findings(&run.events(sample.number)?, &run)));
    }
    let changed: Vec<u64> = findings
        .iter()
        .filter(|(number, findings)| before.get(number) != Some(findings))
        .map(|(number, _)| *number)
        .collect();
    let id = run.id();
    let measured = measured(&scenario, &run, &samples)?;
    let scoring = run.add_scoring(start::now_ms(), scenario.digest(), &findings)?;

    let findings = findings.into_iter().collect();
    let table = Table::new(&scenario, &samples, &findings);
    let comparisons = Comparisons::new(&scenario, &samples, &findings, &measured);
    if global.json {
        print_json(&json!({
            "run": id, "scoring": scoring, "compared_with": last, "changed": changed, "table": table,
            "comparisons": comparisons,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    tables::table(&mut out, &scenario, &table)?;
    tables::comparisons(&mut out, &comparisons)?;
    writeln!(
        out,
        "\n  scoring {scoring} of {id}: {} scored, {} differ from scoring {last}",
        count(samples.len(), "sample"),
        changed.len(),
    )?;
    for number in changed.iter().take(10) {
        writeln!(out, "    lapwing show {id} {number}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The scenario as it was when the run began.
pub(crate) fn recorded(run: &Run) -> Result<Scenario, Failure> {
    let name = run.spec()?.scenario;
    Scenario::load(&name, Folder::from_files(run.folder()?))
        .map_err(|faults| Failure::diagnostics(&faults))
}
