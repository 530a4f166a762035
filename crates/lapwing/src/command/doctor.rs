//! `lapwing doctor`: what this machine can isolate.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;

use super::{Global, print_json, start};
use crate::failure::Failure;
use crate::render::{BOLD, DIM, ERROR};

pub(crate) fn run(global: &Global) -> Result<ExitCode, Failure> {
    let native = start::isolation()?;
    let probes = start::runtime()?.block_on(native.probe());
    let healthy = probes.iter().all(|probe| probe.ok || !probe.needed);
    let code = if healthy { ExitCode::SUCCESS } else { ExitCode::from(Failure::ENVIRONMENT) };
    if global.json {
        let rows = probes.iter().map(|probe| {
            json!({ "name": probe.name, "ok": probe.ok, "needed": probe.needed, "detail": probe.detail,
                "mend": probe.mend })
        });
        print_json(&rows.collect::<Vec<_>>())?;
        return Ok(code);
    }
    let mut out = anstream::stdout().lock();
    let width = probes.iter().map(|probe| probe.name.len()).max().unwrap_or_default();
    for probe in &probes {
        let (name, detail) = (&probe.name, &probe.detail);
        if probe.ok {
            writeln!(out, "  ok       {name:width$}  {DIM}{detail}{DIM:#}")?;
        } else if probe.needed {
            writeln!(out, "  {ERROR}missing{ERROR:#}  {name:width$}  {detail}")?;
        } else {
            writeln!(out, "  absent   {name:width$}  {detail}")?;
        }
        if let Some(mend) = &probe.mend {
            writeln!(out, "           {:width$}  {BOLD}mend:{BOLD:#} {mend}", "")?;
        }
    }
    let verdict = if probes.iter().all(|probe| probe.ok) {
        "This machine can run every scenario."
    } else if healthy {
        "This machine can run every scenario that does not ask for what is absent."
    } else {
        "Scenarios with tools are refused here until this is mended; they never fall back to the host."
    };
    writeln!(out, "\n  {verdict}")?;
    Ok(code)
}
