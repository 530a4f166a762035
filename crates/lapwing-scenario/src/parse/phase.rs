//! `phase`.

use super::Context;
use super::evidence::globs;
use super::world::{executable, run};
use crate::RunPlace;
use crate::reader::{Item, Reported, Table};
use crate::schema::{AgentDefinition, AskDefinition, PhaseDefinition, PhaseDefinitionKind};

/// The tools that a phase can offer.
const TOOLS: [&str; 7] =
    ["bash", "bash_start", "bash_read", "bash_write", "bash_stop", "submit", "think"];

/// Turns of a phase that sets no limit.
const DEFAULT_TURNS: u64 = 30;

pub(super) fn phases(root: &Table<'_>, context: &Context<'_>) -> Vec<PhaseDefinition> {
    let Some(items) = root.need("phase", "[{ id = \"act\", .. }]").and_then(|item| item.list())
    else {
        return Vec::new();
    };
    let mut phases: Vec<PhaseDefinition> = Vec::new();
    for item in &items {
        let Some(phase) = item.table().and_then(|table| phase(&table, context)) else { continue };
        if phases.iter().any(|earlier| earlier.id == phase.id) {
            let problem = item.place().diagnostic(format!("the id `{}` is taken", phase.id));
            context.report(problem.help("give each phase its own id"));
        }
        phases.push(phase);
    }
    phases
}

fn phase(table: &Table<'_>, context: &Context<'_>) -> Option<PhaseDefinition> {
    let id = table.need("id", "\"act\"").and_then(|item| item.text());
    let optional = table.get("optional").and_then(|item| item.boolean()).unwrap_or(false);
    let when = table.optional("when", |item| context.rule(item));
    let kind = match (table.get("agent"), table.get("ask"), table.get("run")) {
        (Some(sandbox), None, None) => agent(&sandbox, table, context),
        (None, Some(questions), None) => ask(&questions, table, context),
        (None, None, Some(program)) => backstage_or_inside(&program, table, context),
        _ => {
            let problem = table.place().diagnostic("a phase has one of `agent`, `ask` and `run`");
            let help = "write `agent = \"SANDBOX\"`, `ask = \"FILE\"` or `run = \"programs/FILE\"`";
            context.report(problem.help(help));
            return None;
        }
    };
    table.report_unknown();
    Some(PhaseDefinition { id: id?.value, optional, when: when.ok()?, kind: kind? })
}

fn agent(
    sandbox: &Item<'_>,
    table: &Table<'_>,
    context: &Context<'_>,
) -> Option<PhaseDefinitionKind> {
    let sandbox = sandbox.text().and_then(|name| context.sandbox(&name));
    let system = table.optional("system", |item| context.file_template(item));
    let user = table.need("user", "\"user.md\"").and_then(|item| context.file_template(&item));
    let tools = table.need("tools", "[\"bash\"]").and_then(|item| tools(&item, context));
    let nudge = table.optional("nudge", |item| context.file_template(item));
    let turns = table.get("turns").map_or(Some(DEFAULT_TURNS), |item| item.count(1));
    let end = table.optional("end", |item| context.rule(item));
    Some(PhaseDefinitionKind::Agent(Box::new(AgentDefinition {
        sandbox: sandbox?,
        system: system.ok()?,
        user: user?,
        tools: tools?,
        nudge: nudge.ok()?,
        turns: turns?.try_into().unwrap_or(u32::MAX),
        end: end.ok()?,
    })))
}

fn tools(item: &Item<'_>, context: &Context<'_>) -> Option<Vec<String>> {
    let names = item.texts()?;
    names.iter().map(|name| context.known("tool", name, TOOLS.into_iter())).collect()
}

fn ask(
    questions: &Item<'_>,
    table: &Table<'_>,
    context: &Context<'_>,
) -> Option<PhaseDefinitionKind> {
    let files = questions.texts();
    if files.as_ref().is_some_and(Vec::is_empty) {
        let problem = questions.place().diagnostic("there is no question");
        context.report(problem.help("name at least one file: `ask = [\"first.md\"]`"));
    }
    let questions = files.and_then(|files| {
        files.iter().map(|file| context.named_template(file)).collect::<Option<Vec<_>>>()
    });
    let conversations = ["continue", "fresh"].into_iter();
    let fresh = table.get("context").map_or(Some(false), |item| {
        Some(context.known("context", &item.text()?, conversations)? == "fresh")
    });
    let times = table.get("times").map_or(Some(1), |item| item.count(1));
    let until = table.optional("until", |item| {
        let once = times == Some(1) && questions.as_ref().is_some_and(|all| all.len() == 1);
        if once {
            let problem = item.place().diagnostic("there is nothing to end early");
            context.report(problem.help("add `times = 7`, or more questions"));
        }
        context.rule(item)
    });
    Some(PhaseDefinitionKind::Ask(Box::new(AskDefinition {
        questions: questions?,
        fresh: fresh?,
        times: times?.try_into().unwrap_or(u32::MAX),
        until: until.ok()?,
    })))
}

fn backstage_or_inside(
    program: &Item<'_>,
    table: &Table<'_>,
    context: &Context<'_>,
) -> Option<PhaseDefinitionKind> {
    let inside = table.optional("inside", |item| context.sandbox(&item.text()?));
    let is_inside = !matches!(inside, Ok(None));
    let program = if is_inside { run(program, context) } else { executable(program, context) };
    let of = table.optional("of", |item| context.sandbox(&item.text()?));
    let copy = table.optional("copy", |item| globs(item, context));
    let (inside, of, copy) = (inside.ok()?, of.ok()?, copy.ok()?);
    let place = match inside {
        Some(_) if of.is_some() || copy.is_some() => {
            let problem = table.place().diagnostic("`of` and `copy` do not go with `inside`");
            context.report(problem.help("leave `inside` out to have the program run backstage"));
            return None;
        }
        Some(sandbox) => RunPlace::Inside(sandbox),
        None => RunPlace::Backstage {
            of: looked_at(of, copy.is_some(), table, context).ok()?,
            copy: copy.unwrap_or_default(),
        },
    };
    Some(PhaseDefinitionKind::Run { program: program?, place })
}

/// The sandbox that a program backstage looks at: the one that is named, else the only one.
fn looked_at(
    of: Option<String>,
    copies: bool,
    table: &Table<'_>,
    context: &Context<'_>,
) -> Result<Option<String>, Reported> {
    match (of, context.sandboxes.as_slice()) {
        (None, [only]) => Ok(Some(only.name.clone())),
        (None, _) if copies => {
            let problem = table.place().diagnostic("`copy` does not say from which sandbox");
            context.report(problem.help("add `of = \"SANDBOX\"`"));
            Err(Reported)
        }
        (of, _) => Ok(of),
    }
}
