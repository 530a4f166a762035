//! One archive, written over the layers below it: its entries, its whiteouts (OCI image-spec 1.1, `layer.md`).

use std::io::Read;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::tree::{Tree, inside};
use super::{Fault, PATH_BYTES};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// How an archive says what is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    /// By names of files, as images do: what is meant is removed.
    Names,
    /// By device nodes, as [`crate::export`] does: the marks are kept, as overlays read them. Contiguous files are links.
    Nodes,
}

/// Writes the archive that `reader` reads into `tree`. Returns how many entries were left out: device nodes, fifos.
pub(crate) fn apply(tree: &mut Tree, reader: &mut dyn Read, marks: Marks) -> Result<u64, Fault> {
    let broken = |error: std::io::Error| format!("an archive in it cannot be read: {error}");
    let mut archive = tar::Archive::new(reader);
    let mut left_out = 0;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let path = inside(&name)?;
        let whiteout = if marks == Marks::Names { whiteout(&path)? } else { None };
        let written = match whiteout {
            Some(Whiteout::Opaque(folder)) => tree.make_opaque(&folder),
            Some(Whiteout::Of(path)) => tree.white_out(&path),
            Some(Whiteout::Other) => Ok(()),
            None => match one(tree, &mut entry, &path, marks)? {
                Written::Yes(written) => written,
                Written::LeftOut => {
                    left_out += 1;
                    Ok(())
                }
            },
        };
        written.map_err(|error| format!("{}: {error}", name.display()))?;
    }
    tree.end_layer();
    Ok(left_out)
}

enum Written {
    Yes(std::io::Result<()>),
    LeftOut,
}

fn one<R: Read>(
    tree: &mut Tree,
    entry: &mut tar::Entry<'_, R>,
    path: &Path,
    marks: Marks,
) -> Result<Written, Fault> {
    let broken = |error: std::io::Error| format!("{}: {error}", path.display());
    let mode = entry.header().mode().map_err(broken)?;
    let modified_s = entry.header().mtime().map_err(broken)?.min(i64::MAX as u64).cast_signed();
    let target = entry.link_name().map_err(broken)?.map(std::borrow::Cow::into_owned);
    let target = target.ok_or_else(|| format!("{}: it links to nothing", path.display()));
    Ok(Written::Yes(match entry.header().entry_type() {
        tar::EntryType::Directory => tree.directory(path, mode),
        tar::EntryType::Continuous if marks == Marks::Nodes => {
            let mut target = Vec::new();
            entry.take(PATH_BYTES as u64).read_to_end(&mut target).map_err(broken)?;
            tree.symlink(path, Path::new(&std::ffi::OsString::from_vec(target)))
        }
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
            tree.file(path, mode, modified_s, entry).map(drop)
        }
        tar::EntryType::Symlink => tree.symlink(path, &target?),
        tar::EntryType::Link => tree.hard_link(path, &inside(&target?)?),
        tar::EntryType::XGlobalHeader => Ok(()),
        tar::EntryType::Char if marks == Marks::Nodes => tree.mark_removed(path),
        tar::EntryType::Block if marks == Marks::Nodes => tree.mark_opaque(path),
        _ => return Ok(Written::LeftOut),
    }))
}

enum Whiteout {
    /// The folder shows nothing of the layers below.
    Opaque(PathBuf),
    /// This is gone.
    Of(PathBuf),
    /// A mark of another kind of store, which means nothing here.
    Other,
}

fn whiteout(path: &Path) -> Result<Option<Whiteout>, Fault> {
    let Some(name) = path.file_name() else { return Ok(None) };
    let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) else { return Ok(None) };
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(Some(match hidden {
        _ if name.as_bytes() == OPAQUE => Whiteout::Opaque(folder.to_owned()),
        b"" | b"." | b".." => return Err(format!("it has an entry `{}`", path.display())),
        hidden if hidden.starts_with(WHITEOUT) => Whiteout::Other,
        hidden => Whiteout::Of(folder.join(std::ffi::OsString::from_vec(hidden.to_vec()))),
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    /// An archive with an entry of every kind.
    fn archive() -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (kind, name, target, bytes) in [
            (tar::EntryType::Directory, "bin", "", ""),
            (tar::EntryType::Regular, "bin/sh", "", "text"),
            (tar::EntryType::Symlink, "link", "../../outside", ""),
            (tar::EntryType::Regular, "link/below", "", "planted"),
            (tar::EntryType::Link, "hard", "bin/sh", ""),
            (tar::EntryType::Regular, "bin/.wh.sh", "", ""),
            (tar::EntryType::Regular, ".wh..wh..opq", "", ""),
            (tar::EntryType::Char, "device", "", ""),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_path(name).unwrap();
            header.set_link_name_literal(target).unwrap();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o755);
            header.set_cksum();
            archive.append(&header, bytes.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    /// Sets the checksum of every header anew, so that what was changed in it is believed.
    fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
        for header in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        #[cfg_attr(miri, ignore = "`openat2` is the kernel's")]
        fn no_archive_however_it_was_changed_writes_outside_of_its_tree(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            marks in prop::bool::ANY,
        ) {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("outside")).unwrap();
            let mut bytes = archive();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let mut tree = Tree::create(&folder.path().join("tree"), None).unwrap();
            let marks = if marks { Marks::Names } else { Marks::Nodes };
            // Whether it can be read does not matter.
            let _ = apply(&mut tree, &mut signed(bytes).as_slice(), marks);
            let _ = tree.finish();
            prop_assert_eq!(fs::read_dir(folder.path().join("outside")).unwrap().count(), 0);
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
            super::super::remove(&folder.path().join("tree")).unwrap();
        }
    }
}
