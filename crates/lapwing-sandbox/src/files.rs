//! Files written and read inside, by a helper that has the uid of the commands.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::escape;
use crate::protocol::PutFile;

/// What a helper comes to, if it does not fail.
pub(crate) enum Outcome {
    /// These bytes.
    Output(Vec<u8>),
    /// What was asked for is not there.
    Absent,
}

/// Writes `files`, whose bytes follow each other in `input`; without one, all are empty.
pub(crate) fn put(files: &[PutFile], mut input: Option<&mut File>) -> Result<Outcome, String> {
    let mut offset = 0;
    for file in files {
        put_file(file, input.as_deref_mut(), offset)
            .map_err(|error| format!("{}: {error}", file.path))?;
        offset += file.size;
    }
    Ok(Outcome::Output(Vec::new()))
}

fn put_file(file: &PutFile, input: Option<&mut File>, offset: u64) -> io::Result<()> {
    let path = Path::new(&file.path);
    let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), path.is_absolute())
    else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not the absolute path of a file"));
    };
    fs::create_dir_all(parent)?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}", std::process::id()));
    let temporary = parent.join(temporary_name);
    let written =
        write_new(&temporary, file, input, offset).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing half-written stays behind, least of all when the disk is full.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, file: &PutFile, input: Option<&mut File>, offset: u64) -> io::Result<()> {
    let mut output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Some(input) = input {
        input.seek(SeekFrom::Start(offset))?;
        io::copy(&mut input.take(file.size), &mut output)?;
    }
    output.set_permissions(Permissions::from_mode(file.mode & 0o7777))
}

/// Reads the regular file at `path`, which may be written as a manifest writes it.
pub(crate) fn get(path: &str, max_bytes: u64) -> Result<Outcome, String> {
    let opened = open_regular(&escape::to_path(path));
    let read = opened.and_then(|file| {
        let Some(file) = file else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 <= max_bytes).then_some(bytes))
    });
    match read {
        Ok(Some(bytes)) => Ok(Outcome::Output(bytes)),
        Ok(None) => Ok(Outcome::Absent),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

/// Opens a regular file without waiting for anything and without following a last link; `None` if it is none.
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        Err(error) => match error.raw_os_error() {
            Some(
                libc::ENOENT
                | libc::ENOTDIR
                | libc::ELOOP
                | libc::ENXIO
                | libc::ENODEV
                | libc::ENAMETOOLONG,
            ) => Ok(None),
            _ => Err(error),
        },
    }
}
