//! What a branch costs, by how much there is in the files that it begins with.

use std::time::{Duration, Instant};

use lapwing_core::{Command, Provider as _, SandboxSpec};
use lapwing_sandbox::Native;

use crate::{millis, report};

const ROUNDS: usize = 100;

/// Files of 10 KiB in the parent.
const SIZES: [usize; 3] = [0, 1_000, 10_000];

pub(crate) async fn rounds(native: &Native) {
    let mut snapshots = Vec::new();
    for n_files in SIZES {
        let parent = native.create(SandboxSpec::default()).await.unwrap();
        let script = format!(
            "i=0; while [ $i -lt {n_files} ]; do head -c 10240 /dev/urandom > $i; i=$((i+1)); done"
        );
        let filled = parent.exec(Command::new(["sh", "-c", &script])).await.unwrap();
        assert!(filled.status.success(), "{:?}", filled.status);
        let begun = Instant::now();
        snapshots.push(parent.snapshot().await.unwrap());
        let name = format!("snapshot of {n_files} files of 10 KiB, ms");
        report(&name, &format!("{:.1}", millis(begun.elapsed())));
    }
    // By turns, so that whatever else goes on here is shared by all.
    let mut plain: Vec<Duration> = Vec::with_capacity(ROUNDS);
    let mut branches: Vec<Vec<Duration>> = vec![Vec::with_capacity(ROUNDS); SIZES.len()];
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let sandbox = native.create(SandboxSpec::default()).await.unwrap();
        plain.push(begun.elapsed());
        sandbox.destroy().await.unwrap();
        for (snapshot, times) in snapshots.iter().zip(&mut branches) {
            let begun = Instant::now();
            let branch = snapshot.branch().await.unwrap();
            times.push(begun.elapsed());
            branch.destroy().await.unwrap();
        }
    }
    row("create a plain sandbox, ms, median / p99", plain);
    for (n_files, times) in SIZES.into_iter().zip(branches) {
        row(&format!("branch of {n_files} files, ms, median / p99"), times);
    }
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, slow) = (times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
    report(name, &format!("{:.2} / {:.2}", millis(median), millis(slow)));
}
