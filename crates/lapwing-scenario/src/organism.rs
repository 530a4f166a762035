//! The `organism` view: a scenario in the words of a tiny model that only continues a text.
//!
//! It is asked once, with a prompt in its own words, and its answer is translated word by word. What a scenario asks besides, in
//! further turns and phases, is left out.

use lapwing_core::{Condition, Delivery, Part, ToolCall};
use serde_json::{Map, Value, json};

use crate::schema::{Definition, Meaning, OrganismView};
use crate::{Diagnostic, PhaseKind, PhasePlan, Plan, plan};

/// What a tiny model's words mean in a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codebook {
    /// In the order of the file.
    entries: Vec<(Vec<String>, Meant)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    Said(String),
    Called { tool: &'static str, arguments: String },
}

/// The plan of a sample in which a tiny model is asked; `None` if the condition cannot be put into its words.
pub(crate) fn organism_plan(
    definition: &Definition,
    condition: &Condition,
    seed: u64,
) -> Result<Option<Plan>, Diagnostic> {
    let Some(view) = &definition.organism else { return Ok(None) };
    let mut plan = plan::plan(definition, condition, seed)?;
    let prompt = view.prompt.render(&plan.values)?;
    let prompt = prompt.split_whitespace().collect::<Vec<_>>().join(" ");
    if prompt.is_empty() {
        return Ok(None);
    }
    plan.codebook = Some(codebook(view, &plan.values)?);
    plan.phases = phases(plan.phases, &prompt);
    plan.injections.retain(|injection| injection.deliver != Delivery::User);
    Ok(Some(plan))
}

fn codebook(view: &OrganismView, values: &Map<String, Value>) -> Result<Codebook, Diagnostic> {
    let entries = view.codebook.iter().map(|entry| {
        let words = entry.words.render(values)?.split_whitespace().map(str::to_owned).collect();
        let meant = match &entry.meaning {
            Meaning::Said(text) => Meant::Said(text.render(values)?.trim().to_owned()),
            Meaning::Called { tool, argument, text } => {
                let arguments = json!({ *argument: text.render(values)? }).to_string();
                Meant::Called { tool, arguments }
            }
        };
        Ok((words, meant))
    });
    let entries = entries.collect::<Result<Vec<(Vec<String>, Meant)>, Diagnostic>>()?;
    Ok(Codebook { entries: entries.into_iter().filter(|(words, _)| !words.is_empty()).collect() })
}

/// The first phase of an agent, else the first of questions, with `prompt` for its words; and the programs that look at what was left.
fn phases(phases: Vec<PhasePlan>, prompt: &str) -> Vec<PhasePlan> {
    let is_agent = |phase: &PhasePlan| matches!(phase.kind, PhaseKind::Agent { .. });
    let is_run = |phase: &PhasePlan| matches!(phase.kind, PhaseKind::Run { .. });
    let asked = phases.iter().find(|phase| is_agent(phase));
    let asked = asked.or_else(|| phases.iter().find(|phase| !is_run(phase)));
    let asked = asked.map(|phase| phase.id.clone());
    let mut phases = phases;
    phases.retain(|phase| is_run(phase) || Some(&phase.id) == asked.as_ref());
    for phase in &mut phases {
        match &mut phase.kind {
            PhaseKind::Agent { system, user, nudge, .. } => {
                (*system, *nudge) = (None, None);
                prompt.clone_into(user);
            }
            PhaseKind::Ask { questions, times, .. } => {
                *questions = vec![prompt.to_owned()];
                *times = 1;
            }
            PhaseKind::Run { .. } => {}
        }
    }
    phases
}

impl Codebook {
    /// The turn that `answer` stands for. At each word the longest entry counts, of equal ones the first; a word that is in none is
    /// said as it is.
    pub fn translate(&self, answer: &str) -> Vec<Part> {
        let words: Vec<&str> = answer.split_whitespace().collect();
        let (mut parts, mut said, mut at, mut n_calls) = (Vec::new(), Vec::new(), 0, 0);
        while let Some(word) = words.get(at) {
            match self.longest(&words[at..]) {
                None => {
                    said.push(*word);
                    at += 1;
                }
                Some((known, Meant::Said(text))) => {
                    said.extend((!text.is_empty()).then_some(text.as_str()));
                    at += known.len();
                }
                Some((known, Meant::Called { tool, arguments })) => {
                    flush(&mut said, &mut parts);
                    n_calls += 1;
                    parts.push(Part::ToolCall(ToolCall {
                        id: format!("call_{n_calls}"),
                        name: (*tool).to_owned(),
                        arguments: arguments.clone(),
                    }));
                    at += known.len();
                }
            }
        }
        flush(&mut said, &mut parts);
        parts
    }

    /// What is in it, one entry a line: the words and what they mean.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|(words, meant)| {
            let words = words.join(" ");
            match meant {
                Meant::Said(text) if text.is_empty() => format!("{words}: nothing"),
                Meant::Said(text) => format!("{words}: {text:?}"),
                Meant::Called { tool, arguments } => format!("{words}: {tool} {arguments}"),
            }
        })
    }

    /// The longest entry that `words` begin with.
    fn longest(&self, words: &[&str]) -> Option<&(Vec<String>, Meant)> {
        let fits = |(known, _): &&(Vec<String>, Meant)| {
            known.len() <= words.len() && known.iter().zip(words).all(|(known, word)| known == word)
        };
        // Of equal ones `max_by_key` takes the last.
        self.entries.iter().rev().filter(fits).max_by_key(|(known, _)| known.len())
    }
}

fn flush(said: &mut Vec<&str>, parts: &mut Vec<Part>) {
    if !said.is_empty() {
        parts.push(Part::Text { text: said.join(" ") });
        said.clear();
    }
}
