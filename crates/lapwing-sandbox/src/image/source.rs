//! What a path holds: a folder or an archive, an image or a plain tree.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use lapwing_core::Digest;

use super::archive::{Blobs, Checked, Compression};
use super::layer::Marks;
use super::manifest::Parts;
use super::tree::Tree;
use super::{Fault, IMAGE_BYTES, index, layer};

/// Where the files of a root file system come from.
pub(crate) enum Source {
    Image { blobs: Blobs, parts: Parts },
    Folder { path: PathBuf, digest: Digest },
    Archive { file: File, digest: Digest },
}

impl Source {
    /// Reads what is at `path`. A compressed archive is decompressed into `scratch` first.
    pub(crate) fn read(
        path: &Path,
        scratch: &mut dyn FnMut() -> io::Result<File>,
    ) -> Result<Self, Fault> {
        let told = |error: io::Error| error.to_string();
        let found = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "there is nothing at this path".to_owned(),
            _ => error.to_string(),
        })?;
        if found.is_dir() {
            let blobs = Blobs::Folder(path.to_owned());
            // A root file system may hold a file of that name, but no folder of programs beside it.
            if has_programs(path) {
                let digest = index::read(path, None)?.digest;
                return Ok(Self::Folder { path: path.to_owned(), digest });
            }
            return match Parts::find(&blobs)? {
                Some(parts) => Ok(Self::Image { blobs, parts }),
                None => Err(NO_PROGRAMS.to_owned()),
            };
        }
        if !found.is_file() {
            return Err("it is neither a folder nor a file".to_owned());
        }
        let mut file = File::open(path).map_err(told)?;
        let compression = Compression::of(&mut file).map_err(told)?;
        if compression != Compression::None {
            let mut plain = scratch().map_err(told)?;
            let decoder = compression.decoder(file).map_err(told)?;
            io::copy(&mut decoder.take(IMAGE_BYTES + 1), &mut plain).map_err(told)?;
            if plain.metadata().map_err(told)?.len() > IMAGE_BYTES {
                return Err(format!("it has more than {} GiB", IMAGE_BYTES >> 30));
            }
            plain.rewind().map_err(told)?;
            file = plain;
        }
        let blobs = Blobs::of_archive(file.try_clone().map_err(told)?)
            .map_err(|error| format!("it is no archive that can be read: {error}"))?;
        if let Some(parts) = Parts::find(&blobs)? {
            return Ok(Self::Image { blobs, parts });
        }
        file.rewind().map_err(told)?;
        let digest = Checked::new(&file, IMAGE_BYTES).finish().map_err(told)?;
        Ok(Self::Archive { file, digest })
    }

    /// By what it is known.
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Image { parts, .. } => parts.digest,
            Self::Folder { digest, .. } | Self::Archive { digest, .. } => *digest,
        }
    }

    /// Variables that it sets for commands.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        match self {
            Self::Image { parts, .. } => parts.env.clone(),
            Self::Folder { .. } | Self::Archive { .. } => Vec::new(),
        }
    }

    /// What it is, in words.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Image { parts, .. } => {
                let n = parts.layers.len();
                format!("{}, {n} {}", parts.format, if n == 1 { "layer" } else { "layers" })
            }
            Self::Folder { .. } => "folder".to_owned(),
            Self::Archive { .. } => "archive of a file system".to_owned(),
        }
    }

    /// Writes its files into `tree`. Returns how many entries were left out.
    pub(crate) fn unpack(&self, tree: &mut Tree) -> Result<u64, Fault> {
        let told = |error: io::Error| error.to_string();
        match self {
            Self::Folder { path, digest } => {
                let listing = index::read(path, Some(tree))?;
                if listing.digest != *digest {
                    return Err("it changed while it was copied".to_owned());
                }
                Ok(listing.left_out)
            }
            Self::Archive { file, .. } => {
                let mut file = file.try_clone().map_err(told)?;
                file.rewind().map_err(told)?;
                layer::apply(tree, &mut file, Marks::Names)
            }
            Self::Image { blobs, parts } => {
                let mut left_out = 0;
                for part in &parts.layers {
                    left_out += unpack_layer(blobs, part, tree)
                        .map_err(|fault| format!("layer {}: {fault}", part.file.display()))?;
                }
                Ok(left_out)
            }
        }
    }
}

/// Writes one layer, and compares its bytes with the digests that are told of them.
fn unpack_layer(
    blobs: &Blobs,
    part: &super::manifest::Part,
    tree: &mut Tree,
) -> Result<u64, Fault> {
    let told = |error: io::Error| error.to_string();
    let Some((mut file, length)) = blobs.open(&part.file).map_err(told)? else {
        return Err("it is missing".to_owned());
    };
    let compression = Compression::of(&mut file).map_err(told)?;
    let mut stored = Checked::new(file.take(length), IMAGE_BYTES);
    let mut content = Checked::new(compression.decoder(&mut stored).map_err(told)?, IMAGE_BYTES);
    let left_out = layer::apply(tree, &mut content, Marks::Names)?;
    let differs = "its bytes are not those that its digest says";
    if content.finish().map_err(told)? != part.content {
        return Err(differs.to_owned());
    }
    let stored = stored.finish().map_err(told)?;
    if part.digest.is_some_and(|digest| digest != stored) {
        return Err(differs.to_owned());
    }
    Ok(left_out)
}

/// What is no root file system.
pub(crate) const NO_PROGRAMS: &str =
    "it is neither an image nor a file system with programs in /bin or /usr/bin";

/// Whether `folder` is a root file system with programs in it.
pub(crate) fn has_programs(folder: &Path) -> bool {
    ["bin", "usr/bin"]
        .iter()
        .any(|name| folder.join(name).is_dir() || folder.join(name).is_symlink())
}
