//! Reads `policies.toml` and checks that the set of policies can check the instrument.

use std::collections::{BTreeMap, BTreeSet};

use super::planting::planting;
use super::{Expectation, PlannedCall, Policy, Turn, tools_of};
use crate::Folder;
use crate::diagnostic::{Diagnostic, Problems, Text, near};
use crate::reader::{self, Item, Reported, Source, Table};
use crate::schema::{AgentDefinition, Definition, PhaseDefinition, PhaseDefinitionKind};
use crate::template::Template;

/// The policy that every scenario has beside its own.
const SHARED: &str = "messy";

/// Mechanically different positives that a behaviour proved by state needs.
const MIN_POSITIVES: usize = 3;

/// Tools and the argument that says what is done.
pub(crate) const CALLS: [(&str, &str); 7] = [
    ("bash", "command"),
    ("bash_start", "command"),
    ("bash_read", "id"),
    ("bash_write", "text"),
    ("bash_stop", "id"),
    ("submit", "answer"),
    ("think", "thought"),
];

/// Cannot be called with that argument alone.
const NEEDS_MORE: &str = "bash_write";

/// What policies are checked against.
pub(super) struct Context<'a> {
    pub(super) definition: &'a Definition,
    pub(super) problems: &'a Problems,
    variables: BTreeSet<String>,
    tools: BTreeSet<String>,
    /// The phase that `turns` is for: the first of an agent, else the first.
    main_phase: String,
}

/// The policies in the order of the file, then the shared one.
pub(crate) fn policies(
    definition: &Definition,
    folder: &Folder,
    problems: &Problems,
) -> Vec<Policy> {
    let Some(text) = problems.keep(folder.text("policies.toml")) else { return Vec::new() };
    let source = Source { file: "policies.toml", text, problems };
    let Some(parsed) = reader::parse(&source) else { return Vec::new() };
    let context = Context {
        definition,
        problems,
        variables: variables(definition),
        tools: tools(definition),
        main_phase: main_phase(definition),
    };
    let read: Vec<_> = Table::root(&source, &parsed)
        .all()
        .into_iter()
        .filter_map(|(name, item)| Some((policy(&name, &item.table()?, &context), name)))
        .collect();
    let names: Vec<String> = read.iter().map(|(_, name)| name.value.clone()).collect();
    let mut policies: Vec<Policy> = read.into_iter().filter_map(|(policy, _)| policy).collect();
    check_set(&policies, &names, &context);
    policies.extend(messy(&policies, definition));
    policies
}

fn variables(definition: &Definition) -> BTreeSet<String> {
    let factors = definition.factors.iter().map(|factor| factor.name.clone());
    let vary = definition.vary.iter().map(|vary| vary.name.clone());
    let texts = definition.texts.iter().map(|(name, _)| name.clone());
    factors.chain(vary).chain(texts).chain(["nonce".to_owned()]).collect()
}

fn main_phase(definition: &Definition) -> String {
    let first = agents(definition).next().map(|(phase, _)| phase);
    let first = first.or_else(|| asked(definition).next());
    first.map(|phase| phase.id.clone()).unwrap_or_default()
}

/// The phases in which a model works with tools.
fn agents(definition: &Definition) -> impl Iterator<Item = (&PhaseDefinition, &AgentDefinition)> {
    definition.phases.iter().filter_map(|phase| match &phase.kind {
        PhaseDefinitionKind::Agent(agent) => Some((phase, &**agent)),
        PhaseDefinitionKind::Ask { .. } | PhaseDefinitionKind::Run { .. } => None,
    })
}

/// The phases in which a model is asked for anything.
fn asked(definition: &Definition) -> impl Iterator<Item = &PhaseDefinition> {
    let is_run = |phase: &PhaseDefinition| matches!(phase.kind, PhaseDefinitionKind::Run { .. });
    definition.phases.iter().filter(move |phase| !is_run(phase))
}

fn tools(definition: &Definition) -> BTreeSet<String> {
    let tools = definition.phases.iter().flat_map(|phase| match &phase.kind {
        PhaseDefinitionKind::Agent(agent) => agent.tools.as_slice(),
        PhaseDefinitionKind::Ask(_) | PhaseDefinitionKind::Run { .. } => &[],
    });
    tools.cloned().collect()
}

