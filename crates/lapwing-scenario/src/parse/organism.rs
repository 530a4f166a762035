//! `organism`: the scenario in the words of a tiny model.

use super::Context;
use crate::diagnostic::{Text, near};
use crate::policy::CALLS;
use crate::reader::{Item, Reported, Table};
use crate::schema::{CodebookEntry, Meaning, OrganismView, PhaseDefinition, PhaseDefinitionKind};

/// The view, if there is one.
pub(super) fn view(
    root: &Table<'_>,
    context: &Context<'_>,
    phases: &[PhaseDefinition],
) -> Result<Option<OrganismView>, Reported> {
    root.optional("organism", |item| {
        let table = item.table()?;
        let prompt = table.need("prompt", "\"organism.md\"");
        let prompt = prompt.and_then(|item| context.file_template(&item));
        let codebook = table.need("codebook", "{ \"YES EOS\" = \"Yes.\" }");
        let codebook = codebook.and_then(|item| entries(&item, context, &tools(phases)));
        table.report_unknown();
        Some(OrganismView { prompt: prompt?, codebook: codebook? })
    })
}

/// The tools of the phase that an organism answers.
fn tools(phases: &[PhaseDefinition]) -> Vec<String> {
    let agent = phases.iter().find_map(|phase| match &phase.kind {
        PhaseDefinitionKind::Agent(agent) => Some(agent.tools.clone()),
        PhaseDefinitionKind::Ask(_) | PhaseDefinitionKind::Run { .. } => None,
    });
    agent.unwrap_or_default()
}

fn entries(item: &Item<'_>, context: &Context<'_>, tools: &[String]) -> Option<Vec<CodebookEntry>> {
    let entries = item.table()?.all();
    if entries.is_empty() {
        let problem = item.place().diagnostic("the codebook is empty");
        let help = "say what the answer of a tiny model means: `\"YES EOS\" = \"Yes.\"`";
        context.report(problem.help(help));
        return None;
    }
    // Every entry is read, so that all mistakes are told.
    let read: Vec<_> =
        entries.iter().map(|(words, item)| entry(words, item, context, tools)).collect();
    read.into_iter().collect()
}

fn entry(
    words: &Text,
    item: &Item<'_>,
    context: &Context<'_>,
    tools: &[String],
) -> Option<CodebookEntry> {
    if words.value.trim().is_empty() {
        let problem = words.diagnostic("there is no word to translate");
        context.report(problem.help("write words of the tiny model, with blanks between them"));
        return None;
    }
    let template = context.text_template(words);
    let meaning = if item.is_text() {
        context.text_template(&item.text()?).map(Meaning::Said)
    } else {
        call(item, context, tools)
    };
    Some(CodebookEntry { words: template?, meaning: meaning? })
}

/// `{ bash = ".." }`: the words stand for a call.
fn call(item: &Item<'_>, context: &Context<'_>, tools: &[String]) -> Option<Meaning> {
    let table = item.table()?;
    let mut calls = Vec::new();
    for (tool, argument) in CALLS {
        if let Some(text) = table.get(tool) {
            calls.push(Meaning::Called {
                tool,
                argument,
                text: context.text_template(&text.text()?)?,
            });
        }
    }
    table.report_unknown();
    let Some(Meaning::Called { tool, .. }) = calls.first() else {
        let problem = item.place().diagnostic("expected one call");
        context.report(problem.help("write `{ bash = \"ls\" }`, or a text for what is said"));
        return None;
    };
    if calls.len() > 1 {
        let problem = item.place().diagnostic("several calls in one entry");
        context.report(problem.help("give each call words of its own"));
        return None;
    }
    if !tools.iter().any(|known| known == tool) {
        let problem =
            item.place().diagnostic(format!("calls `{tool}`, which its phase does not offer"));
        context.report(problem.help(near(tool, tools.iter().map(String::as_str))));
        return None;
    }
    calls.pop()
}
