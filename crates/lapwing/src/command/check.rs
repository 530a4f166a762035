//! `lapwing scenario check`: the proof that a scenario's instrument reads what happened.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anstream::eprintln;
use lapwing_core::GenerateConfig;
use lapwing_eval::{Check, Judge, MutationCount, SampleLimits, Stop, TestJudge, measured};
use lapwing_sandbox::Native;
use lapwing_scenario::{Diagnostic, Scenario};
use lapwing_store::{Ending, Run, SampleRow};
use serde_json::{Value, json};

use super::start::{self, Start};
use super::{Global, print_json};
use crate::args;
use crate::failure::Failure;
use crate::library;
use crate::render::{BOLD, Grid, count, entry, fault, one_line};
use crate::tables;

/// Seeds of the policy that plays `always` in about half of them.
const DRAWN_SEEDS: u64 = 20;
const DRAWN: &str = "p=0.5";

pub(crate) fn run(args: &args::Check, global: &Global) -> Result<ExitCode, Failure> {
    let native = start::isolation()?;
    let wanted = if args.all { library::names() } else { args.scenarios.clone() };
    if let ([only], false) = (wanted.as_slice(), args.all) {
        let scenario = library::load(only)?;
        let Some(proof) = prove(&scenario, &args.design, native, global)? else {
            return Ok(ExitCode::from(Failure::CHECK));
        };
        if global.json {
            print_json(&proof.json())?;
        } else {
            proof.write(&mut anstream::stdout().lock(), &scenario)?;
        }
        return Ok(code(proof.passes()));
    }
    several(&wanted, args, &native, global)
}

fn code(passes: bool) -> ExitCode {
    if passes { ExitCode::SUCCESS } else { ExitCode::from(Failure::CHECK) }
}

/// Checks one scenario after another. One that cannot be loaded fails; the others are checked all the same.
fn several(
    wanted: &[String],
    args: &args::Check,
    native: &Native,
    global: &Global,
) -> Result<ExitCode, Failure> {
    let mut grid = Grid::new(&["scenario", "check", "samples", "differ", "mutations", "cues", "s"]);
    let mut reports: Vec<Value> = Vec::new();
    let mut failed: Vec<&str> = Vec::new();
    for name in wanted {
        let scenario = match library::load(name) {
            Ok(scenario) => scenario,
            Err(fault) => {
                eprintln!("{fault}");
                failed.push(name);
                grid.row([name.clone(), "CANNOT BE LOADED".to_owned()]);
                reports
                    .push(json!({ "scenario": name, "passes": false, "fault": fault.to_string() }));
                continue;
            }
        };
        let Some(proof) = prove(&scenario, &args.design, native.clone(), global)? else {
            return Ok(ExitCode::from(Failure::CHECK));
        };
        if !proof.passes() {
            failed.push(name);
            if !global.json {
                proof.write(&mut anstream::stdout().lock(), &scenario)?;
            }
        }
        grid.row(proof.row(name));
        let mut report = proof.json();
        report["scenario"] = json!(name);
        reports.push(report);
    }
    if global.json {
        print_json(&reports)?;
        return Ok(code(failed.is_empty()));
    }
    let mut out = anstream::stdout().lock();
    writeln!(out)?;
    grid.write(&mut out)?;
    let verdict = if failed.is_empty() {
        format!("{} of {} pass.", wanted.len(), count(wanted.len(), "scenario"))
    } else {
        format!("{} of {} do NOT pass: {}", failed.len(), wanted.len(), failed.join(", "))
    };
    writeln!(out, "\n  {BOLD}{verdict}{BOLD:#}")?;
    Ok(code(failed.is_empty()))
}

/// What a check of one scenario came to.
struct Proof {
    run: Run,
    samples: Vec<SampleRow>,
    check: Check,
    cues: Vec<Diagnostic>,
    took: Duration,
}

