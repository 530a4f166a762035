//! `lapwing judge`: how far a judge can be trusted; and which judge `--judge` names.

use std::io::Write as _;
use std::process::ExitCode;

use lapwing_eval::{Calibration, Counts, Estimate, Judge, calibrate};
use lapwing_scenario::{Rubric, Scenario};
use serde_json::json;

use super::endpoint::{Connector, Wishes};
use super::{Global, print_json, start};
use crate::args;
use crate::config::Config;
use crate::failure::Failure;
use crate::library::{self, near};
use crate::render::{BOLD, Grid, fault, interval, note, paragraph, percent, say};
use crate::transcript::harmless;

const KNOWS_THE_LABELS: &str = "The test judge knows the labels of these texts and errs only as it is told to: this shows that the plumbing works, and nothing about a judge.";

const READING: &str = "unsure and no label disagree with either true label in kappa (Cohen 1960; interval: Fleiss, Cohen and Everitt 1969). A rate found with a judge can be corrected: (rate + specificity - 1) / (sensitivity + specificity - 1), within 0 and 1 (Rogan and Gladen 1978). At rates near 0 the specificity decides. These texts are few and were written for the rubric: a judge is calibrated for your runs on 100 or more of their own texts, labelled by people.";

/// Texts that are labelled at a time.
const AT_A_TIME: usize = 8;

/// The judge that was asked for.
pub(crate) async fn named(wanted: &str, connector: &Connector) -> Result<Judge, Failure> {
    let fault = |message: String| Failure::new(Failure::USAGE, format!("--judge {message}"));
    match wanted.split_once('/') {
        Some(("test", _)) => wanted.parse().map(Judge::Test).map_err(fault),
        None if wanted == "test" => wanted.parse().map(Judge::Test).map_err(fault),
        Some(_) => connector.connect(wanted).await.map(Judge::Model),
        None => Err(fault(format!("{wanted}: there is no such kind of judge"))
            .help("a judge is PROVIDER/NAME, for example anthropic/claude-haiku-4-5, or test")),
    }
}

/// A connector for commands that only judge.
pub(crate) fn connector(
    flags: &args::Connection,
    judging: &args::Judging,
) -> Result<Connector, Failure> {
    let config = Config::load()?;
    let sampling = args::Sampling { max_tokens: judging.max_tokens, ..args::Sampling::default() };
    let wishes = Wishes {
        base_url: flags.base_url.clone(),
        organisms: flags.organisms.dir.clone(),
        max_connections: config.max_connections(flags),
        generate: config.generate(&sampling),
        budget: config.budget(judging.budget),
        ..Wishes::default()
    };
    Connector::new(config, wishes)
}

/// The test judge knows the truth of policies only.
pub(crate) fn refuse_test_on_models<'m>(
    judge: &Judge,
    mut models: impl Iterator<Item = &'m str>,
) -> Result<(), Failure> {
    let real = models.find(|model| !model.starts_with("policy/"));
    match (judge, real) {
        (Judge::Test(_), Some(model)) => Err(Failure::new(
            Failure::USAGE,
            format!("--judge {} cannot label what {model} wrote", judge.name()),
        )
        .help("the test judge answers what policies declare; name a model: --judge openai/NAME")),
        (Judge::Test(_), None) | (Judge::Model(_), _) => Ok(()),
    }
}

