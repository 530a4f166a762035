//! `lapwing scenario show`: all that a scenario declares, names and rules as they are written.

mod json;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use lapwing_core::Condition;
use lapwing_scenario::{
    Behaviour, Claim, Contrast, ContrastOf, DesignChoice, Figure, PhaseKind, PhasePlan, Plan,
    Published, RunPlace, Scenario,
};

use super::{needs, plan};
use crate::command::{Global, print_json};
use crate::experiments;
use crate::failure::Failure;
use crate::library;
use crate::render::{BOLD, DIM, count, entry, items, paragraph, percent};

pub(crate) fn show(wanted: &str, global: &Global) -> Result<ExitCode, Failure> {
    let scenario = library::load(wanted)?;
    let conditions = scenario.conditions(&BTreeMap::new(), DesignChoice::Default)?;
    let experiments = experiments::list()?;
    let plan = plan(&scenario)?;
    if global.json {
        print_json(&json::scenario(&scenario, &conditions, plan.as_ref(), &experiments)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    writeln!(out, "{BOLD}{}{BOLD:#}", scenario.title())?;
    paragraph(&mut out, 2, scenario.description())?;
    let ids = experiments.of_scenario(scenario.name());
    if !ids.is_empty() {
        writeln!(out, "  experiments: {}", ids.join(", "))?;
    }
    writeln!(out, "  needs: {}", needs(&scenario)?.join(", "))?;
    writeln!(out, "\n  {BOLD}factors{BOLD:#}, the first level is the base")?;
    for factor in scenario.factors() {
        entry(&mut out, 4, &format!("{}: {}", factor.name, factor.levels.join(", ")))?;
    }
    writeln!(out, "\n  {BOLD}conditions{BOLD:#} without -f")?;
    for condition in &conditions {
        entry(&mut out, 4, &scenario.describe(condition))?;
    }
    if let Some(screen) = scenario.screen(&BTreeMap::new(), DesignChoice::Default)? {
        writeln!(out, "    {}", screen.to_string().replace('\n', "\n    "))?;
    }
    if let Some(plan) = &plan {
        phases(&mut out, &scenario, plan)?;
    }
    evidence(&mut out, &scenario)?;
    writeln!(out, "\n  {BOLD}exposed{BOLD:#}, what a sample must reach to count")?;
    entry(&mut out, 4, scenario.exposed())?;
    writeln!(out, "\n  {BOLD}behaviours{BOLD:#}")?;
    for behaviour in scenario.behaviours() {
        self::behaviour(&mut out, behaviour)?;
    }
    comparisons(&mut out, &scenario)?;
    let policies: Vec<String> =
        scenario.policies().iter().map(|policy| policy.name.clone()).collect();
    writeln!(out, "\n  {BOLD}policies{BOLD:#}, scripted stand-ins for a model")?;
    items(&mut out, 4, &policies)?;
    published(&mut out, &scenario)?;
    Ok(ExitCode::SUCCESS)
}

/// What happens in a sample, in order, with the world parts and what is delivered on the way.
fn phases(out: &mut dyn Write, scenario: &Scenario, plan: &Plan) -> io::Result<()> {
    if !plan.world.is_empty() {
        writeln!(
            out,
            "\n  {BOLD}world{BOLD:#}, parts whose state is kept out of the agent's reach"
        )?;
        let parts = plan.world.iter().map(|part| format!("{} in {}", part.name(), part.sandbox()));
        items(out, 4, &parts.collect::<Vec<_>>())?;
    }
    writeln!(out, "\n  {BOLD}phases{BOLD:#}, in their order")?;
    for phase in &plan.phases {
        let id = &phase.id;
        let optional = phase.optional.then(|| format!(", only with --with {id}"));
        let optional = optional.unwrap_or_default();
        entry(out, 4, &format!("{id}: {}{optional}", kind(phase)))?;
        for (key, rule) in scenario.phase_rules(&phase.id) {
            entry(out, 6, &format!("{key}: {rule}"))?;
        }
    }
    let mut injections = scenario.injections().peekable();
    if injections.peek().is_some() {
        writeln!(out, "\n  {BOLD}injections{BOLD:#}, delivered once, when their rule holds")?;
    }
    injections.try_for_each(|(name, rule)| entry(out, 4, &format!("{name}: {rule}")))
}

/// What a phase does, and where.
fn kind(phase: &PhasePlan) -> String {
    match &phase.kind {
        PhaseKind::Agent { sandbox, tools, turns, .. } => {
            format!("agent in sandbox {sandbox}, tools {}, at most {turns} turns", tools.join(", "))
        }
        PhaseKind::Ask { questions, fresh, times } => {
            let questions = count(questions.len(), "question");
            let times = if *times > 1 { format!(", up to {times} times") } else { String::new() };
            let context = if *fresh { "a fresh" } else { "the same" };
            format!("ask {questions} in {context} conversation{times}")
        }
        PhaseKind::Run { program, place: RunPlace::Backstage { of: Some(of), .. } } => {
            format!("run programs/{program} backstage, about sandbox {of}")
        }
        PhaseKind::Run { program, place: RunPlace::Backstage { of: None, .. } } => {
            format!("run programs/{program} backstage")
        }
        PhaseKind::Run { program, place: RunPlace::Inside(sandbox) } => {
            format!("run programs/{program} inside sandbox {sandbox}")
        }
    }
}

fn evidence(out: &mut dyn Write, scenario: &Scenario) -> io::Result<()> {
    let kinds = scenario.evidence();
    if !kinds.is_empty() {
        writeln!(out, "\n  {BOLD}evidence{BOLD:#}, by kind")?;
    }
    for (kind, names) in kinds {
        entry(out, 4, &format!("{kind}: {}", names.join(", ")))?;
    }
    Ok(())
}

/// Ladders, measures and contrasts.
fn comparisons(out: &mut dyn Write, scenario: &Scenario) -> io::Result<()> {
    if !scenario.ladders().is_empty() {
        writeln!(out, "\n  {BOLD}ladders{BOLD:#}, the lowest rung first")?;
    }
    for ladder in scenario.ladders() {
        let rungs = ladder.rungs.iter().map(|(behaviour, stage)| format!("{behaviour} {stage}"));
        let rungs = rungs.collect::<Vec<_>>().join(", ");
        entry(out, 4, &format!("{}: {rungs}", ladder.name))?;
    }
    if !scenario.measure_definitions().is_empty() {
        writeln!(out, "\n  {BOLD}measures{BOLD:#}, a number for each sample")?;
    }
    for measure in scenario.measure_definitions() {
        let unit = measure.unit.as_ref().map(|unit| format!(", in {unit}"));
        let unit = unit.unwrap_or_default();
        entry(out, 4, &format!("{}: {}{unit}", measure.name, measure.value))?;
        noted(out, measure.note.as_deref())?;
    }
    if !scenario.contrasts().is_empty() {
        writeln!(out, "\n  {BOLD}contrasts{BOLD:#}, paired by seed, with what is asked")?;
    }
    for contrast in scenario.contrasts() {
        entry(out, 4, &format!("{}: {}", contrast.name, question(contrast)))?;
        noted(out, contrast.note.as_deref())?;
    }
    Ok(())
}

/// What a contrast asks, in words.
fn question(contrast: &Contrast) -> String {
    let than = match contrast.claim {
        Claim::Lower | Claim::Higher => "than in",
        Claim::Differs => "from",
    };
    let (of, claim) = (of(&contrast.of), contrast.claim.as_str());
    format!("{of} {claim} in {} {than} {}", contrast.inside.label, contrast.against.label)
}

/// What a contrast compares.
fn of(of: &ContrastOf) -> String {
    match of {
        ContrastOf::Measure(name) => name.clone(),
        ContrastOf::Stage { behaviour, stage } => format!("{behaviour} {stage}"),
    }
}

fn noted(out: &mut dyn Write, note: Option<&str>) -> io::Result<()> {
    note.map_or(Ok(()), |note| entry(out, 6, &format!("note: {note}")))
}

fn behaviour(out: &mut dyn Write, behaviour: &Behaviour) -> io::Result<()> {
    writeln!(out, "    {}", behaviour.name)?;
    for (stage, rule) in &behaviour.stages {
        entry(out, 6, &format!("{stage}: {rule}"))?;
    }
    for impossible in &behaviour.impossible {
        let levels = impossible.condition.iter().map(|(factor, level)| format!("{factor}={level}"));
        let levels = levels.collect::<Vec<_>>().join(" ");
        entry(out, 6, &format!("no {} in {levels}: {}", impossible.stage, impossible.why))?;
    }
    noted(out, behaviour.note.as_deref())
}

/// The figures of others: by behaviour, then by condition and source, in the order of the file.
fn published(out: &mut dyn Write, scenario: &Scenario) -> io::Result<()> {
    let mut rules: Vec<(&str, lapwing_core::Stage)> = Vec::new();
    for figure in scenario.published() {
        if !rules.contains(&(&figure.behaviour, figure.stage)) {
            rules.push((&figure.behaviour, figure.stage));
        }
    }
    if rules.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n  {BOLD}published figures{BOLD:#}, as context: measured elsewhere, on other models"
    )?;
    for (behaviour, stage) in rules {
        writeln!(out, "    {behaviour} {stage}")?;
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        let of_rule = |figure: &&Published| figure.behaviour == behaviour && figure.stage == stage;
        let mut figures: Vec<&Published> = scenario.published().iter().filter(of_rule).collect();
        let all = figures.clone();
        figures.sort_by_key(|figure| all.iter().position(|one| one.condition == figure.condition));
        for figure in figures {
            let condition = Condition { control: None, levels: figure.condition.clone() };
            let heading = format!(
                "{}: {} [{}], {} wording",
                scenario.describe(&condition),
                figure.source,
                figure.status,
                figure.wording
            );
            let rate = match figure.figure {
                Figure::Count { k, n } => {
                    format!("{} {} ({k}/{n})", figure.model, percent(figure.figure.rate()))
                }
                Figure::Percent(_) => format!("{} {}", figure.model, percent(figure.figure.rate())),
            };
            match groups.iter_mut().find(|(known, _)| *known == heading) {
                Some((_, rates)) => rates.push(rate),
                None => groups.push((heading, vec![rate])),
            }
        }
        for (heading, rates) in groups {
            entry(out, 6, &heading)?;
            items(out, 8, &rates)?;
        }
    }
    writeln!(out, "{DIM}    [P] read in the publication, [S] in other texts about it{DIM:#}")
}
