//! What is written in a sandbox, as an archive from which forks are made. A device of characters stands for a file that was
//! removed, one of blocks for a folder that hides what is below it: no name can be taken for such a mark. A link is a
//! contiguous file whose content is the target: what archives have a field for, libraries write in a way of their own.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::files;
use crate::layers;
use crate::manifest::near;

/// Files with holes can claim any size. Of all files together this many times the disk is written.
const DISKS_WRITTEN: u64 = 4;

/// Writes the layer into `output`. What is written in the sandbox lies in `upper`, if there is one, and else below the root.
/// Left out are devices, fifos and sockets, and everything below `/dev`.
pub(crate) fn write(
    disk_bytes: u64,
    upper: Option<&OwnedFd>,
    output: Option<&mut File>,
) -> Result<Vec<u8>, String> {
    let Some(output) = output else { return Err("there is no file to write to".to_owned()) };
    let root = upper.map_or_else(|| PathBuf::from("/"), near);
    let told = |error: io::Error| error.to_string();
    let mut layer = Layer {
        device: fs::metadata(&root).map_err(told)?.dev(),
        layered: upper.is_some(),
        archive: tar::Builder::new(io::BufWriter::new(output)),
        linked: HashMap::new(),
        bytes_left: disk_bytes.saturating_mul(DISKS_WRITTEN),
    };
    layer.directory(&root, Path::new("")).map_err(told)?;
    if upper.is_none() {
        // Laid over the host's, whose folder is no part of what is written.
        layer.directory(Path::new("/usr/local"), Path::new("usr/local")).map_err(told)?;
    }
    layer.archive.into_inner().and_then(|mut output| output.flush()).map_err(told)?;
    Ok(Vec::new())
}

struct Layer<W: Write> {
    device: u64,
    layered: bool,
    archive: tar::Builder<W>,
    /// The first name of files with several, by inode.
    linked: HashMap<u64, PathBuf>,
    bytes_left: u64,
}

impl<W: Write> Layer<W> {
    /// Adds what is in the folder that can be reached as `near` and is at `path`.
    fn directory(&mut self, near: &Path, path: &Path) -> io::Result<()> {
        let mut entries = fs::read_dir(near)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = path.join(entry.file_name());
            let found = fs::symlink_metadata(entry.path())?;
            if found.dev() == self.device && path != Path::new("dev") {
                self.entry(&entry.path(), &path, &found)?;
            } else if self.is_mounted_over(&path) {
                // What is mounted here in the fork needs its place.
                let mut header = header(tar::EntryType::Directory, 0o755);
                self.archive.append_data(&mut header, &path, io::empty())?;
            }
        }
        Ok(())
    }

    fn is_mounted_over(&self, path: &Path) -> bool {
        !self.layered && matches!(path.to_str(), Some("usr" | "etc/alternatives"))
    }

    fn entry(&mut self, near: &Path, path: &Path, found: &Metadata) -> io::Result<()> {
        let mode = found.mode() & 0o7777;
        if found.is_dir() {
            self.archive.append_data(
                &mut header(tar::EntryType::Directory, mode),
                path,
                io::empty(),
            )?;
            if self.layered && layers::is_opaque(near) {
                self.archive.append_data(
                    &mut header(tar::EntryType::Block, 0),
                    path,
                    io::empty(),
                )?;
            }
            return self.directory(near, path);
        }
        if found.is_symlink() {
            let target = fs::read_link(near)?;
            let target = target.as_os_str().as_bytes();
            let mut header = header(tar::EntryType::Continuous, 0o777);
            header.set_size(target.len() as u64);
            return self.archive.append_data(&mut header, path, target);
        }
        if self.layered && layers::is_whiteout(found) {
            return self.archive.append_data(
                &mut header(tar::EntryType::Char, 0),
                path,
                io::empty(),
            );
        }
        if !found.is_file() {
            return Ok(());
        }
        if found.nlink() > 1 {
            if let Some(first) = self.linked.get(&found.ino()) {
                return self.archive.append_link(
                    &mut header(tar::EntryType::Link, mode),
                    path,
                    first,
                );
            }
            self.linked.insert(found.ino(), path.to_owned());
        }
        self.file(near, path, found, mode)
    }

    fn file(&mut self, near: &Path, path: &Path, found: &Metadata, mode: u32) -> io::Result<()> {
        self.bytes_left = self.bytes_left.checked_sub(found.len()).ok_or_else(|| {
            io::Error::other("its files, holes in them included, are too large to be copied")
        })?;
        let Some(file) = files::open_regular(near)? else { return Ok(()) };
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(found.len());
        header.set_mtime(found.mtime().max(0).cast_unsigned());
        // As long as it was: somebody may be writing to it.
        let content = file.take(found.len()).chain(io::repeat(0)).take(found.len());
        self.archive.append_data(&mut header, path, content)
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}
