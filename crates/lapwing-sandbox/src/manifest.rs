//! The walk over what is written. All of it is one file system, so a mount of the host's is told by its device.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lapwing_core::{Digest, Entry, EntryKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::escape;
use crate::files;
use crate::layers;

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

/// What is written, beside what layers below it hold.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Paths of layers below that were removed.
    pub(crate) removed: Vec<String>,
    /// Folders that show nothing of the layers below.
    pub(crate) opaque: Vec<String>,
}

/// What is written, as JSON. It lies in `upper`, if there is one, and else below the root.
pub(crate) fn take(disk_bytes: u64, upper: Option<&OwnedFd>) -> Result<Vec<u8>, String> {
    let mut roots: Vec<(PathBuf, &Path)> = Vec::new();
    match upper {
        Some(upper) => {
            roots.push((near(upper), Path::new("/")));
            roots.push((PathBuf::from("/dev"), Path::new("/dev")));
        }
        None => roots.extend(ROOTS.map(|root| (PathBuf::from(root), Path::new(root)))),
    }
    let device = fs::metadata(&roots[0].0).map_err(|error| format!("/: {error}"))?.dev();
    let mut walk = Walk {
        device,
        layered: upper.is_some(),
        written: Written::default(),
        paths_bytes: 0,
        bytes_left: disk_bytes.saturating_mul(DISKS_READ),
        pending: Vec::new(),
    };
    for (reachable, root) in &roots {
        walk.tree(reachable, root)?;
    }
    serde_json::to_vec(&walk.written).map_err(|error| error.to_string())
}

struct Walk {
    device: u64,
    /// Whether marks of removed files are to be found.
    layered: bool,
    written: Written,
    paths_bytes: usize,
    bytes_left: u64,
    /// Paths relative to the root that is walked.
    pending: Vec<PathBuf>,
}

impl Walk {
    /// Walks what is seen as `root` and can be reached as `reachable`.
    fn tree(&mut self, reachable: &Path, root: &Path) -> Result<(), String> {
        // A path through a descriptor is a link, which stands for the folder itself.
        let top = open_folder(reachable).map_err(|error| format!("{}: {error}", root.display()))?;
        if let Ok(metadata) = top.metadata() {
            self.entry(root, Path::new(""), reachable, &metadata)?;
        }
        while let Some(directory) = self.pending.pop() {
            // It may be gone, or no directory any more.
            if let Ok(opened) = open_below(&top, &directory) {
                self.directory(root, &directory, &opened)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, root: &Path, path: &Path, opened: &File) -> Result<(), String> {
        let near = near(opened);
        let Ok(entries) = fs::read_dir(&near) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let reachable = near.join(&name);
            if let Ok(metadata) = fs::symlink_metadata(&reachable) {
                let below = path.join(&name);
                self.entry(&root.join(&below), &below, &reachable, &metadata)?;
            }
        }
        Ok(())
    }

    /// Notes what is at `path`, which is `below` the root that is walked and can be opened as `reachable`.
    fn entry(
        &mut self,
        path: &Path,
        below: &Path,
        reachable: &Path,
        metadata: &Metadata,
    ) -> Result<(), String> {
        // In a layer only a place for what is mounted there.
        let is_place = self.layered && path == Path::new("/proc");
        if metadata.dev() != self.device || is_place {
            return Ok(());
        }
        let bytes = path.as_os_str().as_bytes();
        self.count(bytes)?;
        if self.layered && layers::is_whiteout(metadata) {
            self.written.removed.push(escape::to_text(bytes));
            return Ok(());
        }
        let mut entry = Entry {
            kind: EntryKind::Special,
            mode: metadata.mode() & 0o7777,
            size: 0,
            digest: None,
            target: None,
        };
        if metadata.is_dir() {
            entry.kind = EntryKind::Directory;
            self.pending.push(below.to_owned());
            if self.layered && layers::is_opaque(reachable) {
                self.written.opaque.push(escape::to_text(bytes));
            }
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
        self.written.entries.insert(escape::to_text(bytes), entry);
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
pub(crate) fn near(opened: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

fn open_folder(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path)
}

/// Opens a directory of any depth below `top`, in steps that the kernel accepts and without following links.
fn open_below(top: &File, path: &Path) -> io::Result<File> {
    let open = |path: &Path| {
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    let mut reached = top.try_clone()?;
    let mut step = near(&reached);
    for component in path.components() {
        if step.as_os_str().len() > REACH_BYTES {
            reached = open(&step)?;
            step = near(&reached);
        }
        step.push(component);
    }
    // The top itself is a link here.
    if path.as_os_str().is_empty() { Ok(reached) } else { open(&step) }
}
