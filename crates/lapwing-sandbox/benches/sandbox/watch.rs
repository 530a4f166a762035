//! What standing beside another sandbox, being recorded and a sinkhole cost.

use std::time::{Duration, Instant};

use lapwing_core::{Command, Network, Observe, Provider as _, Sandbox, SandboxSpec};
use lapwing_sandbox::Native;

use crate::{millis, report};

const ROUNDS: usize = 100;
/// Programs run, or connections made, by one command.
const CALLS: usize = 300;

/// Prints medians.
pub(crate) async fn print(native: &Native) {
    let spec = SandboxSpec::default;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let network = native.beside(Network::Loopback).await.unwrap();
        let held = Instant::now();
        let one = network.create(spec()).await.unwrap();
        let first = Instant::now();
        let other = network.create(spec()).await.unwrap();
        let second = Instant::now();
        one.destroy().await.unwrap();
        other.destroy().await.unwrap();
        for (times, time) in times.iter_mut().zip([held - begun, first - held, second - first]) {
            times.push(time);
        }
    }
    let names = ["hold a network", "create on it", "create beside another"];
    for (name, mut times) in names.into_iter().zip(times) {
        times.sort_unstable();
        let value =
            format!("{:.2} / {:.2}", millis(times[ROUNDS / 2]), millis(times[ROUNDS * 99 / 100]));
        report(&format!("{name}, ms, median / p99"), &value);
    }

    let execs = format!("for i in $(seq {CALLS}); do /bin/true; done");
    let exec = Observe { exec: true, connect: false };
    each("a program is run", &execs, SandboxSpec { observe: exec, ..spec() }, native).await;
    let connects = |to: &str| {
        format!(
            "use Socket; $a = sockaddr_in(80, inet_aton('{to}')); \
             for (1..{CALLS}) {{ socket(S, PF_INET, SOCK_STREAM, 0); connect(S, $a); close S }}"
        )
    };
    let connects = |to: &str| format!("perl -e \"{}\"", connects(to).replace('$', "\\$"));
    let connect = Observe { exec: false, connect: true };
    let watched = SandboxSpec { observe: connect, ..spec() };
    each("a connection is refused", &connects("127.0.0.1"), watched, native).await;
    let sunk = SandboxSpec { network: Network::Sinkhole, ..spec() };
    each("a connection is taken", &connects("192.0.2.1"), sunk, native).await;
}

/// The time of one call in a sandbox as usual and in one of `spec`.
async fn each(name: &str, script: &str, spec: SandboxSpec, native: &Native) {
    let usual = native.create(SandboxSpec::default()).await.unwrap();
    let recorded = native.create(spec).await.unwrap();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        without.push(time(&*usual, script).await);
        with.push(time(&*recorded, script).await);
        recorded.observed().await.unwrap();
    }
    without.sort_unstable();
    with.sort_unstable();
    let [without, with] = [without[4], with[4]].map(|time| millis(time) / CALLS as f64);
    report(&format!("{name}, ms: as usual, recorded"), &format!("{without:.3}, {with:.3}"));
}

async fn time(sandbox: &dyn Sandbox, script: &str) -> Duration {
    let begun = Instant::now();
    sandbox.exec(Command::new(["bash", "-c", script])).await.unwrap();
    begun.elapsed()
}
