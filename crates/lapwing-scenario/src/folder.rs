//! A scenario's folder in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lapwing_core::Digest;

use crate::Diagnostic;

/// The files of a scenario, by path relative to its folder, `/` between components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    files: BTreeMap<String, Vec<u8>>,
    /// Where it was read from.
    place: Option<PathBuf>,
}

impl Folder {
    /// Reads all regular files below `dir`. At the top, names that begin with a dot (`.git`) are left out.
    ///
    /// # Errors
    /// A file or folder cannot be read, is a link or other special file, or its name is not UTF-8.
    pub fn read(dir: &Path) -> Result<Self, Diagnostic> {
        let place = std::path::absolute(dir).ok();
        let mut folder = Self { place, ..Self::default() };
        folder.read_below(dir, "")?;
        Ok(folder)
    }

    /// A folder of these files.
    pub fn from_files(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self { files, place: None }
    }

    /// The same, read from `place`.
    #[must_use]
    pub fn read_from(self, place: PathBuf) -> Self {
        Self { place: Some(place), ..self }
    }

    /// Where it was read from, if it was.
    pub fn place(&self) -> Option<&Path> {
        self.place.as_deref()
    }

    /// The files by relative path.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// The folder's identity: the digest of path, length and bytes of every file, in the order of the paths.
    pub fn digest(&self) -> Digest {
        let mut all = Vec::new();
        for (path, bytes) in &self.files {
            for part in [path.as_bytes(), bytes] {
                all.extend((part.len() as u64).to_le_bytes());
                all.extend(part);
            }
        }
        Digest::of(&all)
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> Result<&str, Diagnostic> {
        let Some(bytes) = self.files.get(path) else {
            let near = crate::diagnostic::near(path, self.files.keys().map(String::as_str));
            return Err(Diagnostic::in_file(path, "the file is missing").help(near));
        };
        std::str::from_utf8(bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = before.matches('\n').count() as u32;
            Diagnostic::in_file(path, "the file is not UTF-8 text").at_line(Some(line + 1))
        })
    }

    /// The files below the folder `top`, their paths relative to it.
    pub(crate) fn below<'a>(&'a self, top: &str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let prefix = format!("{}/", top.trim_end_matches('/'));
        self.files.iter().filter_map(move |(path, bytes)| {
            path.strip_prefix(&prefix).map(|path| (path, bytes.as_slice()))
        })
    }

    fn read_below(&mut self, dir: &Path, prefix: &str) -> Result<(), Diagnostic> {
        let failed = |path: &Path, error: std::io::Error| {
            Diagnostic::in_file(&path.display().to_string(), format!("cannot be read: {error}"))
                .help("give the path of a scenario folder that you may read")
        };
        for entry in fs::read_dir(dir).map_err(|error| failed(dir, error))? {
            let entry = entry.map_err(|error| failed(dir, error))?;
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                let file = path.display().to_string();
                return Err(Diagnostic::in_file(&file, "the name is not UTF-8").help("rename it"));
            };
            if prefix.is_empty() && name.starts_with('.') {
                continue;
            }
            let relative = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(|error| failed(&path, error))?;
            if kind.is_dir() {
                self.read_below(&path, &format!("{relative}/"))?;
            } else if kind.is_file() {
                let bytes = fs::read(&path).map_err(|error| failed(&path, error))?;
                self.files.insert(relative, bytes);
            } else {
                return Err(Diagnostic::in_file(&relative, "is neither a file nor a folder")
                    .help("replace the link by what it points to"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> Folder {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        Folder::from_files(files.collect())
    }

    #[test]
    fn reading_takes_every_file_but_hidden_ones_at_the_top() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [("a", "1"), ("files/home/.rc", "2"), (".git/config", "3")] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let expected = folder(&[("a", "1"), ("files/home/.rc", "2")]);
        assert_eq!(Folder::read(dir.path()).unwrap().files(), expected.files());
    }

    #[test]
    fn a_link_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("list")).unwrap();
        let problem = Folder::read(dir.path()).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "list: is neither a file nor a folder\n  help: replace the link by what it points to"
        );
    }

    #[test]
    fn the_digest_tells_apart_where_a_name_ends_and_the_bytes_begin() {
        let digests: std::collections::BTreeSet<_> = [
            folder(&[]),
            folder(&[("a", "bc")]),
            folder(&[("ab", "c")]),
            folder(&[("a", "b"), ("c", "")]),
        ]
        .iter()
        .map(Folder::digest)
        .collect();
        assert_eq!(digests.len(), 4);
    }
}
