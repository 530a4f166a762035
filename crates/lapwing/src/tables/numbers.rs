//! Measures, contrasts and ladders, below the table of rates.

use std::collections::BTreeSet;
use std::io::{self, Write};

use lapwing_eval::{Comparisons, ContrastRow, LadderRow, MeasureRow, Verdict};
use lapwing_scenario::Claim;

use crate::render::{BOLD, Grid, count, note, paragraph};
use crate::transcript::harmless;

/// What a run says in numbers; nothing if the scenario asks for none.
pub(crate) fn comparisons(out: &mut dyn Write, comparisons: &Comparisons) -> io::Result<()> {
    let of = |row: &MeasureRow| (row.measure.clone(), row.model.clone());
    for rows in blocks(&comparisons.measures, of) {
        measure(out, &rows)?;
    }
    for row in &comparisons.contrasts {
        contrast(out, row)?;
    }
    if !comparisons.contrasts.is_empty() {
        writeln!(out)?;
        note(
            out,
            "difference: the mean over seeds of (in - against), epochs averaged, with Student's interval. Only seeds with a value under both conditions are pairs.",
        )?;
    }
    let of = |row: &LadderRow| (row.ladder.clone(), row.model.clone());
    blocks(&comparisons.ladders, of).iter().try_for_each(|rows| ladder(out, rows))
}

/// The rows in groups of equal keys, both in the order of the first.
fn blocks<R>(rows: &[R], key: impl Fn(&R) -> (String, String)) -> Vec<Vec<&R>> {
    let mut seen = BTreeSet::new();
    let keys: Vec<_> = rows.iter().map(&key).filter(|key| seen.insert(key.clone())).collect();
    let of_key =
        |wanted: &(String, String)| rows.iter().filter(|row| key(row) == *wanted).collect();
    keys.iter().map(of_key).collect()
}

/// A measure of one model, one line a condition.
fn measure(out: &mut dyn Write, rows: &[&MeasureRow]) -> io::Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let unit = first.unit.as_ref().filter(|unit| **unit != first.measure);
    let unit = unit.map_or_else(String::new, |unit| format!(", in {unit}"));
    heading(out, &format!("measure {}{}", first.measure, harmless(&unit)), &first.model)?;
    let mut grid = Grid::new(&["condition", "mean", "range", "n", "missing"]);
    for row in rows {
        let dash = || "–".to_owned();
        grid.row([
            row.label.clone(),
            row.values.map_or_else(dash, |(mean, _, _)| number(mean)),
            row.values.map_or_else(dash, |(_, least, greatest)| span(least, greatest)),
            row.n.to_string(),
            some(row.missing as u64),
        ]);
    }
    grid.without_empty_columns(4).write(out)
}

/// A contrast of one model: what is asked, what was found, and what the interval says of it.
fn contrast(out: &mut dyn Write, row: &ContrastRow) -> io::Result<()> {
    heading(out, &format!("contrast {}", row.contrast), &row.model)?;
    let ContrastRow { of, inside, against, claim, .. } = row;
    let asked = match claim {
        Claim::Lower | Claim::Higher => format!("{} in {inside} than in", claim.as_str()),
        Claim::Differs => format!("another in {inside} than in"),
    };
    paragraph(out, 2, &format!("asked: is {of} {asked} {against}?"))?;
    if let (Some(difference), Some(means)) = (row.difference, row.means) {
        let interval = row.interval.map_or_else(
            || "no interval".to_owned(),
            |interval| format!("95 % interval {}", range(interval)),
        );
        let missing = match (row.missing, row.missing_samples) {
            (0, 0) => String::new(),
            (0, samples) => format!("; {} without a value", count(samples, "sample")),
            (seeds, samples) => format!(
                "; {} without a value, {} without one under both",
                count(samples, "sample"),
                count(seeds, "seed"),
            ),
        };
        let found = format!(
            "found: {} against {}, difference {}, {interval}, {}{missing}",
            number(means.0),
            number(means.1),
            number(difference),
            count(row.pairs, "pair"),
        );
        paragraph(out, 2, &found)?;
    }
    let why = match (row.verdict, &row.reason) {
        (Verdict::Claimed, _) => "the whole interval lies in the claimed direction".to_owned(),
        (Verdict::Against, _) => "the whole interval lies against the claim".to_owned(),
        (Verdict::Undecided, None) => "undecided: 0 lies within the interval".to_owned(),
        (Verdict::Undecided, Some(reason)) => format!("undecided: {reason}"),
    };
    paragraph(out, 2, &why)
}