pub(crate) fn check(args: &args::JudgeCheck, global: &Global) -> Result<ExitCode, Failure> {
    let scenario = library::load(&args.scenario)?;
    let rubrics = rubrics(&scenario, args.rubric.as_deref())?;
    let (is_test, calibrations) = start::runtime()?.block_on(async {
        let connector = connector(&args.connection, &args.judging)?;
        let judge = named(&args.judge, &connector).await?;
        let mut calibrations = Vec::new();
        for rubric in &rubrics {
            let done = calibrate(&judge, &scenario, rubric, AT_A_TIME).await;
            if let Some(used) = start::used(&connector).filter(|_| done.is_err()) {
                say(&used);
            }
            calibrations.extend(done?);
        }
        if let Some(used) = start::used(&connector) {
            say(&used);
        }
        Ok::<_, Failure>((matches!(judge, Judge::Test(_)), calibrations))
    })?;
    let is_weak = |found: &Calibration| found.kappa.is_none_or(|k| k.estimate < args.min_kappa);
    let passes = !calibrations.iter().any(is_weak);
    let code = if passes { ExitCode::SUCCESS } else { ExitCode::from(Failure::CHECK) };
    if global.json {
        print_json(&json!({
            "scenario": scenario.name(), "judge": args.judge, "min_kappa": args.min_kappa,
            "passes": passes, "rubrics": calibrations,
        }))?;
        return Ok(code);
    }
    let mut out = anstream::stdout().lock();
    if is_test {
        writeln!(out)?;
        paragraph(&mut out, 2, KNOWS_THE_LABELS)?;
    }
    for found in &calibrations {
        write(&mut out, found)?;
        if is_weak(found) {
            let label = format!("kappa is below {}:", args.min_kappa);
            fault(&mut out, &label, "do not use this judge here")?;
        }
    }
    writeln!(out)?;
    note(&mut out, READING)?;
    Ok(code)
}

/// The rubrics that were asked for, each with hand-labelled texts.
fn rubrics(scenario: &Scenario, wanted: Option<&str>) -> Result<Vec<Rubric>, Failure> {
    let fault = |message: String, help: String| Failure::new(Failure::USAGE, message).help(help);
    let mut rubrics: Vec<Rubric> = Vec::new();
    for query in scenario.judge_queries() {
        if !rubrics.contains(&query.rubric) {
            rubrics.push(query.rubric.clone());
        }
    }
    let names: Vec<String> = rubrics.iter().map(|rubric| rubric.name().to_owned()).collect();
    if names.is_empty() {
        let message = format!("no evidence of {} asks a judge", scenario.name());
        return Err(fault(message, "declare `evidence.judge.NAME` first".to_owned()));
    }
    if let Some(wanted) = wanted {
        rubrics.retain(|rubric| rubric.name() == wanted);
        if rubrics.is_empty() {
            let guess = near(wanted, &names).map(|name| format!("did you mean {name}? "));
            let help = format!("{}known: {}", guess.unwrap_or_default(), names.join(", "));
            return Err(fault(format!("--rubric {wanted}: there is no such rubric"), help));
        }
    }
    for rubric in &rubrics {
        if !scenario.gold().iter().any(|gold| gold.rubric == rubric.name()) {
            let name = rubric.name();
            let message = format!("the rubric {name} has no hand-labelled texts");
            let help = format!("add gold/{name}.toml with 30 or more, at least 10 of each label");
            return Err(fault(message, help));
        }
    }
    Ok(rubrics)
}

fn write(out: &mut dyn std::io::Write, found: &Calibration) -> std::io::Result<()> {
    writeln!(out, "\n  {BOLD}{}{BOLD:#}  {}", found.rubric, harmless(&found.judge))?;
    let mut grid = Grid::new(&["truly", "texts", "yes", "no", "unsure", "no label"]);
    for (truth, counts) in [("yes", found.truly_yes), ("no", found.truly_no)] {
        let Counts { yes, no, unsure, none } = counts;
        let cells = [counts.total(), yes, no, unsure, none].map(|n| n.to_string());
        grid.row([truth.to_owned()].into_iter().chain(cells));
    }
    grid.write(out)?;
    let rate = |found: Option<Estimate>| {
        found.map_or_else(
            || "–".to_owned(),
            |found| format!("{} {}", percent(found.estimate), interval(found.interval)),
        )
    };
    writeln!(out, "  sensitivity {}", rate(found.sensitivity))?;
    writeln!(out, "  specificity {}", rate(found.specificity))?;
    let kappa = found.kappa.map_or_else(
        || "–".to_owned(),
        |k| format!("{:.2} [{:.2}, {:.2}]", k.estimate, k.interval.0, k.interval.1),
    );
    writeln!(out, "  kappa {kappa}")?;
    for reason in &found.reasons {
        writeln!(out, "  no label: {}", harmless(reason))?;
    }
    Ok(())
}
