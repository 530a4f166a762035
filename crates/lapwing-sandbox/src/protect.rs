//! Read-only mounts over paths of the writable tree. Commands have no capability to undo a mount.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use crate::sys::mount::{self, Access, Tree};

/// Makes `paths` read-only. What is open for writing already stays so, as does a protected directory to a process that
/// works in it: protect before commands run. Fails with the path and the reason.
pub(crate) fn protect(paths: &[String]) -> Result<(), String> {
    paths.iter().try_for_each(|path| {
        protect_path(Path::new(path)).map_err(|error| format!("{path}: {error}"))
    })
}

fn protect_path(path: &Path) -> io::Result<()> {
    let plain =
        path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain || path.parent().is_none() {
        return Err(io::Error::other("not an absolute path below the root, without `..`"));
    }
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Err(io::Error::other("a link cannot be protected, what it points to can"));
    }
    if metadata.is_file() && metadata.nlink() > 1 {
        return Err(io::Error::other("the file has another name, under which it could be changed"));
    }
    Tree::copy(path, Access::ReadOnly)?.attach(path)?;
    pin_parents(path)
}

/// A mount moves with the directories above it: whoever renames one of them could lay out another tree at the old
/// path. A directory that is a mount itself cannot be renamed. What is mounted below goes along with each copy, so that a
/// process whose working directory lies below the new mount meets the protection too.
fn pin_parents(path: &Path) -> io::Result<()> {
    let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
    // The root needs no pin.
    parents.pop();
    for parent in parents.into_iter().rev() {
        if !mount::is_mount_point(parent)? {
            Tree::copy(parent, Access::Same)?.attach(parent)?;
        }
    }
    Ok(())
}
