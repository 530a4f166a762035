//! What a run costs beside a bare HTTP client in the same benchmark: processor time a call, memory, samples in flight, commands in
//! sandboxes, and how long a user waits for the first and the last thing he asks.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

#[path = "engine/endpoint.rs"]
mod endpoint;
#[path = "engine/inspect.rs"]
mod inspect;
#[path = "engine/large.rs"]
mod large;
#[path = "engine/process.rs"]
mod process;
#[path = "engine/scenario.rs"]
mod scenario;

use std::path::Path;
use std::time::Duration;

use endpoint::Endpoint;
use process::{Cost, lapwing, measure};

/// Calls of one sample of the scenario that only asks.
const CALLS: u64 = 6;

fn main() {
    if let Ok(role) = std::env::var(endpoint::ROLE) {
        return endpoint::play(&role);
    }
    // Names of parts as arguments; all of them without any.
    let asked: Vec<String> =
        std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|name| name == part);
    let dir = tempfile::tempdir().unwrap();
    scenario::write(dir.path());
    if wanted("calls") {
        calls(dir.path());
    }
    if wanted("flight") {
        flight(dir.path());
    }
    if wanted("commands") {
        commands(dir.path());
    }
    if wanted("waiting") {
        waiting(dir.path());
    }
}

fn report(name: &str, value: &str) {
    println!("{name:58} {value}");
}

/// Processor time a call: ours with everything on record, and a bare client's that sends and reads the same.
fn calls(dir: &Path) {
    const SAMPLES: u64 = 1000;
    let endpoint = Endpoint::start(Duration::ZERO);
    let n_calls = SAMPLES * CALLS;
    for round in 1..=3 {
        let bare = endpoint::client(&endpoint, n_calls, 16).cpu;
        let idle = eval(dir, &endpoint, 1, 16).cpu;
        let ours = eval(dir, &endpoint, SAMPLES, 16).cpu.saturating_sub(idle);
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e3 / n_calls as f64;
        report(
            &format!("CPU a call, round {round}: lapwing / bare client / ratio"),
            &format!(
                "{:.3} ms / {:.3} ms / {:.2}",
                each(ours),
                each(bare),
                ours.as_secs_f64() / bare.as_secs_f64()
            ),
        );
    }
    match inspect::cpu_a_call(dir, &endpoint) {
        Some(cpu) => report("CPU a call: Inspect", &format!("{:.2} ms", cpu.as_secs_f64() * 1e3)),
        None => report("CPU a call: Inspect", "not installed (LAPWING_INSPECT names its python)"),
    }
}

/// Memory with many samples in flight.
fn flight(dir: &Path) {
    let quick = Endpoint::start(Duration::from_millis(20));
    let cost = eval(dir, &quick, 2000, 200);
    report("2,000 samples, 200 in flight: peak memory", &format!("{} MB", cost.peak_kib / 1024));
    let slow = Endpoint::start(Duration::from_secs(1));
    let cost = eval(dir, &slow, 10_000, 10_000);
    let calls = 10_000 * CALLS;
    report(
        "10,000 in flight, 1 s a call: wall / calls a second / peak",
        &format!(
            "{:.1} s / {:.0} / {} MB",
            cost.wall.as_secs_f64(),
            calls as f64 / cost.wall.as_secs_f64(),
            cost.peak_kib / 1024
        ),
    );
}

/// Processor time of a sample that runs five commands, sandboxes and what runs in them included.
fn commands(dir: &Path) {
    const SAMPLES: u64 = 200;
    let args = |seeds: u64| {
        let seeds = seeds.to_string();
        let mut command = lapwing(dir);
        command.args(["eval", "./commands", "--json", "--model", "policy/always", "--seeds"]);
        command.arg(seeds);
        command
    };
    let Some(idle) = process::cpu_of_tree(&mut args(1)) else {
        return report(
            "five commands in a sandbox",
            "no group for processor time can be made here",
        );
    };
    let all = process::cpu_of_tree(&mut args(SAMPLES)).unwrap_or_default();
    let each = all.saturating_sub(idle).as_secs_f64() * 1e3 / (SAMPLES - 1) as f64;
    report("CPU of a sample with five commands, all processes", &format!("{each:.1} ms"));
}

/// What a user waits for.
fn waiting(dir: &Path) {
    let version = || {
        let mut command = lapwing(dir);
        command.arg("--version");
        measure(&mut command).wall
    };
    let mut walls: Vec<Duration> = (0..21).map(|_| version()).collect();
    walls.sort();
    report("lapwing --version: median", &format!("{:.1} ms", walls[10].as_secs_f64() * 1e3));
    let bytes = large::write(dir);
    let page = || {
        let mut command = lapwing(dir);
        command.args(["show", "large", "1", "--last", "200"]);
        measure(&mut command).wall
    };
    let mut walls: Vec<Duration> = (0..11).map(|_| page()).collect();
    walls.sort();
    report(
        &format!("last 200 events of a sample of {} MB: median", bytes / 1_000_000),
        &format!("{:.1} ms", walls[5].as_secs_f64() * 1e3),
    );
}

fn eval(dir: &Path, endpoint: &Endpoint, seeds: u64, at_a_time: u64) -> Cost {
    let mut command = lapwing(dir);
    command.env("OPENAI_BASE_URL", endpoint.url()).env("OPENAI_API_KEY", "none");
    command.args(["eval", "./questions", "--json", "--model", "openai/bench"]);
    let at_a_time = at_a_time.to_string();
    command.args(["--seeds", &seeds.to_string(), "--max-samples", &at_a_time]);
    command.args(["--max-connections", &at_a_time]);
    measure(&mut command)
}
