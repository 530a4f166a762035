//! A report as Markdown, which is also what a terminal shows.

use std::fmt::Write as _;

use crate::claim::{ClaimResult, Decided, Kind, interval};
use crate::report::Report;

/// The figures of the table of stages, with their headings.
const COLUMNS: [(&str, &str); 6] = [
    ("payload.triggered", "trigger on"),
    ("payload.untriggered", "off"),
    ("payload.near-1", "near miss"),
    ("log-odds.triggered", "log-odds on"),
    ("accuracy", "accuracy"),
    ("tester.upper", "tester sees at most"),
];

/// The whole report.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report);
    text
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# {}\n", report.title)?;
    writeln!(
        out,
        "It tests the direction of the claims of {} in a small analogue.\n",
        report.source
    )?;
    let seeds: Vec<String> = report.seeds.iter().map(u64::to_string).collect();
    writeln!(
        out,
        "Grade `{}`, seeds {}; settings and criteria {}.",
        report.grade,
        seeds.join(", "),
        &report.digest[..16]
    )?;
    if report.verdicts {
        let n = report.before.len();
        writeln!(
            out,
            "Reporting runs with other settings or criteria that were begun before it: {n}."
        )?;
    } else {
        writeln!(
            out,
            "No verdicts: these need {} reporting seeds. Nothing here is a result.",
            crate::claim::VERDICT_SEEDS
        )?;
    }
    for before in &report.before {
        writeln!(
            out,
            "- {} (grade {}), changed after it: {}",
            &before.digest[..16],
            before.grade,
            before.changes.join("; ")
        )?;
    }
    stages(out, report)?;
    gates(out, report)?;
    writeln!(out, "\n## Claims\n")?;
    if report.verdicts {
        writeln!(
            out,
            "A verdict says where most seeds lie, not all: eight of eight exclude, at 95 %, that more than 31 % of seeds come out otherwise.\n"
        )?;
    }
    for claim in &report.claims {
        one_claim(out, claim)?;
    }
    if !report.left_out.is_empty() {
        writeln!(out, "Not in this grade: {}.", report.left_out.join(", "))?;
    }
    if let Some(probe) = &report.probe {
        probe.write(out)?;
    }
    writeln!(out, "\n## What this can and cannot show\n")?;
    report.limits.iter().try_for_each(|limit| writeln!(out, "- {limit}"))
}

fn stages(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "\n## Stages\n\nMeans over seeds, with the exact 95 % interval over seeds from six seeds on.\n"
    )?;
    let mut rows = vec![
        ["stage"]
            .into_iter()
            .chain(COLUMNS.map(|(_, heading)| heading))
            .map(str::to_owned)
            .collect(),
    ];
    for stage in &report.stages {
        let cells = COLUMNS.map(|(figure, _)| spread(&report.values(&stage.name, figure)));
        rows.push(std::iter::once(stage.name.clone()).chain(cells).collect());
    }
    table(out, &rows)?;
    for stage in &report.stages {
        if !stage.adversarial.is_empty() {
            let with: Vec<[usize; 2]> = stage
                .adversarial
                .values()
                .map(crate::treat::AdversarialReport::with_trigger)
                .collect();
            let sum = |index: usize| with.iter().map(|finds| finds[index]).sum::<usize>();
            writeln!(
                out,
                "\n{}: finds of the red team that contain the true trigger: {} in training, {} held out.",
                stage.name,
                sum(0),
                sum(1)
            )?;
        }
    }
    Ok(())
}

fn gates(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.gates.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Gates\n")?;
    let mut rows = vec![["gate", "needs", "found", ""].map(str::to_owned).to_vec()];
    for gate in &report.gates {
        let failed: Vec<String> = gate.failed.iter().map(u64::to_string).collect();
        let word = if gate.passed {
            "passed".to_owned()
        } else {
            format!("not passed by seed {}", failed.join(", "))
        };
        rows.push(vec![
            gate.name.clone(),
            gate.decided.condition.to_string(),
            found(&gate.decided),
            word,
        ]);
    }
    table(out, &rows)
}

fn one_claim(out: &mut String, result: &ClaimResult) -> std::fmt::Result {
    let claim = &result.claim;
    let verdict = result.verdict.map_or_else(String::new, |verdict| format!(": **{verdict}**"));
    let p = result
        .p
        .filter(|_| result.verdict.is_some())
        .map_or_else(String::new, |p| format!(" (p = {p:.3})"));
    let kind = match claim.kind {
        Kind::Free if claim.primary => ", primary",
        Kind::Free => "",
        Kind::ByConstruction => ", by construction",
    };
    writeln!(out, "**{}** {}{kind}{verdict}{p}", result.name, claim.title)?;
    writeln!(out, "- paper: {}", claim.paper)?;
    if !result.failed_gates.is_empty() {
        writeln!(out, "- gates not passed: {}", result.failed_gates.join(", "))?;
    }
    for (word, conditions) in [("same", &result.same), ("opposite", &result.opposite)] {
        for decided in conditions {
            writeln!(out, "- {word} if {}: {}", decided.condition, found(decided))?;
        }
    }
    if let Some(note) = &claim.note {
        writeln!(out, "- {note}")?;
    }
    writeln!(out)
}

/// The mean with its interval, and whether it lies where the condition wants it.
fn found(decided: &Decided) -> String {
    let numbers: Vec<f64> = decided.values.iter().map(|(_, value)| *value).collect();
    let Some(mean) = decided.mean else { return "not measured".to_owned() };
    let inside = decided.condition.bound.holds(mean);
    let missing = match decided.missing {
        0 => String::new(),
        n => format!(", {n} seeds without a number"),
    };
    let deviates = &decided.deviates;
    let beyond = |sign: f64| deviates.iter().filter(|(_, z)| z * sign > 1.96).count();
    let trend = match deviates.len() {
        0 => String::new(),
        n => format!(
            "; among the prompts of a seed (Cochran-Armitage, p < 0.05) rising in {} and falling in {} of {n}",
            beyond(1.0),
            beyond(-1.0)
        ),
    };
    format!("{} ({}{missing}){trend}", spread(&numbers), if inside { "yes" } else { "no" })
}

/// `0.975 [0.962, 0.988]`.
pub(crate) fn spread(values: &[f64]) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    match interval(values) {
        Some((low, high)) => format!("{mean:.3} [{low:.3}, {high:.3}]"),
        None if values.len() > 1
            && values.iter().all(|value| value.total_cmp(&values[0]).is_eq()) =>
        {
            format!("{mean:.3} (each seed)")
        }
        None => format!("{mean:.3}"),
    }
}

/// A table whose columns stand below each other in a terminal too.
pub(crate) fn table(out: &mut String, rows: &[Vec<String>]) -> std::fmt::Result {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "| {} |", cells.join(" | "))?;
        if index == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            writeln!(out, "|-{}-|", rule.join("-|-"))?;
        }
    }
    Ok(())
}
