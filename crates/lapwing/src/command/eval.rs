//! `lapwing eval`: test models in a scenario, or check the instrument.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::eprintln;
use lapwing_core::{Finding, Outcome};
use lapwing_eval::{
    Check, Comparisons, Judge, SampleLimits, Stop, Table, Target, TestJudge, measured,
};
use lapwing_scenario::Scenario;
use lapwing_store::{Ending, Run};
use serde::Serialize;
use serde_json::json;

use super::endpoint::{Connector, Wishes};
use super::estimate::{self, Estimate};
use super::start::{self, Start};
use super::{Global, judge, print_json, resume};
use crate::args;
use crate::config::Config;
use crate::failure::Failure;
use crate::human::Human;
use crate::render::{BOLD, DIM, count, paragraph, say};
use crate::tables;

const INSTRUMENT_CHECK: &str = "Instrument check: scripted policies act in real sandboxes, and each finding is compared with what was planted. It says nothing about any model; --model PROVIDER/NAME tests one.";

pub(crate) fn run(args: &args::Eval, global: &Global) -> Result<ExitCode, Failure> {
    match (&args.resume, &args.scenario) {
        (Some(run), _) => resume::run(args, run, global),
        (None, scenario) => begin(args, scenario.as_deref().unwrap_or_default(), global),
    }
}

fn begin(args: &args::Eval, scenario: &str, global: &Global) -> Result<ExitCode, Failure> {
    let scenario = start::scenario(scenario)?;
    // Nothing is run in a dry run, so nothing has to be isolated.
    let native = if args.dry_run { None } else { Some(start::isolation()?) };
    let config = Config::load()?;
    let wanted =
        if args.models.is_empty() { config.roles.target.clone() } else { args.models.clone() };
    let wanted_judge = args.judge.clone().or_else(|| config.roles.judge.clone());
    let connector = Arc::new(connector(args, config, &wanted, wanted_judge.as_ref())?);
    let instrument_check = wanted.is_empty();
    eprintln!("{BOLD}{}{BOLD:#}", scenario.title());
    say(scenario.description());
    if instrument_check {
        say(INSTRUMENT_CHECK);
    }
    let person = wanted.iter().any(|model| model == "human");
    if person && wanted.len() > 1 {
        return Err(Failure::new(Failure::USAGE, "--model human: a person plays alone")
            .help("make a run of its own for each other model"));
    }
    let stop = Stop::default();
    let runtime = start::runtime()?;
    let targets = if instrument_check {
        start::policies(&scenario)
    } else {
        runtime.block_on(models(&wanted, &connector, &stop))?
    };
    let judge = match wanted_judge.filter(|_| args.judge.is_some() || !instrument_check) {
        Some(wanted) => Some(runtime.block_on(judge::named(&wanted, &connector))?),
        None => instrument_check.then(|| Judge::Test(TestJudge::default())),
    };
    if let Some(judge) = &judge {
        judge::refuse_test_on_models(judge, wanted.iter().map(String::as_str))?;
    }
    let start = Start {
        chosen: start::choices(&args.design.factors)?,
        design: args.design.choice.unwrap_or_default(),
        targets,
        instrument_check,
        seeds: args.design.seeds.unwrap_or(if person {
            1
        } else if instrument_check {
            2
        } else {
            10
        }),
        epochs: args.epochs.unwrap_or(1),
        drawn: None,
        max_samples: if person { 1 } else { args.design.max_samples(instrument_check) },
        max_sandboxes: args.design.max_sandboxes,
        limits: limits(args),
        config: connector.generate().clone(),
        optional: optional(&scenario, &args.optional)?,
        judge,
        stop,
        person,
        resume: None,
        scenario: scenario.clone(),
        connector: Arc::clone(&connector),
        expected: Estimate::default(),
    };
    let samples = start.samples()?;
    let price = |name: &str| connector.price(name).map(|listed| listed.price);
    let (optional, turns) = (&start.optional, start.limits.turns);
    let estimate = estimate::estimate(&scenario, &samples, optional, turns, price)?;
    let start = Start { expected: estimate, ..start };
    let Some(native) = native else {
        let design = start.describe(samples.len())?;
        let cost = cost(estimate, person);
        return dry_run(&design, samples.len(), estimate, &cost, global);
    };
    if estimate.most_turns > 0 && !person {
        say(&estimate.describe());
    }
    let (run, ending) = runtime.block_on(start.run(native, &global.runs))?;
    let code = report(&run, &scenario, global)?;
    Ok(match ending {
        Ending::Stopped => start::stopped(&run, &connector)?,
        Ending::Finished => ExitCode::from(code),
    })
}

/// What a run would cost, in words.
pub(super) fn cost(estimate: Estimate, person: bool) -> String {
    match estimate.most_turns {
        turns if person => format!(
            "a person uses no tokens; you have at most {} a sample",
            count(turns as usize, "turn")
        ),
        0 => "policies use no tokens".to_owned(),
        _ => estimate.describe(),
    }
}

