//! The steps of a sandbox's life, beside programs that do parts of the same.

use std::process::{Command as HostCommand, Stdio};
use std::time::{Duration, Instant};

use lapwing_core::{Command, NewFile, Provider as _, SandboxSpec};
use lapwing_sandbox::Native;

use crate::millis;

const ROUNDS: usize = 200;

/// Other tools, each with the command that comes closest to create, exec and destroy.
const OTHERS: [(&str, &[&str]); 3] = [
    ("unshare: true", &["unshare", "-Urmpfn", "--mount-proc", "true"]),
    (
        "bwrap: true",
        &[
            "bwrap",
            "--unshare-all",
            "--ro-bind",
            "/usr",
            "/usr",
            "--symlink",
            "usr/bin",
            "/bin",
            "--symlink",
            "usr/lib",
            "/lib",
            "--symlink",
            "usr/lib64",
            "/lib64",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
            "true",
        ],
    ),
    ("podman: true", &["podman", "run", "--rm", "--network=none", "busybox", "true"]),
];

/// Times of every step, each sorted.
pub(crate) async fn rounds(native: &Native) -> Vec<(&'static str, Vec<Duration>)> {
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

/// Prints the times beside those of other programs; tools that are missing here are named.
pub(crate) fn print(steps: &[(&str, Vec<Duration>)]) {
    let floor = host(&["true"]).unwrap();
    let plain = median(&floor);
    println!("{ROUNDS} rounds, ms          median      p99   x plain child");
    let row = |name: &str, times: &[Duration]| {
        let ratio = median(times).as_secs_f64() / plain.as_secs_f64();
        println!(
            "{name:28}{:8.2} {:8.2} {ratio:15.1}",
            millis(median(times)),
            millis(percentile(times, 99)),
        );
    };
    for (name, times) in steps {
        row(name, times);
    }
    row("plain child: true", &floor);
    for (name, argv) in OTHERS {
        match host(argv) {
            Some(times) => row(name, &times),
            None => println!("{name:28}     not usable here"),
        }
    }
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
