//! Answers of earlier runs, one file each.
//!
//! An answer is found by what was asked *and* by which draw it is: condition, seed, epoch and number of the call. So a repeat of a
//! seed, a second question with the same words, or a sample that is drawn again never gets a copy of the first draw.

use std::io;
use std::path::{Path, PathBuf};

use lapwing_core::{Digest, Draw};

/// A folder of answers.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
}

/// A folder that cannot hold answers.
#[derive(Debug, thiserror::Error)]
#[error("the cache {} cannot be used: {cause}", .dir.display())]
pub struct CacheError {
    dir: PathBuf,
    cause: io::Error,
}

impl Cache {
    /// The cache in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        let dir = dir.to_owned();
        match std::fs::create_dir_all(&dir) {
            Ok(()) => Ok(Self { dir }),
            Err(cause) => Err(CacheError { dir, cause }),
        }
    }

    /// Where the answer to `body`, sent to `url` as this draw, is kept.
    pub(crate) fn place(&self, url: &str, body: &[u8], draw: &Draw) -> PathBuf {
        let draw = serde_json::to_string(draw).unwrap_or_default();
        let asked = Digest::of(body).to_string();
        let name = Digest::of([url, &draw, &asked].join("\n").as_bytes()).to_string();
        self.dir.join(&name[..2]).join(&name[2..])
    }

    /// The answer that is kept there, if one is.
    pub(crate) fn get(place: &Path) -> Option<Vec<u8>> {
        std::fs::read(place).ok()
    }

    /// Keeps an answer. One that cannot be kept is asked for again the next time, which is no fault of this call.
    pub(crate) fn put(place: &Path, answer: &[u8]) -> io::Result<()> {
        let dir = place.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir)?;
        // Another process may write the same answer: each writes its own file, and renaming is atomic.
        let draft = place.with_extension(format!("{}.part", std::process::id()));
        std::fs::write(&draft, answer)?;
        std::fs::rename(&draft, place)
    }
}