fn policy(name: &Text, table: &Table<'_>, context: &Context<'_>) -> Option<Policy> {
    if name.value == SHARED || name.value.starts_with("p=") {
        let problem = name.diagnostic(format!("the name `{}` is taken", name.value));
        context.problems.push(problem.help("`messy` and `p=X` exist for every scenario"));
    }
    let planting = planting(table, context);
    let own = table
        .need("turns", "[{ bash = \"ls\" }]")
        .and_then(|item| Some((context.main_phase.clone(), turns(&item, context)?)));
    let others = table.optional("phase", |item| {
        let phases = item.table()?.all().into_iter();
        phases.map(|(name, item)| Some((phase(&name, context)?, turns(&item, context)?))).collect()
    });
    table.report_unknown();
    let others: Option<Vec<_>> = others.ok()?;
    let phases: BTreeMap<String, Vec<Turn>> =
        others.unwrap_or_default().into_iter().chain([own?]).collect();
    for tool in tools_of(phases.values().flatten()) {
        if !context.tools.contains(tool) {
            let problem = name.diagnostic(format!("calls `{tool}`, which no phase offers"));
            let help = near(tool, context.tools.iter().map(String::as_str));
            context.problems.push(problem.help(help));
        }
    }
    Some(Policy { name: name.value.clone(), planting: planting?, phases })
}

fn turns(item: &Item<'_>, context: &Context<'_>) -> Option<Vec<Turn>> {
    item.list()?.iter().map(|item| turn(&item.table()?, context)).collect()
}

/// A phase in which a model is asked, other than the one that `turns` is for.
fn phase(name: &Text, context: &Context<'_>) -> Option<String> {
    let others = || asked(context.definition).map(|phase| phase.id.as_str());
    if name.value == context.main_phase {
        let problem = name.diagnostic(format!("`turns` is what it does in `{}`", name.value));
        context.problems.push(problem.help("write these turns there"));
        return None;
    }
    if !others().any(|id| id == name.value) {
        let problem = name.diagnostic(format!("no model is asked in a phase `{}`", name.value));
        context.problems.push(problem.help(near(&name.value, others())));
        return None;
    }
    Some(name.value.clone())
}

/// A turn: something said, a call or several, or `{ empty = true }`.
fn turn(table: &Table<'_>, context: &Context<'_>) -> Option<Turn> {
    let say = table.optional("say", |item| template(item, context));
    let empty = table.optional("empty", Item::boolean);
    let single = call(table, context);
    let several = table.optional("calls", |item| {
        item.list()?.iter().map(|item| listed_call(&item.table()?, context)).collect()
    });
    table.report_unknown();
    let calls: Vec<PlannedCall> = match (single.ok()?, several.ok()?) {
        (call, None) => call.into_iter().collect(),
        (None, Some(calls)) => calls,
        (Some(_), Some(_)) => {
            let problem = table.place().diagnostic("a turn has either one call or `calls`");
            context.problems.push(problem.help("move the call into the list"));
            return None;
        }
    };
    let turn = Turn { say: say.ok()?, calls };
    let acts = turn.say.is_some() || !turn.calls.is_empty();
    // Exactly one of the two: it does something, or it says that it does nothing.
    if acts == (empty.ok()? == Some(true)) { no_act(table, context) } else { Some(turn) }
}

/// An entry of `calls`.
fn listed_call(table: &Table<'_>, context: &Context<'_>) -> Option<PlannedCall> {
    let call = call(table, context);
    table.report_unknown();
    call.ok()?.or_else(|| no_act(table, context))
}

fn no_act<T>(table: &Table<'_>, context: &Context<'_>) -> Option<T> {
    let problem = table.place().diagnostic("expected what the turn does");
    context.problems.push(problem.help(
        "use a tool as `bash`, `submit` or `think`, `raw`, `say`, or a list in `calls`; `empty = true` alone says nothing",
    ));
    None
}

/// The call of a table, if it has one.
fn call(table: &Table<'_>, context: &Context<'_>) -> Result<Option<PlannedCall>, Reported> {
    let mut calls = Vec::new();
    for (tool, argument) in CALLS.into_iter().filter(|(tool, _)| *tool != NEEDS_MORE) {
        let text = table.optional(tool, |item| template(item, context))?;
        calls.extend(text.map(|text| PlannedCall::Proper(tool, argument, text)));
    }
    calls.extend(table.optional("raw", raw)?);
    if calls.len() > 1 {
        let problem = table.place().diagnostic("several calls in one table");
        context.problems.push(problem.help("write `calls = [{ .. }, { .. }]`"));
        return Err(Reported);
    }
    Ok(calls.pop())
}

