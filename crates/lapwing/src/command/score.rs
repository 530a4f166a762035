//! `lapwing score`: fold a run's events into findings again.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;

use lapwing_core::{Act, Finding};
use lapwing_eval::{Comparisons, Judgings, Table, judge_again, measured};
use lapwing_scenario::{Folder, JudgeOver, Rubric, Scenario};
use lapwing_store::{Run, SampleState, Scoring};
use serde_json::json;

use super::{Global, judge, machine, print_json, start};
use crate::args;
use crate::failure::Failure;
use crate::library;
use crate::render::{count, say};
use crate::tables;

/// Samples that are judged at a time.
const AT_A_TIME: usize = 16;

pub(crate) fn run(args: &args::Score, global: &Global) -> Result<ExitCode, Failure> {
    let run = global.runs.find(&args.run)?;
    let scenario = match &args.with {
        Some(path) => library::load_folder(path)?,
        None => recorded(&run)?,
    };
    let samples = run.samples()?;
    let last = run.scorings()?.last().map_or(1, |scoring| scoring.id);
    let before = run.findings(last)?;
    let spec = run.spec()?;
    let (run, judge, said, spent) = match &args.judge {
        Some(wanted) => start::runtime()?.block_on(async {
            let connector = judge::connector(&args.connection, &args.judging)?;
            let judge = judge::named(wanted, &connector).await?;
            judge::refuse_test_on_models(&judge, spec.models.iter().map(String::as_str))?;
            let (run, said) = judge_again(run, &scenario, &judge, AT_A_TIME).await?;
            if let Some(used) = start::used(&connector) {
                say(&used);
            }
            let spent = start::spent_budget(&connector).filter(|_| !said.unpaid.is_empty());
            Ok::<_, Failure>((run, Some(judge.name()), said, spent))
        })?,
        None => (run, None, Judgings::default(), None),
    };
    let stale = if judge.is_some() { None } else { Some(stale(&run, &scenario)?) };
    let mut findings: Vec<(u64, Vec<Finding>)> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.state == SampleState::Done) {
        let mut events = run.events(sample.number)?;
        events.retain(|event| match (&event.act, &stale) {
            (Act::Judged { query, .. }, Some(stale)) => !stale.contains(query),
            (Act::Judged { .. }, None) => false,
            _ => true,
        });
        events.extend(said.events.get(&sample.number).cloned().unwrap_or_default());
        findings.push((sample.number, scenario.findings(&events, &run)));
    }
    let changed: Vec<u64> = findings
        .iter()
        .filter(|(number, findings)| before.get(number) != Some(findings))
        .map(|(number, _)| *number)
        .collect();
    let id = run.id();
    let measured = measured(&scenario, &run, &samples)?;
    let n_unpaid = said.unpaid.len();
    let first_judge = spec.settings.get("judge").cloned();
    let scoring = Scoring {
        at_ms: start::now_ms(),
        scenario: scenario.digest(),
        findings,
        judge: judge.or(first_judge),
        judged: said.events,
        blobs: said.blobs,
    };
    let number = run.add_scoring(&scoring)?;
    let Scoring { findings, judge, .. } = scoring;

    let code = if n_unpaid == 0 { ExitCode::SUCCESS } else { ExitCode::from(Failure::CHECK) };
    let findings = findings.into_iter().collect();
    let table = Table::new(&scenario, &spec, &samples, &findings);
    let comparisons = Comparisons::new(&scenario, &samples, &findings, &measured);
    if global.json {
        print_json(&json!({
            "run": id, "scoring": number, "judge": judge, "compared_with": last, "changed": changed, "table": table,
            "comparisons": comparisons, "not_judged": n_unpaid,
        }))?;
        return Ok(code);
    }
    let mut out = anstream::stdout().lock();
    tables::table(&mut out, &scenario, &table, judge.as_deref())?;
    tables::comparisons(&mut out, &comparisons)?;
    writeln!(
        out,
        "\n  scoring {number} of {id}: {} scored, {} differ from scoring {last}",
        count(samples.len(), "sample"),
        changed.len(),
    )?;
    for sample in changed.iter().take(10) {
        writeln!(out, "    lapwing show {id} {sample}")?;
    }
    if let Some(spent) = spent {
        let left = count(n_unpaid, "sample");
        say(&format!(
            "{spent}: {left} not judged to the end, and ungraded where a label is missing"
        ));
    }
    Ok(code)
}

/// Judge queries that are no longer what the labels of the run were given for.
fn stale(run: &Run, scenario: &Scenario) -> Result<BTreeSet<String>, Failure> {
    let before = recorded(run)?;
    let asked = |scenario: &Scenario| -> Vec<(String, Rubric, JudgeOver)> {
        let queries = scenario.judge_queries().iter();
        queries.map(|query| (query.name.clone(), query.rubric.clone(), query.over)).collect()
    };
    let now = asked(scenario);
    let changed = asked(&before).into_iter().filter(|query| !now.contains(query));
    Ok(changed.map(|(name, _, _)| name).collect())
}

/// The scenario as it was when the run began.
pub(crate) fn recorded(run: &Run) -> Result<Scenario, Failure> {
    let spec = run.spec()?;
    let folder = Folder::from_files(run.folder()?);
    let folder = match spec.settings.get(machine::FOLDER) {
        Some(place) => folder.read_from(place.into()),
        None => folder,
    };
    Scenario::load(&spec.scenario, folder).map_err(|faults| Failure::diagnostics(&faults))
}
