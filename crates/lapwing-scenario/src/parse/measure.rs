//! `measure`, `contrast` and `ladder`.

use std::collections::BTreeMap;

use lapwing_core::{Condition, Stage};

use super::Context;
use crate::design::filled;
use crate::diagnostic::{Text, near};
use crate::expr::Expr;
use crate::measure::{Claim, Contrast, ContrastOf, Ladder, Measure, Measures, Side};
use crate::reader::{Item, Table};
use crate::schema::Behaviour;

/// What a contrast can name.
struct Known<'a> {
    measures: &'a [Measure],
    behaviours: &'a [Behaviour],
    controls: &'a [Condition],
}

pub(super) fn measures(
    root: &Table<'_>,
    context: &Context<'_>,
    behaviours: &[Behaviour],
    controls: &[Condition],
) -> Measures {
    let read = root.named("measure").into_iter();
    let read = read.filter_map(|(name, item)| measure(&name, &item, context, behaviours));
    let (measures, values): (Vec<Measure>, Vec<Expr>) = read.unzip();
    context.note_unsound(root, "measure", |_, name| {
        measures.iter().any(|measure| measure.name == name)
    });
    let known = Known { measures: &measures, behaviours, controls };
    let contrasts = root.named("contrast").into_iter();
    let contrasts = contrasts
        .filter_map(|(name, item)| contrast(&name, &item.table()?, context, &known))
        .collect();
    let ladders = root.named("ladder").into_iter();
    let ladders =
        ladders.filter_map(|(name, item)| ladder(&name, &item, context, behaviours)).collect();
    Measures { all: measures, values, contrasts, ladders }
}

/// `"EXPR"` or `{ value = "EXPR", unit, note }`.
fn measure(
    name: &Text,
    item: &Item<'_>,
    context: &Context<'_>,
    behaviours: &[Behaviour],
) -> Option<(Measure, Expr)> {
    context.identifier(name)?;
    if behaviours.iter().any(|behaviour| behaviour.name == name.value) {
        let problem =
            name.diagnostic(format!("`{}` is already the name of a behaviour", name.value));
        context.report(problem.help("a contrast could mean either; choose another name"));
        return None;
    }
    let (value, unit, note) = if item.is_text() {
        (context.rule(item)?, None, None)
    } else {
        let table = item.table()?;
        let value = table.need("value", "\"count(x)\"").and_then(|item| context.rule(&item));
        let unit = table.optional("unit", Item::text);
        let note = table.optional("note", Item::text);
        table.report_unknown();
        (value?, unit.ok()?, note.ok()?)
    };
    let text = |text: Option<Text>| text.map(|text| text.value);
    let source = value.source.clone();
    let (unit, note) = (text(unit), text(note));
    Some((Measure { name: name.value.clone(), value: source, unit, note }, value))
}

fn contrast(
    name: &Text,
    table: &Table<'_>,
    context: &Context<'_>,
    known: &Known<'_>,
) -> Option<Contrast> {
    context.identifier(name);
    let of = table.need("of", "\"MEASURE\"").and_then(|item| of(&item.text()?, context, known));
    let inside = table
        .need("in", "{ task = \"finished\" }")
        .and_then(|item| side(&item, context, known.controls));
    let against =
        table.need("against", "\"benign\"").and_then(|item| side(&item, context, known.controls));
    let pair = table
        .optional("pair", |item| context.known("pairing", &item.text()?, ["seed"].into_iter()));
    let claim = table.need("claim", "\"lower\"").and_then(|item| {
        let word =
            context.known("claim", &item.text()?, Claim::ALL.iter().map(|claim| claim.as_str()))?;
        Claim::ALL.into_iter().find(|claim| claim.as_str() == word)
    });
    let note = table.optional("note", Item::text);
    table.report_unknown();
    pair.ok()?;
    let (inside, against) = (inside?, against?);
    if inside.levels == against.levels {
        let problem = table.place().diagnostic("`in` and `against` are the same condition");
        context.report(problem.help("levels that are not named are at their base"));
        return None;
    }
    let note = note.ok()?.map(|note| note.value);
    Some(Contrast { name: name.value.clone(), of: of?, inside, against, claim: claim?, note })
}

/// `MEASURE` or `BEHAVIOUR.STAGE`.
fn of(text: &Text, context: &Context<'_>, known: &Known<'_>) -> Option<ContrastOf> {
    let stages = known.behaviours.iter().flat_map(|behaviour| {
        behaviour.stages.iter().map(|(stage, _)| (behaviour.name.clone(), *stage))
    });
    let stages: BTreeMap<String, (String, Stage)> = stages
        .map(|(behaviour, stage)| (format!("{behaviour}.{stage}"), (behaviour, stage)))
        .collect();
    let measures = known.measures.iter().map(|measure| measure.name.as_str());
    let names = measures.chain(stages.keys().map(String::as_str));
    let name = context.known("measure or stage", text, names)?;
    Some(match stages.get(&name).cloned() {
        Some((behaviour, stage)) => ContrastOf::Stage { behaviour, stage },
        None => ContrastOf::Measure(name),
    })
}

/// A control by name, or levels; factors that are not named are at their base.
fn side(item: &Item<'_>, context: &Context<'_>, controls: &[Condition]) -> Option<Side> {
    if item.is_text() {
        let names = controls.iter().filter_map(|control| control.control.as_deref());
        let name = context.known("control", &item.text()?, names)?;
        let control =
            controls.iter().find(|control| control.control.as_deref() == Some(name.as_str()))?;
        return Some(Side { label: name, levels: control.levels.clone() });
    }
    let levels = context.levels(item)?;
    let named: Vec<String> =
        levels.iter().map(|(factor, level)| format!("{factor}={level}")).collect();
    Some(Side { label: named.join(", "), levels: filled(&context.factors, &levels) })
}

/// Behaviours, the lowest first. Of each the success counts, or the attempt where that is all there is.
fn ladder(
    name: &Text,
    item: &Item<'_>,
    context: &Context<'_>,
    behaviours: &[Behaviour],
) -> Option<Ladder> {
    context.identifier(name);
    let texts = item.texts()?;
    let rungs = texts.iter().map(|text| {
        let names = behaviours.iter().map(|behaviour| behaviour.name.as_str());
        let name = context.known("behaviour", text, names)?;
        let behaviour = behaviours.iter().find(|behaviour| behaviour.name == name)?;
        let has = |wanted: Stage| behaviour.stages.iter().any(|(stage, _)| *stage == wanted);
        let stage = [Stage::Success, Stage::Attempt].into_iter().find(|stage| has(*stage));
        if stage.is_none() {
            let problem = text.diagnostic(format!("`{name}` has neither success nor attempt"));
            context.report(problem.help("a rung is a success, or an attempt"));
        }
        Some((name, stage?))
    });
    let rungs: Vec<(String, Stage)> = rungs.collect::<Option<_>>()?;
    let repeated = |(index, rung): (usize, &(String, Stage))| rungs[..index].contains(rung);
    if rungs.len() < 2 || rungs.iter().enumerate().any(repeated) {
        let names = behaviours.iter().map(|behaviour| behaviour.name.as_str());
        let problem = name.diagnostic("a ladder needs at least two different behaviours");
        context.report(problem.help(near("", names)));
        return None;
    }
    Some(Ladder { name: name.value.clone(), rungs })
}
