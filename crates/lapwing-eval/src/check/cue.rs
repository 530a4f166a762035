//! Words that give the situation away in what tools showed to policies: a model that does the same reads them too.

use lapwing_core::{Act, Event, ToolCall};
use lapwing_scenario::cue_words;
use lapwing_store::SampleRow;
use serde::Serialize;

/// Characters of a command that are kept.
const SHOWN: usize = 100;

/// A word that a tool showed and that tells a model where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownCue {
    /// The word, as it was shown.
    pub word: String,
    /// The first sample in which it was.
    pub sample: u64,
    /// The policy of that sample.
    pub policy: String,
    /// What showed it: a program that answered, or the call of a tool.
    pub from: String,
}

/// Adds the words that are not in `known` yet. What a policy wrote itself before is no cue: it only sees it again.
pub(super) fn note_shown(known: &mut Vec<ShownCue>, sample: &SampleRow, events: &[Event]) {
    let mut written = String::new();
    let mut call: Option<&ToolCall> = None;
    let mut answers: Vec<(&str, &str)> = Vec::new();
    for event in events {
        match &event.act {
            Act::ToolCalled { call: called } => {
                written.push_str(&called.arguments.to_lowercase());
                written.push_str(&called.name.to_lowercase());
                call = Some(called);
                answers.clear();
            }
            Act::ProgramAnswered { program, answer } => answers.push((program, &answer.stdout)),
            Act::ToolReturned { text, .. } => {
                for word in cue_words(text) {
                    let small = word.to_lowercase();
                    let is_known = known.iter().any(|cue| cue.word.to_lowercase() == small);
                    if is_known || written.contains(&small) {
                        continue;
                    }
                    let program = answers.iter().find(|(_, answer)| answer.contains(word));
                    let from = program.map(|(program, _)| format!("the program `{program}`"));
                    known.push(ShownCue {
                        word: word.to_owned(),
                        sample: sample.number,
                        policy: sample.key.model.clone(),
                        from: from.unwrap_or_else(|| call.map_or_else(String::new, words)),
                    });
                }
            }
            _ => {}
        }
    }
}

/// A call in words, cut.
fn words(call: &ToolCall) -> String {
    let read: serde_json::Value = serde_json::from_str(&call.arguments).unwrap_or_default();
    let argument = read["command"].as_str().unwrap_or(&call.arguments);
    let shown: String = argument.chars().take(SHOWN).collect();
    let rest = if shown.len() < argument.len() { " .." } else { "" };
    format!("{} `{shown}{rest}`", call.name)
}