/// Says what a run would be.
pub(super) fn dry_run(
    design: &str,
    n_samples: usize,
    estimate: Estimate,
    cost: &str,
    global: &Global,
) -> Result<ExitCode, Failure> {
    if global.json {
        print_json(&json!({ "samples": n_samples, "estimate": estimate }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    paragraph(&mut out, 2, design)?;
    paragraph(&mut out, 2, cost)?;
    Ok(ExitCode::SUCCESS)
}

/// What a run came to, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    run: String,
    scenario: String,
    instrument_check: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
    table: Table,
    comparisons: Comparisons,
}

/// Prints the table or the check, and returns the exit code that it deserves.
pub(super) fn report(run: &Run, scenario: &Scenario, global: &Global) -> Result<u8, Failure> {
    let spec = run.spec()?;
    let (samples, findings) = (run.samples()?, run.findings(1)?);
    let table = Table::new(scenario, &spec, &samples, &findings);
    let measured = measured(scenario, run, &samples)?;
    let comparisons = Comparisons::new(scenario, &samples, &findings, &measured);
    let check = spec.instrument_check.then(|| {
        let mut check = Check::new(scenario, &samples, &findings);
        check.compare_measures(scenario, &samples, &measured);
        check
    });
    let is_error = |finding: &Finding| finding.outcome == Outcome::Error;
    let code = match &check {
        Some(check) if !check.passes() => Failure::CHECK,
        None if findings.values().all(|findings| findings.iter().all(is_error)) => {
            Failure::ENVIRONMENT
        }
        Some(_) | None => 0,
    };
    if global.json {
        let (run, scenario) = (run.id(), spec.scenario);
        let instrument_check = spec.instrument_check;
        print_json(&Report { run, scenario, instrument_check, check, table, comparisons })?;
        return Ok(code);
    }
    let mut out = anstream::stdout().lock();
    if let Some(check) = &check {
        tables::check(&mut out, &run.id(), scenario, check, &samples)?;
        tables::plumbing(&mut out, scenario)?;
    } else {
        let judge = spec.settings.get("judge").map(String::as_str);
        tables::table(&mut out, scenario, &table, judge)?;
        tables::comparisons(&mut out, &comparisons)?;
        tables::present(&mut out, &run.id(), scenario, &samples, &findings)?;
    }
    tables::missing(&mut out, &run.id(), &findings)?;
    writeln!(out, "\n{DIM}  all samples: lapwing show {}{DIM:#}", run.id())?;
    Ok(code)
}

fn limits(args: &args::Eval) -> SampleLimits {
    SampleLimits {
        turns: args.turns,
        tokens: args.tokens,
        tool_ms: args.tool_time * 1000,
        wall_ms: args.wall_time * 1000,
        ..SampleLimits::default()
    }
}

fn optional(
    scenario: &Scenario,
    wanted: &[String],
) -> Result<std::collections::BTreeSet<String>, Failure> {
    let known = scenario.optional_phases();
    for phase in wanted {
        if !known.contains(phase) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Failure::new(
                Failure::USAGE,
                format!("--with {phase}: no such optional phase"),
            )
            .help(format!("the optional phases of {} are: {known}", scenario.name())));
        }
    }
    Ok(wanted.iter().cloned().collect())
}

/// What the models of the run share.
fn connector(
    args: &args::Eval,
    config: Config,
    wanted: &[String],
    judge: Option<&String>,
) -> Result<Connector, Failure> {
    if args.connection.base_url.is_some() {
        let models = wanted.iter().chain(judge).filter_map(|name| name.split_once('/'));
        let mut providers: Vec<&str> = models.map(|(provider, _)| provider).collect();
        providers.retain(|provider| !matches!(*provider, "policy" | "test" | "local"));
        providers.dedup();
        if providers.len() > 1 {
            let message =
                format!("--base-url: {} have no address in common", providers.join(" and "));
            let help = "set base_url of each in lapwing.toml: [provider.NAME] base_url = \"...\"";
            return Err(Failure::new(Failure::USAGE, message).help(help));
        }
    }
    let wishes = Wishes {
        base_url: args.connection.base_url.clone(),
        organisms: args.connection.organisms.dir.clone(),
        max_connections: config.max_connections(&args.connection),
        generate: config.generate(&args.sampling),
        budget: config.budget(args.budget),
        cache: args.cache.clone().or_else(|| config.cache.clone()),
        is_dry: args.dry_run,
    };
    Connector::new(config, wishes)
}

/// The models that were asked for. An endpoint must answer, before a run is begun.
pub(super) async fn models(
    wanted: &[String],
    connector: &Connector,
    stop: &Stop,
) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for wanted in wanted {
        targets.push(match wanted.split_once('/') {
            None if wanted == "human" => Target::Model(Arc::new(Human::new(stop.clone()))),
            Some(("policy", name)) => Target::Policy(name.to_owned()),
            Some(_) | None => Target::Model(connector.target(wanted).await?),
        });
    }
    Ok(targets)
}
