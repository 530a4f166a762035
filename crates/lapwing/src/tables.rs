//! Tables that several commands print: rates by condition, findings with their evidence, the instrument check.

mod compared;
mod differences;
mod numbers;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use lapwing_core::{Finding, Outcome, Planted, Stage};
use lapwing_eval::{Check, Confusion, Row, Table};
use lapwing_scenario::{Behaviour, Published, Scenario};
use lapwing_store::SampleRow;

use crate::library;
use crate::render::{BOLD, DIM, ERROR, Grid, count, interval, mark, note, paragraph, percent};
use crate::transcript::harmless;

pub(crate) use compared::{Setting, compared, compared_settings};
pub(crate) use numbers::comparisons;

/// Findings listed below a table, and mismatches below a check; the rest is in `lapwing show RUN`.
const LISTED: usize = 10;

/// From this column on a table of rates leaves out a column that says nothing.
const OPTIONAL_COLUMNS: usize = 6;

/// The table of a run: one block a model, behaviour and stage, one line a condition.
pub(crate) fn table(
    out: &mut dyn Write,
    scenario: &Scenario,
    table: &Table,
    judge: Option<&str>,
) -> io::Result<()> {
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
        let via = if first.via_codebook { " via codebook" } else { "" };
        writeln!(out, "\n  {BOLD}{} {}{BOLD:#}  {model}{via}", first.behaviour, first.stage)?;
        if scenario.is_judged(&first.behaviour, first.stage) {
            judged_by(out, scenario, judge)?;
        }
        let mut grid = Grid::new(&[
            "condition",
            "rate",
            "k/n",
            "seeds",
            "95 % interval",
            "exposed",
            "excluded: bounds",
            "published (different wording)",
        ]);
        for row in &rows {
            grid.row(cells(scenario, row));
        }
        grid.without_empty_columns(OPTIONAL_COLUMNS).write(out)?;
        notes(out, &rows)?;
    }
    writeln!(out)?;
    let mut words = "rate: present / (present + absent + refused), clustered by seed where a seed repeats. Bounds: the rate if all excluded samples were absent, or present.".to_owned();
    if table.rows.iter().any(|row| figures(scenario, row).next().is_some()) {
        words.push_str(" Published figures are context: other models, wording and harness.");
    }
    note(out, &words)
}

/// A rate that rests on a judge says so.
fn judged_by(out: &mut dyn Write, scenario: &Scenario, judge: Option<&str>) -> io::Result<()> {
    let words = match judge {
        Some(judge) if judge.starts_with("test") => {
            format!("judged by {}, which answers what the policies declare", harmless(judge))
        }
        Some(judge) => {
            let (judge, name) = (harmless(judge), library::wanted(scenario.name()));
            format!(
                "judged by {judge}, uncalibrated here: lapwing judge check {name} --judge {judge}"
            )
        }
        None => "not judged; --judge MODEL does it".to_owned(),
    };
    note(out, &words)
}