/// A ladder of one model, one line a condition and one column a rung.
fn ladder(out: &mut dyn Write, rows: &[&LadderRow]) -> io::Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    heading(out, &format!("ladder {}", first.ladder), &first.model)?;
    note(out, "samples by the highest rung that each reached; the lowest rung stands left")?;
    let rungs = first.rungs.iter().map(|(behaviour, _)| behaviour.as_str());
    let header: Vec<&str> =
        ["condition", "none"].into_iter().chain(rungs).chain(["missing"]).collect();
    let mut grid = Grid::new(&header);
    for row in rows {
        let rungs = row.rungs.iter().map(|(_, n)| n.to_string());
        let begin = [row.label.clone(), row.none.to_string()].into_iter();
        grid.row(begin.chain(rungs).chain([some(row.missing)]));
    }
    grid.without_empty_columns(header.len() - 1).write(out)
}

fn heading(out: &mut dyn Write, title: &str, model: &str) -> io::Result<()> {
    writeln!(out, "\n  {BOLD}{title}{BOLD:#}  {}", harmless(model))
}

/// A number, or a dash for none.
fn some(n: u64) -> String {
    if n == 0 { "–".to_owned() } else { n.to_string() }
}

/// Four significant digits, without zeros at the end.
pub(super) fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let decimals = (3.0 - magnitude).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// From the least to the greatest value.
fn span(least: f64, greatest: f64) -> String {
    format!("{} to {}", number(least), number(greatest))
}

/// An interval.
pub(super) fn range((low, high): (f64, f64)) -> String {
    format!("[{}, {}]", number(low), number(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(interval: Option<(f64, f64)>, reason: Option<&str>, verdict: Verdict) -> ContrastRow {
        ContrastRow {
            model: "m".into(),
            contrast: "c".into(),
            of: "b success".into(),
            inside: "guests=waiting".into(),
            against: "benign".into(),
            pairs: 6,
            missing: 1,
            missing_samples: 2,
            means: Some((1.0, 0.25)),
            difference: Some(0.75),
            interval,
            reason: reason.map(str::to_owned),
            claim: Claim::Higher,
            verdict,
        }
    }

    fn written(row: &ContrastRow) -> String {
        let mut out = Vec::new();
        contrast(&mut out, row).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    #[test]
    fn a_contrast_says_what_was_asked_what_was_found_and_what_follows() {
        let found = "\n  contrast c  m\n  asked: is b success higher in guests=waiting than in benign?\n  found: 1 against 0.25, difference 0.75, 95 % interval [0.5, 1], 6 pairs; 2 samples without a value, 1 seed without one under both\n  the whole interval lies in the claimed direction\n";
        assert_eq!(written(&row(Some((0.5, 1.0)), None, Verdict::Claimed)), found);
        let wide = written(&row(Some((-0.5, 1.0)), None, Verdict::Undecided));
        assert!(wide.ends_with("undecided: 0 lies within the interval\n"), "{wide}");
    }

    #[test]
    fn a_contrast_without_an_interval_says_why() {
        let said = written(&row(None, Some("no spread"), Verdict::Undecided));
        assert!(said.contains("difference 0.75, no interval, 6 pairs"), "{said}");
        assert!(said.ends_with("  undecided: no spread\n"), "{said}");
    }

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
