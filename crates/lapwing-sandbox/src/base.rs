//! What lies below the writable files of a sandbox: nothing but the host's programs, an image, or what another sandbox had
//! written when it was forked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lapwing_core::{Entry, EntryKind, Manifest};

use crate::image::{self, Root};
use crate::manifest::Written;
use crate::protocol::{Layers, ProgramsFrom};

/// What a sandbox is built on.
#[derive(Clone, Default)]
pub(crate) struct Base {
    /// The image, if there is one.
    image: Option<Root>,
    /// What was written in those that this is a branch of, the newest first.
    forks: Vec<Arc<Kept>>,
}

/// What a sandbox had written when it was forked. Removed from the disk when no sandbox needs it any more.
pub(crate) struct Kept {
    /// A folder that holds the tree.
    pub(crate) folder: PathBuf,
    pub(crate) tree: PathBuf,
    /// What its manifest was.
    pub(crate) manifest: Manifest,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // What stays is swept by the next process that uses the cache.
        let _ = image::remove(&self.folder);
    }
}

impl Base {
    pub(crate) fn of(image: Root) -> Self {
        Self { image: Some(image), forks: Vec::new() }
    }

    /// The base of forks of a sandbox that is built on this one.
    pub(crate) fn forked(&self, frozen: Kept) -> Self {
        let forks = [Arc::new(frozen)].into_iter().chain(self.forks.iter().cloned());
        Self { image: self.image.clone(), forks: forks.collect() }
    }

    /// What pid 1 is to know; `None` where there are no layers.
    pub(crate) fn layers(&self) -> Option<Layers> {
        let folders = self.forks.iter().map(|fork| fork.tree.clone());
        let folders: Vec<PathBuf> =
            folders.chain(self.image.iter().map(|image| image.tree.clone())).collect();
        (!folders.is_empty()).then(|| Layers {
            folders,
            programs: if self.image.is_some() { ProgramsFrom::Layers } else { ProgramsFrom::Host },
            env: self.image.as_ref().map_or(Vec::new(), env),
            furnished: !self.forks.is_empty(),
        })
    }

    /// The manifest of a sandbox on this base in which `written` was written.
    pub(crate) fn manifest(&self, written: Written) -> Manifest {
        let empty = BTreeMap::new();
        let index = self.image.as_ref().map_or(&empty, |image| image.index.as_ref());
        let before = self.forks.first().map(|fork| &fork.manifest);
        over(before, index, written)
    }
}

/// `written` over what was written `before`, both over the image that `index` tells.
fn over(before: Option<&Manifest>, index: &BTreeMap<String, Entry>, written: Written) -> Manifest {
    let mut all = before.cloned().unwrap_or_default();
    // Devices and shared memory are made anew for each, and processes, sockets and fifos are not forked.
    all.entries
        .retain(|path, entry| !path.starts_with("/dev/") && entry.kind != EntryKind::Special);
    for path in &written.removed {
        hide(&mut all, index, path, true);
    }
    for path in &written.opaque {
        hide(&mut all, index, path, false);
    }
    for (path, entry) in written.entries {
        if let Some(image) = index.get(&path) {
            if image.kind == EntryKind::Directory && entry.kind != EntryKind::Directory {
                hide(&mut all, index, &path, true);
            }
            all.covered.entry(path.clone()).or_insert_with(|| image.clone());
        }
        all.entries.insert(path, entry);
    }
    all
}

/// Takes away what is below `path`, and what is there itself if `whole`.
fn hide(all: &mut Manifest, index: &BTreeMap<String, Entry>, path: &str, whole: bool) {
    let below = format!("{}/", path.trim_end_matches('/'));
    let end = format!("{}0", path.trim_end_matches('/'));
    // `0` follows `/`: all paths below, and no others, are in between.
    let gone: Vec<String> =
        all.entries.range(below.clone()..end.clone()).map(|(path, _)| path.clone()).collect();
    for path in gone {
        all.entries.remove(&path);
    }
    let covered = index.range(below..end).map(|(path, entry)| (path.clone(), entry.clone()));
    all.covered.extend(covered);
    if whole {
        all.entries.remove(path);
        all.covered.extend(index.get(path).map(|entry| (path.to_owned(), entry.clone())));
    }
}

/// Variables that the image sets. Who the user is and where it lives it cannot say, and commands of ours are found.
fn env(image: &Root) -> Vec<(String, String)> {
    const OURS: &str = "/usr/local/bin";
    let variables = image.facts.env.iter().filter(|(name, _)| name != "HOME" && name != "USER");
    let variables = variables.map(|(name, value)| {
        let lacks = name == "PATH" && !value.split(':').any(|folder| folder == OURS);
        (name.clone(), if lacks { format!("{OURS}:{value}") } else { value.clone() })
    });
    variables.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: EntryKind) -> Entry {
        Entry { kind, mode: 0o755, size: 0, digest: None, target: None }
    }

    fn tree(paths: &[&str]) -> BTreeMap<String, Entry> {
        let kind = |path: &str| match path {
            path if path.ends_with('/') => EntryKind::Directory,
            _ => EntryKind::File,
        };
        let named = |path: &&str| (path.trim_end_matches('/').to_owned(), entry(kind(path)));
        paths.iter().map(named).collect()
    }

    fn written(entries: &[&str], removed: &[&str], opaque: &[&str]) -> Written {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        Written { entries: tree(entries), removed: owned(removed), opaque: owned(opaque) }
    }

    fn paths(map: &BTreeMap<String, Entry>) -> Vec<&str> {
        map.keys().map(String::as_str).collect()
    }

    #[test]
    fn removed_folders_hide_all_that_the_image_has_in_them_and_no_neighbours() {
        let index = tree(&["/a/", "/a/b", "/a/c/", "/a/c/d", "/a-b", "/a0"]);
        let all = over(None, &index, written(&["/a-b"], &["/a"], &[]));
        assert_eq!(paths(&all.covered), ["/a", "/a-b", "/a/b", "/a/c", "/a/c/d"]);
        assert_eq!(paths(&all.entries), ["/a-b"]);
        let all = over(None, &index, written(&["/a/", "/a/new"], &[], &["/a"]));
        assert_eq!(paths(&all.covered), ["/a", "/a/b", "/a/c", "/a/c/d"]);
        assert_eq!(paths(&all.entries), ["/a", "/a/new"]);
        let all = over(None, &index, written(&["/a"], &[], &[]));
        assert_eq!(paths(&all.covered), ["/a", "/a/b", "/a/c", "/a/c/d"]);
    }

    #[test]
    fn a_fork_shows_what_was_written_before_but_what_it_removed() {
        let index = tree(&["/usr/", "/usr/x"]);
        let before = over(
            None,
            &index,
            written(&["/home/", "/home/a", "/home/b", "/dev/shm/m"], &["/usr/x"], &[]),
        );
        let after = over(Some(&before), &index, written(&["/home/", "/home/c"], &["/home/a"], &[]));
        assert_eq!(paths(&after.entries), ["/home", "/home/b", "/home/c"]);
        assert_eq!(paths(&after.covered), ["/usr/x"]);
    }
}
