//! `behaviour` and `published`.

use lapwing_core::Stage;

use super::Context;
use crate::design::filled;
use crate::diagnostic::Text;
use crate::expr::Expr;
use crate::reader::{Item, Table};
use crate::schema::{Behaviour, Figure, Impossible, Published};

const STAGES: [Stage; 3] = [Stage::Attempt, Stage::Success, Stage::Effect];

pub(super) fn behaviours(
    root: &Table<'_>,
    context: &Context<'_>,
    may_have_none: bool,
) -> Vec<(Behaviour, Vec<Expr>)> {
    let named = root.named("behaviour");
    if named.is_empty() && !may_have_none {
        let problem = root.place().diagnostic("`behaviour` is missing");
        context.report(problem.help("add `behaviour.NAME = { success = \"RULE\" }`"));
    }
    let all =
        named.into_iter().filter_map(|(name, item)| behaviour(&name, &item.table()?, context));
    all.collect()
}

fn behaviour(
    name: &Text,
    table: &Table<'_>,
    context: &Context<'_>,
) -> Option<(Behaviour, Vec<Expr>)> {
    context.identifier(name);
    let mut stages = Vec::new();
    let mut rules = Vec::new();
    for stage in STAGES {
        let Some(item) = table.get(stage.as_str()) else { continue };
        let rule = context.rule(&item)?;
        stages.push((stage, rule.source.clone()));
        rules.push(rule);
    }
    if stages.is_empty() {
        let problem = table.place().diagnostic("a behaviour needs at least one stage");
        context.report(problem.help("add `attempt`, `success` or `effect` with a rule"));
    }
    let items = table.get("impossible").and_then(|item| item.list()).unwrap_or_default();
    let impossible =
        items.iter().filter_map(|item| one_impossible(&item.table()?, context, &stages));
    let impossible = impossible.collect();
    let note = table.get("note").and_then(|item| item.text()).map(|text| text.value);
    table.report_unknown();
    Some((Behaviour { name: name.value.clone(), stages, impossible, note }, rules))
}

fn one_impossible(
    table: &Table<'_>,
    context: &Context<'_>,
    stages: &[(Stage, String)],
) -> Option<Impossible> {
    let condition = table
        .need("condition", "{ script = \"read-only\" }")
        .and_then(|item| context.levels(&item));
    let stage = table.need("stage", "\"success\"").and_then(|item| stage(&item, stages, context));
    let why = table.need("why", "\"the reason\"").and_then(|item| item.text());
    table.report_unknown();
    Some(Impossible { condition: condition?, stage: stage?, why: why?.value })
}

/// One of the stages that a behaviour has.
fn stage(item: &Item<'_>, stages: &[(Stage, String)], context: &Context<'_>) -> Option<Stage> {
    let name =
        context.known("stage", &item.text()?, stages.iter().map(|(stage, _)| stage.as_str()))?;
    stages.iter().map(|(stage, _)| *stage).find(|stage| stage.as_str() == name)
}

pub(super) fn published(
    root: &Table<'_>,
    context: &Context<'_>,
    behaviours: &[Behaviour],
) -> Vec<Published> {
    let items = root.get("published").and_then(|item| item.list()).unwrap_or_default();
    items.iter().filter_map(|item| one_published(&item.table()?, context, behaviours)).collect()
}

fn one_published(
    table: &Table<'_>,
    context: &Context<'_>,
    behaviours: &[Behaviour],
) -> Option<Published> {
    let text = |key: &str, example: &str| table.need(key, example).and_then(|item| item.text());
    let behaviour = text("behaviour", "\"NAME\"").and_then(|name| {
        let names = behaviours.iter().map(|behaviour| behaviour.name.as_str());
        let name = context.known("behaviour", &name, names)?;
        behaviours.iter().find(|behaviour| behaviour.name == name)
    });
    let stage = table.need("stage", "\"success\"").and_then(|item| {
        stage(&item, behaviour.map(|behaviour| behaviour.stages.as_slice())?, context)
    });
    let condition = table
        .need("condition", "{ instruction = \"none\" }")
        .and_then(|item| context.levels(&item));
    let model = text("model", "\"NAME\"");
    let source = text("source", "\"arXiv:2509.14260\"");
    let status = text("status", "\"P\"")
        .and_then(|status| context.known("status", &status, ["P", "S"].into_iter()));
    let wordings = ["original", "different"].into_iter();
    let wording = text("wording", "\"different\"")
        .and_then(|wording| context.known("wording", &wording, wordings));
    let k = table.get("k").and_then(|item| item.count(0));
    let n = table.get("n").and_then(|item| item.count(1));
    let percent = table.get("percent").and_then(|item| item.number());
    let figure = figure(table, k, n, percent, context)?;
    table.report_unknown();
    Some(Published {
        behaviour: behaviour?.name.clone(),
        stage: stage?,
        condition: filled(&context.factors, &condition?),
        model: model?.value,
        figure,
        source: source?.value,
        status: status?,
        wording: wording?,
    })
}

/// Either k of n, or a share in per cent.
fn figure(
    table: &Table<'_>,
    k: Option<u64>,
    n: Option<u64>,
    percent: Option<f64>,
    context: &Context<'_>,
) -> Option<Figure> {
    match (k, n, percent) {
        (Some(k), Some(n), None) if k <= n => Some(Figure::Count { k, n }),
        (None, None, Some(percent)) if (0.0..=100.0).contains(&percent) => {
            Some(Figure::Percent(percent))
        }
        _ => {
            let problem =
                table.place().diagnostic("expected `k` of `n`, or `percent` from 0 to 100");
            context.report(problem.help("write `k = 3, n = 100` or `percent = 2.5`"));
            None
        }
    }
}
