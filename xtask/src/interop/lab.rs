//! What the laboratory's engine writes, read by transformers and PEFT. Outside `ci`, because their packages take gigabytes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::ci::finish;

const PACKAGES: &str = "torch transformers peft";

/// Runs both halves; `LAPWING_PYTHON` names the Python that has the packages.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let python = std::env::var("LAPWING_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", "import torch, transformers, peft"]).output();
    if !probe.with_context(|| format!("cannot run {python}"))?.status.success() {
        bail!(
            "{python} lacks {PACKAGES}; install them in an environment outside the repository and name its Python in \
             LAPWING_PYTHON: python3 -m venv DIR && DIR/bin/pip install {PACKAGES}"
        );
    }
    let out = root.join("target/interop");
    if out.exists() {
        std::fs::remove_dir_all(&out)
            .with_context(|| format!("cannot remove {}", out.display()))?;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--package", "lapwing-lab", "--example", "interop", "--"]);
    finish(cargo.arg(&out).current_dir(root))?;
    let script = root.join("crates/lapwing-lab/fixtures/interop.py");
    finish(Command::new(python).arg(script).arg(&out).current_dir(root))
}