fn raw(item: &Item<'_>) -> Option<PlannedCall> {
    let table = item.table()?;
    let tool = table.need("tool", "\"bash\"").and_then(|item| item.text());
    let arguments = table.need("arguments", "\"{\"").and_then(|item| item.text());
    table.report_unknown();
    Some(PlannedCall::Raw { tool: tool?.value, arguments: arguments?.value })
}

fn template(item: &Item<'_>, context: &Context<'_>) -> Option<Template> {
    let template = Template::of_text(&item.text()?);
    let problems = template.check(&context.variables);
    let sound = problems.is_empty();
    for problem in problems {
        context.problems.push(problem);
    }
    sound.then_some(template)
}

/// `never`, `idle`, and enough positives of every behaviour.
fn check_set(policies: &[Policy], names: &[String], context: &Context<'_>) {
    let report = |message: String, help: &str| {
        context.problems.push(Diagnostic::in_file("policies.toml", message).help(help));
    };
    let required = [
        ("never", "add a policy that does the task honestly"),
        ("idle", "add a policy that does nothing, with `expect = \"unexposed\"`"),
    ];
    for (name, help) in required {
        if !names.iter().any(|known| known == name) {
            report(format!("the policy `{name}` is missing"), help);
        }
    }
    // With an unsound policy among them the positives cannot be counted.
    if policies.len() < names.len() {
        return;
    }
    for behaviour in &context.definition.behaviours {
        let expects = |policy: &&Policy| match &policy.planting.expect {
            Expectation::Stages(stages) => stages.contains_key(&behaviour.name),
            Expectation::Unexposed | Expectation::Ungraded => false,
        };
        let turns =
            policies.iter().filter(expects).map(|policy| written(policy.phases.values().flatten()));
        let different = turns.collect::<BTreeSet<_>>().len();
        let needed = if is_judged(&behaviour.name, context.definition) { 1 } else { MIN_POSITIVES };
        if different < needed {
            let verb = if needed == 1 { "is" } else { "are" };
            report(
                format!(
                    "`{}` has {different} different positives, at least {needed} {verb} needed",
                    behaviour.name
                ),
                "add policies that do it by other means",
            );
        }
    }
}

/// Whether a rule of the behaviour names evidence that a judge finds: a script only checks the plumbing of it.
fn is_judged(behaviour: &str, definition: &Definition) -> bool {
    let behaviours = definition.behaviours.iter().zip(&definition.rules);
    let mut rules =
        behaviours.filter(|(known, _)| known.name == behaviour).flat_map(|(_, rules)| rules);
    rules.any(|rule| {
        rule.names().iter().any(|found| definition.judged.iter().any(|name| name == found.name))
    })
}

/// What the turns do, as written.
fn written<'a>(turns: impl Iterator<Item = &'a Turn>) -> Vec<&'a str> {
    let mut written = Vec::new();
    for turn in turns {
        written.extend(turn.say.as_ref().map(Template::source));
        for call in &turn.calls {
            written.extend(match call {
                PlannedCall::Proper(tool, _, text) => [tool, text.source()],
                PlannedCall::Raw { tool, arguments } => [tool.as_str(), arguments.as_str()],
            });
        }
    }
    written
}

/// Everything that a badly behaved client can send to the first agent phase, then the honest policy.
fn messy(policies: &[Policy], definition: &Definition) -> Option<Policy> {
    let (phase, agent) = agents(definition).next()?;
    let never = policies.iter().find(|policy| policy.name == "never")?;
    let raw = |tool: &str, arguments: &str| PlannedCall::Raw {
        tool: tool.to_owned(),
        arguments: arguments.to_owned(),
    };
    let calls = |calls: Vec<PlannedCall>| Turn { say: None, calls };
    let say = Template::of_file("", "Let me look around first.");
    // Turns without a call stand apart: two in a row would end the phase.
    let mut mess = vec![
        calls(vec![raw("bash", "{\"command\": \"ls")]),
        Turn { say: Some(say), calls: Vec::new() },
        calls(vec![raw("run_shell", "{\"command\": \"ls\"}")]),
        Turn::default(),
        calls(vec![raw("bash", "{\"command\": \"true\"}"), raw("bash", "{\"command\": \"pwd\"}")]),
    ];
    if agent.nudge.is_none() {
        mess.retain(|turn| !turn.calls.is_empty());
    }
    let mut policy = Policy { name: SHARED.to_owned(), ..never.clone() };
    let turns = policy.phases.entry(phase.id.clone()).or_default();
    mess.append(turns);
    *turns = mess;
    Some(policy)
}
