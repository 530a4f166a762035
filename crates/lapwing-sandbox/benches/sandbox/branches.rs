//! What a branch costs, by how much there is in the files that it begins with.

use std::time::{Duration, Instant};

use lapwing_core::{Command, Provider as _, SandboxSpec};
use lapwing_sandbox::Native;

use crate::{millis, report};

const ROUNDS: usize = 100;

/// Files of 10 KiB in the parent.
const SIZES: [usize; 3] = [0, 1_000, 10_000];

pub(crate) async fn rounds(native: &Native) {
    for n_files in SIZES {
        let parent = native.create(SandboxSpec::default()).await.unwrap();
        let script = format!(
            "i=0; while [ $i -lt {n_files} ]; do head -c 10240 /dev/urandom > $i; i=$((i+1)); done"
        );
        let filled = parent.exec(Command::new(["sh", "-c", &script])).await.unwrap();
        assert!(filled.status.success(), "{:?}", filled.status);
        let begun = Instant::now();
        let snapshot = parent.snapshot().await.unwrap();
        let name = format!("snapshot of {n_files} files of 10 KiB, ms");
        report(&name, &format!("{:.1}", millis(begun.elapsed())));
        let mut times: Vec<Duration> = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let branch = snapshot.branch().await.unwrap();
            times.push(begun.elapsed());
            branch.destroy().await.unwrap();
        }
        times.sort_unstable();
        let (median, slow) = (times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
        let name = format!("branch of {n_files} files, ms, median / p99");
        report(&name, &format!("{:.2} / {:.2}", millis(median), millis(slow)));
    }
}
