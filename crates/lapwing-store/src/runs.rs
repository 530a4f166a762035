//! The folder of runs: names, look-up, and the little that is done to files from outside SQLite.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lapwing_core::{Planted, SampleKey};

use crate::spec::{RunSpec, RunState};
use crate::{Resume, Run, RunWriter, SampleState, StoreError};

const SUFFIX: &str = "lapwing";

/// A folder of run files.
#[derive(Clone, Debug)]
pub struct Runs {
    dir: PathBuf,
}

/// A line of the list of runs.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The run's id.
    pub id: String,
    /// Its settings, state and number of done and planned samples.
    pub summary: (RunSpec, RunState, usize, usize),
}

impl Runs {
    /// The runs in `dir`, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Creates a run whose id is the scenario's name and `tag`.
    ///
    /// # Errors
    /// The folder or the file cannot be written; nothing is left behind then.
    pub fn create(
        &self,
        tag: &str,
        spec: &RunSpec,
        folder: &BTreeMap<String, Vec<u8>>,
        samples: &[(SampleKey, Option<Vec<Planted>>)],
    ) -> Result<RunWriter, StoreError> {
        fs::create_dir_all(&self.dir).map_err(|error| StoreError::io(&self.dir, &error))?;
        let id = format!("{}-{tag}", spec.scenario);
        let path = self.path(&id);
        // Whoever makes the file owns it, and may remove it: another process may want the same name now.
        fs::File::create_new(&path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                StoreError::io(&path, &"there is a run of this name already")
            }
            _ => StoreError::io(&path, &error),
        })?;
        RunWriter::create(id, &path, spec, folder, samples)
    }

    /// Goes on with `run`, which must have ended, been stopped or been killed. Samples that were begun and not finished are
    /// planned again; what they had recorded is kept aside ([`Run::abandoned`]).
    ///
    /// # Errors
    /// It still goes on, or the file cannot be written.
    pub fn resume(run: Run, resume: &Resume) -> Result<RunWriter, StoreError> {
        let (id, path) = (run.id(), run.path().to_owned());
        drop(run);
        RunWriter::resume(id, &path, resume)
    }

    /// Opens the run that `wanted` names: a path, an id, an unambiguous prefix of one, or `latest`.
    pub fn find(&self, wanted: &str) -> Result<Run, StoreError> {
        let as_path = Path::new(wanted);
        if as_path.extension().is_some_and(|suffix| suffix == SUFFIX) && as_path.exists() {
            return Run::open(as_path);
        }
        let ids = self.ids()?;
        if ids.is_empty() {
            return Err(StoreError::NoRuns { dir: self.dir.clone() });
        }
        if wanted == "latest" {
            return self.latest(&ids);
        }
        let fits: Vec<String> = if ids.iter().any(|id| id == wanted) {
            vec![wanted.to_owned()]
        } else {
            ids.iter().filter(|id| !wanted.is_empty() && id.starts_with(wanted)).cloned().collect()
        };
        match fits.as_slice() {
            [id] => Run::open(&self.path(id)),
            [] => Err(StoreError::NoRun {
                wanted: wanted.to_owned(),
                dir: self.dir.clone(),
                near: nearest(wanted, &ids),
            }),
            _ => Err(StoreError::Ambiguous { wanted: wanted.to_owned(), fits }),
        }
    }

    /// Every run by its start, oldest first, and the files that cannot be read with the reason.
    pub fn list(&self) -> Result<(Vec<Listed>, Vec<StoreError>), StoreError> {
        let (mut listed, mut unreadable) = (Vec::new(), Vec::new());
        for id in self.ids()? {
            match self.summary(&id) {
                Ok(summary) => listed.push(Listed { id, summary }),
                Err(error) => unreadable.push(error),
            }
        }
        listed.sort_by_key(|listed| listed.summary.0.started_ms);
        Ok((listed, unreadable))
    }

    fn summary(&self, id: &str) -> Result<(RunSpec, RunState, usize, usize), StoreError> {
        let run = Run::open(&self.path(id))?;
        let samples = run.samples()?;
        let done = samples.iter().filter(|sample| sample.state == SampleState::Done).count();
        Ok((run.spec()?, run.state()?, done, samples.len()))
    }

    fn latest(&self, ids: &[String]) -> Result<Run, StoreError> {
        let mut newest: Option<(u64, Run)> = None;
        for id in ids {
            // A damaged run must not hide the others.
            let Ok(run) = Run::open(&self.path(id)) else { continue };
            let Ok(spec) = run.spec() else { continue };
            if newest.as_ref().is_none_or(|(started, _)| spec.started_ms >= *started) {
                newest = Some((spec.started_ms, run));
            }
        }
        newest.map(|(_, run)| run).ok_or_else(|| StoreError::NoRuns { dir: self.dir.clone() })
    }

    fn ids(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io(&self.dir, &error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| StoreError::io(&self.dir, &error))?.path();
            if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
                ids.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
        ids.sort();
        Ok(ids)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.{SUFFIX}"))
    }
}

fn nearest(wanted: &str, ids: &[String]) -> Option<String> {
    ids.iter()
        .map(|id| (strsim::jaro_winkler(wanted, id), id))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, id)| id.clone())
}

/// Removes a run file that could not be begun, with SQLite's companions.
pub(crate) fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = fs::remove_file(name);
    }
}

pub(crate) fn set_read_only(path: &Path, read_only: bool) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = if read_only { 0o444 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| StoreError::io(path, &error))
}

/// Names this process so that another can tell later whether it still lives: boot, pid and start time.
pub(crate) fn this_process() -> String {
    describe_process(std::process::id()).unwrap_or_default()
}

pub(crate) fn is_alive(owner: &str) -> bool {
    let pid = owner.split(' ').nth(1).and_then(|pid| pid.parse().ok());
    pid.and_then(describe_process).is_some_and(|now| now == owner)
}

fn describe_process(pid: u32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name, in parentheses, may itself hold spaces and parentheses.
    let after_name = stat.rsplit_once(')')?.1;
    let started = after_name.split_whitespace().nth(19)?;
    Some(format!("{} {pid} {started}", boot.trim()))
}
