//! What two sides come to.

use std::io::{self, Write};

use lapwing_eval::{Compared, Flip, MeasureChange, Method, Rate, RateChange};
use serde::Serialize;

use super::LISTED;
use super::numbers::{number, range};
use crate::render::{BOLD, DIM, Grid, count, interval, mark, note, paragraph};
use crate::transcript::harmless;

/// Something in which the two sides were set up otherwise.
#[derive(Serialize)]
pub(crate) struct Setting {
    pub(crate) what: String,
    pub(crate) first: String,
    pub(crate) second: String,
}

/// Which two sides are compared, and in what they were set up otherwise.
pub(crate) fn compared_settings(
    out: &mut dyn Write,
    runs: &[String; 2],
    models: &[String; 2],
    differs: &[Setting],
) -> io::Result<()> {
    for (letter, (run, model)) in ["A", "B"].iter().zip(runs.iter().zip(models)) {
        writeln!(out, "  {BOLD}{letter}{BOLD:#}  {}  {run}", harmless(model))?;
    }
    let mut grid = Grid::new(&["differs", "A", "B"]);
    for setting in differs {
        grid.row([setting.what.clone(), setting.first.clone(), setting.second.clone()]);
    }
    writeln!(out)?;
    match differs.len() {
        0 => note(out, "set up alike: what differs below is chance, or the model behind the name"),
        1 => grid.write(out),
        n => {
            grid.write(out)?;
            note(out, &format!("{n} things differ: what is found below cannot be put down to one"))
        }
    }
}

/// The rates, measures and flipped samples.
pub(crate) fn compared(
    out: &mut dyn Write,
    runs: &[String; 2],
    compared: &Compared,
) -> io::Result<()> {
    flips(out, runs, &compared.flips)?;
    let mut blocks: Vec<(&RateChange, Vec<&RateChange>)> = Vec::new();
    for row in &compared.rates {
        let of_block = |(first, _): &&mut (&RateChange, Vec<&RateChange>)| {
            (&first.behaviour, first.stage) == (&row.behaviour, row.stage)
        };
        match blocks.iter_mut().find(of_block) {
            Some((_, rows)) => rows.push(row),
            None => blocks.push((row, vec![row])),
        }
    }
    for (first, rows) in blocks {
        writeln!(out, "\n  {BOLD}{} {}{BOLD:#}", first.behaviour, first.stage)?;
        rates(out, &rows)?;
    }
    for row in &compared.measures {
        measure(out, row)?;
    }
    for (side, only) in ["A", "B"].iter().zip(&compared.only) {
        if !only.is_empty() {
            paragraph(out, 2, &format!("only {side} has: {}", only.join(", ")))?;
        }
    }
    let words = if compared.rates.is_empty() && compared.measures.is_empty() {
        "nothing can be compared: no condition has findings on both sides"
    } else {
        "A, B: present / (present + absent + refused). Both, A only, B only, neither: pairs of samples of equal seed and epoch. B - A in percentage points. Excluded: the difference if all samples without a counted outcome had been absent, or present. p: two-sided, by McNemar's or Fisher's exact test; adjusted for all rows by Holm."
    };
    writeln!(out)?;
    note(out, words)
}

/// The samples that came out otherwise, one line each, those first in which a behaviour is on one side alone.
fn flips(out: &mut dyn Write, runs: &[String; 2], flips: &[Flip]) -> io::Result<()> {
    let mut samples: Vec<([u64; 2], Vec<&Flip>)> = Vec::new();
    for flip in flips {
        match samples.iter_mut().find(|(numbers, _)| *numbers == flip.samples) {
            Some((_, of_sample)) => of_sample.push(flip),
            None => samples.push((flip.samples, vec![flip])),
        }
    }
    let n_flipped = samples.iter().filter(|(_, flips)| flips[0].is_change()).count();
    let others = match samples.len() - n_flipped {
        0 => String::new(),
        n => format!(", {n} more have another outcome"),
    };
    writeln!(out, "\n  {BOLD}{} flipped{BOLD:#}{others}", count(n_flipped, "sample"))?;
    if samples.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(&["seed", "epoch", "A", "B", "condition", "findings"]);
    for (numbers, flips) in samples.iter().take(LISTED) {
        grid.row([
            flips[0].seed.to_string(),
            flips[0].epoch.to_string(),
            numbers[0].to_string(),
            numbers[1].to_string(),
            flips[0].label.clone(),
            findings(flips),
        ]);
    }
    grid.write(out)?;
    let more = samples.len().saturating_sub(LISTED);
    if more > 0 {
        writeln!(out, "{DIM}  and {more} more, --json has all{DIM:#}")?;
    }
    note(out, &format!("read both: lapwing show {} A; lapwing show {} B", runs[0], runs[1]))
}

