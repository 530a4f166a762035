//! `lapwing export`: a run for other tools.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lapwing_inspect::Source;
use lapwing_store::Run;
use serde_json::json;

use super::{Global, print_json};
use crate::args;
use crate::failure::Failure;
use crate::render::count;
use crate::transcript::harmless;

pub(crate) fn eval(args: &args::ExportEval, global: &Global) -> Result<ExitCode, Failure> {
    let run = global.runs.find(&args.run)?;
    let source = Source::new(&run, scoring(&run, args.scoring)?)?;
    let known = source.models();
    let models: Vec<&str> = if args.models.is_empty() {
        known.clone()
    } else {
        args.models.iter().map(String::as_str).collect()
    };
    if let Some(unknown) = models.iter().find(|model| !known.contains(model)) {
        return Err(Failure::new(Failure::USAGE, format!("{} has nothing of {unknown}", run.id()))
            .help(format!("its models are: {}", known.join(", "))));
    }
    if models.is_empty() {
        return Err(Failure::new(Failure::USAGE, format!("{} has no sample to export", run.id())));
    }
    let outputs = outputs(&args.output, &source, &models)?;
    let mut written = Vec::new();
    for (model, output) in models.iter().zip(outputs) {
        written.push(source.write(model, &output)?);
    }
    if global.json {
        let logs = written.iter().map(|log| {
            json!({ "path": log.path.display().to_string(), "model": log.model, "samples": log.samples })
        });
        print_json(&json!({ "run": run.id(), "logs": logs.collect::<Vec<_>>() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    for log in &written {
        let samples = count(log.samples, "sample");
        writeln!(out, "  {}  {}, {samples}", log.path.display(), harmless(&log.model))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The scoring that is wanted, else the newest whose rules are kept in the run.
fn scoring(run: &Run, wanted: Option<i64>) -> Result<lapwing_store::ScoringRow, Failure> {
    if wanted.is_some() {
        return super::show::scoring(run, wanted);
    }
    let digest = run.spec()?.digest;
    let newest = run.scorings()?.into_iter().rfind(|scoring| scoring.scenario == digest);
    newest.map_or_else(|| super::show::scoring(run, None), Ok)
}

/// A file for each model: Inspect has one model a log.
fn outputs(output: &Path, source: &Source<'_>, models: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    if output.extension().is_some_and(|suffix| suffix == "eval") && !output.is_dir() {
        if models.len() == 1 {
            return Ok(vec![output.to_owned()]);
        }
        let message = format!("{} models do not go into one log", models.len());
        return Err(Failure::new(Failure::USAGE, message)
            .help("give a folder, and there is a log for each; or choose one with --model"));
    }
    if output.exists() && !output.is_dir() {
        let message = format!("{} is no folder and does not end in .eval", output.display());
        return Err(Failure::new(Failure::USAGE, message).help("Inspect reads NAME.eval"));
    }
    std::fs::create_dir_all(output).map_err(|error| {
        Failure::new(Failure::ENVIRONMENT, format!("{}: {error}", output.display()))
    })?;
    Ok(models.iter().map(|model| output.join(source.file_name(model))).collect())
}

pub(crate) fn scenario(args: &args::ExportScenario, global: &Global) -> Result<ExitCode, Failure> {
    let run = global.runs.find(&args.run)?;
    let folder = run.folder()?;
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::new(Failure::ENVIRONMENT, format!("{}: {error}", path.display()))
    };
    if args.output.exists() {
        let message = format!("{} exists already", args.output.display());
        return Err(Failure::new(Failure::USAGE, message).help("give the name of a new folder"));
    }
    for (path, bytes) in &folder {
        // A run file may come from anywhere: nothing is written outside of the folder.
        let inside = Path::new(path).components();
        if !inside.into_iter().all(|part| matches!(part, std::path::Component::Normal(_))) {
            let message = format!("{} names a file outside of its folder: {path}", run.id());
            return Err(Failure::new(Failure::ENVIRONMENT, message));
        }
        let path = args.output.join(path);
        let parent = path.parent().unwrap_or(&args.output);
        std::fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        std::fs::write(&path, bytes).map_err(|error| failed(&path, &error))?;
    }
    let output = args.output.display();
    if global.json {
        print_json(&json!({ "run": run.id(), "path": output.to_string(), "files": folder.len() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "  {} in {output}", count(folder.len(), "file"))?;
    writeln!(out, "  edit it, then: lapwing score {} --with {output}", run.id())?;
    Ok(ExitCode::SUCCESS)
}
