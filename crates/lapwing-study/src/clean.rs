//! Cells that no stage of a study names any more: it was changed since, or what trains and measures was.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use crate::cache::FileError;
use crate::cell;
use crate::run::Cell;
use crate::study::Study;

/// A cell that no stage names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The stage and the seed that it was computed for.
    pub cell: Cell,
    /// Where it is kept.
    pub folder: PathBuf,
    /// How much its files hold.
    pub bytes: u64,
}

/// The cells in `results` that no stage of the study names as it stands, by their names. What does not bear a cell's name is none.
///
/// # Errors
/// That a folder cannot be read.
pub fn stale(study: &Study, results: &Path) -> Result<Vec<Stale>, FileError> {
    let cells = results.join("cells");
    let entries = match fs::read_dir(&cells).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::new("read", &cells)(error)),
    };
    let mut stale = Vec::new();
    for entry in entries {
        let folder = entry.path();
        let Some(cell) = cell_of(&entry) else { continue };
        if study.stage.contains_key(&cell.stage) && cell::folder(study, results, &cell) == folder {
            continue;
        }
        let bytes = bytes_in(&folder).map_err(FileError::new("read", &folder))?;
        stale.push(Stale { cell, folder, bytes });
    }
    stale.sort_by(|one, other| one.folder.cmp(&other.folder));
    Ok(stale)
}

/// The stage and the seed in the name of a cell's folder, as [`cell::folder`] makes it.
fn cell_of(entry: &DirEntry) -> Option<Cell> {
    let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
    let name = entry.file_name().into_string().ok().filter(|_| is_folder)?;
    let (name, key) = name.rsplit_once('-')?;
    let (stage, seed) = name.rsplit_once('-')?;
    let is_key =
        key.len() == cell::KEY_DIGITS && key.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_key.then_some(Cell { seed: seed.parse().ok()?, stage: stage.to_owned() })
}

fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += if kind.is_dir() { bytes_in(&entry.path())? } else { kind.len() };
    }
    Ok(bytes)
}

impl Stale {
    /// Removes it. Who holds the folder's [lock](crate::run::lock) may.
    ///
    /// # Errors
    /// That it cannot be removed whole.
    pub fn remove(&self) -> Result<(), FileError> {
        // Without this file a cell is computed again, so that no kill leaves half a cell that counts as whole.
        match fs::remove_file(self.folder.join("training.json")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::remove_dir_all(&self.folder),
        }
        .map_err(FileError::new("remove", &self.folder))
    }
}
