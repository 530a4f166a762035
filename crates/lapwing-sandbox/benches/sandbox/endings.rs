//! What is left when a harness is killed, and after thousands of sandboxes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command as HostCommand, Stdio};
use std::time::{Duration, Instant};

use lapwing_core::{Command, Provider as _, SandboxSpec};
use lapwing_sandbox::Native;

use crate::load::cycle;
use crate::report;
use crate::system::{Identity, descendants, processes, resident_kib};

const HOLD: &str = "--hold=";
const SOAK: usize = 10_000;

/// How many sandboxes this process is to hold until it is killed.
pub(crate) fn asked_to_hold() -> Option<usize> {
    std::env::args().find_map(|argument| argument.strip_prefix(HOLD)?.parse().ok())
}

/// Such a process: two services in each sandbox, whose pid namespaces it tells.
pub(crate) async fn hold(native: &Native, count: usize) {
    let mut sandboxes = Vec::new();
    for _ in 0..count {
        let sandbox = native.create(SandboxSpec::default()).await.unwrap();
        for name in ["first", "second"] {
            sandbox.start(name, Command::new(["sleep", "1000"])).await.unwrap();
        }
        let name = sandbox.exec(Command::new(["readlink", "/proc/self/ns/pid"])).await.unwrap();
        print!("{}", String::from_utf8(name.stdout).unwrap());
        sandboxes.push(sandbox);
    }
    println!("ready");
    std::future::pending::<()>().await;
}

/// Kills a harness that has `count` sandboxes and waits until no process of theirs is left.
pub(crate) fn killed(count: usize) {
    let mut harness = HostCommand::new(std::env::current_exe().unwrap())
        .arg(format!("{HOLD}{count}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(harness.stdout.take().unwrap()).lines().map(Result::unwrap);
    let held: BTreeSet<String> = lines.take_while(|line| line != "ready").collect();
    assert_eq!(held.len(), count);
    // Pid 1 tells its namespace to root only, so it counts by itself.
    let family = descendants(harness.id());
    let family: BTreeSet<Identity> = processes()
        .into_iter()
        .map(|(identity, _)| identity)
        .filter(|identity| family.contains(&identity.0))
        .collect();
    let left = || {
        let inside = |(identity, name): &(Identity, Option<String>)| {
            family.contains(identity) || name.as_ref().is_some_and(|name| held.contains(name))
        };
        processes().iter().filter(|process| inside(process)).count()
    };
    assert!(left() > 3 * count, "{} processes", left());
    harness.kill().unwrap();
    let begun = Instant::now();
    harness.wait().unwrap();
    while left() > 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "{} processes live on", left());
    }
    let millis = crate::millis(begun.elapsed());
    report(&format!("harness killed, {count} live: ms to no process"), &format!("{millis:.0}"));
}

/// Processes below this one, descriptors and mounts.
fn held() -> [usize; 3] {
    [
        descendants(std::process::id()).len(),
        fs::read_dir("/proc/self/fd").unwrap().count(),
        fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count(),
    ]
}

/// Thousands of sandboxes, one after the other, after which nothing may be held that was not held before.
pub(crate) async fn soak(native: &Native) {
    for _ in 0..100 {
        cycle(native).await;
    }
    let (before, resident) = (held(), resident_kib());
    let begun = Instant::now();
    for _ in 0..SOAK {
        cycle(native).await;
    }
    let rate = SOAK as f64 / begun.elapsed().as_secs_f64();
    let released = tokio::time::timeout(Duration::from_mins(1), async {
        while held().iter().zip(before).any(|(now, then)| *now > then) {
            tokio::task::yield_now().await;
        }
    });
    assert!(released.await.is_ok(), "{before:?} held before, {:?} after", held());
    let grown = resident_kib().saturating_sub(resident);
    report(
        &format!("{SOAK} cycles: a second, harness's growth in KiB"),
        &format!("{rate:.0} / {grown}"),
    );
}
