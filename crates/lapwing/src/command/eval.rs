//! `lapwing eval`: test models in a scenario, or check the instrument.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anstream::eprintln;
use lapwing_core::{Finding, GenerateConfig, Outcome};
use lapwing_eval::{
    Check, Comparisons, Judge, SampleLimits, Stop, Table, Target, TestJudge, measured,
};
use lapwing_scenario::Scenario;
use lapwing_store::{Ending, Run};
use serde::Serialize;
use serde_json::json;

use super::endpoint::{self, Unasked};
use super::estimate::{self, Estimate};
use super::start::{self, Start};
use super::{Global, judge, print_json};
use crate::args;
use crate::failure::Failure;
use crate::human::Human;
use crate::library::near;
use crate::render::{BOLD, DIM, count, paragraph, say};
use crate::tables;

const INSTRUMENT_CHECK: &str = "Instrument check: scripted policies act in real sandboxes, and each finding is compared with what was planted. It says nothing about any model; --model openai/NAME tests one.";

pub(crate) fn run(args: &args::Eval, global: &Global) -> Result<ExitCode, Failure> {
    let scenario = start::scenario(&args.scenario)?;
    // Nothing is run in a dry run, so nothing has to be isolated.
    let native = if args.dry_run { None } else { Some(start::isolation()?) };
    let instrument_check = args.models.is_empty();
    eprintln!("{BOLD}{}{BOLD:#}", scenario.title());
    say(scenario.description());
    if instrument_check {
        say(INSTRUMENT_CHECK);
    }
    let person = args.models.iter().any(|model| model == "human");
    if person && args.models.len() > 1 {
        return Err(Failure::new(Failure::USAGE, "--model human: a person plays alone")
            .help("make a run of its own for each other model"));
    }
    let stop = Stop::default();
    let runtime = start::runtime()?;
    let targets = if instrument_check {
        start::policies(&scenario)
    } else {
        runtime.block_on(models(&args.models, !args.dry_run, &stop))?
    };
    let judge = match &args.judge {
        Some(wanted) => Some(runtime.block_on(judge::named(wanted, !args.dry_run))?),
        None => instrument_check.then(|| Judge::Test(TestJudge::default())),
    };
    if let Some(judge) = &judge {
        judge::refuse_test_on_models(judge, args.models.iter().map(String::as_str))?;
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
        epochs: args.epochs,
        drawn: None,
        max_samples: if person { 1 } else { args.design.max_samples(instrument_check) },
        max_sandboxes: args.design.max_sandboxes,
        limits: limits(args),
        config: GenerateConfig {
            temperature: args.temperature,
            top_p: args.top_p,
            max_tokens: args.max_tokens,
            seed: None,
        },
        optional: optional(&scenario, &args.optional)?,
        judge,
        stop,
        person,
        scenario: scenario.clone(),
    };
    let samples = start.samples()?;
    let estimate = estimate::estimate(&scenario, &samples, &start.optional, start.limits.turns)?;
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
        Ending::Stopped => start::stopped(&run),
        Ending::Finished => ExitCode::from(code),
    })
}

/// What a run would cost, in words.
fn cost(estimate: Estimate, person: bool) -> String {
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
fn dry_run(
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
fn report(run: &Run, scenario: &Scenario, global: &Global) -> Result<u8, Failure> {
    let spec = run.spec()?;
    let (samples, findings) = (run.samples()?, run.findings(1)?);
    let table = Table::new(scenario, &samples, &findings);
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

/// The models that were asked for. With `reach` an endpoint must answer, before a run is begun.
async fn models(wanted: &[String], reach: bool, stop: &Stop) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for wanted in wanted {
        targets.push(match wanted.split_once('/') {
            None if wanted == "human" => Target::Model(Arc::new(Human::new(stop.clone()))),
            Some(("policy", name)) => Target::Policy(name.to_owned()),
            Some(("openai", name)) if !name.is_empty() => Target::Model(if reach {
                endpoint::openai(name).await?
            } else {
                Arc::new(Unasked(wanted.clone()))
            }),
            Some(_) | None => return Err(unknown_model(wanted)),
        });
    }
    Ok(targets)
}

fn unknown_model(wanted: &str) -> Failure {
    let providers = ["openai".to_owned(), "policy".to_owned()];
    let (provider, name) = wanted.split_once('/').unwrap_or(("openai", wanted));
    let help = match near(provider, &providers) {
        Some(guess) if !name.is_empty() => format!("did you mean {guess}/{name}?"),
        Some(_) | None => "a model is openai/NAME, behind any OpenAI-compatible endpoint in OPENAI_BASE_URL, policy/NAME, or human".to_owned(),
    };
    Failure::new(Failure::USAGE, format!("--model {wanted}: there is no such kind of model"))
        .help(help)
}
