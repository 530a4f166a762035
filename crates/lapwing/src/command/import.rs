//! `lapwing import`: an Inspect log as a run.

use std::io::Write as _;
use std::process::ExitCode;

use lapwing_inspect::{Imported, Options, import};
use serde_json::json;

use super::{Global, print_json, start};
use crate::args;
use crate::failure::Failure;
use crate::render::count;

pub(crate) fn run(args: &args::Import, global: &Global) -> Result<ExitCode, Failure> {
    let options =
        Options { name: args.name.as_deref(), tag: &start::tag()?, now_ms: start::now_ms() };
    let Imported { id, path, samples, is_own } = import(&args.file, &global.runs, &options)?;
    if global.json {
        print_json(&json!({
            "run": id, "path": path.display().to_string(), "samples": samples, "exported_here": is_own,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "  run {id}, {}", count(samples, "sample"))?;
    writeln!(out, "  lapwing show {id}")?;
    if !is_own {
        writeln!(out, "  to ask more of it: lapwing export scenario {id} --output DIR")?;
    }
    Ok(ExitCode::SUCCESS)
}
