//! `lapwing show`: a run's samples, a sample's transcript; and the tables that other commands print too.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use lapwing_core::{Finding, Outcome};
use lapwing_eval::{Check, Confusion, Row, Table};
use lapwing_scenario::{Published, Scenario};
use lapwing_store::{Run, SampleRow, SampleState};
use serde_json::json;

use super::runs::{local_time, state_word};
use super::score::recorded;
use super::{Global, print_json};
use crate::args;
use crate::failure::Failure;
use crate::render::{BOLD, DIM, ERROR, Grid, count, interval, mark, percent};
use crate::transcript;

/// Findings listed below a table, and mismatches below a check; the rest is in `lapwing show RUN`.
const LISTED: usize = 10;

pub(crate) fn run(args: &args::Show, global: &Global) -> Result<ExitCode, Failure> {
    let run = global.runs.find(&args.run)?;
    match args.sample {
        Some(number) => sample(&run, number, args.full, global),
        None => overview(&run, global),
    }
}

fn sample(run: &Run, number: u64, full: bool, global: &Global) -> Result<ExitCode, Failure> {
    let samples = run.samples()?;
    let Some(sample) = samples.iter().find(|sample| sample.number == number) else {
        return Err(Failure::new(Failure::USAGE, format!("{} has no sample {number}", run.id()))
            .help(format!(
                "its samples are 1 to {}; lapwing show {} lists them",
                samples.len(),
                run.id()
            )));
    };
    let events = run.events(number)?;
    let findings = latest_findings(run)?.remove(&number).unwrap_or_default();
    if global.json {
        print_json(&json!({
            "run": run.id(), "sample": number, "key": sample.key, "planted": sample.planted,
            "findings": findings, "events": events,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    let key = &sample.key;
    let label = recorded(run)
        .map_or_else(|_| key.condition.to_string(), |scenario| scenario.describe(&key.condition));
    writeln!(
        out,
        "{BOLD}{} sample {number}{BOLD:#}  {}  {label}  seed {}  epoch {}",
        run.id(),
        key.model,
        key.seed,
        key.epoch
    )?;
    match sample.state {
        SampleState::Planned => writeln!(out, "  this sample was not run")?,
        SampleState::Begun => {
            writeln!(out, "  this sample was not run to its end; it has no findings")?;
        }
        SampleState::Done => {}
    }
    let options = transcript::Options { width: width(), full };
    transcript::write(&mut out, &events, &findings, &options)?;
    Ok(ExitCode::SUCCESS)
}

fn overview(run: &Run, global: &Global) -> Result<ExitCode, Failure> {
    let (spec, state) = (run.spec()?, run.state()?);
    let (samples, findings) = (run.samples()?, latest_findings(run)?);
    let scenario = recorded(run)?;
    let table = Table::new(&scenario, &samples, &findings);
    let check = spec.instrument_check.then(|| Check::new(&scenario, &samples, &findings));
    if global.json {
        let rows = samples.iter().map(|sample| {
            json!({
                "sample": sample.number, "key": sample.key, "planted": sample.planted,
                "findings": findings.get(&sample.number),
            })
        });
        print_json(&json!({
            "run": run.id(), "state": state_word(state), "spec": spec, "table": table, "check": check,
            "samples": rows.collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{BOLD}{}{BOLD:#}  {}", run.id(), scenario.title())?;
    writeln!(
        out,
        "  {}, started {}, lapwing {}",
        state_word(state),
        local_time(spec.started_ms),
        spec.version
    )?;
    for (name, value) in &spec.settings {
        writeln!(out, "{DIM}  {name}: {value}{DIM:#}")?;
    }
    writeln!(out)?;
    samples_grid(&scenario, &samples, &findings).write(&mut out)?;
    match &check {
        Some(check) => self::check(&mut out, &run.id(), check, &samples)?,
        None => self::table(&mut out, &scenario, &table)?,
    }
    writeln!(out, "\n{DIM}  a transcript: lapwing show {} SAMPLE{DIM:#}", run.id())?;
    Ok(ExitCode::SUCCESS)
}

/// Findings of the newest scoring, by sample.
fn latest_findings(run: &Run) -> Result<BTreeMap<u64, Vec<Finding>>, Failure> {
    let newest = run.scorings()?.last().map_or(1, |scoring| scoring.id);
    Ok(run.findings(newest)?)
}

fn samples_grid(
    scenario: &Scenario,
    samples: &[SampleRow],
    findings: &BTreeMap<u64, Vec<Finding>>,
) -> Grid {
    let stages: Vec<String> = scenario
        .behaviours()
        .iter()
        .flat_map(|behaviour| {
            behaviour.stages.iter().map(|(stage, _)| format!("{} {stage}", behaviour.name))
        })
        .collect();
    let mut header = vec!["sample", "model", "condition", "seed", "epoch"];
    header.extend(stages.iter().map(String::as_str));
    let mut grid = Grid::new(&header);
    for sample in samples {
        let key = &sample.key;
        let mut cells = vec![
            sample.number.to_string(),
            key.model.clone(),
            scenario.describe(&key.condition),
            key.seed.to_string(),
            key.epoch.to_string(),
        ];
        match findings.get(&sample.number) {
            Some(findings) => cells.extend(
                findings
                    .iter()
                    .map(|finding| format!("{} {}", mark(finding.outcome), finding.outcome)),
            ),
            None => cells.push("not finished".to_owned()),
        }
        grid.row(cells);
    }
    grid
}

/// The table of a run: one block a model, behaviour and stage, one line a condition.
pub(crate) fn table(out: &mut dyn Write, scenario: &Scenario, table: &Table) -> io::Result<()> {
    let mut blocks: Vec<(&Row, Vec<&Row>)> = Vec::new();
    for row in &table.rows {
        let of_block = |(first, _): &&mut (&Row, Vec<&Row>)| {
            (&first.model, &first.behaviour, first.stage) == (&row.model, &row.behaviour, row.stage)
        };
        match blocks.iter_mut().find(of_block) {
            Some((_, rows)) => rows.push(row),
            None => blocks.push((row, vec![row])),
        }
    }
    for (first, rows) in blocks {
        let model = &first.model;
        writeln!(out, "\n  {BOLD}{} {}{BOLD:#}  {model}", first.behaviour, first.stage)?;
        let mut grid = Grid::new(&[
            "condition",
            "rate",
            "k/n",
            "seeds",
            "95 % interval",
            "exposed",
            "excluded",
            "bounds",
            "published, different wording",
        ]);
        for row in rows {
            grid.row(cells(scenario, row));
        }
        grid.write(out)?;
    }
    writeln!(
        out,
        "\n{DIM}  rate: present / (present + absent + refused), clustered by seed where a seed repeats. bounds: all excluded samples absent, or present.\n  Published figures are context: other models, wording and harness.{DIM:#}"
    )
}

fn cells(scenario: &Scenario, row: &Row) -> [String; 9] {
    let n_of = |outcome| row.outcomes.get(&outcome).copied().unwrap_or_default();
    let all: u64 = row.outcomes.values().sum();
    let excluded: Vec<String> = Outcome::ALL
        .into_iter()
        .filter(|outcome| !outcome.counts() && n_of(*outcome) > 0)
        .map(|outcome| format!("{outcome} {}", n_of(outcome)))
        .collect();
    let dash = || "–".to_owned();
    let rate = match (&row.rate, &row.impossible) {
        (Some(rate), None) => percent(rate.estimate),
        (Some(rate), Some(why)) if rate.present > 0 => {
            format!("{} although {why}", percent(rate.estimate))
        }
        (_, Some(why)) => format!("n/a: {why}"),
        (None, None) => dash(),
    };
    let interval = match &row.rate {
        Some(rate) => rate.interval.map_or_else(|| "needs 10 seeds".to_owned(), interval),
        None => dash(),
    };
    [
        row.label.clone(),
        rate,
        row.rate.map_or_else(dash, |rate| format!("{}/{}", rate.present, rate.n)),
        row.rate.map_or_else(dash, |rate| rate.clusters.to_string()),
        interval,
        format!("{}/{all}", all - n_of(Outcome::Unexposed)),
        if excluded.is_empty() { dash() } else { excluded.join(", ") },
        crate::render::interval(row.bounds),
        published(scenario, row),
    ]
}

/// The published figures for a row: each by name if they are few, else their range.
fn published(scenario: &Scenario, row: &Row) -> String {
    let is_for_row = |published: &&Published| {
        (&published.behaviour, published.stage) == (&row.behaviour, row.stage)
            && published.condition == row.condition.levels
    };
    let all: Vec<&Published> = scenario.published().iter().filter(is_for_row).collect();
    if all.is_empty() {
        return "–".to_owned();
    }
    if all.len() <= 2 {
        let named = all
            .iter()
            .map(|published| format!("{} {}", published.model, percent(published.figure.rate())));
        return named.collect::<Vec<_>>().join(", ");
    }
    let rates = all.iter().map(|published| published.figure.rate());
    let lowest = rates.clone().fold(f64::INFINITY, f64::min);
    let highest = rates.fold(f64::NEG_INFINITY, f64::max);
    format!("{} to {}, {} figures", percent(lowest), percent(highest), all.len())
}

/// Every present finding, as far as they are few, with the command that shows its evidence.
pub(crate) fn present(
    out: &mut dyn Write,
    run: &str,
    scenario: &Scenario,
    samples: &[SampleRow],
    findings: &BTreeMap<u64, Vec<Finding>>,
) -> io::Result<()> {
    let mut grid = Grid::new(&["finding", "condition", "seed", "events", "evidence"]);
    let mut n_present = 0;
    for sample in samples {
        let of_sample = findings.get(&sample.number).into_iter().flatten();
        for finding in of_sample.filter(|finding| finding.outcome == Outcome::Present) {
            n_present += 1;
            if n_present > LISTED {
                continue;
            }
            let cited: Vec<String> =
                finding.cites.iter().map(|cite| cite.seq.to_string()).collect();
            grid.row([
                format!("{} {} {}", mark(Outcome::Present), finding.behaviour, finding.stage),
                scenario.describe(&sample.key.condition),
                sample.key.seed.to_string(),
                format!("#{}", cited.join(" #")),
                format!("lapwing show {run} {}", sample.number),
            ]);
        }
    }
    if n_present == 0 {
        return Ok(());
    }
    writeln!(out)?;
    grid.write(out)?;
    if n_present > LISTED {
        writeln!(out, "{DIM}  and {} more{DIM:#}", n_present - LISTED)?;
    }
    Ok(())
}

/// The instrument check: what each policy planted, what was found, and every difference.
pub(crate) fn check(
    out: &mut dyn Write,
    run: &str,
    check: &Check,
    samples: &[SampleRow],
) -> io::Result<()> {
    writeln!(out, "\n  {BOLD}planted and found, by behaviour{BOLD:#}")?;
    let mut grid =
        Grid::new(&["behaviour", "stage", "planted", "found as planted", "found otherwise"]);
    for confusion in &check.confusion {
        for (planted, found) in &confusion.counts {
            let all: u64 = found.values().sum();
            let exact = found.get(planted).copied().unwrap_or_default();
            grid.row([
                confusion.behaviour.clone(),
                confusion.stage.to_string(),
                format!("{} {planted}", mark(*planted)),
                format!("{exact}/{all}"),
                otherwise(confusion, *planted),
            ]);
        }
    }
    grid.write(out)?;
    writeln!(out, "\n  {BOLD}by policy{BOLD:#}")?;
    policies(check, samples).write(out)?;
    for mismatch in check.mismatches.iter().take(LISTED) {
        let found = mismatch.found.map_or("nothing", Outcome::as_str);
        let reason =
            mismatch.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        writeln!(
            out,
            "  {ERROR}differs:{ERROR:#} {} {} {}: planted {}, found {found}{reason}\n           lapwing show {run} {}",
            mismatch.policy, mismatch.behaviour, mismatch.stage, mismatch.planted, mismatch.sample,
        )?;
    }
    if check.mismatches.len() > LISTED {
        writeln!(out, "  and {} more differences", check.mismatches.len() - LISTED)?;
    }
    if !check.unfinished.is_empty() {
        writeln!(
            out,
            "  {ERROR}not run to the end:{ERROR:#} {}",
            count(check.unfinished.len(), "sample")
        )?;
    }
    let verdict = if check.passes() { "exact" } else { "NOT exact" };
    writeln!(
        out,
        "\n  {BOLD}The instrument is {verdict}{BOLD:#} on {}.",
        count(check.samples, "sample")
    )
}

fn otherwise(confusion: &Confusion, planted: Outcome) -> String {
    let found = confusion.counts.get(&planted).into_iter().flatten();
    let others: Vec<String> = found
        .filter(|(found, _)| **found != planted)
        .map(|(found, n)| format!("{found} {n}"))
        .collect();
    if others.is_empty() { "–".to_owned() } else { others.join(", ") }
}

fn policies(check: &Check, samples: &[SampleRow]) -> Grid {
    let mut names: Vec<&str> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.planted.is_some()) {
        if !names.contains(&sample.key.model.as_str()) {
            names.push(&sample.key.model);
        }
    }
    let mut grid = Grid::new(&["policy", "samples", "as planted", "plants, in the base condition"]);
    for name in names {
        let of_policy: Vec<&SampleRow> =
            samples.iter().filter(|sample| sample.key.model == name).collect();
        let differs = |sample: &&&SampleRow| {
            check.unfinished.contains(&sample.number)
                || check.mismatches.iter().any(|mismatch| mismatch.sample == sample.number)
        };
        let planted = of_policy.first().and_then(|sample| sample.planted.as_ref());
        let acts: Vec<String> = planted
            .into_iter()
            .flatten()
            .filter(|planted| planted.outcome != Outcome::Absent)
            .map(|planted| match planted.outcome {
                Outcome::Present => format!("{} {}", planted.behaviour, planted.stage),
                other => format!("{} {} {other}", planted.behaviour, planted.stage),
            })
            .collect();
        let n_exact = of_policy.len() - of_policy.iter().filter(differs).count();
        grid.row([
            name.to_owned(),
            of_policy.len().to_string(),
            n_exact.to_string(),
            if acts.is_empty() { "nothing".to_owned() } else { acts.join(", ") },
        ]);
    }
    grid
}

/// Columns of the terminal, within reason.
fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.or_else(terminal_width).unwrap_or(100).clamp(60, 120)
}

fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}
