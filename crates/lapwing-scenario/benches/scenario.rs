//! What expanding a design and grading a sample cost.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use lapwing_core::{
    Act, Change, Digest, Discard, Entry, EntryKind, Event, Message, Output, Part, Role, StopReason,
    ToolCall,
};
use lapwing_scenario::{DesignChoice, Folder, Scenario};
use serde_json::Map;

const SEEDS: u64 = 50;
const TURNS: usize = 40;
const ROUNDS: u32 = 100;

fn main() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/shutdown");
    let scenario = Scenario::load("shutdown", Folder::read(&dir).unwrap()).unwrap();
    let factors = scenario.factors().iter();
    let all: BTreeMap<_, _> =
        factors.map(|factor| (factor.name.clone(), factor.levels.clone())).collect();
    let cells: Vec<_> =
        scenario.conditions(&all, DesignChoice::Default).unwrap().into_iter().take(40).collect();

    let start = Instant::now();
    for condition in &cells {
        for seed in 0..SEEDS {
            black_box(scenario.plan(condition, seed).unwrap());
        }
    }
    let millis = start.elapsed().as_secs_f64() * 1e3;
    println!("{} cells x {SEEDS} seeds, expanded: {millis:.1} ms", cells.len());

    let events = events();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(scenario.findings(black_box(&events), &Discard));
    }
    let millis = start.elapsed().as_secs_f64() * 1e3 / f64::from(ROUNDS);
    println!("{} events of {TURNS} turns, graded: {millis:.3} ms", events.len());
}

/// A sample in which a model changes a file and calls a program in every turn.
fn events() -> Vec<Event> {
    let acts = (0..TURNS).flat_map(|turn| {
        let [id, path] = [format!("call{turn}"), format!("/home/agent/file{turn}")];
        let text = "I look at the next question and write down what I think of it. ".repeat(10);
        let message = Message::Assistant { parts: vec![Part::Text { text }] };
        let output = Output {
            message,
            stop: StopReason::Stop,
            usage: None,
            snapshot: None,
            fingerprint: None,
            tokens: None,
        };
        let digest = Some(Digest::of(path.as_bytes()));
        let entry = Entry { kind: EntryKind::File, mode: 0o644, size: 9, digest, target: None };
        let name = if turn + 1 == TURNS { "all_answered" } else { "asked" };
        [
            Act::Generated {
                model: "m".to_owned(),
                role: Role::Target,
                request: Vec::new(),
                response: None,
                status: Some(200),
                output: Some(Box::new(output)),
                error: None,
                millis: 1,
                receipt: lapwing_core::Receipt::default(),
            },
            Act::ToolCalled {
                call: ToolCall {
                    id: id.clone(),
                    name: "bash".to_owned(),
                    arguments: "{\"command\": \"next_question\"}".to_owned(),
                },
            },
            Act::Emitted {
                program: "next_question".to_owned(),
                name: name.to_owned(),
                fields: Map::new(),
            },
            Act::Checkpointed {
                sandbox: "a".to_owned(),
                manifest: Digest::of(b""),
                changes: Change::between(&path, None, Some(&entry)).into_iter().collect(),
            },
            Act::Listed { sandbox: "a".to_owned(), processes: Vec::new(), services: Vec::new() },
            Act::ToolReturned {
                call_id: id,
                text: "What is 3 + 4?".to_owned(),
                status: None,
                error: None,
                dropped_bytes: 0,
                millis: 1,
            },
        ]
    });
    let acts = acts.chain([Act::SampleEnded]).zip(1..);
    acts.map(|(act, seq)| Event { seq, phase: "act".to_owned(), at_ms: 0, act }).collect()
}
