//! A rendered sample as JSON: everything that the plan holds.

use lapwing_core::{Condition, Delivery, NewFile};
use lapwing_eval::tool_spec;
use lapwing_scenario::{Codebook, Glob, PhaseKind, PhasePlan, Plan, RunPlace};
use serde_json::{Value, json};

use super::world;

/// `in_words` is the plan for a tiny model, where the condition has one.
pub(super) fn sample(
    condition: &Condition,
    seed: u64,
    plan: &Plan,
    in_words: Option<&Plan>,
) -> Value {
    let sandboxes = plan.sandboxes.iter().map(|(name, sandbox)| {
        let carry = sandbox.carry.iter();
        let carry = carry.map(|carry| json!({ "from": carry.from, "paths": globs(&carry.paths) }));
        let value = json!({
            "hostname": sandbox.hostname,
            "files": files(&sandbox.files),
            "setup": sandbox.setup,
            "carry": carry.collect::<Vec<_>>(),
            "read_only": sandbox.read_only,
            "memory_bytes": sandbox.limits.memory_bytes,
            "disk_bytes": sandbox.limits.disk_bytes,
            "beside": sandbox.beside,
            "names": sandbox.names,
            "network": sandbox.network,
            "observe": sandbox.observe,
        });
        (name.clone(), value)
    });
    let services = plan.services.iter().map(
        |service| json!({ "name": service.name, "sandbox": service.sandbox, "argv": service.argv }),
    );
    let programs = plan.programs.iter().map(
        |program| json!({ "name": program.name, "sandbox": program.sandbox, "run": program.run }),
    );
    let injections = plan.injections.iter().map(|injection| {
        json!({
            "name": injection.name,
            "deliver": delivery(&injection.deliver),
            "text": injection.text,
        })
    });
    let organism = in_words.map(|plan| {
        let codebook = plan.codebook.iter().flat_map(Codebook::lines);
        json!({
            "phases": plan.phases.iter().map(phase).collect::<Vec<_>>(),
            "codebook": codebook.collect::<Vec<_>>(),
        })
    });
    json!({
        "condition": condition,
        "seed": seed,
        "values": plan.values,
        "phases": plan.phases.iter().map(phase).collect::<Vec<_>>(),
        "organism": organism,
        "sandboxes": sandboxes.collect::<serde_json::Map<_, _>>(),
        "services": services.collect::<Vec<_>>(),
        "programs": programs.collect::<Vec<_>>(),
        "world": plan.world.iter().map(world::as_json).collect::<Vec<_>>(),
        "injections": injections.collect::<Vec<_>>(),
        "backstage": files(&plan.backstage),
    })
}

fn phase(phase: &PhasePlan) -> Value {
    let what = match &phase.kind {
        PhaseKind::Agent { sandbox, system, user, tools, nudge, turns } => json!({
            "agent": sandbox, "system": system, "user": user, "nudge": nudge, "turns": turns,
            "tools": tools.iter().filter_map(|tool| tool_spec(tool)).collect::<Vec<_>>(),
        }),
        PhaseKind::Ask { questions, fresh, times } => {
            json!({ "ask": questions, "fresh": fresh, "times": times })
        }
        PhaseKind::Run { program, place: RunPlace::Backstage { of, copy } } => {
            json!({ "run": program, "of": of, "copy": globs(copy) })
        }
        PhaseKind::Run { program, place: RunPlace::Inside(sandbox) } => {
            json!({ "run": program, "inside": sandbox })
        }
    };
    let mut all = json!({ "id": phase.id, "optional": phase.optional });
    if let (Some(all), Value::Object(what)) = (all.as_object_mut(), what) {
        all.extend(what);
    }
    all
}

fn globs(globs: &[Glob]) -> Vec<&str> {
    globs.iter().map(Glob::pattern).collect()
}

fn delivery(delivery: &Delivery) -> Value {
    match delivery {
        Delivery::User => json!("user"),
        Delivery::Mail => json!("mail"),
        Delivery::File { sandbox, path } => json!({ "sandbox": sandbox, "path": path }),
    }
}

/// Files with their text; `text` is null where the bytes are none.
fn files(files: &[NewFile]) -> Vec<Value> {
    let file = |file: &NewFile| {
        json!({
            "path": file.path,
            "mode": format!("{:o}", file.mode),
            "bytes": file.bytes.len(),
            "text": std::str::from_utf8(&file.bytes).ok(),
        })
    };
    files.iter().map(file).collect()
}
