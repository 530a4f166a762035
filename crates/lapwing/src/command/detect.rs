//! `lapwing detect`: probes.

use std::process::ExitCode;

use lapwing_study::probing::{self, ProbingError};
use std::io::Write as _;

use super::study::{Done, Loaded, compute};
use super::{Global, print_json};
use crate::args::StudyRun;
use crate::failure::Failure;

pub(crate) fn probe(args: &StudyRun, global: &Global) -> Result<ExitCode, Failure> {
    let Some(done) = compute(args, true)? else { return Ok(ExitCode::SUCCESS) };
    let Done { loaded: Loaded { study, .. }, grade, folder, found, .. } = &done;
    let report = probing::probe(study, grade, folder, found)?;
    if global.json {
        print_json(&report)?;
    } else if let Some(report) = report {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = report.write(&mut text);
        write!(anstream::stdout(), "{}", text.trim_start())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl From<ProbingError> for Failure {
    fn from(error: ProbingError) -> Self {
        Self::new(Self::ENVIRONMENT, error.to_string())
    }
}
