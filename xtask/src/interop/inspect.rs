//! Logs that go to Inspect and come back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::ci::{built, finish, say};

/// Where the scripts and the list of what they need lie.
const SCRIPTS: &str = "xtask/interop";

/// Runs whose logs are checked: a scenario with policies, and what else is said of it. Together they have judges, questions in the
/// same and in a fresh conversation, tools, controls, more than one epoch, and a limit.
const RUNS: [&[&str]; 3] = [
    &["denial", "--model", "policy/p=0.5", "--judge", "test", "--seeds", "2", "--epochs", "2"],
    &["shutdown", "--model", "policy/p=0.5", "--seeds", "2"],
    &["hidden-notes", "--model", "policy/p=0.5", "--seeds", "1", "--turns", "2"],
];

/// Logs that go from here to Inspect and back, and logs of Inspect's own.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let python = python(root)?;
    let lapwing = built(root, &["build", "--package", "lapwing"], "lapwing")?;
    let place = root.join("target/interop/inspect");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    let (runs, logs, again) = (place.join("runs"), place.join("logs"), place.join("rewritten"));
    for arguments in RUNS {
        quiet(Command::new(&lapwing).arg("eval").args(arguments).arg("--runs").arg(&runs))?;
    }
    for run in ids(&runs)? {
        let mut export = Command::new(&lapwing);
        quiet(
            export.args(["export", "eval", &run, "--output"]).arg(&logs).arg("--runs").arg(&runs),
        )?;
    }
    finish(script(root, &python, "check_export.py").args([&logs, &again]))?;
    for run in ids(&runs)? {
        let (scenario, _) = run.rsplit_once('-').context("a run's id has a tag")?;
        for (way, folder) in
            [("lapwing", &logs), ("False", &again), ("core", &again), ("full", &again)]
        {
            let folder = if way == "lapwing" { folder.clone() } else { folder.join(way) };
            let log = log_of(&folder, scenario)?;
            let made = import(&lapwing, &log, &place.join(way), &run)?;
            let check = script(root, &python, "check_import.py")
                .arg("equal")
                .args([&lapwing, &runs])
                .arg(&run)
                .arg(&made)
                .arg(&run)
                .status()?;
            ensure!(check.success(), "{run} differs after the way through {}", log.display());
        }
    }
    let theirs = place.join("theirs");
    quiet(script(root, &python, "mock_log.py").arg(&theirs))?;
    let log = log_of(&theirs, "sums")?;
    let made = import(&lapwing, &log, &place.join("imported"), "sums")?;
    let mut check = script(root, &python, "check_import.py");
    finish(check.arg("scores").args([&lapwing, &made]).arg("sums").arg(&log))?;
    let mut score = Command::new(&lapwing);
    quiet(score.args(["score", "sums", "--runs"]).arg(&made))?;
    say("logs of both are read by both")
}

/// Imports a log as the run `id` and returns the folder of runs.
fn import(lapwing: &Path, log: &Path, runs: &Path, id: &str) -> anyhow::Result<PathBuf> {
    let mut import = Command::new(lapwing);
    quiet(import.arg("import").arg(log).args(["--name", id, "--runs"]).arg(runs))?;
    Ok(runs.to_owned())
}

/// The Python of an environment that has what the scripts need. It is made anew whenever that list changes.
fn python(root: &Path) -> anyhow::Result<PathBuf> {
    let requirements = root.join(SCRIPTS).join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)?;
    let place = root.join("target/interop/python");
    let (python, made) = (place.join("bin/python"), place.join("made-of.txt"));
    if fs::read_to_string(&made).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    finish(Command::new("python3").args(["-m", "venv"]).arg(&place))
        .context("no Python environment; install python3 and python3-venv")?;
    let install =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    finish(Command::new(&python).args(install).arg(&requirements))
        .context("the Python packages cannot be installed")?;
    fs::write(&made, wanted)?;
    Ok(python)
}

fn script(root: &Path, python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(root.join(SCRIPTS).join(name)).current_dir(root);
    // Nothing of a user's own settings, and nothing of Inspect's outside of the target folder.
    command.env("HOME", root.join("target/interop"));
    command
}

/// Runs a command without its output, unless it fails.
fn quiet(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    Ok(())
}

/// The ids of the runs in a folder.
fn ids(runs: &Path) -> anyhow::Result<Vec<String>> {
    let names =
        fs::read_dir(runs)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<anyhow::Result<_>>()?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".lapwing")).map(str::to_owned).collect())
}

/// The log of a task.
fn log_of(folder: &Path, task: &str) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        if path.to_string_lossy().contains(&format!("_{task}_")) {
            return Ok(path);
        }
    }
    bail!("no log of {task} in {}", folder.display())
}
