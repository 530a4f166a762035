//! `lapwing eval --resume`: what a run lacks, and what is added to it, with the settings that it began with.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use lapwing_core::{Condition, Finding, GenerateConfig, Outcome};
use lapwing_eval::{Design, Judge, Planned, SampleLimits, Stop, Target, TestJudge};
use lapwing_scenario::{DesignChoice, Scenario};
use lapwing_store::{Ending, Resume, Run, RunSpec, RunState, SampleRow, SampleState};

use super::estimate::estimate;
use super::score::recorded;
use super::start::{self, Remainder, Start};
use super::{Global, eval, judge};
use crate::args;
use crate::failure::Failure;
use crate::render::{count, say};

pub(crate) fn run(args: &args::Eval, wanted: &str, global: &Global) -> Result<ExitCode, Failure> {
    let native = if args.dry_run { None } else { Some(start::isolation()?) };
    let run = global.runs.find(wanted)?;
    let (spec, scenario, rows) = (run.spec()?, recorded(&run)?, run.samples()?);
    if run.state()? == RunState::Running {
        return Err(Failure::new(Failure::USAGE, format!("{} still goes on", run.id()))
            .help("wait for its end, or stop it with Ctrl-C"));
    }
    let spec = extended(&run, &spec, args)?;
    let again = if args.retry_errors { with_errors(&run, &rows)? } else { Vec::new() };
    let mut left: Vec<&SampleRow> = rows.iter().collect();
    left.retain(|row| row.state != SampleState::Done || again.contains(&row.number));

    let runtime = start::runtime()?;
    let stop = Stop::default();
    let targets = runtime.block_on(targets(&spec, &left, &rows, args, &stop))?;
    let added = added(&scenario, &spec, &rows, &targets)?;
    let samples = samples(&left, &added, &targets, rows.len() as u64);
    if samples.is_empty() {
        say(&format!(
            "{}: nothing is left to run; --seeds, --epochs or --model add to it",
            run.id()
        ));
        return Ok(ExitCode::from(eval::report(&run, &scenario, global)?));
    }
    let settings = Settings(&spec.settings);
    let optional: BTreeSet<String> = settings.list("with");
    let limits = settings.limits()?;
    let words = format!(
        "{}: {} not finished, {} added = {}",
        run.id(),
        count(left.len(), "sample"),
        added.len(),
        count(samples.len(), "sample"),
    );
    let planned: Vec<Planned> = samples.iter().map(|(_, planned)| planned.clone()).collect();
    let estimate = estimate(&scenario, &planned, &optional, limits.turns)?;
    let Some(native) = native else {
        return eval::dry_run(
            &words,
            samples.len(),
            estimate,
            &eval::cost(estimate, false),
            global,
        );
    };
    say(&words);
    let judge = match spec.settings.get("judge") {
        Some(name) if name.starts_with("test") => Some(Judge::Test(TestJudge::default())),
        Some(name) => Some(runtime.block_on(judge::named(name, true))?),
        None => None,
    };
    let resume = Resume {
        at_ms: start::now_ms(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        again,
        added: added.into_iter().map(|planned| (planned.key, planned.planted)).collect(),
        spec: Some(spec.clone()),
    };
    let start = Start {
        chosen: spec.chosen.clone(),
        design: DesignChoice::Default,
        targets: targets.into_values().collect(),
        instrument_check: spec.instrument_check,
        seeds: spec.seeds,
        epochs: spec.epochs,
        drawn: None,
        max_samples: args.design.max_samples(spec.instrument_check),
        limits,
        config: settings.config()?,
        optional,
        judge,
        stop,
        person: false,
        resume: Some(Remainder { run, resume, samples }),
        scenario: scenario.clone(),
    };
    let (run, ending) = runtime.block_on(start.run(native, &global.runs))?;
    let code = eval::report(&run, &scenario, global)?;
    Ok(match ending {
        Ending::Stopped => start::stopped(&run),
        Ending::Finished => ExitCode::from(code),
    })
}

/// The settings of the run with what the arguments add. Nothing that was planned is taken away.
fn extended(run: &Run, spec: &RunSpec, args: &args::Eval) -> Result<RunSpec, Failure> {
    let mut spec = spec.clone();
    let fixed = |what: &str, help: &str| {
        Err(Failure::new(Failure::USAGE, format!("{}: {what}", run.id())).help(help))
    };
    if spec.models.iter().any(|model| model == "human") {
        return fixed("a person played it", "begin another run with --model human");
    }
    if !args.design.factors.is_empty() || args.design.choice.is_some() {
        return fixed("its conditions are settled", "leave -f and --design out");
    }
    if args.design.seeds.is_some_and(|seeds| seeds < spec.seeds) {
        return fixed(&format!("it has {} seeds already", spec.seeds), "--seeds can only add");
    }
    if args.epochs.is_some_and(|epochs| epochs < spec.epochs) {
        return fixed(&format!("it has {} epochs already", spec.epochs), "--epochs can only add");
    }
    if spec.instrument_check && !args.models.is_empty() {
        return fixed("it is an instrument check", "test a model in a run of its own");
    }
    spec.seeds = args.design.seeds.unwrap_or(spec.seeds);
    spec.epochs = args.epochs.unwrap_or(spec.epochs);
    for model in &args.models {
        if !spec.models.contains(model) {
            spec.models.push(model.clone());
        }
    }
    Ok(spec)
}

/// Finished samples with a finding that is an error.
fn with_errors(run: &Run, rows: &[SampleRow]) -> Result<Vec<u64>, Failure> {
    let findings = run.findings(1)?;
    let is_error = |finding: &Finding| finding.outcome == Outcome::Error;
    let has_error = |row: &&SampleRow| {
        findings.get(&row.number).is_some_and(|findings| findings.iter().any(is_error))
    };
    Ok(rows.iter().filter(has_error).map(|row| row.number).collect())
}

/// The models by name. Only those that something is left for must answer.
async fn targets(
    spec: &RunSpec,
    left: &[&SampleRow],
    rows: &[SampleRow],
    args: &args::Eval,
    stop: &Stop,
) -> Result<BTreeMap<String, Target>, Failure> {
    let grows = args.design.seeds.is_some() || args.epochs.is_some();
    let mut targets = BTreeMap::new();
    for model in &spec.models {
        let is_new = rows.iter().all(|row| row.key.model != *model);
        let is_needed = grows || is_new || left.iter().any(|row| row.key.model == *model);
        let reach = is_needed && !args.dry_run;
        let target = eval::models(std::slice::from_ref(model), reach, stop).await?;
        targets.extend(target.into_iter().map(|target| (model.clone(), target)));
    }
    Ok(targets)
}

/// The samples that the settings ask for and the run does not have.
fn added(
    scenario: &Scenario,
    spec: &RunSpec,
    rows: &[SampleRow],
    targets: &BTreeMap<String, Target>,
) -> Result<Vec<Planned>, Failure> {
    let mut conditions: Vec<Condition> = Vec::new();
    for row in rows {
        if !conditions.contains(&row.key.condition) {
            conditions.push(row.key.condition.clone());
        }
    }
    let design = Design {
        targets: spec.models.iter().filter_map(|model| targets.get(model).cloned()).collect(),
        conditions,
        seeds: spec.seeds,
        epochs: spec.epochs,
    };
    let known: BTreeSet<_> = rows.iter().map(|row| &row.key).collect();
    let mut samples = design.expand(scenario)?;
    samples.retain(|sample| !known.contains(&sample.key));
    Ok(samples)
}

/// What is run, by number: what is left, then what is added.
fn samples(
    left: &[&SampleRow],
    added: &[Planned],
    targets: &BTreeMap<String, Target>,
    n_rows: u64,
) -> Vec<(u64, Planned)> {
    let left = left.iter().filter_map(|row| {
        let target = match row.key.model.strip_prefix("policy/") {
            Some(policy) => Target::Policy(policy.to_owned()),
            None => targets.get(&row.key.model)?.clone(),
        };
        let (key, planted) = (row.key.clone(), row.planted.clone());
        Some((row.number, Planned { key, target, planted }))
    });
    left.chain((n_rows + 1..).zip(added.iter().cloned())).collect()
}

/// The settings of a run as they are recorded.
struct Settings<'a>(&'a BTreeMap<String, String>);

impl Settings<'_> {
    fn get<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        let unreadable = || {
            Failure::new(Failure::ENVIRONMENT, format!("the run records {name} as {text:?}"))
                .help("a newer lapwing may have written it")
        };
        text.parse().map(Some).map_err(|_| unreadable())
    }

    fn list(&self, name: &str) -> BTreeSet<String> {
        let items = self.0.get(name).into_iter().flat_map(|text| text.split(','));
        items.map(str::to_owned).collect()
    }

    fn limits(&self) -> Result<SampleLimits, Failure> {
        let default = SampleLimits::default();
        Ok(SampleLimits {
            turns: self.get("turns")?,
            tokens: self.get("tokens")?,
            tool_ms: self.get("tool_time_ms")?.unwrap_or(default.tool_ms),
            wall_ms: self.get("wall_time_ms")?.unwrap_or(default.wall_ms),
            ..default
        })
    }

    fn config(&self) -> Result<GenerateConfig, Failure> {
        Ok(GenerateConfig {
            temperature: self.get("temperature")?,
            top_p: self.get("top_p")?,
            max_tokens: self.get("max_tokens")?,
            ..GenerateConfig::default()
        })
    }
}
