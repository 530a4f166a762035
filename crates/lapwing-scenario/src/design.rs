//! Expands a design into conditions.

mod screen;

use std::collections::BTreeMap;
use std::fmt;

use lapwing_core::Condition;

use crate::Diagnostic;
use crate::diagnostic::near;
use crate::schema::{Design, DesignKind, Factor};
use screen::Fraction;

type Levels = BTreeMap<String, String>;

/// Which conditions are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DesignChoice {
    /// The scenario's own design. With levels chosen: all their combinations, other factors at their base.
    #[default]
    Default,
    /// The base and each other level alone.
    Star,
    /// All combinations.
    Full,
    /// A two-level fraction of this many conditions, over the first two levels of each factor.
    Screen(usize),
}

/// What a two-level fraction can and cannot tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// How many conditions it has, those that are excluded among them.
    pub runs: usize,
    /// How many factors it varies.
    pub factors: usize,
    /// Its resolution in Roman numerals; `None` if the conditions are all combinations.
    pub resolution: Option<String>,
    /// Main effects that cannot be told from interactions of two factors, as `slot = instruction x task`; if there are none,
    /// such interactions that cannot be told from each other.
    pub aliases: Vec<String>,
    /// Conditions that the scenario excludes. Without them the levels are no longer balanced.
    pub excluded: Vec<String>,
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, factors, resolution, aliases, excluded } = self;
        write!(f, "a screen of {factors} factors in {runs} conditions, ")?;
        match resolution {
            Some(resolution) => write!(f, "resolution {resolution}")?,
            None => f.write_str("all combinations of two levels")?,
        }
        for alias in aliases {
            write!(f, "\n  cannot be told apart: {alias}")?;
        }
        for condition in excluded {
            write!(f, "\n  excluded, so that effects are no longer balanced: {condition}")?;
        }
        Ok(())
    }
}

/// The conditions of `choice` with the `chosen` levels; then the controls.
pub(crate) fn conditions(
    factors: &[Factor],
    design: &Design,
    chosen: &BTreeMap<String, Vec<String>>,
    choice: DesignChoice,
) -> Result<Vec<Condition>, Diagnostic> {
    check(factors, chosen)?;
    let limited = limited(factors, chosen);
    let own = choice == DesignChoice::Default && chosen.is_empty();
    let mut all = match kind(design, choice, chosen) {
        DesignKind::Star => star(&limited),
        DesignKind::Full if choice == DesignChoice::Default && !own => {
            product(factors, |factor| match chosen.get(&factor.name) {
                Some(levels) => levels.clone(),
                None => factor.levels.first().cloned().into_iter().collect(),
            })
        }
        DesignKind::Full => product(&limited, |factor| factor.levels.clone()),
        DesignKind::List => design.list.iter().map(|levels| filled(factors, levels)).collect(),
        DesignKind::Screen(runs) => screened(&limited, runs)?.1,
    };
    if own {
        all.extend(design.also.iter().map(|levels| filled(factors, levels)));
    }
    all.retain(|levels| !is_excluded(design, levels));
    if all.is_empty() {
        return Err(Diagnostic::new("the scenario excludes every chosen condition").help(
            "choose other levels; `design.exclude` in scenario.toml lists what cannot be combined",
        ));
    }
    Ok(with_controls(all, design))
}

/// What the screen of `choice` can tell apart; `None` if that design is no screen.
pub(crate) fn screen(
    factors: &[Factor],
    design: &Design,
    chosen: &BTreeMap<String, Vec<String>>,
    choice: DesignChoice,
) -> Result<Option<Screen>, Diagnostic> {
    check(factors, chosen)?;
    let DesignKind::Screen(runs) = kind(design, choice, chosen) else { return Ok(None) };
    let limited = limited(factors, chosen);
    let (fraction, all) = screened(&limited, runs)?;
    let names: Vec<&str> = varied(&limited).map(|factor| factor.name.as_str()).collect();
    let excluded = all.into_iter().filter(|levels| is_excluded(design, levels));
    let excluded =
        excluded.map(|levels| describe(factors, &Condition { control: None, levels })).collect();
    Ok(Some(Screen {
        runs,
        factors: names.len(),
        resolution: fraction.resolution(),
        aliases: fraction.aliases(&names),
        excluded,
    }))
}

fn kind(
    design: &Design,
    choice: DesignChoice,
    chosen: &BTreeMap<String, Vec<String>>,
) -> DesignKind {
    match choice {
        DesignChoice::Default if chosen.is_empty() => design.kind,
        DesignChoice::Default | DesignChoice::Full => DesignKind::Full,
        DesignChoice::Star => DesignKind::Star,
        DesignChoice::Screen(runs) => DesignKind::Screen(runs),
    }
}

