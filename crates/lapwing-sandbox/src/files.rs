//! Files written and read inside, by a helper that has the uid of the commands.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::escape;
use crate::protocol::PutFile;

/// Once so many bytes are read, further files have to be asked for again: all of them together may be more than a sandbox's
/// memory.
const BATCH_BYTES: usize = 1 << 20;
/// The length of what is not there.
const ABSENT: u64 = u64::MAX;
const LENGTH_BYTES: usize = size_of::<u64>();

/// Writes `files`, whose bytes follow each other in `input`; without one, all are empty.
pub(crate) fn put(files: &[PutFile], mut input: Option<&mut File>) -> Result<Vec<u8>, String> {
    let mut offset = 0;
    for file in files {
        put_file(file, input.as_deref_mut(), offset)
            .map_err(|error| format!("{}: {error}", file.path))?;
        offset += file.size;
    }
    Ok(Vec::new())
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

/// Reads the regular files at `paths`, which may be written as a manifest writes them: for [`parts`], and only as many of the first
/// ones as it takes to have [`BATCH_BYTES`].
pub(crate) fn get(paths: &[String], max_bytes: u64) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    for path in paths {
        append(path, max_bytes, &mut output).map_err(|error| format!("{path}: {error}"))?;
        if output.len() >= BATCH_BYTES {
            break;
        }
    }
    Ok(output)
}

/// Appends length and bytes of the file at `path`.
fn append(path: &str, max_bytes: u64, output: &mut Vec<u8>) -> io::Result<()> {
    let start = output.len();
    output.extend(ABSENT.to_le_bytes());
    let Some(file) = open_regular(&escape::to_path(path))? else { return Ok(()) };
    let length = file.take(max_bytes.saturating_add(1)).read_to_end(output)? as u64;
    if length <= max_bytes {
        output[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    } else {
        output.truncate(start + LENGTH_BYTES);
    }
    Ok(())
}

/// The files that [`get`] has read, in their order; `None` if it did not write this.
pub(crate) fn parts(mut output: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = output.split_first_chunk::<LENGTH_BYTES>() {
        let length = u64::from_le_bytes(*length);
        if length == ABSENT {
            parts.push(None);
            output = rest;
        } else {
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            parts.push(Some(bytes.to_vec()));
            output = rest;
        }
    }
    output.is_empty().then_some(parts)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_helper_says_are_files_or_nothing(output: Vec<u8>) {
            if let Some(parts) = parts(&output) {
                let bytes: usize = parts.iter().map(|part| part.as_ref().map_or(0, Vec::len)).sum();
                prop_assert_eq!(bytes + parts.len() * LENGTH_BYTES, output.len());
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "files are opened with flags that Miri does not know")]
    fn a_batch_ends_when_it_is_full_and_goes_on_with_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let sizes = [("empty", 0), ("small", 3), ("full", BATCH_BYTES), ("late", 1)];
        for (name, size) in sizes {
            fs::write(path(name), vec![7; size]).unwrap();
        }
        let read = |names: &[&str]| {
            let paths: Vec<String> = names.iter().map(|name| path(name)).collect();
            parts(&get(&paths, BATCH_BYTES as u64).unwrap()).unwrap()
        };
        let first = read(&["empty", "none", "small", "full", "late"]);
        let whole = Some(vec![7; BATCH_BYTES]);
        assert!(first == [Some(vec![]), None, Some(vec![7; 3]), whole], "{}", first.len());
        assert_eq!(read(&["late"]), [Some(vec![7])]);
    }
}
