//! `factor`, `design` and `control`.

use std::collections::BTreeMap;

use lapwing_core::Condition;

use super::Context;
use crate::Diagnostic;
use crate::design::{check_screen, filled, is_part};
use crate::diagnostic::{Problems, near};
use crate::reader::{Item, Table};
use crate::schema::{Design, DesignKind, Factor};

pub(super) fn factors(root: &Table<'_>) -> Vec<Factor> {
    let factors = root.named("factor").into_iter().filter_map(|(name, item)| {
        let levels: Vec<String> = item.texts()?.into_iter().map(|text| text.value).collect();
        let mut distinct = levels.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if levels.len() < 2 || distinct.len() < levels.len() {
            item.fail(|place| {
                place
                    .diagnostic("a factor needs at least two different levels")
                    .help("write the base level first: `[\"none\", \"allow\"]`")
            });
            return None;
        }
        Some(Factor { name: name.value, levels })
    });
    factors.collect()
}

pub(super) fn design(root: &Table<'_>, context: &Context<'_>) -> Design {
    let mut design = Design::default();
    if let Some(table) = root.get("design").and_then(|item| item.table()) {
        let kind = table.optional("default", |item| kind(item, &table, context));
        design.kind = kind.ok().flatten().unwrap_or_default();
        design.list = all_levels(&table, "list", context);
        needs(&table, "list", design.kind == DesignKind::List, context);
        needs(&table, "runs", matches!(design.kind, DesignKind::Screen(_)), context);
        design.also = all_levels(&table, "also", context);
        design.exclude = all_levels(&table, "exclude", context);
        table.report_unknown();
    }
    for (name, item) in root.named("control") {
        let Some(named) = context.levels(&item) else { continue };
        let levels = filled(&context.factors, &named);
        if design.exclude.iter().any(|excluded| is_part(excluded, &levels)) {
            item.fail(|place| {
                place
                    .diagnostic("`design.exclude` excludes this control")
                    .help("change the control or the exclusion")
            });
        }
        design.controls.push(Condition { control: Some(name.value), levels });
    }
    design
}

fn kind(item: &Item<'_>, table: &Table<'_>, context: &Context<'_>) -> Option<DesignKind> {
    let text = item.text()?;
    let kinds = ["star", "full", "list", "screen"].into_iter();
    Some(match context.known("design", &text, kinds)?.as_str() {
        "full" => DesignKind::Full,
        "list" => {
            table.need("list", "[{ order = \"keep\" }]")?;
            DesignKind::List
        }
        "screen" => {
            let item = table.need("runs", "8")?;
            let runs = item.count(1)?.try_into().unwrap_or(usize::MAX);
            if let Err(problem) = check_screen(&context.factors, runs) {
                item.fail(|place| Diagnostic {
                    help: problem.help,
                    ..place.diagnostic(problem.message)
                });
            }
            DesignKind::Screen(runs)
        }
        _ => DesignKind::Star,
    })
}

/// Reports a key that the design does not use.
fn needs(table: &Table<'_>, key: &str, used: bool, context: &Context<'_>) {
    if let Some(item) = table.get(key).filter(|_| !used) {
        let design = if key == "list" { "list" } else { "screen" };
        let problem = item.place().diagnostic("this design does not use it");
        context.report(problem.help(format!("add `default = \"{design}\"` or leave `{key}` out")));
    }
}

fn all_levels(
    table: &Table<'_>,
    key: &str,
    context: &Context<'_>,
) -> Vec<BTreeMap<String, String>> {
    let items = table.get(key).and_then(|item| item.list()).unwrap_or_default();
    items.iter().filter_map(|item| context.levels(item)).collect()
}

/// A table of factors and levels, at least one.
pub(crate) fn levels(
    item: &Item<'_>,
    factors: &[Factor],
    problems: &Problems,
) -> Option<BTreeMap<String, String>> {
    let table = item.table()?;
    let names = || factors.iter().map(|factor| factor.name.as_str());
    if table.is_empty() {
        problems.push(item.place().diagnostic("names no factor").help(near("", names())));
        return None;
    }
    let mut levels = BTreeMap::new();
    let mut sound = true;
    for (name, item) in table.all() {
        let level = item.text().and_then(|level| {
            let name = problems.known("factor", &name, names())?;
            let factor = factors.iter().find(|factor| factor.name == name)?;
            let what = format!("level of `{name}`");
            problems.known(&what, &level, factor.levels.iter().map(String::as_str))
        });
        match level {
            Some(level) => drop(levels.insert(name.value, level)),
            None => sound = false,
        }
    }
    sound.then_some(levels)
}
