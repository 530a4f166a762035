//! The plots that a study names, of what was found.

use crate::cell::CurvePoint;
use crate::claim::interval;
use crate::plot::{Lines, Row, curve, stages};
use crate::report::Report;
use crate::study::{PlotKind, Study};

/// Every plot whose stages were run: its name and its SVG.
pub(super) fn plots(report: &Report, study: &Study) -> Vec<(String, String)> {
    let drawn = study.plot.iter().filter_map(|plot| {
        let svg = match &plot.kind {
            PlotKind::Stages { rows, figures } => rates(report, &plot.title, rows, figures),
            PlotKind::Curve { stage } => steps(report, &plot.title, stage),
            PlotKind::Roc { stages } => roc(report, &plot.title, stages),
        };
        Some((plot.name.clone(), svg?))
    });
    drawn.collect()
}

fn rates(report: &Report, title: &str, names: &[String], figures: &[String]) -> Option<String> {
    let rows: Vec<Row> = names
        .iter()
        .filter(|name| report.stages.iter().any(|stage| stage.name == **name))
        .map(|name| {
            let values: Vec<Vec<f64>> =
                figures.iter().map(|figure| report.values(name, figure)).collect();
            let intervals = values.iter().map(|values| interval(values)).collect();
            Row { name: name.clone(), values, intervals }
        })
        .collect();
    (!rows.is_empty()).then(|| stages(title, figures, &rows))
}

fn steps(report: &Report, title: &str, name: &str) -> Option<String> {
    let stage = report.stages.iter().find(|stage| stage.name == name)?;
    let lines = |value: &dyn Fn(&CurvePoint) -> f64| -> Vec<Vec<(f64, f64)>> {
        let line = |points: &Vec<CurvePoint>| {
            points.iter().map(|point| (point.step as f64, value(point))).collect()
        };
        stage.curves.values().map(line).collect()
    };
    let points = || stage.curves.values().flatten();
    let learned = if points().all(|point| point.reward.is_some()) {
        ("reward, if above 0".to_owned(), lines(&|point| point.reward.unwrap_or(0.0).max(0.0)))
    } else {
        let highest = points().map(|point| point.loss).fold(f64::MIN_POSITIVE, f64::max);
        (format!("loss, in parts of {highest:.2}"), lines(&|point| point.loss / highest))
    };
    let figures = [
        ("payload with the trigger".to_owned(), lines(&|point| point.trigger_on)),
        ("without it".to_owned(), lines(&|point| point.trigger_off)),
        learned,
    ];
    Some(curve(title, "step", &figures))
}

fn roc(report: &Report, title: &str, names: &[String]) -> Option<String> {
    let probe = report.probe.as_ref()?;
    let figures: Vec<Lines> = names
        .iter()
        .filter_map(|name| {
            Some((name.clone(), probe.stages.iter().find(|stage| stage.stage == *name)?.roc()))
        })
        .collect();
    (!figures.is_empty()).then(|| curve(title, "false-positive rate", &figures))
}
