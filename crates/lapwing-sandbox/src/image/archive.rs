//! Archives: told by their first bytes, decompressed within bounds, read by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use lapwing_core::Digest;

/// Longest file of an archive that is read whole: indices, manifests, configurations.
const DOCUMENT_BYTES: u64 = 16 << 20;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the first bytes of `file`, whose position is where it was.
    pub(crate) fn of(file: &mut (impl Read + Seek)) -> io::Result<Self> {
        let mut start = Vec::new();
        let position = file.stream_position()?;
        file.by_ref().take(4).read_to_end(&mut start)?;
        file.seek(SeekFrom::Start(position))?;
        Ok(match start.as_slice() {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] => Self::Zstd,
            _ => Self::None,
        })
    }

    /// The bytes that `reader` is compressed from.
    pub(crate) fn decoder<'r>(self, reader: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
        Ok(match self {
            Self::None => Box::new(reader),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(reader)?),
        })
    }
}

/// Counts and hashes what is read, and fails where it is more than `most`.
pub(crate) struct Checked<R> {
    inner: R,
    hasher: Sha256,
    read: u64,
    most: u64,
}

impl<R: Read> Checked<R> {
    pub(crate) fn new(inner: R, most: u64) -> Self {
        Self { inner, hasher: Sha256::new(), read: 0, most }
    }

    /// Reads to the end and returns the digest of everything.
    pub(crate) fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(Digest::from_bytes(self.hasher.finalize().into()))
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.read += count as u64;
        if self.read > self.most {
            return Err(io::Error::other(format!("it has more than {} GiB", self.most >> 30)));
        }
        Ok(count)
    }
}

/// Files by name: those of a folder, or those of an archive, which is not unpacked for it.
pub(crate) enum Blobs {
    Folder(PathBuf),
    Archive { file: File, names: HashMap<PathBuf, (u64, u64)> },
}

impl Blobs {
    /// Of an archive that is not compressed.
    pub(crate) fn of_archive(file: File) -> io::Result<Self> {
        let mut names = HashMap::new();
        let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
        let mut archive = tar::Archive::new(&file);
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let Some(path) = plain(&entry.path()?) else { continue };
            match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    names.insert(path, (entry.raw_file_position(), entry.size()));
                }
                tar::EntryType::Symlink => {
                    if let Some(target) = entry.link_name()? {
                        let from = path.parent().unwrap_or(Path::new("")).join(target);
                        links.extend(lexical(&from).map(|target| (path, target)));
                    }
                }
                tar::EntryType::Link => {
                    let target = entry.link_name()?.and_then(|target| plain(&target));
                    links.extend(target.map(|target| (path, target)));
                }
                _ => {}
            }
        }
        // `docker save` of old wrote equal layers as links to the first.
        for (path, target) in links {
            if let Some(place) = names.get(&target).copied() {
                names.entry(path).or_insert(place);
            }
        }
        Ok(Self::Archive { file, names })
    }

    /// A reader of the file `name` and its length; `None` if there is none.
    pub(crate) fn open(&self, name: &Path) -> io::Result<Option<(File, u64)>> {
        let Some(name) = &plain(name) else { return Ok(None) };
        match self {
            Self::Folder(folder) => match File::open(folder.join(name)) {
                Ok(file) if file.metadata()?.is_file() => {
                    let length = file.metadata()?.len();
                    Ok(Some((file, length)))
                }
                Ok(_) => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Self::Archive { file, names } => {
                let Some((offset, length)) = names.get(name).copied() else { return Ok(None) };
                // Read one after the other: all share one position.
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(offset))?;
                Ok(Some((file, length)))
            }
        }
    }

    /// The bytes of a short file.
    pub(crate) fn document(&self, name: &Path) -> Result<Option<Vec<u8>>, String> {
        let told = |error: io::Error| format!("{}: {error}", name.display());
        let Some((file, length)) = self.open(name).map_err(told)? else { return Ok(None) };
        if length > DOCUMENT_BYTES {
            return Err(format!("{}: it has {length} bytes, too many to be read", name.display()));
        }
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(told)?;
        Ok(Some(bytes))
    }
}

/// `path` without `.` and a leading `/`; `None` with `..` in it.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

/// `path` with its `..` resolved by name; `None` if it leads above the top.
fn lexical(path: &Path) -> Option<PathBuf> {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir if resolved.pop() => {}
            Component::ParentDir => return None,
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(resolved)
}
