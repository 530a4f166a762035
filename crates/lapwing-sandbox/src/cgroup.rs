//! Control groups: with them the kernel holds the memory of a whole sandbox, what it itself needs for it included, its
//! processes and its share of the processors.
//!
//! A harness takes a folder of its own in every tree of groups that it may use, and makes one group for each sandbox in
//! each. Groups are used again, as making one takes long. A harness that is killed leaves empty ones behind, which the next
//! one that uses the same trees removes.

mod detect;
mod tree;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lapwing_core::Limits;

use crate::cause::Kills;
use crate::protocol::{Carried, Grouped};

pub(crate) use detect::detect;
pub(crate) use tree::PROCESSES;
use tree::Tree;

/// Groups that are looked at before a new one is made.
const LOOKS: usize = 8;
/// The memory of a group that is tried out before the first sandbox.
const TRIAL_BYTES: u64 = 1 << 30;

/// Where control groups for sandboxes come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ControlGroups {
    /// From wherever this process may make some, if anywhere.
    #[default]
    Detected,
    /// From nowhere.
    None,
    /// From this folder, which has to work.
    In(PathBuf),
}

/// A harness's part of every tree of groups that it uses, at least one.
pub(crate) struct Groups {
    trees: Vec<Tree>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    /// Numbers of groups whose sandboxes have ended or are about to.
    idle: Vec<u64>,
}

/// The groups of one sandbox, of the same number in every tree. Dropped, they are used again once they are empty.
pub(crate) struct Group {
    number: u64,
    groups: Arc<Groups>,
}

impl Groups {
    /// Takes a part of `folder`, a control group without processes that this process may write to, and that limits memory.
    pub(crate) fn open(folder: &Path) -> io::Result<Arc<Self>> {
        let tree = Tree::open(folder)?;
        if !tree.holds().memory {
            tree.close();
            return Err(io::Error::other(format!("{} does not limit memory", folder.display())));
        }
        Self::of(vec![tree])
    }

    /// Fails if a group cannot be made in each of `trees`.
    fn of(trees: Vec<Tree>) -> io::Result<Arc<Self>> {
        let groups = Arc::new(Self { trees, state: Mutex::default() });
        drop(groups.take(&Limits { memory_bytes: TRIAL_BYTES, ..Limits::default() })?);
        Ok(groups)
    }

    /// What they hold.
    pub(crate) fn holds(&self) -> Grouped {
        self.trees.iter().map(Tree::holds).fold(Grouped::default(), |all, tree| Grouped {
            memory: all.memory || tree.memory,
            processes: all.processes || tree.processes,
            processors: all.processors || tree.processors,
        })
    }

    /// The folders that they are in.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.trees.iter().map(Tree::folder)
    }

    /// Empty groups with these limits.
    pub(crate) fn take(self: &Arc<Self>, limits: &Limits) -> io::Result<Group> {
        let reused = self.with_state(|state| {
            let empty = |number: &u64| self.trees.iter().all(|tree| tree.is_empty(*number));
            // The longest dead come first.
            let index = state.idle.iter().take(LOOKS).position(empty)?;
            Some(state.idle.remove(index))
        });
        let group = if let Some(number) = reused {
            Group { number, groups: Arc::clone(self) }
        } else {
            let number = self.with_state(|state| {
                state.last += 1;
                state.last
            });
            let group = Group { number, groups: Arc::clone(self) };
            for tree in &self.trees {
                fs::create_dir(tree.group(number))?;
            }
            group
        };
        for tree in &self.trees {
            tree.limit(group.number, limits)?;
        }
        Ok(group)
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for number in self.with_state(|state| std::mem::take(&mut state.idle)) {
            for tree in &self.trees {
                let _ = fs::remove_dir(tree.group(number));
            }
        }
        // What is not empty yet, the next harness removes.
        self.trees.iter().for_each(Tree::close);
    }
}

impl Group {
    /// What is opened of the groups for a sandbox with these limits, to be carried beside its order.
    pub(crate) fn files(&self, limits: &Limits) -> io::Result<Vec<(Carried, File)>> {
        let trees = &self.groups.trees;
        let mut files: Vec<(Carried, File)> = Vec::new();
        files.extend(self.kills()?.map(|file| (Carried::Kills, file)));
        if limits.cpu_seconds.is_some() {
            let time = trees.iter().find_map(|tree| File::open(tree.time(self.number)).ok());
            files.extend(time.map(|file| (Carried::Time, file)));
        }
        for tree in trees {
            files.push(tree.way_in(self.number)?);
        }
        Ok(files)
    }

    /// What tells how many processes the kernel has ended for want of memory, where it holds the memory.
    fn kills(&self) -> io::Result<Option<File>> {
        let tree = self.groups.trees.iter().find(|tree| tree.holds().memory);
        tree.map(|tree| File::open(tree.kills(self.number))).transpose()
    }

    /// The same, to be asked here.
    pub(crate) fn watch(&self) -> io::Result<Option<Kills>> {
        Ok(self.kills()?.map(Kills::new))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.groups.with_state(|state| state.idle.push(self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_control_group_is_refused_and_left_empty() {
        let folder = tempfile::tempdir().unwrap();
        let error = Groups::open(folder.path()).err().unwrap();
        assert!(error.to_string().contains("does not limit memory"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Groups::open(&folder.path().join("none")).is_err());
    }
}