/// `○ absent to ◆ present: a success, b success; ...`.
fn findings(flips: &[&Flip]) -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for flip in flips {
        let [first, second] = flip.outcomes.map(|outcome| format!("{} {outcome}", mark(outcome)));
        let (way, name) =
            (format!("{first} to {second}"), format!("{} {}", flip.behaviour, flip.stage));
        match groups.iter_mut().find(|(of, _)| *of == way) {
            Some((_, names)) => names.push(name),
            None => groups.push((way, vec![name])),
        }
    }
    let words = groups.iter().map(|(way, names)| format!("{way}: {}", names.join(", ")));
    words.collect::<Vec<_>>().join("; ")
}

fn rates(out: &mut dyn Write, rows: &[&RateChange]) -> io::Result<()> {
    let mut grid = Grid::new(&[
        "condition",
        "A",
        "B",
        "both",
        "A only",
        "B only",
        "neither",
        "B - A",
        "95 % interval",
        "p",
        "adjusted",
        "unpaired",
        "excluded: bounds",
    ]);
    for row in rows {
        grid.row(cells(row));
    }
    grid.without_empty_columns(9).write(out)?;
    for row in rows {
        let why = match (row.method, &row.reason) {
            (Method::Independent, Some(reason)) => format!("no common seed; {reason}"),
            (Method::Independent, None) => "no common seed: compared as independent".to_owned(),
            (_, Some(reason)) => reason.clone(),
            (Method::Pairs | Method::Seeds | Method::None, None) => continue,
        };
        note(out, &format!("{}: {why}", row.label))?;
    }
    Ok(())
}

fn cells(row: &RateChange) -> [String; 13] {
    let dash = || "–".to_owned();
    let rate = |rate: Option<Rate>| rate.map_or_else(dash, |it| format!("{}/{}", it.present, it.n));
    let [first, second] = row.rates.map(rate);
    let [both, one, other, neither] = row.pairs.map(|n| n.to_string());
    let n_all = row.rates.iter().flatten().map(|rate| rate.n).sum::<u64>();
    let has_bounds = row.difference.is_none_or(|_| row.bounds.1 - row.bounds.0 > 1e-12);
    [
        row.label.clone(),
        first,
        second,
        both,
        one,
        other,
        neither,
        row.difference.map_or_else(dash, |difference| format!("{:+.1}", difference * 100.0)),
        row.interval.map_or_else(dash, interval),
        row.p.map_or_else(dash, p_value),
        row.adjusted_p.map_or_else(dash, p_value),
        if row.unpaired == 0 { dash() } else { format!("{} of {n_all}", row.unpaired) },
        if has_bounds { interval(row.bounds) } else { dash() },
    ]
}

/// Two significant digits, or that it is very small.
fn p_value(p: f64) -> String {
    match p {
        p if p < 0.0001 => "< 0.0001".to_owned(),
        p if p < 0.1 => format!("{p:.4}"),
        p => format!("{p:.2}"),
    }
}

fn measure(out: &mut dyn Write, row: &MeasureChange) -> io::Result<()> {
    let unit = row.unit.as_ref().filter(|unit| **unit != row.measure);
    let unit = unit.map_or_else(String::new, |unit| format!(", in {}", harmless(unit)));
    writeln!(out, "\n  {BOLD}measure {}{unit}{BOLD:#}  {}", row.measure, row.label)?;
    let values = match (row.means, row.difference) {
        (Some((first, second)), Some(difference)) => {
            let [first, second, difference] = [first, second, difference].map(number);
            format!("A {first}, B {second}, B - A {difference}, ")
        }
        _ => String::new(),
    };
    let interval = match (row.interval, &row.reason) {
        (Some(interval), _) => format!("95 % interval {}", range(interval)),
        (None, Some(reason)) => format!("no interval: {reason}"),
        (None, None) => "no interval".to_owned(),
    };
    let unpaired = match row.unpaired {
        0 => String::new(),
        n => format!(", {} without a value on one side", count(n, "seed")),
    };
    let words = format!("{values}{interval}, {}{unpaired}", count(row.pairs, "pair"));
    paragraph(out, 2, &words)
}
