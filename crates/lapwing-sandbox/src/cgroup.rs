//! Control groups, in a folder that was handed over for them: with one, the kernel holds the memory of a whole sandbox, what
//! the kernel itself needs for it included.
//!
//! Nothing is guessed: a folder is used only if it is named, and then it has to work. Groups are used again, as making one
//! takes long. A harness that is killed leaves empty ones behind, which the next one that is given the folder removes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Groups that are looked at before a new one is made.
const LOOKS: usize = 8;
const PREFIX: &str = "harness-";

/// The two interfaces of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A harness's part of the folder.
pub(crate) struct Groups {
    base: PathBuf,
    version: Version,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    /// Groups whose sandboxes have ended or are about to.
    idle: Vec<PathBuf>,
}

/// The group of one sandbox. Dropped, it is used again once it is empty.
pub(crate) struct Group {
    path: PathBuf,
    groups: Arc<Groups>,
}

impl Groups {
    /// Takes a part of `folder`, a control group without processes that this process may write to.
    pub(crate) fn open(folder: &Path) -> io::Result<Arc<Self>> {
        sweep(folder)?;
        let version =
            if folder.join("cgroup.controllers").exists() { Version::Two } else { Version::One };
        let own = std::process::id();
        let start = start_time(own).ok_or_else(|| io::Error::other("/proc is not readable"))?;
        let base = folder.join(format!("{PREFIX}{own}-{start}"));
        pass_on(folder, version)?;
        fs::create_dir(&base)?;
        let groups = Arc::new(Self { base, version, state: Mutex::default() });
        // Fails here and not at the first sandbox. What was made is removed with the value.
        pass_on(&groups.base, version)?;
        drop(groups.take(1 << 30)?);
        Ok(groups)
    }

    /// An empty group with this limit.
    pub(crate) fn take(self: &Arc<Self>, memory_bytes: u64) -> io::Result<Group> {
        let reused = self.with_state(|state| {
            // The longest dead come first.
            let index = state.idle.iter().take(LOOKS).position(|group| is_empty(group))?;
            Some(state.idle.remove(index))
        });
        let path = if let Some(path) = reused {
            path
        } else {
            let number = self.with_state(|state| {
                state.last += 1;
                state.last
            });
            let path = self.base.join(number.to_string());
            fs::create_dir(&path)?;
            path
        };
        let group = Group { path, groups: Arc::clone(self) };
        group.limit(memory_bytes)?;
        Ok(group)
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in self.with_state(|state| std::mem::take(&mut state.idle)) {
            let _ = fs::remove_dir(group);
        }
        // What is not empty yet, the next harness removes.
        let _ = fs::remove_dir(&self.base);
    }
}

impl Group {
    /// Where the process to be moved into the group is written to.
    pub(crate) fn entry(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))
    }

    fn limit(&self, memory_bytes: u64) -> io::Result<()> {
        let bytes = memory_bytes.min(i64::MAX.cast_unsigned()).to_string();
        let set = |file: &str, value: &str| set(&self.path.join(file), value);
        // Where swap is not accounted for, these files are missing.
        let set_swap = |file: &str, value: &str| match set(file, value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        match self.groups.version {
            Version::One => {
                set_swap("memory.memsw.limit_in_bytes", "-1")?;
                set("memory.limit_in_bytes", &bytes)?;
                set_swap("memory.memsw.limit_in_bytes", &bytes)
            }
            Version::Two => {
                set("memory.max", &bytes)?;
                set_swap("memory.swap.max", "0")
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.groups.with_state(|state| state.idle.push(std::mem::take(&mut self.path)));
    }
}

fn set(file: &Path, value: &str) -> io::Result<()> {
    // Opened, never made: a folder that is no control group takes no files from us.
    let written = OpenOptions::new().write(true).open(file);
    let written = written.and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// Has the groups below `folder` limit memory, which version two does only where it is told.
fn pass_on(folder: &Path, version: Version) -> io::Result<()> {
    match version {
        Version::One => Ok(()),
        Version::Two => set(&folder.join("cgroup.subtree_control"), "+memory"),
    }
}

fn is_empty(group: &Path) -> bool {
    fs::read(group.join("cgroup.procs")).is_ok_and(|processes| processes.is_empty())
}

/// Removes what harnesses that have ended left in `folder`.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        let Some((pid, start)) = owner else { continue };
        let lives = pid.parse().ok().and_then(start_time).is_some_and(|now| now == start);
        if !lives {
            for group in fs::read_dir(entry.path())?.flatten() {
                // Fails for files, which the kernel removes with their group.
                let _ = fs::remove_dir(group.path());
            }
            // Where a sandbox is still ending it stays, for the next time.
            let _ = fs::remove_dir(entry.path());
        }
    }
    Ok(())
}

/// When a process was started, in the kernel's ticks.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything, come the state and 18 numbers.
    stat.rsplit_once(") ")?.1.split(' ').nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain folders, as far as they behave like control groups.
    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_folder_that_is_no_control_group_is_refused_and_left_empty() {
        let folder = folder();
        let error = Groups::open(folder.path()).err().unwrap();
        assert!(error.to_string().contains("memory.limit_in_bytes"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Groups::open(&folder.path().join("none")).is_err());
    }

    #[test]
    fn what_dead_harnesses_left_is_removed_and_nothing_else() {
        let folder = folder();
        let own = std::process::id();
        let live = format!("harness-{own}-{}", start_time(own).unwrap());
        let reused = format!("harness-{own}-1");
        for name in [live.as_str(), &reused, "harness-4000000000-7", "others", "harness-x"] {
            fs::create_dir_all(folder.path().join(name).join("1")).unwrap();
        }
        sweep(folder.path()).unwrap();
        let left = fs::read_dir(folder.path()).unwrap().flatten();
        let mut left: Vec<_> = left.map(|entry| entry.file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [&live, "harness-x", "others"]);
    }
}
