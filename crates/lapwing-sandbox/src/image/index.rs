//! The entries of a plain folder: what it is known by, and copied from.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use lapwing_core::{Digest, Entry, EntryKind};

use super::archive::Checked;
use super::tree::Tree;
use super::{Fault, IMAGE_BYTES};

/// What a folder holds, by path.
pub(crate) struct Listing {
    pub(crate) digest: Digest,
    /// Device nodes, sockets and other file systems that were left out.
    pub(crate) left_out: u64,
}

/// Looks at every file below `folder`, and writes it into `tree` if there is one.
pub(crate) fn read(folder: &Path, mut tree: Option<&mut Tree>) -> Result<Listing, Fault> {
    let told = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let device = fs::metadata(folder).map_err(|error| told(folder, error))?.dev();
    let mut all: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
    let mut left_out = 0;
    let mut pending = vec![folder.to_owned()];
    while let Some(directory) = pending.pop() {
        let mut entries: Vec<_> = fs::read_dir(&directory)
            .and_then(Iterator::collect::<io::Result<Vec<_>>>)
            .map_err(|error| told(&directory, error))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let told = |error| told(&path, error);
            let found = fs::symlink_metadata(&path).map_err(told)?;
            let below = path.strip_prefix(folder).unwrap_or(&path);
            let mode = found.mode() & 0o1777;
            let mut entry =
                Entry { kind: EntryKind::Special, mode, size: 0, digest: None, target: None };
            if found.dev() != device || !(found.is_dir() || found.is_file() || found.is_symlink()) {
                left_out += 1;
                continue;
            } else if found.is_dir() {
                entry.kind = EntryKind::Directory;
                pending.push(path.clone());
                tree.as_deref_mut()
                    .map_or(Ok(()), |tree| tree.directory(below, mode))
                    .map_err(told)?;
            } else if found.is_symlink() {
                entry.kind = EntryKind::Symlink;
                let target = fs::read_link(&path).map_err(told)?;
                entry.target = Some(crate::escape::to_text(target.as_os_str().as_bytes()));
                tree.as_deref_mut()
                    .map_or(Ok(()), |tree| tree.symlink(below, &target))
                    .map_err(told)?;
            } else {
                entry.kind = EntryKind::File;
                entry.size = found.len();
                let mut file = File::open(&path).map_err(told)?;
                entry.digest = Some(if let Some(tree) = tree.as_deref_mut() {
                    tree.file(below, mode, found.mtime(), &mut file).map_err(told)?
                } else {
                    Checked::new(file, IMAGE_BYTES).finish().map_err(told)?
                });
            }
            all.insert(below.as_os_str().as_bytes().to_vec(), entry);
        }
    }
    let mut text = Vec::new();
    for (path, entry) in &all {
        text.extend((path.len() as u64).to_le_bytes());
        text.extend(path);
        text.extend(serde_json::to_vec(entry).map_err(|error| error.to_string())?);
    }
    Ok(Listing { digest: Digest::of(&text), left_out })
}
