//! `lapwing compare`: two models, or one in two runs, on the same scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::ExitCode;

use lapwing_core::Finding;
use lapwing_eval::{Compared, Side, measured};
use lapwing_scenario::{Measured, Scenario};
use lapwing_store::{Run, RunSpec, SampleRow, ScoringRow};
use serde_json::json;

use super::score::recorded;
use super::show::scoring;
use super::{Global, print_json};
use crate::args;
use crate::failure::Failure;
use crate::library::near;
use crate::tables::{self, Setting};

/// One side, read from its run.
struct Loaded {
    run: Run,
    spec: RunSpec,
    scenario: Scenario,
    scoring: ScoringRow,
    models: Vec<String>,
    samples: Vec<SampleRow>,
    findings: BTreeMap<u64, Vec<Finding>>,
    measured: BTreeMap<u64, Vec<Measured>>,
}

/// Settings that cannot change what a model does.
const HARMLESS: [&str; 1] = ["max_samples"];

pub(crate) fn run(args: &args::Compare, global: &Global) -> Result<ExitCode, Failure> {
    let sides = [load(&args.first, global)?, load(&args.second, global)?];
    let [first, second] = &sides;
    if first.spec.scenario != second.spec.scenario {
        let message = format!(
            "{} is of the scenario {}, {} of {}",
            first.run.id(),
            first.spec.scenario,
            second.run.id(),
            second.spec.scenario
        );
        return Err(
            Failure::new(Failure::USAGE, message).help("only runs of one scenario can be compared")
        );
    }
    let mut reports = Vec::new();
    for [one, other] in models(&sides)? {
        let compared = Compared::new(&first.scenario, [first.side(&one), second.side(&other)]);
        let differs = settings(&sides, [&one, &other]);
        reports.push(([one, other], differs, compared));
    }
    if global.json {
        let reports = reports.iter().map(|(models, differs, compared)| {
            json!({ "models": models, "differs": differs, "compared": compared })
        });
        let of_run = |side: &Loaded| json!({ "run": side.run.id(), "scoring": side.scoring.id });
        print_json(&json!({
            "a": of_run(first), "b": of_run(second), "comparisons": reports.collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let runs = [first.run.id(), second.run.id()];
    let mut out = anstream::stdout().lock();
    for (models, differs, compared) in &reports {
        tables::compared_settings(&mut out, &runs, models, differs)?;
        tables::compared(&mut out, &runs, compared)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Reads `RUN` or `RUN@MODEL`.
fn load(wanted: &str, global: &Global) -> Result<Loaded, Failure> {
    let (name, model) = match wanted.split_once('@') {
        Some((name, model)) => (name, Some(model)),
        None => (wanted, None),
    };
    let run = global.runs.find(name)?;
    let spec = run.spec()?;
    if spec.instrument_check {
        return Err(Failure::new(
            Failure::USAGE,
            format!("{} is an instrument check: its policies are no models", run.id()),
        )
        .help(format!("lapwing show {} compares each policy with what it planted", run.id())));
    }
    let models = match model {
        Some(model) if spec.models.iter().any(|known| known == model) => vec![model.to_owned()],
        Some(model) => {
            let failure =
                Failure::new(Failure::USAGE, format!("{} has no model `{model}`", run.id()));
            let known = format!("its models are: {}", spec.models.join(", "));
            return Err(failure.help(match near(model, &spec.models) {
                Some(near) => format!("did you mean `{near}`? {known}"),
                None => known,
            }));
        }
        None => spec.models.clone(),
    };
    let (scenario, scoring, samples) = (recorded(&run)?, scoring(&run, None)?, run.samples()?);
    Ok(Loaded {
        findings: run.findings(scoring.id)?,
        measured: measured(&scenario, &run, &samples)?,
        run,
        spec,
        scenario,
        scoring,
        models,
        samples,
    })
}

impl Loaded {
    fn side<'a>(&'a self, model: &'a str) -> Side<'a> {
        Side { model, samples: &self.samples, findings: &self.findings, measured: &self.measured }
    }
}

/// Which model is compared with which: the only two, or those of one name.
fn models([first, second]: &[Loaded; 2]) -> Result<Vec<[String; 2]>, Failure> {
    if let ([one], [other]) = (first.models.as_slice(), second.models.as_slice()) {
        if first.run.id() == second.run.id() && one == other {
            return Err(Failure::new(Failure::USAGE, "both sides are the same")
                .help("name two runs, or two models of one: RUN@MODEL RUN@MODEL"));
        }
        return Ok(vec![[one.clone(), other.clone()]]);
    }
    let common = first.models.iter().filter(|model| second.models.contains(model));
    let common: Vec<[String; 2]> = common.map(|model| [model.clone(), model.clone()]).collect();
    if common.is_empty() || first.run.id() == second.run.id() {
        let side = |side: &Loaded| format!("{} has {}", side.run.id(), side.models.join(", "));
        return Err(Failure::new(
            Failure::USAGE,
            format!("which models? {}; {}", side(first), side(second)),
        )
        .help("name one of each run: RUN@MODEL"));
    }
    Ok(common)
}

/// In what the two sides were set up otherwise: model, version, scenario, judge, sampling, limits.
fn settings([first, second]: &[Loaded; 2], models: [&str; 2]) -> Vec<Setting> {
    let of = |side: &Loaded, model: &str| {
        let mut settings = side.spec.settings.clone();
        settings.retain(|name, _| !HARMLESS.contains(&name.as_str()));
        if let Some(judge) = &side.scoring.judge {
            settings.insert("judge".to_owned(), judge.clone());
        }
        settings.insert("model".to_owned(), model.to_owned());
        settings.insert("lapwing".to_owned(), side.spec.version.clone());
        settings.insert("epochs".to_owned(), side.spec.epochs.to_string());
        settings.insert("seeds".to_owned(), side.spec.seeds.to_string());
        settings
    };
    let (one, other) = (of(first, models[0]), of(second, models[1]));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let value = |of: &BTreeMap<String, String>, name: &str| {
        of.get(name).cloned().unwrap_or_else(|| "not set".to_owned())
    };
    let set = names.into_iter().map(|name| Setting {
        what: name.clone(),
        first: value(&one, name),
        second: value(&other, name),
    });
    let digest = |side: &Loaded| side.spec.digest.short();
    let folder = Setting {
        what: format!("scenario ({})", changed_files(&first.scenario, &second.scenario)),
        first: digest(first),
        second: digest(second),
    };
    set.chain([folder]).filter(|setting| setting.first != setting.second).collect()
}

/// The files of a scenario that differ.
fn changed_files(first: &Scenario, second: &Scenario) -> String {
    let (one, other) = (first.folder().files(), second.folder().files());
    let paths: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let changed = paths.into_iter().filter(|path| one.get(*path) != other.get(*path));
    changed.cloned().collect::<Vec<_>>().join(", ")
}
