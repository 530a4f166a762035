//! `lapwing scenario list`, `show` and `schema`.

mod show;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use lapwing_scenario::{DesignChoice, JSON_SCHEMA, Plan, Scenario};
use serde_json::json;

use super::{Global, print_json};
use crate::experiments;
use crate::failure::Failure;
use crate::library;
use crate::render::{Grid, note};

pub(crate) use show::show;

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
    let sandbox = plan(scenario)?.is_some_and(|plan| !plan.sandboxes.is_empty());
    let judge = scenario.folder().files().keys().any(|path| path.starts_with("rubrics/"));
    Ok([(sandbox, "sandbox"), (judge, "judge")]
        .into_iter()
        .filter_map(|(needed, name)| needed.then_some(name))
        .collect())
}

/// The first sample of the design.
fn plan(scenario: &Scenario) -> Result<Option<Plan>, Failure> {
    let conditions = scenario.conditions(&BTreeMap::new(), DesignChoice::Default)?;
    Ok(conditions.first().map(|condition| scenario.plan(condition, 0)).transpose()?)
}

/// Prints the JSON Schema of `scenario.toml`.
pub(crate) fn schema() -> Result<ExitCode, Failure> {
    anstream::stdout().write_all(JSON_SCHEMA.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
