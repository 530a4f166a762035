//! The state of a sandbox's writable files, and what changed between two such states.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Every entry that was written, by absolute path. Bytes of a path that are not UTF-8, and backslashes, are written `\xNN`.
///
/// Where files of an image lie below the writable ones, only those of them are listed that something was written over, or that
/// were removed: [`Manifest::covered`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Entries by path.
    pub entries: BTreeMap<String, Entry>,
    /// What the image has at paths where it does not show any more: it was written over, or removed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub covered: BTreeMap<String, Entry>,
}

/// One file, directory or other entry. Times are left out: they differ between equal runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, for example `0o755`.
    pub mode: u32,
    /// Size in bytes of a file; 0 for the others.
    pub size: u64,
    /// Digest of a file's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Target of a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// Kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A fifo, socket or device.
    Special,
}

/// How an entry changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there before.
    Created,
    /// It is gone.
    Removed,
    /// Its bytes, its link target or its kind differ.
    Content,
    /// Its permission bits differ.
    Mode,
}

/// A difference of one path between two manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The path.
    pub path: String,
    /// How it changed; a file may change content and mode at once.
    pub kinds: Vec<ChangeKind>,
    /// The entry before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Entry>,
    /// The entry after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Entry>,
}

impl Change {
    /// The change from `before` to `after` at `path`, if there is one.
    pub fn between(path: &str, before: Option<&Entry>, after: Option<&Entry>) -> Option<Self> {
        let kinds = match (before, after) {
            (None, None) => return None,
            (None, Some(_)) => vec![ChangeKind::Created],
            (Some(_), None) => vec![ChangeKind::Removed],
            (Some(before), Some(after)) => {
                let same_content = before.kind == after.kind
                    && before.digest == after.digest
                    && before.size == after.size
                    && before.target == after.target;
                let mut kinds = Vec::new();
                if !same_content {
                    kinds.push(ChangeKind::Content);
                }
                if before.mode != after.mode {
                    kinds.push(ChangeKind::Mode);
                }
                kinds
            }
        };
        (!kinds.is_empty()).then(|| Self {
            path: path.to_owned(),
            kinds,
            before: before.cloned(),
            after: after.cloned(),
        })
    }
}

impl Manifest {
    /// What has to happen to `self` to become `later`, by path.
    pub fn changes_to(&self, later: &Self) -> Vec<Change> {
        let maps = [&self.entries, &self.covered, &later.entries, &later.covered];
        let mut paths: Vec<&String> = maps.into_iter().flat_map(BTreeMap::keys).collect();
        paths.sort_unstable();
        paths.dedup();
        let change =
            |path: &String| Change::between(path, self.at(path, later), later.at(path, self));
        paths.into_iter().filter_map(change).collect()
    }

    /// What is at `path`. Where nothing was written it is what the image has, which `other` tells if it was covered there.
    fn at<'m>(&'m self, path: &str, other: &'m Self) -> Option<&'m Entry> {
        let untouched = || {
            let image = other.covered.get(path);
            if self.covered.contains_key(path) { None } else { image }
        };
        self.entries.get(path).or_else(untouched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8], mode: u32) -> Entry {
        Entry {
            kind: EntryKind::File,
            mode,
            size: bytes.len() as u64,
            digest: Some(Digest::of(bytes)),
            target: None,
        }
    }

    fn manifest(entries: &[(&str, Entry)]) -> Manifest {
        let entries = entries.iter().map(|(path, entry)| ((*path).to_owned(), entry.clone()));
        Manifest { entries: entries.collect(), ..Manifest::default() }
    }

    #[test]
    fn a_file_of_an_image_is_changed_and_removed_and_not_created() {
        let kinds = |before: &Manifest, after: &Manifest| -> Vec<_> {
            let changes = before.changes_to(after).into_iter();
            changes.map(|change| (change.path, change.kinds)).collect()
        };
        let of = |entries: &[(&str, Entry)], covered: &[(&str, Entry)]| Manifest {
            covered: manifest(covered).entries,
            ..manifest(entries)
        };
        let image = file(b"image", 0o644);
        let untouched = manifest(&[]);
        let removed = of(&[], &[("/a", image.clone())]);
        let written = of(&[("/a", file(b"new", 0o644))], &[("/a", image.clone())]);
        let touched = of(&[("/a", image.clone())], &[("/a", image)]);
        let one = |kind| vec![("/a".to_owned(), vec![kind])];
        assert_eq!(kinds(&untouched, &removed), one(ChangeKind::Removed));
        assert_eq!(kinds(&untouched, &written), one(ChangeKind::Content));
        assert_eq!(kinds(&untouched, &touched), []);
        assert_eq!(kinds(&removed, &written), one(ChangeKind::Created));
        assert_eq!(kinds(&written, &removed), one(ChangeKind::Removed));
        assert_eq!(kinds(&removed, &untouched), one(ChangeKind::Created));
    }

    #[test]
    fn changes_tell_created_removed_content_and_mode_apart() {
        let before = manifest(&[
            ("/content", file(b"a", 0o644)),
            ("/gone", file(b"b", 0o644)),
            ("/mode", file(b"c", 0o644)),
            ("/same", file(b"d", 0o644)),
        ]);
        let after = manifest(&[
            ("/content", file(b"A", 0o755)),
            ("/mode", file(b"c", 0o600)),
            ("/new", file(b"e", 0o644)),
            ("/same", file(b"d", 0o644)),
        ]);
        let changes: Vec<_> = before
            .changes_to(&after)
            .into_iter()
            .map(|change| (change.path, change.kinds))
            .collect();
        assert_eq!(
            changes,
            [
                ("/content".to_owned(), vec![ChangeKind::Content, ChangeKind::Mode]),
                ("/gone".to_owned(), vec![ChangeKind::Removed]),
                ("/mode".to_owned(), vec![ChangeKind::Mode]),
                ("/new".to_owned(), vec![ChangeKind::Created]),
            ]
        );
    }

    #[test]
    fn a_file_replaced_by_a_link_of_the_same_mode_has_changed_content() {
        let link = Entry {
            kind: EntryKind::Symlink,
            mode: 0o644,
            size: 0,
            digest: None,
            target: Some("/bin/true".to_owned()),
        };
        let before = manifest(&[("/x", file(b"", 0o644))]);
        let changes = before.changes_to(&manifest(&[("/x", link)]));
        assert_eq!(changes[0].kinds, [ChangeKind::Content]);
    }
}
