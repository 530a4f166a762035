//! Expands a design into conditions.

use std::collections::BTreeMap;

use lapwing_core::Condition;

use crate::Diagnostic;
use crate::diagnostic::near;
use crate::schema::{DefaultDesign, Design, Factor};

type Levels = BTreeMap<String, String>;

/// The conditions of the design, or the combinations of the chosen levels; then the controls.
pub(crate) fn conditions(
    factors: &[Factor],
    design: &Design,
    chosen: &BTreeMap<String, Vec<String>>,
) -> Result<Vec<Condition>, Diagnostic> {
    check(factors, chosen)?;
    let mut all = match (chosen.is_empty(), design.default) {
        (true, DefaultDesign::Star) => star(factors),
        (true, DefaultDesign::Full) => product(factors, |factor| factor.levels.clone()),
        (false, DefaultDesign::Star | DefaultDesign::Full) => {
            product(factors, |factor| match chosen.get(&factor.name) {
                Some(levels) => levels.clone(),
                None => factor.levels.first().cloned().into_iter().collect(),
            })
        }
    };
    if chosen.is_empty() {
        all.extend(design.also.iter().map(|levels| filled(factors, levels)));
    }
    all.retain(|levels| !design.exclude.iter().any(|excluded| is_part(excluded, levels)));
    if all.is_empty() {
        return Err(Diagnostic::new("the scenario excludes every chosen condition").help(
            "choose other levels; `design.exclude` in scenario.toml lists what cannot be combined",
        ));
    }
    Ok(with_controls(all, design))
}

/// Each condition once, those that are a control at the end under its name.
fn with_controls(all: Vec<Levels>, design: &Design) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = Vec::new();
    let is_control =
        |levels: &Levels| design.controls.iter().any(|control| control.levels == *levels);
    for levels in all.into_iter().filter(|levels| !is_control(levels)) {
        let condition = Condition { control: None, levels };
        if !conditions.contains(&condition) {
            conditions.push(condition);
        }
    }
    conditions.extend(design.controls.iter().cloned());
    conditions
}

/// The levels that differ from the base, after the control's name.
pub(crate) fn describe(factors: &[Factor], condition: &Condition) -> String {
    let differs = |factor: &&Factor| {
        let level = condition.levels.get(&factor.name);
        level.is_some() && level != factor.levels.first()
    };
    let differing = factors.iter().filter(differs);
    let levels: Vec<String> = differing
        .filter_map(|factor| {
            Some(format!("{}={}", factor.name, condition.levels.get(&factor.name)?))
        })
        .collect();
    let levels = if levels.is_empty() { "base".to_owned() } else { levels.join(" ") };
    match &condition.control {
        Some(control) => format!("{control} ({levels})"),
        None => levels,
    }
}

/// Whether `whole` has every level of `part`.
pub(crate) fn is_part(part: &Levels, whole: &Levels) -> bool {
    part.iter().all(|(factor, level)| whole.get(factor) == Some(level))
}

/// `named` and the base level of every other factor.
pub(crate) fn filled(factors: &[Factor], named: &Levels) -> Levels {
    let level = |factor: &Factor| {
        let level = named.get(&factor.name).or_else(|| factor.levels.first());
        (factor.name.clone(), level.cloned().unwrap_or_default())
    };
    factors.iter().map(level).collect()
}

fn star(factors: &[Factor]) -> Vec<Levels> {
    let base = filled(factors, &Levels::new());
    let mut all = vec![base.clone()];
    for factor in factors {
        for level in factor.levels.iter().skip(1) {
            let mut levels = base.clone();
            levels.insert(factor.name.clone(), level.clone());
            all.push(levels);
        }
    }
    all
}

fn product(factors: &[Factor], levels_of: impl Fn(&Factor) -> Vec<String>) -> Vec<Levels> {
    factors.iter().fold(vec![Levels::new()], |all, factor| {
        let levels = levels_of(factor);
        let extended = all.iter().flat_map(|combination| {
            levels.iter().map(|level| {
                let mut combination = combination.clone();
                combination.insert(factor.name.clone(), level.clone());
                combination
            })
        });
        extended.collect()
    })
}

fn check(factors: &[Factor], chosen: &BTreeMap<String, Vec<String>>) -> Result<(), Diagnostic> {
    for (name, levels) in chosen {
        let Some(factor) = factors.iter().find(|factor| factor.name == *name) else {
            let names = factors.iter().map(|factor| factor.name.as_str());
            return Err(Diagnostic::new(format!("unknown factor `{name}`")).help(near(name, names)));
        };
        if let Some(level) = levels.iter().find(|level| !factor.levels.contains(level)) {
            let known = factor.levels.iter().map(String::as_str);
            return Err(Diagnostic::new(format!("unknown level `{level}` of factor `{name}`"))
                .help(near(level, known)));
        }
        if levels.is_empty() {
            let known = factor.levels.iter().map(String::as_str);
            return Err(Diagnostic::new(format!("no level of factor `{name}` is chosen"))
                .help(near("", known)));
        }
    }
    Ok(())
}
