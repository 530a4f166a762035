//! Folders that are there whole or not at all.

use std::fs::{self, File};
use std::path::Path;

use super::CheckpointError;

/// Writes a folder under another name, flushes it to the disk and gives it its name; on an error nothing is left.
pub fn write_folder<E: From<CheckpointError>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    if path.exists() {
        return Err(CheckpointError::Exists(path.to_owned()).into());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    // What a killed process left has no owner any more.
    fs::remove_dir_all(&partial).ok();
    let done = fill(&partial, write).and_then(|()| Ok(publish(&partial, path)?));
    if done.is_err() {
        fs::remove_dir_all(&partial).ok();
    }
    done
}

fn fill<E: From<CheckpointError>>(
    partial: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    fs::create_dir_all(partial).map_err(CheckpointError::io("create", partial))?;
    write(partial)
}

fn publish(partial: &Path, path: &Path) -> Result<(), CheckpointError> {
    let sync = |path: &Path| {
        let flushed = File::open(path).and_then(|file| file.sync_all());
        flushed.map_err(CheckpointError::io("flush", path))
    };
    for entry in fs::read_dir(partial).map_err(CheckpointError::io("list", partial))? {
        sync(&entry.map_err(CheckpointError::io("list", partial))?.path())?;
    }
    sync(partial)?;
    fs::rename(partial, path).map_err(CheckpointError::io("rename to", path))?;
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync)
}
