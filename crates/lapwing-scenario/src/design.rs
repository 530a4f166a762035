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

#[cfg(test)]
mod tests {
    use super::*;

    type Chosen<'a> = &'a [(&'a str, &'a [&'a str])];

    fn levels(levels: &[(&str, &str)]) -> Levels {
        levels.iter().map(|(factor, level)| ((*factor).to_owned(), (*level).to_owned())).collect()
    }

    fn factors() -> Vec<Factor> {
        [("order", ["none", "keep", "break"]), ("slot", ["user", "system", "both"])]
            .map(|(name, levels)| Factor {
                name: name.to_owned(),
                levels: levels.map(str::to_owned).to_vec(),
            })
            .to_vec()
    }

    fn design() -> Design {
        let control = levels(&[("order", "break"), ("slot", "user")]);
        Design {
            default: DefaultDesign::Star,
            also: vec![levels(&[("order", "keep"), ("slot", "both")])],
            exclude: vec![levels(&[("order", "none"), ("slot", "system")])],
            controls: vec![Condition { control: Some("able".to_owned()), levels: control }],
        }
    }

    fn described(chosen: Chosen<'_>) -> Result<Vec<String>, String> {
        let chosen = chosen.iter().map(|(factor, levels)| {
            ((*factor).to_owned(), levels.iter().map(|level| (*level).to_owned()).collect())
        });
        match conditions(&factors(), &design(), &chosen.collect()) {
            Ok(conditions) => Ok(conditions.iter().map(|one| describe(&factors(), one)).collect()),
            Err(problem) => Err(problem.to_string()),
        }
    }

    #[test]
    fn the_star_is_the_base_each_level_alone_what_is_added_and_the_controls() {
        let expected =
            ["base", "order=keep", "slot=both", "order=keep slot=both", "able (order=break)"];
        assert_eq!(described(&[]), Ok(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn chosen_levels_are_combined_without_what_is_excluded() {
        let expected = ["base", "order=keep", "order=keep slot=system", "able (order=break)"];
        let chosen: [(&str, &[&str]); 2] =
            [("order", &["none", "keep", "break", "keep"]), ("slot", &["user", "system"])];
        let mut expected: Vec<String> = expected.map(str::to_owned).to_vec();
        expected.insert(3, "order=break slot=system".to_owned());
        assert_eq!(described(&chosen), Ok(expected));
    }

    #[test]
    fn a_choice_that_cannot_be_run_is_told() {
        let rows: [(Chosen<'_>, &str); 4] = [
            (
                &[("oder", &["keep"])],
                "unknown factor `oder`\n  help: did you mean `order`? known: `order`, `slot`",
            ),
            (
                &[("order", &["kep"])],
                "unknown level `kep` of factor `order`\n  help: did you mean `keep`? known: `none`, `keep`, `break`",
            ),
            (
                &[("order", &[])],
                "no level of factor `order` is chosen\n  help: known: `none`, `keep`, `break`",
            ),
            (
                &[("slot", &["system"])],
                "the scenario excludes every chosen condition\n  help: choose other levels; `design.exclude` in scenario.toml lists what cannot be combined",
            ),
        ];
        for (chosen, expected) in rows {
            assert_eq!(described(chosen), Err(expected.to_owned()));
        }
    }
}
