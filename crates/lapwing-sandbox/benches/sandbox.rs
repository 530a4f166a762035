//! What a sandbox costs, beside a plain child process and `unshare` in the same run.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::process::{Command as HostCommand, Stdio};
use std::time::{Duration, Instant};

use lapwing_core::{Command, NewFile, Provider as _, SandboxSpec};
use lapwing_sandbox::Native;

const ROUNDS: usize = 200;

fn main() {
    lapwing_sandbox::entry();
    let native = Native::start().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let steps = runtime.block_on(rounds(&native));
    let floor = host(&["true"]).unwrap();
    let unshare = host(&["unshare", "-Urmpfn", "--mount-proc", "true"]);

    println!("{ROUNDS} rounds, ms          median      p99   x plain child");
    let plain = median(&floor);
    let rows = steps.iter().map(|(name, times)| (*name, times));
    let beside = [("plain child: true", Some(&floor)), ("unshare: true", unshare.as_ref())];
    for (name, times) in
        rows.chain(beside.into_iter().filter_map(|(name, times)| Some((name, times?))))
    {
        let ratio = median(times).as_secs_f64() / plain.as_secs_f64();
        println!(
            "{name:28}{:8.2} {:8.2} {ratio:15.1}",
            millis(median(times)),
            millis(percentile(times, 99)),
        );
    }
}

/// Times of every step of a sandbox's life, each sorted.
async fn rounds(native: &Native) -> Vec<(&'static str, Vec<Duration>)> {
    let names =
        ["create", "put 1 KiB", "exec true", "manifest", "destroy", "create, exec, destroy"];
    let mut times: Vec<(&str, Vec<Duration>)> =
        names.into_iter().map(|name| (name, Vec::with_capacity(ROUNDS))).collect();
    for _ in 0..ROUNDS {
        let mut laps = vec![Instant::now()];
        let sandbox = native.create(SandboxSpec::default()).await.unwrap();
        laps.push(Instant::now());
        let file = NewFile { path: "/home/agent/a".to_owned(), bytes: vec![7; 1024], mode: 0o644 };
        sandbox.put(vec![file]).await.unwrap();
        laps.push(Instant::now());
        assert!(sandbox.exec(Command::new(["true"])).await.unwrap().status.success());
        laps.push(Instant::now());
        sandbox.manifest().await.unwrap();
        laps.push(Instant::now());
        sandbox.destroy().await.unwrap();
        laps.push(Instant::now());
        let steps: Vec<Duration> = laps.windows(2).map(|lap| lap[1] - lap[0]).collect();
        let whole = steps[0] + steps[2] + steps[4];
        for ((_, times), step) in times.iter_mut().zip(steps.into_iter().chain([whole])) {
            times.push(step);
        }
    }
    for (_, times) in &mut times {
        times.sort_unstable();
    }
    times
}

/// Times of a command of the host, sorted; `None` if it cannot be run here.
fn host(argv: &[&str]) -> Option<Vec<Duration>> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut command = HostCommand::new(argv[0]);
        let status = command.args(&argv[1..]).stderr(Stdio::null()).status().ok()?;
        if !status.success() {
            return None;
        }
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Some(times)
}

fn median(sorted: &[Duration]) -> Duration {
    percentile(sorted, 50)
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
