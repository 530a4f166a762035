//! `lapwing runs`: the list of runs.

use std::io::Write as _;
use std::process::ExitCode;

use anstream::eprintln;
use jiff::{Timestamp, tz::TimeZone};
use lapwing_inspect::IMPORTED;
use lapwing_store::{Ending, RunState};
use serde_json::json;

use super::{Global, print_json};
use crate::failure::Failure;
use crate::render::{Grid, count};

pub(crate) fn run(global: &Global) -> Result<ExitCode, Failure> {
    let (listed, unreadable) = global.runs.list()?;
    if global.json {
        let runs = listed.iter().map(|listed| {
            let (spec, state, done, planned) = &listed.summary;
            json!({ "id": listed.id, "state": state_word(*state), "done": done, "planned": planned, "spec": spec })
        });
        print_json(&json!({
            "runs": runs.collect::<Vec<_>>(),
            "unreadable": unreadable.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut grid = Grid::new(&["run", "started", "state", "samples", "models"]);
    for listed in &listed {
        let (spec, state, done, planned) = &listed.summary;
        let mut models = if spec.instrument_check {
            "instrument check".to_owned()
        } else {
            spec.models.join(", ")
        };
        if let Some(from) = spec.settings.get(IMPORTED) {
            models = format!("{models} (imported: {from})");
        }
        grid.row([
            listed.id.clone(),
            local_time(spec.started_ms),
            state_word(*state).to_owned(),
            format!("{done}/{planned}"),
            models,
        ]);
    }
    if listed.is_empty() {
        eprintln!(
            "  no runs in {}; `lapwing eval shutdown` makes one",
            global.runs.dir().display()
        );
    } else {
        let mut out = anstream::stdout().lock();
        grid.write(&mut out)?;
        out.flush()?;
    }
    if !unreadable.is_empty() {
        eprintln!("  {} cannot be read:", count(unreadable.len(), "file"));
        for error in unreadable {
            eprintln!("    {error}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn state_word(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Ended(Ending::Finished) => "finished",
        RunState::Ended(Ending::Stopped) => "stopped",
        RunState::Killed => "killed",
    }
}

/// `2026-11-21 08:00`, in the user's time zone.
pub(crate) fn local_time(at_ms: u64) -> String {
    Timestamp::from_millisecond(at_ms as i64).map_or_else(
        |_| "?".to_owned(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}
