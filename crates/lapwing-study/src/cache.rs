//! What was computed, under the digest of everything that decided it: a folder that is there whole or not at all.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// Digest of the sources that decide what a stage ends as; a change of them computes everything again.
pub(crate) const CODE: &str = env!("LAPWING_STUDY_CODE");

/// Digest of the sources that decide which figures a trained stage has; a change of them measures again.
pub(crate) const FIGURES: &str = env!("LAPWING_FIGURES_CODE");

/// Why a result could not be kept or found.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {error}", path.display())]
pub struct FileError {
    what: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl FileError {
    pub(crate) fn new(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self { what, path, error }
    }
}

/// A value as JSON, keys in order.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Value {
    // A failure is a bug that every test of a digest would see; `null` keeps this total.
    serde_json::to_value(value).unwrap_or_default()
}

/// SHA-256 of a value's JSON, in hexadecimal.
pub(crate) fn digest(value: &serde_json::Value) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(value.to_string()) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The key of what follows from these values and from the code.
pub(crate) fn key(values: &[serde_json::Value]) -> String {
    let mut all = vec![serde_json::Value::String(CODE.to_owned())];
    all.extend_from_slice(values);
    digest(&serde_json::Value::Array(all))[..32].to_owned()
}

/// Writes a file that is there whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(FileError::new("create", folder))?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    let partial = path.with_file_name(name);
    let done = File::create(&partial)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&partial, path));
    done.map_err(|error| {
        fs::remove_file(&partial).ok();
        FileError::new("write", path)(error)
    })
}

/// Writes a value as JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::other);
    let text = text.map_err(FileError::new("write", path))?;
    write(path, (text + "\n").as_bytes())
}

/// Reads a value; nothing if there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    match fs::read(path) {
        Ok(bytes) => {
            let value = serde_json::from_slice(&bytes).map_err(io::Error::other);
            value.map(Some).map_err(FileError::new("read", path))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("read", path)(error)),
    }
}
