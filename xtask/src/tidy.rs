//! Rules of the code base that no other tool checks. Each rule is a pure function; this file feeds them.

mod edges;
mod manifest;
mod source;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 3] = [".git", "target", "runs"];
/// Files whose text is checked; others may be data that a rule would break.
const CHECKED: [&str; 5] = ["md", "py", "rs", "sh", "toml"];

/// Checks the repository at `root` and lists every breach.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec()?;
    let mut problems = crates(root, &metadata)?;
    problems.extend(folders(root)?);
    let mut long = Vec::new();
    for path in files(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        problems.extend(source::text_problems(&name, &text));
        if source::is_rust(&name) && !source::is_test(&name) {
            let lines = source::lines_without_tests(&text);
            if lines > source::MOST_LINES {
                problems.push(format!(
                    "{name}: {lines} lines; split it (at most {})",
                    source::MOST_LINES
                ));
            } else if lines > source::MANY_LINES {
                long.push(format!("{name}: {lines} lines"));
            }
        }
    }
    let mut out = io::stdout();
    if !long.is_empty() {
        writeln!(out, "modules above {} lines, to be questioned:", source::MANY_LINES)?;
        long.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))?;
    if !problems.is_empty() {
        bail!("{} breaches of the rules in xtask/src/tidy", problems.len());
    }
    Ok(())
}

/// What is wrong with the crates: names, edges, manifests, and their place in ARCHITECTURE.md.
fn crates(root: &Path, metadata: &Metadata) -> anyhow::Result<Vec<String>> {
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let mut problems = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
        if folder != Some(name) {
            problems.push(format!("{name}: its folder must bear its name, not {folder:?}"));
        }
        let ours = package.dependencies.iter().filter(|dependency| {
            dependency.kind == DependencyKind::Normal && dependency.path.is_some()
        });
        let ours: Vec<_> = ours.map(|dependency| dependency.name.as_str()).collect();
        problems.extend(edges::problems(name, &ours));
        let text = fs::read_to_string(&package.manifest_path)?;
        problems.extend(manifest::problems(name, &text));
        if !architecture.contains(&format!("`{name}`")) {
            problems.push(format!("{name}: ARCHITECTURE.md does not name `{name}`"));
        }
    }
    Ok(problems)
}

/// Scenario folders without an explanation.
fn folders(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for folder in entries(&root.join("scenarios"))? {
        if folder.is_dir() && !folder.join("README.md").is_file() {
            let name = folder.strip_prefix(root).unwrap_or(&folder).display();
            problems.push(format!("{name}: a scenario needs a README.md"));
        }
    }
    Ok(problems)
}

/// All checked files below `folder`, in order.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        if path.is_symlink() || SKIPPED.contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if CHECKED.contains(&&*extension) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The entries of a folder, by name; none if it is missing.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot list {}", folder.display()));
        }
    };
    let paths: Result<Vec<_>, _> = listing.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths?;
    paths.sort();
    Ok(paths)
}