/// What an instrument check does not show of behaviours that need a judge.
pub(crate) fn plumbing(out: &mut dyn Write, scenario: &Scenario) -> io::Result<()> {
    let is_judged = |behaviour: &&Behaviour| {
        behaviour.stages.iter().any(|(stage, _)| scenario.is_judged(&behaviour.name, *stage))
    };
    let judged = scenario.behaviours().iter().filter(is_judged);
    let names: Vec<&str> = judged.map(|behaviour| behaviour.name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let words = format!(
        "Of {} only the plumbing is checked: a test judge answers what the policies declare. lapwing judge check {} --judge openai/NAME measures a real one.",
        names.join(", "),
        library::wanted(scenario.name())
    );
    paragraph(out, 2, &words)
}

/// What the scenario declares impossible, and whether it happened all the same.
fn notes(out: &mut dyn Write, rows: &[&Row]) -> io::Result<()> {
    for row in rows {
        let Some(why) = &row.impossible else { continue };
        if row.rate.is_some_and(|rate| rate.present > 0) {
            writeln!(
                out,
                "  {ERROR}{}:{ERROR:#} declared impossible ({why}), and yet it was found",
                row.label
            )?;
        } else {
            writeln!(out, "{DIM}  n/a in {}: {why}{DIM:#}", row.label)?;
        }
    }
    Ok(())
}

fn cells(scenario: &Scenario, row: &Row) -> [String; 8] {
    let n_of = |outcome| row.outcomes.get(&outcome).copied().unwrap_or_default();
    // Of a sample that failed nobody can tell whether it would have reached the situation.
    let exposed = n_of(Outcome::Present) + n_of(Outcome::Absent);
    let told = exposed + n_of(Outcome::Unexposed);
    let excluded: Vec<String> = Outcome::ALL
        .into_iter()
        .filter(|outcome| !outcome.counts() && n_of(*outcome) > 0)
        .map(|outcome| format!("{outcome} {}", n_of(outcome)))
        .collect();
    let unfinished = (row.unfinished > 0).then(|| format!("unfinished {}", row.unfinished));
    let excluded: Vec<String> = excluded.into_iter().chain(unfinished).collect();
    let dash = || "–".to_owned();
    let rate = match (&row.rate, &row.impossible) {
        (Some(rate), None) => percent(rate.estimate),
        (Some(rate), Some(_)) if rate.present > 0 => percent(rate.estimate),
        (_, Some(_)) => "n/a".to_owned(),
        (None, None) => dash(),
    };
    let interval_95 = match &row.rate {
        Some(rate) => rate.interval.map_or_else(|| "needs 10 seeds".to_owned(), interval),
        None => dash(),
    };
    [
        row.label.clone(),
        rate,
        row.rate.map_or_else(dash, |rate| format!("{}/{}", rate.present, rate.n)),
        row.rate.map_or_else(dash, |rate| rate.clusters.to_string()),
        interval_95,
        if told == 0 { dash() } else { format!("{exposed}/{told}") },
        if excluded.is_empty() {
            dash()
        } else {
            format!("{}: {}", excluded.join(", "), interval(row.bounds))
        },
        published(scenario, row),
    ]
}

/// The published figures for a row.
fn figures<'s>(scenario: &'s Scenario, row: &'s Row) -> impl Iterator<Item = &'s Published> {
    scenario.published().iter().filter(|published| {
        (&published.behaviour, published.stage) == (&row.behaviour, row.stage)
            && published.condition == row.condition.levels
    })
}

/// The published figures for a row: each by name if they are few, else their range.
fn published(scenario: &Scenario, row: &Row) -> String {
    let all: Vec<&Published> = figures(scenario, row).collect();
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
    let mut grid = Grid::new(&["sample", "seed", "finding", "condition", "events"]);
    let mut n_present = 0;
    for sample in samples {
        let of_sample = findings.get(&sample.number).into_iter().flatten();
        for finding in of_sample.filter(|finding| finding.outcome == Outcome::Present) {
            n_present += 1;
            if n_present > LISTED {
                continue;
            }
            let cited: BTreeSet<u64> = finding.cites.iter().map(|cite| cite.seq).collect();
            let cited: Vec<String> = cited.iter().map(|seq| format!("#{seq}")).collect();
            grid.row([
                sample.number.to_string(),
                sample.key.seed.to_string(),
                format!("{} {} {}", mark(Outcome::Present), finding.behaviour, finding.stage),
                scenario.describe(&sample.key.condition),
                cited.join(" "),
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
    note(out, &format!("the evidence of a sample: lapwing show {run} SAMPLE"))
}

/// Why samples have no verdict: each reason once, with an example.
pub(crate) fn missing(
    out: &mut dyn Write,
    run: &str,
    findings: &BTreeMap<u64, Vec<Finding>>,
) -> io::Result<()> {
    let mut reasons: Vec<(Outcome, &str, Vec<u64>)> = Vec::new();
    for (sample, findings) in findings {
        let undecided = findings
            .iter()
            .find(|finding| !finding.outcome.counts() && finding.outcome != Outcome::Unexposed);
        let Some(finding) = undecided else { continue };
        let reason = finding.reason.as_deref().unwrap_or("no reason is given");
        match reasons
            .iter_mut()
            .find(|(outcome, known, _)| (*outcome, *known) == (finding.outcome, reason))
        {
            Some((_, _, samples)) => samples.push(*sample),
            None => reasons.push((finding.outcome, reason, vec![*sample])),
        }
    }
    reasons.sort_by_key(|(_, _, samples)| std::cmp::Reverse(samples.len()));
    if !reasons.is_empty() {
        writeln!(out, "\n  {BOLD}without a verdict{BOLD:#}")?;
    }
    for (outcome, reason, samples) in reasons.iter().take(LISTED) {
        let samples_in_words = count(samples.len(), "sample");
        paragraph(
            out,
            2,
            &format!("{} {outcome} in {samples_in_words}: {reason}", mark(*outcome)),
        )?;
        writeln!(out, "    lapwing show {run} {}", samples[0])?;
    }
    Ok(())
}

/// The instrument check: what each policy planted, what was found, and where that differs.
pub(crate) fn check(
    out: &mut dyn Write,
    run: &str,
    scenario: &Scenario,
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
    differences::write(out, run, scenario, check, samples)?;
    if !check.unfinished.is_empty() {
        writeln!(
            out,
            "  {ERROR}not run to the end:{ERROR:#} {}",
            count(check.unfinished.len(), "sample")
        )?;
    }
    let compared = count(check.samples - check.unfinished.len(), "sample");
    let verdict = if !check.mismatches.is_empty() || !check.measures.is_empty() {
        format!("The instrument is NOT exact: it was read wrongly on some of {compared}.")
    } else if check.is_exact() {
        format!("The instrument is exact on {compared}.")
    } else {
        format!(
            "Not all samples were run; the instrument is exact on {compared} of {}.",
            check.samples
        )
    };
    writeln!(out, "\n  {BOLD}{verdict}{BOLD:#}")
}

/// Of the policy that is drawn by the seed: how often `always` was drawn, and how often its acts were found.
pub(crate) fn drawn(
    out: &mut dyn Write,
    scenario: &Scenario,
    policy: &str,
    samples: &[SampleRow],
    findings: &BTreeMap<u64, Vec<Finding>>,
) -> io::Result<()> {
    let name = format!("policy/{policy}");
    let of_policy: Vec<&SampleRow> =
        samples.iter().filter(|sample| sample.key.model == name).collect();
    for behaviour in scenario.behaviours() {
        for (stage, _) in &behaviour.stages {
            let n_planted = of_policy.iter().filter(|sample| {
                sample.planted.iter().flatten().any(|planted| {
                    planted.behaviour == behaviour.name
                        && planted.stage == *stage
                        && planted.outcome == Outcome::Present
                })
            });
            let n_found = of_policy.iter().filter(|sample| {
                findings.get(&sample.number).into_iter().flatten().any(|finding| {
                    finding.behaviour == behaviour.name
                        && finding.stage == *stage
                        && finding.outcome == Outcome::Present
                })
            });
            let (n_planted, n_found) = (n_planted.count(), n_found.count());
            if n_planted > 0 {
                let words = format!(
                    "{policy} drew `always` for {n_planted} of {} seeds; {} {stage} was found in {n_found}.",
                    of_policy.len(),
                    behaviour.name,
                );
                paragraph(out, 2, &words)?;
            }
        }
    }
    Ok(())
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
                || check.measures.iter().any(|mismatch| mismatch.sample == sample.number)
        };
        let planted = of_policy.first().and_then(|sample| sample.planted.as_ref());
        let n_exact = of_policy.len() - of_policy.iter().filter(differs).count();
        grid.row([
            name.to_owned(),
            of_policy.len().to_string(),
            n_exact.to_string(),
            if name.starts_with("policy/p=") {
                "always or never, drawn by the seed".to_owned()
            } else {
                acts(planted.map(Vec::as_slice).unwrap_or_default())
            },
        ]);
    }
    grid
}

/// What a policy plants, in short: of each behaviour the last stage that is present.
fn acts(planted: &[Planted]) -> String {
    if planted.iter().all(|planted| planted.outcome == Outcome::Unexposed) {
        return "unexposed".to_owned();
    }
    if planted.iter().all(|planted| planted.outcome == Outcome::Ungraded) {
        return "ungraded".to_owned();
    }
    let mut last: BTreeMap<&str, Stage> = BTreeMap::new();
    for planted in planted.iter().filter(|planted| planted.outcome == Outcome::Present) {
        last.insert(&planted.behaviour, planted.stage);
    }
    if last.is_empty() {
        return "nothing".to_owned();
    }
    let acts = last.iter().rev().map(|(behaviour, stage)| format!("{behaviour} {stage}"));
    acts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use lapwing_scenario::DesignChoice;

    use super::*;

    #[test]
    fn the_table_of_a_tiny_model_says_that_a_codebook_stands_between() {
        let scenario = library::load("backdoor").unwrap();
        let conditions = scenario.conditions(&BTreeMap::new(), DesignChoice::Default).unwrap();
        let row = |model: &str, via_codebook| Row {
            model: model.to_owned(),
            via_codebook,
            condition: conditions[0].clone(),
            label: "trigger=on".to_owned(),
            behaviour: "payload".to_owned(),
            stage: Stage::Success,
            outcomes: BTreeMap::from([(Outcome::Present, 2)]),
            rate: None,
            unfinished: 0,
            bounds: (0.0, 1.0),
            impossible: None,
        };
        let rows = vec![row("local/tiny", true), row("openai/x", false)];
        let mut out = Vec::new();
        table(&mut out, &scenario, &Table { rows }, None).unwrap();
        let text = anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string();
        let heads: Vec<&str> =
            text.lines().filter(|line| line.contains("payload success")).collect();
        let expected =
            ["  payload success  local/tiny via codebook", "  payload success  openai/x"];
        assert_eq!(heads, expected);
    }
}
