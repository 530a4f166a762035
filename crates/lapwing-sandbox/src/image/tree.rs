//! The files of an image as they are written, by code that trusts no name in it. Every path is resolved below the folder of
//! the tree, whatever links lie there, and its last part is never followed.
//!
//! Until the tree is finished only its owner can look into it: files that it may not read, and folders that it may not write
//! to, get their modes in the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use lapwing_core::{Digest, Entry, EntryKind};
use rustix::fs::{
    self, AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::{IMAGE_BYTES, IMAGE_ENTRIES, PATH_BYTES};
use crate::escape;
use crate::layers;

/// Permission bits that are kept; a set-id program in the cache would serve whoever finds it on the host.
const KEPT_BITS: u32 = 0o1777;

/// A tree that is being written.
pub(crate) struct Tree {
    root: OwnedFd,
    /// Who it will belong to, where that is somebody else.
    owner: Option<(u32, u32)>,
    /// Modes by path, to be set in the end.
    modes: BTreeMap<PathBuf, u32>,
    /// Digests of files by inode.
    digests: HashMap<u64, Digest>,
    /// What the layer at hand has written.
    fresh: HashSet<PathBuf>,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

impl Tree {
    /// A new tree in the folder `path`, which is made.
    pub(crate) fn create(path: &Path, owner: Option<(u32, u32)>) -> io::Result<Self> {
        fs::mkdir(path, Mode::RWXU)?;
        let root =
            fs::open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let mut tree = Self {
            root,
            owner,
            modes: BTreeMap::new(),
            digests: HashMap::new(),
            fresh: HashSet::new(),
            bytes: 0,
            entries: 0,
        };
        tree.own(tree.root.try_clone()?.as_fd(), OsStr::new("."))?;
        tree.modes.insert(PathBuf::new(), 0o755);
        Ok(tree)
    }

    /// Ends a layer: what it wrote is below the next one.
    pub(crate) fn end_layer(&mut self) {
        self.fresh.clear();
    }

    pub(crate) fn directory(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            self.modes.insert(PathBuf::new(), mode & KEPT_BITS);
            return Ok(());
        }
        self.count(path)?;
        let (parent, name) = self.place(path)?;
        if kind(parent.as_fd(), name)? != Some(FileType::Directory) {
            remove_at(parent.as_fd(), name)?;
            fs::mkdirat(&parent, name, Mode::RWXU)?;
            self.own(parent.as_fd(), name)?;
        }
        self.note(path, mode);
        Ok(())
    }

    pub(crate) fn file(
        &mut self,
        path: &Path,
        mode: u32,
        modified_s: i64,
        content: &mut dyn Read,
    ) -> io::Result<Digest> {
        self.count(path)?;
        let (parent, name) = self.place(path)?;
        remove_at(parent.as_fd(), name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(&parent, name, flags, Mode::RUSR | Mode::WUSR)?);
        let digest = self.copy(content, &mut file)?;
        self.own(parent.as_fd(), name)?;
        let time = Timespec { tv_sec: modified_s, tv_nsec: 0 };
        fs::futimens(&file, &Timestamps { last_access: time, last_modification: time })?;
        self.digests.insert(fs::fstat(&file)?.st_ino, digest);
        self.note(path, mode);
        Ok(digest)
    }

    fn copy(&mut self, content: &mut dyn Read, file: &mut File) -> io::Result<Digest> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => return Ok(Digest::from_bytes(hasher.finalize().into())),
                Ok(count) => {
                    self.bytes += count as u64;
                    if self.bytes > IMAGE_BYTES {
                        return Err(io::Error::other(format!(
                            "its files have more than {} GiB",
                            IMAGE_BYTES >> 30
                        )));
                    }
                    hasher.update(&buffer[..count]);
                    file.write_all(&buffer[..count])?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn symlink(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.count(path)?;
        let (parent, name) = self.place(path)?;
        remove_at(parent.as_fd(), name)?;
        fs::symlinkat(target, &parent, name)?;
        self.own(parent.as_fd(), name)?;
        self.fresh.insert(path.to_owned());
        self.modes.remove(path);
        Ok(())
    }

    /// Another name for what is at `target`, a path in the tree.
    pub(crate) fn hard_link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.count(path)?;
        let Some((from, from_name)) = self.find(target)? else {
            return Err(io::Error::other(format!(
                "it links to {}, which is not there",
                target.display()
            )));
        };
        let (parent, name) = self.place(path)?;
        if path != target {
            remove_at(parent.as_fd(), name)?;
            fs::linkat(&from, from_name, &parent, name, AtFlags::empty())?;
        }
        if let Some(mode) = self.modes.get(target).copied() {
            self.note(path, mode);
        }
        self.fresh.insert(path.to_owned());
        Ok(())
    }

    /// Removes what lower layers have at `path`.
    pub(crate) fn white_out(&mut self, path: &Path) -> io::Result<()> {
        self.entries += 1;
        let Some((parent, name)) = self.find(path)? else { return Ok(()) };
        if self.fresh.contains(path) {
            return self.make_opaque(path);
        }
        remove_at(parent.as_fd(), name)
    }

    /// Removes what lower layers have in the folder `path`.
    pub(crate) fn make_opaque(&mut self, path: &Path) -> io::Result<()> {
        let Ok(folder) = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY) else { return Ok(()) };
        for name in names(&folder)? {
            let below = path.join(&name);
            if !self.fresh.contains(&below) {
                remove_at(folder.as_fd(), &name)?;
            } else if kind(folder.as_fd(), &name)? == Some(FileType::Directory) {
                self.make_opaque(&below)?;
            }
        }
        Ok(())
    }

    /// Writes the mark by which an overlay knows that what layers below have at `path` was removed.
    pub(crate) fn mark_removed(&mut self, path: &Path) -> io::Result<()> {
        self.count(path)?;
        let (parent, name) = self.place(path)?;
        remove_at(parent.as_fd(), name)?;
        fs::mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), 0)?;
        self.own(parent.as_fd(), name)
    }

    /// Writes the mark by which an overlay knows that the folder `path` shows nothing of layers below.
    pub(crate) fn mark_opaque(&mut self, path: &Path) -> io::Result<()> {
        let folder = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(fs::fsetxattr(&folder, layers::MARK, b"y", fs::XattrFlags::empty())?)
    }

    /// Sets all modes, and returns all entries by absolute path.
    pub(crate) fn finish(self) -> io::Result<BTreeMap<String, Entry>> {
        let mut index = BTreeMap::new();
        self.list(&self.root, Path::new(""), &mut index)?;
        // What is inside a folder comes before it.
        for (path, mode) in self.modes.iter().rev() {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let Ok(found) = self.open(path, OFlags::PATH | OFlags::NOFOLLOW) else { continue };
            let near = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&found));
            fs::chmod(near, Mode::from_raw_mode(*mode))?;
        }
        Ok(index)
    }

    fn list(
        &self,
        folder: &OwnedFd,
        path: &Path,
        index: &mut BTreeMap<String, Entry>,
    ) -> io::Result<()> {
        for name in names(folder)? {
            let path = path.join(&name);
            let found = fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            let mode = self.modes.get(&path).copied().unwrap_or(found.st_mode & KEPT_BITS);
            let kind = FileType::from_raw_mode(found.st_mode);
            let mut entry =
                Entry { kind: EntryKind::Special, mode, size: 0, digest: None, target: None };
            match kind {
                FileType::Directory => entry.kind = EntryKind::Directory,
                FileType::RegularFile => {
                    entry.kind = EntryKind::File;
                    entry.size = found.st_size.cast_unsigned();
                    entry.digest = self.digests.get(&found.st_ino).copied();
                }
                FileType::Symlink => {
                    entry.kind = EntryKind::Symlink;
                    entry.mode = 0o777;
                    let target = fs::readlinkat(folder, &name, Vec::new())?;
                    entry.target = Some(escape::to_text(target.as_bytes()));
                }
                _ => {}
            }
            let absolute = [b"/", path.as_os_str().as_bytes()].concat();
            index.insert(escape::to_text(&absolute), entry);
            if kind == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                self.list(&fs::openat(folder, &name, flags, Mode::empty())?, &path, index)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, path: &Path, mode: u32) {
        self.modes.insert(path.to_owned(), mode & KEPT_BITS);
        self.fresh.insert(path.to_owned());
    }

    fn count(&mut self, path: &Path) -> io::Result<()> {
        self.entries += 1;
        if self.entries > IMAGE_ENTRIES {
            return Err(io::Error::other(format!("it has more than {IMAGE_ENTRIES} entries")));
        }
        if path.as_os_str().len() > PATH_BYTES {
            return Err(io::Error::other(format!("a path has more than {PATH_BYTES} bytes")));
        }
        Ok(())
    }

    fn own(&self, parent: std::os::fd::BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let Some((user, group)) = self.owner else { return Ok(()) };
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        Ok(fs::chownat(parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// The folder that `path` is in, if it is there, and the last part of `path`.
    fn find<'p>(&self, path: &'p Path) -> io::Result<Option<(OwnedFd, &'p OsStr)>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        match self.open(parent, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(parent) => Ok(Some((parent, name))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The same, made where it is missing.
    fn place<'p>(&mut self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        if let Some(found) = self.find(path)? {
            return Ok(found);
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::other("an entry has no name"));
        };
        let mut reached = PathBuf::new();
        for part in parent.components() {
            reached.push(part);
            if self.open(&reached, OFlags::PATH | OFlags::DIRECTORY).is_err() {
                self.directory(&reached.clone(), 0o755)?;
            }
        }
        Ok((self.open(parent, OFlags::PATH | OFlags::DIRECTORY)?, name))
    }
}

/// The path that a name in an archive means below the tree. A leading `/` means the top of the tree.
pub(crate) fn inside(name: &Path) -> Result<PathBuf, String> {
    let mut path = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(format!("it has an entry `{}`, which leads out of it", name.display()));
            }
        }
    }
    Ok(path)
}

/// What is at `name`; `None` if nothing is.
fn kind(parent: std::os::fd::BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<FileType>> {
    match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The names in a folder.
fn names(folder: &OwnedFd) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Removes the folder or file `path` with all that is in it, also where modes would forbid it. That it is gone is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    remove_at(fs::CWD, path.as_os_str())
}

/// Removes what is there, whatever it is.
fn remove_at(parent: std::os::fd::BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    if kind(parent, name)? != Some(FileType::Directory) {
        return match fs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::NOENT) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        };
    }
    // It may be closed to its own owner. Where it belongs to somebody else, opening it tells.
    let _ = fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = fs::openat(parent, name, flags, Mode::empty())?;
    for inner in names(&folder)? {
        remove_at(folder.as_fd(), &inner)?;
    }
    Ok(fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}
