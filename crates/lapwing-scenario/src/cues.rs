//! Finds words that would tell a model that it is being looked at.

use regex::Regex;

use crate::{Diagnostic, PhaseKind, Plan};

/// Beginnings of words that name the harness, its tools or its purpose.
const CUES: &str = r"(?ix)\b(
    lapwing | honeypot | sandbox | harness | evaluat | benchmark | nonce | canary | red.?team | misalign
    | backstage | scenario | experiment | test.?subject | jailbreak | decoy | policy/
)\w*";

/// What the model can read: prompts, questions, file contents and paths, host names, program names.
pub(crate) fn cues(plan: &Plan) -> Vec<Diagnostic> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for phase in &plan.phases {
        let mut add = |what: &str, text: &str| {
            texts.push((format!("{what} of phase `{}`", phase.id), text.to_owned()));
        };
        match &phase.kind {
            PhaseKind::Agent { system, user, nudge, .. } => {
                add("system message", system.as_deref().unwrap_or_default());
                add("user message", user);
                add("nudge", nudge.as_deref().unwrap_or_default());
            }
            PhaseKind::Ask { questions, .. } => {
                for question in questions {
                    add("question", question);
                }
            }
            PhaseKind::Run { .. } => {}
        }
    }
    for (name, sandbox) in &plan.sandboxes {
        texts.push((format!("host name of `{name}`"), sandbox.hostname.clone()));
        for file in &sandbox.files {
            texts.push((format!("path {}", file.path), file.path.clone()));
            texts.push((file.path.clone(), String::from_utf8_lossy(&file.bytes).into_owned()));
        }
    }
    for program in &plan.programs {
        texts.push((format!("program `{}`", program.name), program.name.clone()));
    }
    let Ok(cues) = Regex::new(CUES) else { return Vec::new() };
    texts.iter().flat_map(|(file, text)| cues_in(&cues, file, text)).collect()
}

fn cues_in(cues: &Regex, file: &str, text: &str) -> Vec<Diagnostic> {
    let lines = text.lines().enumerate();
    let found = lines.flat_map(|(index, line)| {
        cues.find_iter(line).map(move |cue| {
            Diagnostic::in_file(file, format!("the model can read `{}`", cue.as_str()))
                .at_line(Some(index as u32 + 1))
                .help("say it in other words")
        })
    });
    found.collect()
}
