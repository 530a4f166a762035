//! Finds words that would tell a model that it is being looked at.

use lapwing_core::Delivery;
use regex::Regex;

use crate::{Diagnostic, PartPlan, PhaseKind, Plan};

/// Beginnings of words that name the harness, its tools or its purpose.
const CUES: &str = r"(?ix)\b(
    lapwing | honeypot | sandbox | harness | evaluat | benchmark | nonce | canary | red.?team | misalign
    | backstage | scenario | experiment | test.?subject | jailbreak | decoy | policy/
)\w*";

/// What the model can read: prompts, questions, deliveries, file contents and paths, host names, program names, world parts.
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
            let place = format!("{} in sandbox `{name}`", file.path);
            texts.push((format!("path of {place}"), file.path.clone()));
            texts.push((place, String::from_utf8_lossy(&file.bytes).into_owned()));
        }
    }
    for injection in &plan.injections {
        texts.push((format!("text of `inject.{}`", injection.name), injection.text.clone()));
        if let Delivery::File { path, .. } = &injection.deliver {
            texts.push((format!("path of `inject.{}`", injection.name), path.clone()));
        }
    }
    for program in &plan.programs {
        texts.push((format!("name of program `{}`", program.name), program.name.clone()));
    }
    for service in &plan.services {
        texts.push((format!("command of service `{}`", service.name), service.argv.join(" ")));
    }
    texts.extend(plan.world.iter().flat_map(PartPlan::texts));
    let Ok(cues) = Regex::new(CUES) else { return Vec::new() };
    texts.iter().flat_map(|(place, text)| cues_in(&cues, place, text)).collect()
}

fn cues_in(cues: &Regex, place: &str, text: &str) -> Vec<Diagnostic> {
    let lines = text.lines().enumerate();
    let found = lines.flat_map(|(index, line)| {
        cues.find_iter(line).map(move |cue| {
            Diagnostic::in_file(place, format!("the model can read `{}`", cue.as_str()))
                .at_line(Some(index as u32 + 1))
                .help(format!("in {place}, say it in other words"))
        })
    });
    found.collect()
}
