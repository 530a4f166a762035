//! `lapwing experiments`: which experiments there are, where each comes from, and which can be run.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;

use super::{Global, print_json};
use crate::experiments::{self, Experiment, State};
use crate::failure::Failure;
use crate::library::near;
use crate::render::{BOLD, Grid, note};

pub(crate) fn run(wanted: Option<&str>, global: &Global) -> Result<ExitCode, Failure> {
    let all = experiments::list()?.all;
    let is_wanted = |one: &&Experiment| wanted.is_none_or(|wanted| one.answers_to(wanted));
    let chosen: Vec<&Experiment> = all.iter().filter(is_wanted).collect();
    if let (true, Some(wanted)) = (chosen.is_empty(), wanted) {
        return Err(unknown(wanted, &all));
    }
    let count = |state| chosen.iter().filter(|one| one.state == state).count();
    if global.json {
        let counts: serde_json::Map<_, _> =
            State::ALL.into_iter().map(|state| (state.to_string(), json!(count(state)))).collect();
        print_json(&json!({ "experiments": chosen, "counts": counts }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    if let [one] = chosen.as_slice() {
        return only(&mut out, one);
    }
    let mut grid =
        Grid::new(&["id", "state", "type", "what it asks, its source, and what runs it"]);
    for one in &chosen {
        let place = one.place.as_ref().map(|place| format!("; {place}"));
        grid.row([
            one.id.clone(),
            one.state.to_string(),
            one.kind.to_string(),
            format!("{} ({}{})", title(one), one.source, place.unwrap_or_default()),
        ]);
    }
    grid.write(&mut out)?;
    let counts: Vec<String> =
        State::ALL.into_iter().map(|state| format!("{} {state}", count(state))).collect();
    writeln!(out, "\n  {BOLD}{} experiments{BOLD:#}: {}", chosen.len(), counts.join(", "))?;
    note(
        &mut out,
        "train: a trained model; eval: questions; agentic: a world with tools. works: lapwing eval NAME runs scenarios/NAME; reported: written about, not measured. lapwing experiments ID shows one",
    )?;
    Ok(ExitCode::SUCCESS)
}

/// One experiment, a line for each thing that is known of it.
fn only(out: &mut dyn std::io::Write, one: &Experiment) -> Result<ExitCode, Failure> {
    writeln!(out, "{BOLD}{}{BOLD:#}: {}", one.id, title(one))?;
    writeln!(out, "  source: {}", one.source)?;
    writeln!(out, "  type:   {}", one.kind)?;
    writeln!(out, "  state:  {}", one.state)?;
    if let Some(scenario) = one.place.as_deref().and_then(|place| place.strip_prefix("scenarios/"))
    {
        writeln!(out, "\n  lapwing scenario show {scenario}\n  lapwing eval {scenario}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn title(one: &Experiment) -> String {
    let note = one.note.as_ref().map(|note| format!("; {note}"));
    format!("{}{}", one.title, note.unwrap_or_default())
}

fn unknown(wanted: &str, all: &[Experiment]) -> Failure {
    let ids: Vec<String> = all.iter().map(|one| one.id.clone()).collect();
    let failure = Failure::new(Failure::USAGE, format!("there is no experiment `{wanted}`"));
    let known = "give an ID (SD-1), a group (SD) or a state (works, planned, reported)";
    match near(&wanted.to_uppercase(), &ids) {
        Some(id) => failure.help(format!("did you mean `{id}`? {known}")),
        None => failure.help(known),
    }
}
