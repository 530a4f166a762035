//! The walk over the writable tree. All of it is one file system, so a mount of the host's is told by its device.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lapwing_core::{Digest, Entry, EntryKind, Manifest};
use sha2::{Digest as _, Sha256};

use crate::escape;
use crate::files::{self, Outcome};

/// Where the writable tree is visible: below the root, and laid over the host's `/usr/local`.
const ROOTS: [&str; 2] = ["/", "/usr/local"];
/// Longest path. Nested directories could otherwise make a manifest of any size.
const PATH_BYTES: usize = 16 * 1024;
/// All paths together, those that links point to included.
const PATHS_BYTES: usize = 64 << 20;
/// Longest path that the kernel takes at once, with room for what stands before it.
const REACH_BYTES: usize = 3000;
/// Files with holes can claim any size. Of all files together this many times the disk is read.
const DISKS_READ: u64 = 4;

/// The manifest as JSON.
pub(crate) fn take(disk_bytes: u64) -> Result<Outcome, String> {
    let device = fs::metadata("/").map_err(|error| format!("/: {error}"))?.dev();
    let mut walk = Walk {
        device,
        entries: BTreeMap::new(),
        paths_bytes: 0,
        bytes_left: disk_bytes.saturating_mul(DISKS_READ),
        pending: Vec::new(),
    };
    for root in ROOTS {
        walk.tree(Path::new(root))?;
    }
    let manifest = Manifest { entries: walk.entries };
    serde_json::to_vec(&manifest).map(Outcome::Output).map_err(|error| error.to_string())
}

struct Walk {
    device: u64,
    entries: BTreeMap<String, Entry>,
    paths_bytes: usize,
    bytes_left: u64,
    pending: Vec<PathBuf>,
}

impl Walk {
    fn tree(&mut self, root: &Path) -> Result<(), String> {
        if let Ok(metadata) = fs::symlink_metadata(root) {
            self.entry(root, root, &metadata)?;
        }
        while let Some(directory) = self.pending.pop() {
            // It may be gone, or no directory any more.
            if let Ok(opened) = open_directory(&directory) {
                self.directory(&directory, &opened)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path, opened: &File) -> Result<(), String> {
        let near = near(opened);
        let Ok(entries) = fs::read_dir(&near) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let reachable = near.join(&name);
            if let Ok(metadata) = fs::symlink_metadata(&reachable) {
                self.entry(&path.join(&name), &reachable, &metadata)?;
            }
        }
        Ok(())
    }

    /// Notes what is at `path`, which can be opened as `reachable`.
    fn entry(&mut self, path: &Path, reachable: &Path, metadata: &Metadata) -> Result<(), String> {
        if metadata.dev() != self.device {
            return Ok(());
        }
        let bytes = path.as_os_str().as_bytes();
        self.count(bytes)?;
        let mut entry = Entry {
            kind: EntryKind::Special,
            mode: metadata.mode() & 0o7777,
            size: 0,
            digest: None,
            target: None,
        };
        if metadata.is_dir() {
            entry.kind = EntryKind::Directory;
            self.pending.push(path.to_owned());
        } else if metadata.is_symlink() {
            let Ok(target) = fs::read_link(reachable) else { return Ok(()) };
            entry.kind = EntryKind::Symlink;
            let target = target.as_os_str().as_bytes();
            self.count(target)?;
            entry.target = Some(escape::to_text(target));
        } else if metadata.is_file() {
            entry.kind = EntryKind::File;
            entry.size = metadata.len();
            entry.digest = self.digest(reachable, metadata.len());
        }
        self.entries.insert(escape::to_text(bytes), entry);
        Ok(())
    }

    /// Counts a path that becomes part of the manifest.
    fn count(&mut self, path: &[u8]) -> Result<(), String> {
        self.paths_bytes += path.len();
        if path.len() > PATH_BYTES || self.paths_bytes > PATHS_BYTES {
            return Err(format!(
                "the paths of the tree are too long to list: one has {} bytes, all so far {}",
                path.len(),
                self.paths_bytes,
            ));
        }
        Ok(())
    }

    /// `None` if the file cannot be read to its end.
    fn digest(&mut self, path: &Path, size: u64) -> Option<Digest> {
        self.bytes_left = self.bytes_left.checked_sub(size)?;
        let mut file = files::open_regular(path).ok()??.take(size);
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Some(Digest::from_bytes(hasher.finalize().into())),
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => return None,
            }
        }
    }
}

/// A short path to what `opened` is.
fn near(opened: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

/// Opens a directory of any depth, in steps that the kernel accepts.
fn open_directory(path: &Path) -> io::Result<File> {
    let open = |path: &Path| {
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    if path.as_os_str().len() <= REACH_BYTES {
        return open(path);
    }
    let mut reached = open(Path::new("/"))?;
    let mut step = near(&reached);
    for component in path.components().skip(1) {
        if step.as_os_str().len() > REACH_BYTES {
            reached = open(&step)?;
            step = near(&reached);
        }
        step.push(component);
    }
    open(&step)
}
