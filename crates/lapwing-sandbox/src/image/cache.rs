//! Unpacked root file systems, one folder each: `DIGEST-UID/{tree,facts.json,index.json}`.
//!
//! A tree is written into a folder named after its owner, a process, and moved to its place when it is whole: one that is
//! there is complete. What a process that was killed left is removed by the next. A lock for each name keeps two from doing
//! the same work, and keeps what is in use from being removed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lapwing_core::{Entry, SandboxError};
use serde::de::DeserializeOwned;

use super::source::{NO_PROGRAMS, Source, has_programs};
use super::tree::{self, Tree};
use super::{Facts, Fault, Root};
use crate::launcher;
use crate::owner::Owner;
use crate::sys::process;

/// Names where the cache is.
const CACHE: &str = "LAPWING_CACHE";
/// Names of folders that are being made; their owners and a number follow.
const MAKING: &str = "making-";

/// A lock that is held as long as this lives.
pub(crate) struct Lock(#[expect(dead_code, reason = "closing it lets go")] File);

/// A root file system in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// What is known of it.
    pub facts: Facts,
    /// Its folder.
    pub path: PathBuf,
}

/// The cache of root file systems.
#[derive(Clone, Debug)]
pub struct Images {
    folder: PathBuf,
}

impl Images {
    /// The cache of this user: the folder that `LAPWING_CACHE` names, else `lapwing` in the user's folder of caches.
    ///
    /// # Errors
    /// No such folder is known.
    pub fn open() -> Result<Self, SandboxError> {
        let variable =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = variable(CACHE)
            .or_else(|| variable("XDG_CACHE_HOME").map(|caches| caches.join("lapwing")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache/lapwing")));
        let folder = folder.and_then(|folder| std::path::absolute(folder).ok());
        folder.map(Self::at).ok_or_else(|| SandboxError::Unavailable {
            reason: "no folder for unpacked root file systems is known".to_owned(),
            mend: format!("set {CACHE} or HOME"),
        })
    }

    /// The cache in `folder`, which is made where it is missing.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Unpacks the root file system at `path`, unless that was done before.
    ///
    /// # Errors
    /// It is no root file system, it is broken, or the cache cannot be written.
    pub fn prepare(&self, path: &Path) -> Result<Cached, SandboxError> {
        let root = self.root(path)?;
        Ok(Cached { facts: root.facts, path: root.tree.parent().unwrap_or(&root.tree).to_owned() })
    }

    pub(crate) fn root(&self, path: &Path) -> Result<Root, SandboxError> {
        self.unpacked(path).map_err(|fault| SandboxError::Unavailable {
            reason: format!("the root file system {} cannot be used: {fault}", path.display()),
            mend: format!(
                "give a folder or an archive: an OCI layout, what `docker save` writes, or the files themselves; \
                 the cache is {}",
                self.folder.display()
            ),
        })
    }

    /// What is in the cache, by digest.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn list(&self) -> io::Result<Vec<Cached>> {
        let mut all = Vec::new();
        for entry in read_dir(&self.folder)? {
            // What is being made, and locks, have none.
            if let Ok(facts) = read_json::<Facts>(&entry.path().join("facts.json"))
                && is_finished(&entry)
            {
                all.push(Cached { facts, path: entry.path() });
            }
        }
        all.sort_by_key(|cached| cached.path.clone());
        Ok(all)
    }

    /// Removes everything that no process uses. Returns what was removed and what is in use.
    ///
    /// # Errors
    /// The cache cannot be read, or something in it cannot be removed.
    pub fn clean(&self) -> io::Result<(Vec<Cached>, Vec<Cached>)> {
        self.sweep()?;
        let (mut removed, mut used) = (Vec::new(), Vec::new());
        for cached in self.list()? {
            let lock = self.lock_file(&cached.path)?;
            match lock.try_lock() {
                Ok(()) => {
                    // Moved away first: what has a name is whole.
                    let away = self.making()?;
                    fs::rename(&cached.path, &away)?;
                    tree::remove(&away)?;
                    removed.push(cached);
                }
                Err(TryLockError::WouldBlock) => used.push(cached),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok((removed, used))
    }

    /// Removes what processes that have ended were making.
    ///
    /// # Errors
    /// The cache cannot be read, or something in it cannot be removed.
    pub fn sweep(&self) -> io::Result<()> {
        for entry in read_dir(&self.folder)? {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| {
                let (owner, _) = name.strip_prefix(MAKING)?.rsplit_once('.')?;
                owner.parse::<Owner>().ok()
            });
            if owner.is_some_and(|owner| !owner.lives()) {
                tree::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// A path of a folder or file that is about to be made, and that is swept when this process ends before it is moved.
    pub(crate) fn making(&self) -> io::Result<PathBuf> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        Ok(self.folder.join(format!("{MAKING}{}.{number}", Owner::this()?)))
    }

    fn unpacked(&self, path: &Path) -> Result<Root, Fault> {
        let told = |error: io::Error| error.to_string();
        let cannot = |error: io::Error| format!("the cache {}: {error}", self.folder.display());
        self.sweep().map_err(cannot)?;
        let mut scratch = || {
            // Without a name from the beginning, so that nothing is left of it.
            let path = self.making()?;
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        };
        let source = Source::read(path, &mut scratch)?;
        let (user, group) = launcher::outside_ids().map_err(told)?;
        let place = self.folder.join(format!("{}-{user}", source.digest()));
        loop {
            let lock = self.lock_file(&place).map_err(cannot)?;
            lock.lock_shared().map_err(cannot)?;
            if place.join("facts.json").exists() {
                return load(&place, lock).map_err(cannot);
            }
            lock.unlock().map_err(cannot)?;
            lock.lock().map_err(cannot)?;
            if !place.join("facts.json").exists() {
                self.make(&source, &place, (user, group))?;
            }
            // Shared from here on: look again, as somebody may clean in between.
        }
    }

    fn make(&self, source: &Source, place: &Path, owner: (u32, u32)) -> Result<(), Fault> {
        let told = |error: io::Error| error.to_string();
        let making = self.making().map_err(told)?;
        let made = fs::DirBuilder::new()
            .mode(0o755)
            .create(&making)
            .map_err(told)
            .and_then(|()| write(source, &making, owner))
            .and_then(|()| fs::rename(&making, place).map_err(told));
        if made.is_err() {
            // What cannot be removed now, the next process removes.
            let _ = tree::remove(&making);
        }
        made
    }

    fn lock_file(&self, place: &Path) -> io::Result<File> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut name = std::ffi::OsString::from(".lock-");
        name.push(place.file_name().unwrap_or_default());
        let path = self.folder.join(name);
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
    }
}

/// Writes tree, index and facts into `folder`.
fn write(source: &Source, folder: &Path, owner: (u32, u32)) -> Result<(), Fault> {
    let told = |error: io::Error| error.to_string();
    let is_own = process::effective_ids().0 == owner.0;
    let mut tree = Tree::create(&folder.join("tree"), (!is_own).then_some(owner)).map_err(told)?;
    let left_out = source.unpack(&mut tree)?;
    if !has_programs(&folder.join("tree")) {
        return Err(NO_PROGRAMS.to_owned());
    }
    let (bytes, entries) = (tree.bytes, tree.entries);
    let index = tree.finish().map_err(told)?;
    let facts = Facts {
        digest: source.digest(),
        kind: source.kind(),
        bytes,
        entries,
        left_out,
        env: source.env(),
    };
    let json = |value: serde_json::Result<Vec<u8>>| value.map_err(|error| error.to_string());
    fs::write(folder.join("index.json"), json(serde_json::to_vec(&index))?).map_err(told)?;
    fs::write(folder.join("facts.json"), json(serde_json::to_vec_pretty(&facts))?).map_err(told)
}

fn load(place: &Path, lock: File) -> io::Result<Root> {
    Ok(Root {
        facts: read_json(&place.join("facts.json"))?,
        tree: place.join("tree"),
        index: Arc::new(read_json::<BTreeMap<String, Entry>>(&place.join("index.json"))?),
        _lock: Arc::new(Lock(lock)),
    })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn is_finished(entry: &fs::DirEntry) -> bool {
    !entry.file_name().to_string_lossy().starts_with(MAKING)
}

/// The entries of a folder; none if it is missing.
fn read_dir(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
