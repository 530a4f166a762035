//! `lapwing eval --resume`: what a run lacks, and what is added to it, with the settings that it began with.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;

use lapwing_core::{Act, Condition, Finding, Outcome, Reserve, Usage};
use lapwing_eval::{Design, Judge, Planned, Stop, Target, TestJudge, note_codebook};
use lapwing_scenario::{DesignChoice, Scenario};
use lapwing_store::{Ending, Resume, Run, RunSpec, RunState, SampleRow, SampleState};

use super::endpoint::{Connector, Wishes};
use super::estimate::estimate;
use super::start::{self, Remainder, Start};
use super::{Global, eval, judge, recorded, score};
use crate::args;
use crate::config::Config;
use crate::failure::Failure;
use crate::render::{count, say};

pub(crate) fn run(args: &args::Eval, wanted: &str, global: &Global) -> Result<ExitCode, Failure> {
    let native = if args.dry_run { None } else { Some(start::isolation()?) };
    let run = global.runs.find(wanted)?;
    let (scenario, rows) = (score::recorded(&run)?, run.samples()?);
    if run.state()? == RunState::Running {
        return Err(Failure::new(Failure::USAGE, format!("{} still goes on", run.id()))
            .help("wait for its end, or stop it with Ctrl-C"));
    }
    let mut spec = extended(&run, args)?;
    let before = run.spec()?;
    let grows =
        (spec.seeds, spec.epochs, &spec.models) != (before.seeds, before.epochs, &before.models);
    let again = if args.retry_errors { with_errors(&run, &rows)? } else { Vec::new() };
    let mut left: Vec<&SampleRow> = rows.iter().collect();
    left.retain(|row| row.state != SampleState::Done || again.contains(&row.number));

    let connector = Arc::new(connector(args, &spec)?);
    carry(&run, &rows, &connector)?;
    let runtime = start::runtime()?;
    let stop = Stop::default();
    let targets = runtime.block_on(targets(&spec, grows, &left, &connector, &stop))?;
    let named: Vec<Target> = targets.values().cloned().collect();
    note_codebook(&mut spec, &scenario, &named);
    let added = added(&scenario, &spec, &rows, &targets)?;
    let samples = samples(&left, &added, &targets, rows.len() as u64);
    if samples.is_empty() {
        let id = run.id();
        say(&format!("{id}: nothing is left to run; --seeds, --epochs or --model add to it"));
        return Ok(ExitCode::from(eval::report(&run, &scenario, global)?));
    }
    let (limits, optional) = (recorded::limits(&spec), recorded::optional(&spec));
    let line = format!(
        "{} not finished + {} added = {}",
        count(left.len(), "sample"),
        added.len(),
        count(samples.len(), "sample"),
    );
    let planned: Vec<Planned> = samples.iter().map(|(_, planned)| planned.clone()).collect();
    let price = |name: &str| connector.price(name).map(|listed| listed.price);
    let expected = estimate(&scenario, &planned, &optional, limits.turns, price)?;
    let Some(native) = native else {
        let cost = eval::cost(expected, false);
        return eval::dry_run(&line, samples.len(), expected, &cost, global);
    };
    let judge = match spec.settings.get("judge") {
        Some(name) if name.starts_with("test") => Some(Judge::Test(TestJudge::default())),
        Some(name) => Some(runtime.block_on(judge::named(name, &connector))?),
        None => None,
    };
    spec.settings.extend(connector.recorded());
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
        max_sandboxes: args.design.max_sandboxes,
        limits,
        config: connector.generate().clone(),
        optional,
        judge,
        stop,
        person: false,
        resume: Some(Remainder { run, resume, samples, line }),
        scenario: scenario.clone(),
        connector: Arc::clone(&connector),
        expected,
    };
    let (run, ending) = runtime.block_on(start.run(native, &global.runs))?;
    let code = eval::report(&run, &scenario, global)?;
    Ok(match ending {
        Ending::Stopped => start::stopped(&run, &connector)?,
        Ending::Finished => ExitCode::from(code),
    })
}

/// What the models of the run share. How they sample is settled; the budget is for all that the run has spent and will spend.
fn connector(args: &args::Eval, spec: &RunSpec) -> Result<Connector, Failure> {
    let config = Config::load()?;
    let wishes = Wishes {
        base_url: args.connection.base_url.clone(),
        organisms: args.connection.organisms.dir.clone(),
        max_connections: config.max_connections(&args.connection),
        generate: recorded::config(spec),
        budget: recorded::budget(spec),
        cache: args.cache.clone().or_else(|| config.cache.clone()),
        is_dry: args.dry_run,
    };
    Connector::new(config, wishes)
}

/// Books what the run has spent so far, also in attempts that were given up, and what was under way when something cut it off.
fn carry(run: &Run, rows: &[SampleRow], connector: &Connector) -> Result<(), Failure> {
    let price = |model: &str| connector.price(model).map(|listed| listed.price);
    for Reserve { model, worst, .. } in run.unsettled()? {
        connector.ledger().carry(Usage::default(), worst, price(&model));
    }
    for row in rows {
        let before = run.abandoned(row.number)?;
        for event in run.events(row.number)?.into_iter().chain(before) {
            let Act::Generated { model, output, receipt, .. } = event.act else { continue };
            if receipt.from_cache {
                continue;
            }
            let reported = output.and_then(|output| output.usage).unwrap_or_default();
            let presumed = receipt.presumed.unwrap_or_default();
            connector.ledger().carry(reported, presumed, price(&model));
        }
    }
    Ok(())
}

/// The settings of the run with what the arguments add. Nothing that was planned is taken away.
fn extended(run: &Run, args: &args::Eval) -> Result<RunSpec, Failure> {
    let mut spec = run.spec()?;
    let fixed = |what: &str, help: &str| {
        Err(Failure::new(Failure::USAGE, format!("{}: {what}", run.id())).help(help))
    };
    if spec.models.iter().any(|model| model == "human") {
        return fixed("a person played it", "begin another run with --model human");
    }
    if !args.design.factors.is_empty() || args.design.choice.is_some() {
        return fixed("its conditions are settled", "leave -f and --design out");
    }
    if args.sampling != args::Sampling::default() {
        let help = "leave out how models sample, or begin another run";
        return fixed("how its models sample is settled", help);
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
    if let Some(budget) = args.budget {
        spec.settings.insert("budget".to_owned(), budget.to_string());
    }
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

/// The models by name that something is left for; all of them if the run grows.
async fn targets(
    spec: &RunSpec,
    grows: bool,
    left: &[&SampleRow],
    connector: &Connector,
    stop: &Stop,
) -> Result<BTreeMap<String, Target>, Failure> {
    let is_needed = |model: &&String| grows || left.iter().any(|row| row.key.model == **model);
    let mut targets = BTreeMap::new();
    for model in spec.models.iter().filter(is_needed) {
        let target = eval::models(std::slice::from_ref(model), connector, stop).await?;
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