/// The factors with the chosen levels only; those of which none is chosen with all.
fn limited(factors: &[Factor], chosen: &BTreeMap<String, Vec<String>>) -> Vec<Factor> {
    let factors = factors.iter().map(|factor| {
        let is_chosen =
            |level: &&String| chosen.get(&factor.name).is_none_or(|levels| levels.contains(*level));
        let levels = factor.levels.iter().filter(is_chosen).cloned().collect();
        Factor { name: factor.name.clone(), levels }
    });
    factors.collect()
}

/// The factors that a screen varies.
fn varied(factors: &[Factor]) -> impl Iterator<Item = &Factor> {
    factors.iter().filter(|factor| factor.levels.len() > 1)
}

fn screened(factors: &[Factor], runs: usize) -> Result<(Fraction, Vec<Levels>), Diagnostic> {
    let fraction = Fraction::new(varied(factors).count(), runs)?;
    let conditions = fraction.runs().map(|run| {
        let second = varied(factors).zip(run).filter(|(_, second)| *second);
        let named = second.map(|(factor, _)| (factor.name.clone(), factor.levels[1].clone()));
        filled(factors, &named.collect())
    });
    let conditions = conditions.collect();
    Ok((fraction, conditions))
}

/// Checks that a design of `runs` screens `factors`.
pub(crate) fn check_screen(factors: &[Factor], runs: usize) -> Result<(), Diagnostic> {
    screened(factors, runs).map(drop)
}

fn is_excluded(design: &Design, levels: &Levels) -> bool {
    design.exclude.iter().any(|excluded| is_part(excluded, levels))
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
            kind: DesignKind::Star,
            list: vec![levels(&[("slot", "both")]), levels(&[("slot", "both"), ("order", "keep")])],
            also: vec![levels(&[("order", "keep"), ("slot", "both")])],
            exclude: vec![levels(&[("order", "none"), ("slot", "system")])],
            controls: vec![Condition { control: Some("able".to_owned()), levels: control }],
        }
    }

    fn described(chosen: Chosen<'_>) -> Result<Vec<String>, String> {
        chosen_in(&design(), chosen, DesignChoice::Default)
    }

    fn chosen_in(
        design: &Design,
        chosen: Chosen<'_>,
        choice: DesignChoice,
    ) -> Result<Vec<String>, String> {
        let chosen = chosen.iter().map(|(factor, levels)| {
            ((*factor).to_owned(), levels.iter().map(|level| (*level).to_owned()).collect())
        });
        match conditions(&factors(), design, &chosen.collect(), choice) {
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

    #[test]
    fn a_list_is_run_as_it_stands() {
        let design = Design { kind: DesignKind::List, also: Vec::new(), ..design() };
        let expected = ["slot=both", "order=keep slot=both", "able (order=break)"];
        let described = chosen_in(&design, &[], DesignChoice::Default);
        assert_eq!(described, Ok(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_design_that_is_asked_for_stays_within_the_chosen_levels() {
        let chosen: Chosen<'_> = &[("order", &["keep", "none"])];
        let in_star = ["base", "order=keep", "slot=both", "able (order=break)"];
        let described = chosen_in(&design(), chosen, DesignChoice::Star);
        assert_eq!(described, Ok(in_star.map(str::to_owned).to_vec()));
        let in_full = [
            "base",
            "slot=both",
            "order=keep",
            "order=keep slot=system",
            "order=keep slot=both",
            "able (order=break)",
        ];
        let described = chosen_in(&design(), chosen, DesignChoice::Full);
        assert_eq!(described, Ok(in_full.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_screen_says_what_it_excludes_and_cannot_tell_apart() {
        let script = Factor {
            name: "script".to_owned(),
            levels: vec!["plain".to_owned(), "locked".to_owned()],
        };
        let factors: Vec<Factor> = factors().into_iter().chain([script]).collect();
        let chosen = BTreeMap::new();
        let choice = DesignChoice::Screen(4);
        let conditions = conditions(&factors, &design(), &chosen, choice).unwrap();
        let described: Vec<String> =
            conditions.iter().map(|condition| describe(&factors, condition)).collect();
        let expected = ["script=locked", "order=keep", "order=keep slot=system script=locked"];
        assert_eq!(described[..3], expected);
        let screen = screen(&factors, &design(), &chosen, choice).unwrap().unwrap();
        assert_eq!(
            screen.to_string(),
            "a screen of 3 factors in 4 conditions, resolution III
  cannot be told apart: order = slot x script
  cannot be told apart: slot = order x script
  cannot be told apart: script = order x slot
  excluded, so that effects are no longer balanced: slot=system"
        );
    }

    #[test]
    fn a_screen_varies_only_factors_with_two_levels_left() {
        let chosen = BTreeMap::from([("order".to_owned(), vec!["keep".to_owned()])]);
        let problem = screen(&factors(), &design(), &chosen, DesignChoice::Screen(4)).unwrap_err();
        assert!(
            problem.to_string().starts_with("a screen takes 2 to 16 factors, here are 1"),
            "{problem}"
        );
    }
}
