//! Measures, contrasts and ladders, below the table of rates.

use std::io::{self, Write};

use lapwing_eval::{Check, Comparisons};

use crate::render::{BOLD, DIM, ERROR, Grid};
use crate::transcript::harmless;

use super::LISTED;

/// What a run says in numbers; nothing if the scenario asks for none.
pub(crate) fn comparisons(out: &mut dyn Write, comparisons: &Comparisons) -> io::Result<()> {
    measures(out, comparisons)?;
    contrasts(out, comparisons)?;
    ladders(out, comparisons)
}

fn measures(out: &mut dyn Write, comparisons: &Comparisons) -> io::Result<()> {
    if comparisons.measures.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  {BOLD}measures{BOLD:#}")?;
    let mut grid = Grid::new(&["measure", "model", "condition", "mean", "range", "n", "missing"]);
    for row in &comparisons.measures {
        let unit = row.unit.as_ref().map_or_else(String::new, |unit| format!(" {unit}"));
        let values = row.values.map_or_else(dashes, |(mean, least, greatest)| {
            (format!("{}{unit}", number(mean)), range((least, greatest)))
        });
        grid.row([
            row.measure.clone(),
            row.model.clone(),
            row.label.clone(),
            values.0,
            values.1,
            row.n.to_string(),
            row.missing.to_string(),
        ]);
    }
    grid.write(out)
}

fn contrasts(out: &mut dyn Write, comparisons: &Comparisons) -> io::Result<()> {
    if comparisons.contrasts.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  {BOLD}contrasts{BOLD:#}, paired by seed")?;
    let mut grid = Grid::new(&[
        "contrast",
        "model",
        "of",
        "mean in",
        "mean against",
        "difference",
        "95 % interval",
        "pairs",
        "missing",
        "claim",
        "the interval is",
    ]);
    for row in &comparisons.contrasts {
        let side = |label: &str, mean: Option<f64>| match mean {
            Some(mean) => format!("{} in {label}", number(mean)),
            None => format!("– in {label}"),
        };
        grid.row([
            row.contrast.clone(),
            row.model.clone(),
            row.of.clone(),
            side(&row.inside, row.means.map(|means| means.0)),
            side(&row.against, row.means.map(|means| means.1)),
            row.difference.map_or_else(|| "–".to_owned(), number),
            row.interval.map_or_else(|| "none".to_owned(), range),
            row.pairs.to_string(),
            row.missing.to_string(),
            row.claim.as_str().to_owned(),
            row.verdict.as_str().to_owned(),
        ]);
    }
    grid.write(out)?;
    for row in &comparisons.contrasts {
        let Some(reason) = &row.reason else { continue };
        writeln!(out, "{DIM}  {}, {}: {reason}{DIM:#}", row.contrast, harmless(&row.model))?;
    }
    writeln!(
        out,
        "{DIM}  difference: the mean over seeds of (in - against), epochs averaged, with Student's interval. Missing: seeds without\n  a value under both conditions.{DIM:#}"
    )
}

fn ladders(out: &mut dyn Write, comparisons: &Comparisons) -> io::Result<()> {
    if comparisons.ladders.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  {BOLD}ladders{BOLD:#}, samples by the highest rung")?;
    let mut grid =
        Grid::new(&["ladder", "model", "condition", "none", "rungs, the lowest first", "missing"]);
    for row in &comparisons.ladders {
        let rungs: Vec<String> =
            row.rungs.iter().map(|(behaviour, n)| format!("{behaviour} {n}")).collect();
        grid.row([
            row.ladder.clone(),
            row.model.clone(),
            row.label.clone(),
            row.none.to_string(),
            rungs.join(", "),
            row.missing.to_string(),
        ]);
    }
    grid.write(out)
}

/// Measures that have not the value that a policy planted.
pub(super) fn mismatches(out: &mut dyn Write, run: &str, check: &Check) -> io::Result<()> {
    for mismatch in check.measures.iter().take(LISTED) {
        let found = mismatch.found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
        let reason = mismatch.reason.as_ref();
        let reason = reason.map(|reason| format!(" ({})", harmless(reason))).unwrap_or_default();
        writeln!(
            out,
            "  {ERROR}differs:{ERROR:#} {} measure {}: planted {}, found {found}{reason}\n           lapwing show {run} {}",
            mismatch.policy, mismatch.measure, mismatch.planted, mismatch.sample,
        )?;
    }
    if check.measures.len() > LISTED {
        writeln!(out, "  and {} more measures that differ", check.measures.len() - LISTED)?;
    }
    Ok(())
}

fn dashes() -> (String, String) {
    ("–".to_owned(), "–".to_owned())
}

/// Four significant digits, without zeros at the end.
fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let decimals = (3.0 - magnitude).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn range((low, high): (f64, f64)) -> String {
    format!("[{}, {}]", number(low), number(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.123_456, "0.1235"),
            (-12.5, "-12.5"),
            (123_456.7, "123457"),
            (0.000_25, "0.00025"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
