//! `lapwing import`: an Inspect log as a run.

use std::process::ExitCode;

use super::Global;
use crate::args;
use crate::failure::Failure;

pub(crate) fn run(_args: &args::Import, _global: &Global) -> Result<ExitCode, Failure> {
    Ok(ExitCode::SUCCESS)
}
