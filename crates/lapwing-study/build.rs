//! The digest of the sources that decide what a stage of training ends as, for the keys of what is kept.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

/// What trains and measures; the pipeline around it does not decide results.
const TRAINING: [&str; 9] = [
    "../lapwing-lab/src",
    "../lapwing-stats/src",
    "src/world.rs",
    "src/world",
    "src/treat.rs",
    "src/treat",
    "src/measure.rs",
    "src/measure",
    "src/cell.rs",
];

/// What names figures beside it.
const FIGURES: [&str; 1] = ["src/figures.rs"];

/// What reads probes beside it.
const PROBE: [&str; 3] = ["src/probe.rs", "src/probe", "src/probing.rs"];

fn main() -> io::Result<()> {
    digest("LAPWING_STUDY_CODE", &TRAINING)?;
    digest("LAPWING_FIGURES_CODE", &FIGURES)?;
    digest("LAPWING_PROBE_CODE", &PROBE)
}

fn digest(name: &str, sources: &[&str]) -> io::Result<()> {
    let mut files = Vec::new();
    for source in sources {
        println!("cargo::rerun-if-changed={source}");
        collect(Path::new(source), &mut files)?;
    }
    files.sort();
    let mut hash = DefaultHasher::new();
    for file in files {
        (file.to_string_lossy(), fs::read(&file)?).hash(&mut hash);
    }
    println!("cargo::rustc-env={name}={:016x}", hash.finish());
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else if path.exists() {
        files.push(path.to_owned());
    }
    Ok(())
}
