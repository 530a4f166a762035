//! Many sandboxes at once, and much output.

use std::time::Instant;

use lapwing_core::{Command, Provider as _, Sandbox, SandboxSpec};
use lapwing_sandbox::Native;

use crate::report;
use crate::system::{Kernel, anonymous_kib, peak_kib};

const CYCLES: usize = 400;
const LIVE: usize = 1000;
const OUTPUT: u64 = 10_000_000_000;

/// Creates a sandbox, runs a command in it, destroys it.
pub(crate) async fn cycle(native: &Native) {
    let sandbox = native.create(SandboxSpec::default()).await.unwrap();
    assert!(sandbox.exec(Command::new(["true"])).await.unwrap().status.success());
    sandbox.destroy().await.unwrap();
}

/// Cycles a second, with one at a time and with more.
pub(crate) async fn cycles(native: &Native) {
    for at_once in [1, 2, 8] {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..at_once)
            .map(|_| {
                let native = native.clone();
                tokio::spawn(async move {
                    for _ in 0..CYCLES / at_once {
                        cycle(&native).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rate = CYCLES as f64 / begun.elapsed().as_secs_f64();
        report(&format!("cycles a second, {at_once} at a time"), &format!("{rate:.0}"));
    }
}

/// Sandboxes that live side by side, one after the other in every step, and what an idle one takes.
pub(crate) async fn live(native: &Native) {
    let before = Kernel::read();
    let begun = Instant::now();
    let mut sandboxes: Vec<Box<dyn Sandbox>> = Vec::new();
    for _ in 0..LIVE {
        sandboxes.push(native.create(SandboxSpec::default()).await.unwrap());
    }
    let created = begun.elapsed();
    let kernel = Kernel::read().since(before) / LIVE as u64;
    let (anonymous, own) = anonymous_kib();

    let begun = Instant::now();
    for sandbox in &sandboxes {
        assert!(sandbox.exec(Command::new(["true"])).await.unwrap().status.success());
    }
    let run = begun.elapsed();
    let begun = Instant::now();
    for sandbox in sandboxes {
        sandbox.destroy().await.unwrap();
    }
    let destroyed = begun.elapsed();
    let seconds = [created, run, destroyed].map(|time| format!("{:.2}", time.as_secs_f64()));
    report(&format!("{LIVE} live: create, exec, destroy all, s"), &seconds.join(" / "));
    let own = own.map_or_else(|| "unknown".to_owned(), |own| own.to_string());
    report(
        "idle sandbox, KiB: its process's own, with shared; kernel",
        &format!("{own}, {anonymous}; {}", kernel / 1024),
    );
}

/// Output that nobody can keep.
pub(crate) async fn output(native: &Native) {
    let sandbox = native.create(SandboxSpec::default()).await.unwrap();
    let before = peak_kib();
    let begun = Instant::now();
    let spill = Command::new(["head", "-c", &OUTPUT.to_string(), "/dev/zero"]);
    let captured = sandbox.exec(spill).await.unwrap();
    assert_eq!(captured.stdout_bytes, OUTPUT);
    let seconds = begun.elapsed().as_secs_f64();
    let grown = peak_kib() - before;
    report("10 GB of output: s, harness's growth in KiB", &format!("{seconds:.1} / {grown}"));
}
