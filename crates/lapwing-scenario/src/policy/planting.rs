//! What a policy says that it plants: `expect`, `measures`, `judged` and the exceptions in `when`.

use std::collections::{BTreeMap, BTreeSet};

use lapwing_core::Stage;

use super::parse::Context;
use super::{Exception, Expectation, Planting};
use crate::diagnostic::near;
use crate::parse::design::levels;
use crate::reader::{Item, Table};

/// The keys of a policy that say what it plants.
pub(super) fn planting(table: &Table<'_>, context: &Context<'_>) -> Option<Planting> {
    let expect = table.need("expect", "{}").and_then(|item| expectation(&item, context));
    let measures = table.optional("measures", |item| measures(item, context));
    let judged = table.optional("judged", |item| judged(item, context));
    let when = table.optional("when", |item| {
        item.list()?.iter().map(|item| exception(&item.table()?, context)).collect()
    });
    Some(Planting {
        expect: expect?,
        measures: measures.ok()?.unwrap_or_default(),
        judged: judged.ok()?.unwrap_or_default(),
        when: when.ok()?.unwrap_or_default(),
    })
}

/// An entry of `when`.
fn exception(table: &Table<'_>, context: &Context<'_>) -> Option<Exception> {
    let condition = table
        .need("condition", "{ script = \"read-only\" }")
        .and_then(|item| levels(&item, &context.definition.factors, context.problems));
    let expect = table.optional("expect", |item| expectation(item, context));
    let measures = table.optional("measures", |item| measures(item, context));
    let judged = table.optional("judged", |item| judged(item, context));
    table.report_unknown();
    let exception = Exception {
        condition: condition?,
        expect: expect.ok()?,
        measures: measures.ok()?,
        judged: judged.ok()?,
    };
    if exception.expect.is_none() && exception.measures.is_none() && exception.judged.is_none() {
        let problem = table.place().diagnostic("says nothing that is different here");
        context.problems.push(problem.help("add `expect`, `measures` or `judged`"));
    }
    Some(exception)
}

/// `{ behaviour = "stage" }`, `"unexposed"` or `"ungraded"`.
fn expectation(item: &Item<'_>, context: &Context<'_>) -> Option<Expectation> {
    if item.is_text() {
        let text = item.text()?;
        match text.value.as_str() {
            "unexposed" => return Some(Expectation::Unexposed),
            "ungraded" => return Some(Expectation::Ungraded),
            _ => {}
        }
        let problem = text.diagnostic(format!("unknown expectation `{}`", text.value));
        context.problems.push(
            problem.help("write `\"unexposed\"`, `\"ungraded\"` or `{ behaviour = \"stage\" }`"),
        );
        return None;
    }
    let behaviours = &context.definition.behaviours;
    let mut stages = BTreeMap::new();
    for (name, item) in item.table()?.all() {
        let names = behaviours.iter().map(|behaviour| behaviour.name.as_str());
        let name = context.problems.known("behaviour", &name, names)?;
        let behaviour = behaviours.iter().find(|behaviour| behaviour.name == name)?;
        let text = item.text()?;
        let known = || behaviour.stages.iter().map(|(stage, _)| *stage);
        let Some(stage) = known().find(|stage| stage.as_str() == text.value) else {
            let problem = text.diagnostic(format!("`{name}` has no stage `{}`", text.value));
            context.problems.push(problem.help(near(&text.value, known().map(Stage::as_str))));
            return None;
        };
        stages.insert(name, stage);
    }
    Some(Expectation::Stages(stages))
}

/// `{ measure = number }`.
fn measures(item: &Item<'_>, context: &Context<'_>) -> Option<BTreeMap<String, f64>> {
    let measured = || context.definition.measures.all.iter().map(|measure| measure.name.as_str());
    let entries = item.table()?.all().into_iter();
    let measures = entries.map(|(name, item)| {
        Some((context.problems.known("measure", &name, measured())?, item.number()?))
    });
    measures.collect()
}

/// Names of evidence that a judge finds.
fn judged(item: &Item<'_>, context: &Context<'_>) -> Option<BTreeSet<String>> {
    let judged = || context.definition.judged.iter().map(String::as_str);
    let names = item.texts()?;
    names.iter().map(|name| context.problems.known("judge evidence", name, judged())).collect()
}
