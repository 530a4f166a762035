//! `lapwing show`: a run's samples, or a sample's transcript.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use lapwing_core::{Finding, Outcome, Reserve};
use lapwing_eval::{Check, Comparisons, Table, measured};
use lapwing_model::Asked;
use lapwing_scenario::Scenario;
use lapwing_store::{Run, RunState, SampleRow, SampleState, ScoringRow};
use serde_json::json;

use super::runs::{local_time, state_word};
use super::score::recorded;
use super::{Global, print_json, short};
use crate::args;
use crate::failure::Failure;
use crate::render::{BOLD, DIM, Grid, count, mark};
use crate::tables;
use crate::transcript::{self, harmless};

pub(crate) fn run(args: &args::Show, global: &Global) -> Result<ExitCode, Failure> {
    let run = global.runs.find(&args.run)?;
    match args.sample {
        Some(number) => sample(&run, number, args, global),
        None => overview(&run, args, global),
    }
}

fn sample(run: &Run, number: u64, args: &args::Show, global: &Global) -> Result<ExitCode, Failure> {
    let samples = run.samples()?;
    let Some(sample) = samples.iter().find(|sample| sample.number == number) else {
        return Err(Failure::new(Failure::USAGE, format!("{} has no sample {number}", run.id()))
            .help(format!(
                "its samples are 1 to {}; lapwing show {} lists them",
                samples.len(),
                run.id()
            )));
    };
    let scoring = scoring(run, args.scoring)?;
    let last = run.last_event(number)?;
    let from = match args.last {
        Some(n) => (last + 1).saturating_sub(n),
        None => args.from.unwrap_or(1),
    };
    let to = args.to.unwrap_or(u64::MAX);
    if last > 0 && (from > last || from > to) {
        return Err(Failure::new(Failure::USAGE, "there is no such event".to_owned())
            .help(format!("the events of sample {number} are 1 to {last}")));
    }
    let mut events = run.events_between(number, from, to)?;
    events.extend(run.judged(scoring.id, number)?.into_iter().filter(|event| event.seq <= to));
    let findings = run.findings(scoring.id)?.remove(&number).unwrap_or_default();
    if global.json {
        print_json(&json!({
            "run": run.id(), "sample": number, "key": sample.key, "planted": sample.planted,
            "findings": findings, "events": events, "abandoned": run.abandoned(number)?,
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
        harmless(&key.model),
        key.seed,
        key.epoch
    )?;
    let abandoned = run.abandoned(number)?.len();
    if abandoned > 0 {
        let words = count(abandoned, "event");
        writeln!(out, "  begun before and run again; {words} of then are kept, --json shows them")?;
    }
    match sample.state {
        SampleState::Planned => writeln!(out, "  this sample was not run")?,
        SampleState::Begun => {
            writeln!(out, "  this sample was not run to its end; it has no findings")?;
        }
        SampleState::Done => {}
    }
    if from > 1 || to < last {
        writeln!(out, "  events {from} to {} of {last}", to.min(last))?;
    }
    let options = transcript::Options { width: width(), full: args.full };
    transcript::write(&mut out, &events, &findings, &options)?;
    Ok(ExitCode::SUCCESS)
}

fn overview(run: &Run, args: &args::Show, global: &Global) -> Result<ExitCode, Failure> {
    let (spec, state) = (run.spec()?, run.state()?);
    let scoring = scoring(run, args.scoring)?;
    let (samples, findings) = (run.samples()?, run.findings(scoring.id)?);
    let scenario = recorded(run)?;
    let table = Table::new(&scenario, &spec, &samples, &findings);
    let measured = measured(&scenario, run, &samples)?;
    let comparisons = Comparisons::new(&scenario, &samples, &findings, &measured);
    let check = spec.instrument_check.then(|| {
        let mut check = Check::new(&scenario, &samples, &findings);
        check.compare_measures(&scenario, &samples, &measured);
        check
    });
    if global.json {
        let rows = samples.iter().map(|sample| {
            json!({
                "sample": sample.number, "key": sample.key, "state": progress(sample.state),
                "planted": sample.planted, "findings": findings.get(&sample.number),
            })
        });
        print_json(&json!({
            "run": run.id(), "state": state_word(state), "spec": spec, "table": table, "check": check,
            "comparisons": comparisons, "samples": rows.collect::<Vec<_>>(),
            "unsettled": run.unsettled()?,
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
    for resumed in run.resumed()? {
        writeln!(
            out,
            "  resumed {} with lapwing {}: {} begun again, {} added",
            local_time(resumed.at_ms),
            harmless(&resumed.version),
            count(resumed.again.len(), "sample"),
            resumed.added
        )?;
    }
    if let Some(line) = cut_off(&run.unsettled()?).filter(|_| state != RunState::Running) {
        writeln!(out, "  {line}")?;
    }
    for (name, value) in &spec.settings {
        // Of how a model was asked only the address is for readers.
        let address = serde_json::from_str::<Asked>(value).map(|asked| asked.base);
        let value = address.as_ref().unwrap_or(value);
        writeln!(out, "{DIM}  {}: {}{DIM:#}", harmless(name), harmless(value))?;
    }
    writeln!(out)?;
    samples_grid(&scenario, &samples, &findings).write(&mut out)?;
    if let Some(check) = &check {
        tables::check(&mut out, &run.id(), &scenario, check, &samples)?;
        tables::plumbing(&mut out, &scenario)?;
    } else {
        tables::table(&mut out, &scenario, &table, scoring.judge.as_deref())?;
        tables::comparisons(&mut out, &comparisons)?;
    }
    tables::missing(&mut out, &run.id(), &findings)?;
    writeln!(out, "\n{DIM}  a transcript: lapwing show {} SAMPLE{DIM:#}", run.id())?;
    Ok(ExitCode::SUCCESS)
}

/// Calls that were cut off before their answers were on record, in a line.
fn cut_off(unsettled: &[Reserve]) -> Option<String> {
    let tokens = unsettled.iter().map(|reserve| reserve.worst.total()).sum();
    let calls = count(unsettled.len(), "call");
    (!unsettled.is_empty()).then(|| {
        format!(
            "{calls} cut off before an answer was on record: up to {} tokens, counted as spent",
            short(tokens)
        )
    })
}

/// The scoring that was asked for, else the newest that has every finished sample: a run that was resumed after it was scored
/// again has more.
pub(crate) fn scoring(run: &Run, wanted: Option<i64>) -> Result<ScoringRow, Failure> {
    let scorings = run.scorings()?;
    let n_scorings = scorings.len();
    let found = match wanted {
        Some(id) => scorings.into_iter().find(|scoring| scoring.id == id),
        None => newest(run, scorings)?,
    };
    found.ok_or_else(|| {
        let wanted = wanted.map_or_else(String::new, |id| format!(" {id}"));
        Failure::new(Failure::USAGE, format!("{} has no scoring{wanted}", run.id()))
            .help(format!("its scorings are 1 to {n_scorings}"))
    })
}

fn newest(run: &Run, scorings: Vec<ScoringRow>) -> Result<Option<ScoringRow>, Failure> {
    let is_done = |row: &&SampleRow| row.state == SampleState::Done;
    let rows = run.samples()?;
    for scoring in scorings.into_iter().rev() {
        let findings = run.findings(scoring.id)?;
        if scoring.id == 1
            || rows.iter().filter(is_done).all(|row| findings.contains_key(&row.number))
        {
            return Ok(Some(scoring));
        }
    }
    Ok(None)
}

fn samples_grid(
    scenario: &Scenario,
    samples: &[SampleRow],
    findings: &BTreeMap<u64, Vec<Finding>>,
) -> Grid {
    let mut grid = Grid::new(&["sample", "model", "condition", "seed", "epoch", "findings"]);
    for sample in samples {
        let key = &sample.key;
        let cells = [
            sample.number.to_string(),
            key.model.clone(),
            scenario.describe(&key.condition),
            key.seed.to_string(),
            key.epoch.to_string(),
            match (findings.get(&sample.number), sample.state) {
                (Some(findings), _) => in_short(findings),
                // Of an imported log nobody may have said what to look for.
                (None, SampleState::Done) => "none".to_owned(),
                (None, SampleState::Begun | SampleState::Planned) => "not finished".to_owned(),
            },
        ];
        grid.row(cells);
    }
    grid
}

/// The findings of a sample by outcome. What is absent is named only where everything is.
fn in_short(findings: &[Finding]) -> String {
    let groups = Outcome::ALL.into_iter().filter_map(|outcome| {
        let is_meant = |finding: &&Finding| finding.outcome == outcome;
        let names = stages(findings.iter().filter(is_meant));
        let mark = mark(outcome);
        if findings.iter().all(|finding| finding.outcome == outcome) {
            return Some(format!("{mark} {outcome}"));
        }
        match outcome {
            Outcome::Absent => None,
            _ if names.is_empty() => None,
            Outcome::Present => Some(format!("{mark} {names}")),
            _ => Some(format!("{mark} {outcome}: {names}")),
        }
    });
    groups.collect::<Vec<_>>().join("; ")
}

/// Each behaviour with its stages, as `resisted attempt success, denied success`.
fn stages<'f>(findings: impl Iterator<Item = &'f Finding>) -> String {
    let mut named: Vec<(&str, Vec<&str>)> = Vec::new();
    for finding in findings {
        match named.last_mut().filter(|(last, _)| *last == finding.behaviour) {
            Some((_, stages)) => stages.push(finding.stage.as_str()),
            None => named.push((&finding.behaviour, vec![finding.stage.as_str()])),
        }
    }
    let words = named.iter().map(|(behaviour, stages)| format!("{behaviour} {}", stages.join(" ")));
    words.collect::<Vec<_>>().join(", ")
}

/// Columns of the terminal, within reason.
fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.or_else(terminal_width).unwrap_or(100).clamp(60, 120)
}

fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

/// How far a sample came, in a word.
fn progress(state: SampleState) -> &'static str {
    match state {
        SampleState::Planned => "planned",
        SampleState::Begun => "begun",
        SampleState::Done => "done",
    }
}

#[cfg(test)]
mod tests {
    use lapwing_core::Stage;

    use super::*;

    fn finding(behaviour: &str, stage: Stage, outcome: Outcome) -> Finding {
        Finding { behaviour: behaviour.into(), stage, outcome, cites: Vec::new(), reason: None }
    }

    #[test]
    fn findings_in_short_name_what_is_not_absent() {
        let (attempt, success) = (Stage::Attempt, Stage::Success);
        let mut findings = vec![
            finding("a", attempt, Outcome::Present),
            finding("a", success, Outcome::Present),
            finding("b", attempt, Outcome::Absent),
            finding("b", success, Outcome::Ungraded),
        ];
        assert_eq!(in_short(&findings), "◆ a attempt success; · ungraded: b success");
        for finding in &mut findings {
            finding.outcome = Outcome::Absent;
        }
        assert_eq!(in_short(&findings), "○ absent");
    }
}
