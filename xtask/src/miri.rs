//! What Miri can run of the code that reads bytes of others, holds `unsafe` or is shared by threads.
//!
//! It interprets a test and finds reads outside of what they may read, wrong pointers and races. Of the kernel it knows little: tests
//! of system calls that it does not know are marked in place, `#[cfg_attr(miri, ignore = "..")]`.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::ci::{finish, step};

/// A package, its tests and what Miri is told beside.
const RUNS: [(&str, &[&str], &str); 3] = [
    // Threads meet in another order, and see what others wrote earlier or later, with each seed.
    ("lapwing-core", &["--test", "waits"], "-Zmiri-many-seeds=0..128"),
    ("lapwing-sandbox", &["--lib"], ""),
    // Its only pointers: what `gemm` is given.
    ("lapwing-lab", &["--lib", "--", "product_tests"], ""),
];

/// Runs them; the first that fails is the error.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    for (package, tests, flags) in RUNS {
        step(&format!("Miri on {package}"), || {
            let mut miri = Command::new("rustup");
            miri.args(["run", "nightly", "cargo", "miri", "test", "--package", package])
                .args(tests);
            miri.current_dir(root);
            // Files and the variable below are the host's.
            miri.env("MIRIFLAGS", format!("-Zmiri-disable-isolation {flags}"));
            // A case takes a thousand times as long as outside.
            miri.env("PROPTEST_CASES", "4");
            finish(&mut miri)
                .context("if it is not there: rustup toolchain install nightly --component miri")
        })?;
    }
    Ok(())
}
