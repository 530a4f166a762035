//! One tree of control groups, and a harness's folder in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use lapwing_core::Limits;

use crate::owner::Owner;
use crate::protocol::{Carried, Grouped};

/// Names of the folders that harnesses take; their owners follow.
const PREFIX: &str = "harness-";
/// The file of a group that lists its processes, and takes new ones.
pub(crate) const PROCESSES: &str = "cgroup.procs";
/// Microseconds in which a group may use its share of the processors.
const PERIOD_US: u64 = 100_000;

/// The two interfaces of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

pub(crate) struct Tree {
    base: PathBuf,
    version: Version,
    holds: Grouped,
}

impl Tree {
    /// Takes a part of `folder`, a control group without processes that this process may write to.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        sweep(folder)?;
        let version =
            if folder.join("cgroup.controllers").exists() { Version::Two } else { Version::One };
        let base = folder.join(format!("{PREFIX}{}", Owner::this()?));
        if version == Version::Two {
            pass_on(folder, offered(folder, version)?)?;
        }
        fs::create_dir(&base)?;
        let mut tree = Self { base, version, holds: Grouped::default() };
        let opened = offered(&tree.base, version).and_then(|holds| {
            tree.holds = holds;
            if version == Version::Two { pass_on(&tree.base, holds) } else { Ok(()) }
        });
        if opened.is_err() || tree.holds == Grouped::default() {
            tree.close();
        }
        opened.map(|()| tree)
    }

    pub(crate) fn holds(&self) -> Grouped {
        self.holds
    }

    /// The folder that was given.
    pub(crate) fn folder(&self) -> &Path {
        self.base.parent().unwrap_or(&self.base)
    }

    pub(crate) fn group(&self, number: u64) -> PathBuf {
        self.base.join(number.to_string())
    }

    pub(crate) fn is_empty(&self, number: u64) -> bool {
        let processes = fs::read(self.group(number).join(PROCESSES));
        processes.is_ok_and(|processes| processes.is_empty())
    }

    /// The file that counts what the kernel has ended in a group.
    pub(crate) fn kills(&self, number: u64) -> PathBuf {
        self.group(number).join(match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        })
    }

    /// The file that counts the processor time of a group, where the kernel counts it.
    pub(crate) fn time(&self, number: u64) -> PathBuf {
        self.group(number).join(match self.version {
            Version::One => "cpuacct.usage",
            Version::Two => "cpu.stat",
        })
    }

    /// What a process enters a group by.
    pub(crate) fn way_in(&self, number: u64) -> io::Result<(Carried, File)> {
        let group = self.group(number);
        Ok(match self.version {
            Version::One => {
                let entry = OpenOptions::new().write(true).open(group.join(PROCESSES))?;
                (Carried::Entry, entry)
            }
            Version::Two => (Carried::Group, File::open(group)?),
        })
    }

    pub(crate) fn limit(&self, number: u64, limits: &Limits) -> io::Result<()> {
        let group = self.group(number);
        let set = |file: &str, value: &str| set(&group.join(file), value);
        // Where swap is not accounted for, these files are missing.
        let set_swap = |file: &str, value: &str| match set(file, value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        let bytes = limits.memory_bytes.min(i64::MAX.cast_unsigned()).to_string();
        let quota_us = (limits.millicores.saturating_mul(PERIOD_US) / 1000).max(1000);
        if self.holds.memory {
            match self.version {
                Version::One => {
                    set_swap("memory.memsw.limit_in_bytes", "-1")?;
                    set("memory.limit_in_bytes", &bytes)?;
                    set_swap("memory.memsw.limit_in_bytes", &bytes)?;
                }
                Version::Two => {
                    set("memory.max", &bytes)?;
                    set_swap("memory.swap.max", "0")?;
                }
            }
        }
        if self.holds.processes {
            // Beside those of the limit: pid 1, and for each command a shim.
            set("pids.max", &limits.processes.saturating_mul(2).saturating_add(64).to_string())?;
        }
        if self.holds.processors {
            match self.version {
                Version::One => {
                    set("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                    set("cpu.cfs_quota_us", &quota_us.to_string())?;
                }
                Version::Two => set("cpu.max", &format!("{quota_us} {PERIOD_US}"))?,
            }
        }
        Ok(())
    }

    /// Removes the folder, where it is empty.
    pub(crate) fn close(&self) {
        let _ = fs::remove_dir(&self.base);
    }
}

fn set(file: &Path, value: &str) -> io::Result<()> {
    // Opened, never made: a folder that is no control group takes no files from us.
    let written = OpenOptions::new().write(true).open(file);
    let written = written.and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// What a group can limit: in version one `folder` itself, in version two those below it.
fn offered(folder: &Path, version: Version) -> io::Result<Grouped> {
    Ok(match version {
        Version::One => {
            let has = |file: &str| folder.join(file).exists();
            Grouped {
                memory: has("memory.limit_in_bytes"),
                processes: has("pids.max"),
                processors: has("cpu.cfs_quota_us"),
            }
        }
        Version::Two => {
            let text = fs::read_to_string(folder.join("cgroup.controllers"))?;
            let has = |name: &str| text.split_whitespace().any(|controller| controller == name);
            Grouped { memory: has("memory"), processes: has("pids"), processors: has("cpu") }
        }
    })
}

/// Has the groups below `folder`, of version two, limit what `holds` says.
fn pass_on(folder: &Path, holds: Grouped) -> io::Result<()> {
    let all = [("memory", holds.memory), ("pids", holds.processes), ("cpu", holds.processors)];
    for (name, _) in all.into_iter().filter(|(_, held)| *held) {
        set(&folder.join("cgroup.subtree_control"), &format!("+{name}"))?;
    }
    Ok(())
}

/// Removes what harnesses that have ended left in `folder`.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<Owner>().ok());
        if owner.is_some_and(|owner| !owner.lives()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_harnesses_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let own = Owner::this().unwrap();
        let live = format!("harness-{own}");
        let reused = format!("harness-{}-1", std::process::id());
        for name in [live.as_str(), &reused, "harness-4000000000-7", "others", "harness-x"] {
            fs::create_dir_all(folder.path().join(name).join("1")).unwrap();
        }
        sweep(folder.path()).unwrap();
        let left = fs::read_dir(folder.path()).unwrap().flatten();
        let mut left: Vec<_> = left.map(|entry| entry.file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [&live, "harness-x", "others"]);
    }

    #[test]
    fn a_group_of_version_two_gets_every_limit_that_is_offered() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &Path, text: &str| fs::write(path, text).unwrap();
        write(&folder.path().join("cgroup.controllers"), "cpuset cpu memory pids\n");
        write(&folder.path().join("cgroup.subtree_control"), "");
        let holds = offered(folder.path(), Version::Two).unwrap();
        assert_eq!(holds, Grouped { memory: true, processes: true, processors: true });
        let tree = Tree { base: folder.path().to_owned(), version: Version::Two, holds };
        fs::create_dir(tree.group(1)).unwrap();
        let files = ["memory.max", "memory.swap.max", "pids.max", "cpu.max"];
        for file in files {
            write(&tree.group(1).join(file), "");
        }
        let limits =
            Limits { memory_bytes: 4096, processes: 10, millicores: 1500, ..Limits::default() };
        tree.limit(1, &limits).unwrap();
        let read = |file: &&str| fs::read_to_string(tree.group(1).join(file)).unwrap();
        assert_eq!(
            files.iter().map(read).collect::<Vec<_>>(),
            ["4096", "0", "84", "150000 100000"]
        );
    }
}