/// Plays every policy in every condition, and the drawn one over its seeds in the first. `None`: it was stopped.
fn prove(
    scenario: &Scenario,
    design: &args::Design,
    native: Native,
    global: &Global,
) -> Result<Option<Proof>, Failure> {
    eprintln!(
        "{BOLD}{}{BOLD:#}: every finding against what a policy planted, and every rule mutation",
        scenario.name()
    );
    let begun = Instant::now();
    let has_always = scenario.policies().iter().any(|policy| policy.name == "always");
    let start = Start {
        chosen: start::choices(&design.factors)?,
        design: design.choice.unwrap_or_default(),
        targets: start::policies(scenario),
        instrument_check: true,
        seeds: design.seeds.unwrap_or(2),
        epochs: 1,
        drawn: has_always.then(|| (DRAWN.to_owned(), DRAWN_SEEDS)),
        max_samples: design.max_samples(true),
        max_sandboxes: design.max_sandboxes,
        limits: SampleLimits::default(),
        config: GenerateConfig::default(),
        optional: scenario.optional_phases().into_iter().collect(),
        judge: Some(Judge::Test(TestJudge::default())),
        stop: Stop::default(),
        person: false,
        scenario: scenario.clone(),
    };
    let cues = cues(&start)?;
    let (run, ending) = start::runtime()?.block_on(start.run(native, &global.runs))?;
    if ending == Ending::Stopped {
        start::stopped(&run);
        return Ok(None);
    }
    let (samples, findings) = (run.samples()?, run.findings(1)?);
    let mut check = Check::new(scenario, &samples, &findings);
    check.compare_measures(scenario, &samples, &measured(scenario, &run, &samples)?);
    check.look_over(scenario, &samples, &run, |sample| run.events(sample))?;
    let took = begun.elapsed();
    Ok(Some(Proof { run, samples, check, cues, took }))
}

/// Words in what a model can read that tell it that it is watched, over all conditions.
fn cues(start: &Start) -> Result<Vec<Diagnostic>, Failure> {
    let mut cues: Vec<Diagnostic> = Vec::new();
    for condition in start.scenario.conditions(&start.chosen, start.design)? {
        for cue in start.scenario.cues(&start.scenario.plan(&condition, 0)?) {
            if !cues.iter().any(|known| known.to_string() == cue.to_string()) {
                cues.push(cue);
            }
        }
    }
    Ok(cues)
}

impl Proof {
    fn passes(&self) -> bool {
        self.check.passes() && self.cues.is_empty()
    }

    fn row(&self, name: &str) -> [String; 7] {
        let caught = |count: &MutationCount| {
            format!("{}/{}", count.total - count.uncaught.len(), count.total)
        };
        [
            name.to_owned(),
            if self.passes() { "passes" } else { "FAILS" }.to_owned(),
            self.check.samples.to_string(),
            (self.check.mismatches.len() + self.check.unfinished.len()).to_string(),
            self.check.mutations.as_ref().map_or_else(|| "-".to_owned(), caught),
            (self.cues.len() + self.check.shown_cues.len()).to_string(),
            self.took.as_secs().to_string(),
        ]
    }

    fn json(&self) -> Value {
        let count = self.check.mutations.as_ref();
        json!({
            "run": self.run.id(), "passes": self.passes(), "check": self.check,
            "mutations": count.map(|count| count.total),
            "uncaught": count.map(|count| &count.uncaught[..]).unwrap_or_default(),
            "cues": self.cues.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    fn write(&self, out: &mut dyn Write, scenario: &Scenario) -> Result<(), Failure> {
        tables::check(out, &self.run.id(), scenario, &self.check, &self.samples)?;
        tables::plumbing(out, scenario)?;
        tables::drawn(out, scenario, DRAWN, &self.samples, &self.run.findings(1)?)?;
        match &self.check.mutations {
            Some(count) => mutations(out, count)?,
            None => writeln!(out, "  mutations of rules are counted once the instrument is exact")?,
        }
        for cue in &self.cues {
            fault(out, "cue:", &cue.to_string())?;
        }
        for cue in &self.check.shown_cues {
            let (from, word, policy) = (&cue.from, &cue.word, &cue.policy);
            let words = format!("{from} shows `{word}` to {policy}; say it in other words");
            fault(out, "cue:", &format!("{words}, sample {}", cue.sample))?;
        }
        for missing in &self.check.missing_files {
            fault(out, "missing:", &missing.to_string())?;
        }
        for note in &self.check.notes {
            entry(out, 2, &format!("note: {}", one_line(&note.to_string())))?;
        }
        let verdict =
            if self.passes() { "The scenario passes." } else { "The scenario does NOT pass." };
        writeln!(out, "\n  {BOLD}{verdict}{BOLD:#}")?;
        Ok(())
    }
}

/// How many rule mutations are noticed, and each that is not.
fn mutations(out: &mut dyn Write, count: &MutationCount) -> Result<(), Failure> {
    let caught = count.total - count.uncaught.len();
    writeln!(out, "  Rule mutations that are noticed: {caught} of {}.", count.total)?;
    for mutation in &count.uncaught {
        let rule = match mutation.stage {
            Some(stage) => format!("{} {stage}", mutation.behaviour),
            None => mutation.behaviour.clone(),
        };
        let description = &mutation.description;
        let words =
            format!("{rule}: {description}; add a policy that only the real rule reads right");
        fault(out, "not noticed:", &words)?;
    }
    Ok(())
}
