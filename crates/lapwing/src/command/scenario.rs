//! `lapwing scenario list` and `show`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use lapwing_core::Condition;
use lapwing_scenario::{Behaviour, DesignChoice, Figure, JSON_SCHEMA, Published, Scenario};
use serde_json::json;

use super::{Global, print_json};
use crate::experiments::{self, Experiments};
use crate::failure::Failure;
use crate::library;
use crate::render::{BOLD, DIM, Grid, items, note, paragraph, percent};

pub(crate) fn list(global: &Global) -> Result<ExitCode, Failure> {
    let experiments = experiments::list()?;
    let mut grid = Grid::new(&["scenario", "behaviours", "needs", "what it asks"]);
    let mut rows = Vec::new();
    for name in library::names() {
        let scenario = library::load(&name)?;
        let (needs, ids) = (needs(&scenario)?, experiments.of_scenario(&name));
        let n_behaviours = scenario.behaviours().len();
        rows.push(json!({
            "name": name, "title": scenario.title(), "description": scenario.description(),
            "behaviours": n_behaviours, "needs": needs, "experiments": ids,
        }));
        let title = if ids.is_empty() {
            scenario.title().to_owned()
        } else {
            format!("{} ({})", scenario.title(), ids.join(" "))
        };
        grid.row([name, n_behaviours.to_string(), needs.join(", "), title]);
    }
    if global.json {
        print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    grid.write(&mut out)?;
    writeln!(out)?;
    note(
        &mut out,
        "lapwing scenario show NAME says more; the IDs are those of lapwing experiments",
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What a scenario cannot be run, or not be graded whole, without.
fn needs(scenario: &Scenario) -> Result<Vec<&'static str>, Failure> {
    let condition =
        scenario.conditions(&BTreeMap::new(), DesignChoice::Default)?.into_iter().next();
    let plan = condition.map(|condition| scenario.plan(&condition, 0)).transpose()?;
    let sandbox = plan.is_some_and(|plan| !plan.sandboxes.is_empty());
    let judge = scenario.folder().files().keys().any(|path| path.starts_with("rubrics/"));
    Ok([(sandbox, "sandbox"), (judge, "judge")]
        .into_iter()
        .filter_map(|(needed, name)| needed.then_some(name))
        .collect())
}

pub(crate) fn show(wanted: &str, global: &Global) -> Result<ExitCode, Failure> {
    let scenario = library::load(wanted)?;
    let conditions = scenario.conditions(&BTreeMap::new(), DesignChoice::Default)?;
    let experiments = experiments::list()?;
    if global.json {
        print_json(&as_json(&scenario, &conditions, &experiments)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{BOLD}{}{BOLD:#}", scenario.title())?;
    paragraph(&mut out, 2, scenario.description())?;
    let ids = experiments.of_scenario(scenario.name());
    if !ids.is_empty() {
        writeln!(out, "  experiments: {}", ids.join(", "))?;
    }
    writeln!(out, "  needs: {}", needs(&scenario)?.join(", "))?;
    writeln!(out, "\n  {BOLD}factors{BOLD:#}, the first level is the base")?;
    for factor in scenario.factors() {
        paragraph(&mut out, 4, &format!("{}: {}", factor.name, factor.levels.join(", ")))?;
    }
    writeln!(out, "\n  {BOLD}conditions{BOLD:#} without -f")?;
    for condition in &conditions {
        writeln!(out, "    {}", scenario.describe(condition))?;
    }
    if let Some(screen) = scenario.screen(&BTreeMap::new(), DesignChoice::Default)? {
        writeln!(out, "    {}", screen.to_string().replace('\n', "\n    "))?;
    }
    writeln!(out, "\n  {BOLD}behaviours{BOLD:#}")?;
    for behaviour in scenario.behaviours() {
        self::behaviour(&mut out, behaviour)?;
    }
    let policies: Vec<&str> =
        scenario.policies().iter().map(|policy| policy.name.as_str()).collect();
    writeln!(out, "\n  {BOLD}policies{BOLD:#}, scripted stand-ins for a model")?;
    paragraph(&mut out, 4, &policies.join(", "))?;
    published(&mut out, &scenario)?;
    Ok(ExitCode::SUCCESS)
}

fn behaviour(out: &mut dyn Write, behaviour: &Behaviour) -> io::Result<()> {
    writeln!(out, "    {}", behaviour.name)?;
    for (stage, rule) in &behaviour.stages {
        paragraph(out, 6, &format!("{stage}: {rule}"))?;
    }
    for impossible in &behaviour.impossible {
        let levels = impossible.condition.iter().map(|(factor, level)| format!("{factor}={level}"));
        let levels = levels.collect::<Vec<_>>().join(" ");
        paragraph(out, 6, &format!("no {} in {levels}: {}", impossible.stage, impossible.why))?;
    }
    behaviour.note.iter().try_for_each(|note| paragraph(out, 6, &format!("note: {note}")))
}

/// The figures of others: by behaviour, then by condition and source, in the order of the file.
fn published(out: &mut dyn Write, scenario: &Scenario) -> io::Result<()> {
    let mut rules: Vec<(&str, lapwing_core::Stage)> = Vec::new();
    for figure in scenario.published() {
        if !rules.contains(&(&figure.behaviour, figure.stage)) {
            rules.push((&figure.behaviour, figure.stage));
        }
    }
    if rules.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n  {BOLD}published figures{BOLD:#}, as context: measured elsewhere, on other models"
    )?;
    for (behaviour, stage) in rules {
        writeln!(out, "    {behaviour} {stage}")?;
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        let of_rule = |figure: &&Published| figure.behaviour == behaviour && figure.stage == stage;
        let mut figures: Vec<&Published> = scenario.published().iter().filter(of_rule).collect();
        let all = figures.clone();
        figures.sort_by_key(|figure| all.iter().position(|one| one.condition == figure.condition));
        for figure in figures {
            let condition = Condition { control: None, levels: figure.condition.clone() };
            let heading = format!(
                "{}: {} [{}], {} wording",
                scenario.describe(&condition),
                figure.source,
                figure.status,
                figure.wording
            );
            let rate = match figure.figure {
                Figure::Count { k, n } => {
                    format!("{} {} ({k}/{n})", figure.model, percent(figure.figure.rate()))
                }
                Figure::Percent(_) => format!("{} {}", figure.model, percent(figure.figure.rate())),
            };
            match groups.iter_mut().find(|(known, _)| *known == heading) {
                Some((_, rates)) => rates.push(rate),
                None => groups.push((heading, vec![rate])),
            }
        }
        for (heading, rates) in groups {
            paragraph(out, 6, &heading)?;
            items(out, 8, &rates)?;
        }
    }
    writeln!(out, "{DIM}    [P] read in the publication, [S] in other texts about it{DIM:#}")
}

fn as_json(
    scenario: &Scenario,
    conditions: &[Condition],
    experiments: &Experiments,
) -> Result<serde_json::Value, Failure> {
    let behaviours = scenario.behaviours().iter().map(|behaviour| {
        let stages: BTreeMap<_, _> = behaviour.stages.iter().cloned().collect();
        let impossible = behaviour.impossible.iter().map(|impossible| {
            json!({ "condition": impossible.condition, "stage": impossible.stage, "why": impossible.why })
        });
        json!({
            "name": behaviour.name, "stages": stages, "note": behaviour.note,
            "impossible": impossible.collect::<Vec<_>>(),
        })
    });
    let factors = scenario
        .factors()
        .iter()
        .map(|factor| json!({ "name": factor.name, "levels": factor.levels }));
    let published = scenario.published().iter().map(|figure| {
        let (k, n) = match figure.figure {
            Figure::Count { k, n } => (Some(k), Some(n)),
            Figure::Percent(_) => (None, None),
        };
        json!({
            "behaviour": figure.behaviour, "stage": figure.stage, "condition": figure.condition,
            "model": figure.model, "rate": figure.figure.rate(), "k": k, "n": n,
            "source": figure.source, "status": figure.status, "wording": figure.wording,
        })
    });
    Ok(json!({
        "name": scenario.name(), "title": scenario.title(), "description": scenario.description(),
        "digest": scenario.digest(), "experiments": experiments.of_scenario(scenario.name()),
        "needs": needs(scenario)?,
        "factors": factors.collect::<Vec<_>>(), "conditions": conditions,
        "behaviours": behaviours.collect::<Vec<_>>(),
        "policies": scenario.policies().iter().map(|policy| &policy.name).collect::<Vec<_>>(),
        "published": published.collect::<Vec<_>>(),
    }))
}

/// Prints the JSON Schema of `scenario.toml`.
pub(crate) fn schema() -> Result<ExitCode, Failure> {
    anstream::stdout().write_all(JSON_SCHEMA.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
