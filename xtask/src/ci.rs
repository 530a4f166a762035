//! Every check in the order of its cost.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use cargo_metadata::Message;

use crate::ordinary::Ordinary;
use crate::{interop, tidy};

/// The policies of every scenario check the whole instrument.
const INSTRUMENT_CHECK: [&str; 3] = ["scenario", "check", "--all"];

/// Runs the checks; the first that fails is the error.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    step("format", || cargo(root, &["fmt", "--all", "--check"]))?;
    step("tidy", || tidy::run(root))?;
    step("clippy", || {
        cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    })?;
    step("doc", || {
        let mut doc = cargo_command(root, &["doc", "--workspace", "--no-deps"]);
        finish(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    step("test", || cargo(root, &["test", "--workspace"]))?;
    let lapwing = built(root, &["build", "--package", "lapwing"], "lapwing")?;
    step("instrument check", || {
        finish(Command::new(&lapwing).args(INSTRUMENT_CHECK).current_dir(root))
    })?;
    step("logs to and from Inspect", || interop::inspect::run(root))?;
    if !Ordinary::is_needed()? {
        return say("all of this ran as an ordinary user, so nothing is repeated as one");
    }
    let sandbox_tests = ["test", "--package", "lapwing-sandbox", "--test", "isolation", "--no-run"];
    let isolation = built(root, &sandbox_tests, "isolation")?;
    let ordinary = Ordinary::new(&[&lapwing, &isolation])?;
    step("sandbox tests as an ordinary user", || finish(&mut ordinary.command("isolation")))?;
    step("instrument check as an ordinary user", || {
        finish(ordinary.command("lapwing").args(INSTRUMENT_CHECK).args(["--seeds", "1"]))
    })
}

pub(crate) fn step(name: &str, check: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    say(&format!("── {name}"))?;
    let started = Instant::now();
    check().with_context(|| format!("{name} failed"))?;
    say(&format!("── {name}: ok, {:.1} s", started.elapsed().as_secs_f64()))
}

pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

fn cargo_command(root: &Path, arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root);
    command
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    finish(&mut cargo_command(root, arguments))
}

/// Runs `command` and makes anything but success an error.
pub(crate) fn finish(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// The executable of the target `name` that a build command yields.
pub(crate) fn built(root: &Path, arguments: &[&str], name: &str) -> anyhow::Result<PathBuf> {
    let mut command = cargo_command(root, arguments);
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    for message in Message::parse_stream(output.stdout.as_slice()) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.target.name == name
            && let Some(executable) = artifact.executable
        {
            return Ok(executable.into_std_path_buf());
        }
    }
    bail!("{command:?} built no executable called {name}")
}
