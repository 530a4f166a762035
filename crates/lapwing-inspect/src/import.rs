//! An Inspect log as a run.
//!
//! A log is read as a stream, and each sample twice: texts and messages that events name stand behind them, so they go to a
//! temporary file first. A log that was exported here has a record, which is the run as it was ([`own`]); of any other one the
//! events are translated ([`foreign`]) and the scores become evidence of a scenario that is generated ([`scenario`]).
//! The run is made in a folder of its own and moved to its place when it is whole.

mod fold;
mod foreign;
mod log;
mod message;
mod own;
mod pools;
mod reading;
mod scenario;
mod scores;

use std::path::{Path, PathBuf};

use lapwing_core::{Event, Recorder as _};
use lapwing_store::{Ending, RunSpec, RunWriter, Runs};
use serde_json::Value;

use crate::InspectError;
use log::LogFile;

/// The setting that says where an imported run comes from.
pub const IMPORTED: &str = "imported";
const SUFFIX: &str = "lapwing";

/// A run that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its id.
    pub id: String,
    /// The file.
    pub path: PathBuf,
    /// Samples in it.
    pub samples: usize,
    /// Whether the log was exported from a run, which this one equals.
    pub is_own: bool,
}

/// What is needed besides the log.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// The id of the run; the name of the task and `tag` if there is none.
    pub name: Option<&'a str>,
    /// Letters that make the id unique.
    pub tag: &'a str,
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// Makes a run of the log at `file`.
///
/// # Errors
/// The file is no log, damaged, or holds what is not read; or the run cannot be written. Nothing is left behind then.
pub fn import(file: &Path, runs: &Runs, options: &Options<'_>) -> Result<Imported, InspectError> {
    if let Some(name) = options.name.filter(|name| !is_id(name)) {
        return Err(InspectError::Name(name.to_owned()));
    }
    let mut log = LogFile::open(file)?;
    let header = log.header()?;
    let dir = runs.dir();
    std::fs::create_dir_all(dir).map_err(|error| InspectError::io(dir, &error))?;
    let place = tempfile::Builder::new().prefix(".import-").tempdir_in(dir);
    let place = place.map_err(|error| InspectError::io(dir, &error))?;
    let made = Runs::new(place.path());
    let is_own = own::is_own(&header);
    let (id, samples) = if is_own {
        own::import(&mut log, &header, &made, options)?
    } else {
        foreign::import(&mut log, &header, &made, options)?
    };
    let wanted = options.name.unwrap_or(&id);
    let path = dir.join(format!("{wanted}.{SUFFIX}"));
    // A link fails where there is a file already; to rename would take its place.
    std::fs::hard_link(place.path().join(format!("{id}.{SUFFIX}")), &path).map_err(|error| {
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => InspectError::Exists(path.clone()),
            _ => InspectError::io(&path, &error),
        }
    })?;
    Ok(Imported { id: wanted.to_owned(), path, samples, is_own })
}

fn is_id(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.chars().all(is_part)
}

/// What a log says where an imported run comes from.
fn origin(log: &LogFile, header: &Value) -> String {
    let name = log.path().file_name().unwrap_or_default().to_string_lossy();
    let packages = header["eval"]["packages"].as_object();
    let packages = packages.into_iter().flatten().filter(|(name, _)| *name == "inspect_ai");
    let version =
        packages.filter_map(|(name, version)| Some(format!(" of {name} {}", version.as_str()?)));
    format!("an Inspect log{}, {name}", version.collect::<String>())
}

/// A run under way. The store is asynchronous; here one thing is done after another.
struct Making {
    writer: RunWriter,
    runtime: tokio::runtime::Runtime,
}

impl Making {
    fn new(
        runs: &Runs,
        tag: &str,
        spec: &RunSpec,
        folder: &std::collections::BTreeMap<String, Vec<u8>>,
    ) -> Result<Self, InspectError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| InspectError::io(runs.dir(), &error))?;
        Ok(Self { writer: runs.create(tag, spec, folder, &[])?, runtime })
    }

    fn add(&self, sample: &own::Planned) -> Result<(), InspectError> {
        let added = self.writer.add(sample.number, &sample.key, sample.planted.as_deref());
        Ok(self.runtime.block_on(added)?)
    }

    /// Writes events and waits: nothing piles up before a disk that is slow.
    fn record(&self, sample: u64, events: Vec<Event>) -> Result<(), InspectError> {
        Ok(self.runtime.block_on(self.writer.record(sample, events))?)
    }

    fn finish(
        &self,
        sample: u64,
        findings: Vec<lapwing_core::Finding>,
    ) -> Result<(), InspectError> {
        Ok(self.runtime.block_on(self.writer.finish(sample, findings))?)
    }

    fn seal(self, ending: Ending, at_ms: u64) -> Result<String, InspectError> {
        let id = self.writer.id().to_owned();
        self.runtime.block_on(self.writer.seal(ending, at_ms))?;
        Ok(id)
    }
}
