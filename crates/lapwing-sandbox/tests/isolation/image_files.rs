//! Root file systems and archives that tests put together: of programs of this host, and of bytes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command as HostCommand;

use lapwing_core::{Digest, Limits, Provider as _, Sandbox, SandboxSpec};
use lapwing_sandbox::{Images, Native};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::spec;

const PROGRAMS: [&str; 16] = [
    "bash", "cat", "chmod", "cp", "env", "head", "id", "ln", "ls", "mkdir", "mv", "rm", "sh",
    "sleep", "stat", "touch",
];

/// A small root file system, of programs of this host and the libraries that they need.
pub(crate) fn tiny_root(folder: &Path) {
    for name in PROGRAMS {
        let program = ["/usr/bin", "/bin"].map(|bin| Path::new(bin).join(name));
        let program = program.into_iter().find(|path| path.exists()).unwrap();
        copy(&program, &folder.join("bin").join(name));
        let listed = HostCommand::new("ldd").arg(&program).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            copy(Path::new(library), &folder.join(library.trim_start_matches('/')));
        }
    }
    fs::create_dir_all(folder.join("etc")).unwrap();
    fs::write(folder.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::create_dir_all(folder.join("opt/data/deep")).unwrap();
    for name in ["a", "b", "deep/c"] {
        fs::write(folder.join("opt/data").join(name), name).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    if !to.exists() {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

/// Where a test keeps an image and a cache of its own.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn images(&self) -> Images {
        Images::at(self.path("cache"))
    }

    pub(crate) fn root(&self) -> PathBuf {
        let root = self.path("root");
        fs::create_dir(&root).unwrap();
        tiny_root(&root);
        root
    }

    /// What is left in the cache.
    pub(crate) fn left(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("cache")) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with(".lock-")).collect()
    }

    pub(crate) async fn sandbox(&self, native: &Native, path: &Path) -> Box<dyn Sandbox> {
        self.limited(native, path, Limits::default()).await
    }

    pub(crate) async fn limited(
        &self,
        native: &Native,
        path: &Path,
        limits: Limits,
    ) -> Box<dyn Sandbox> {
        let native = native.clone().with_images(self.images());
        let root = native.prepare(path).await.unwrap().digest;
        native.create(SandboxSpec { root: Some(root), limits, ..spec() }).await.unwrap()
    }
}

/// An archive that is put together entry by entry.
pub(crate) struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn of(folder: &Path) -> Self {
        let mut archive = Self::new();
        archive.0.follow_symlinks(false);
        archive.0.append_dir_all(".", folder).unwrap();
        archive
    }

    /// An entry whose name is written as it stands, whatever it is.
    pub(crate) fn entry(
        mut self,
        kind: tar::EntryType,
        name: &str,
        target: &str,
        bytes: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
        self
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        self.entry(tar::EntryType::Regular, name, "", text.as_bytes())
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

pub(crate) fn configuration(layers: &[&[u8]]) -> Vec<u8> {
    let contents = layers.iter().map(|layer| format!("sha256:{}", Digest::of(layer)));
    let config = json!({
        "os": "linux", "architecture": architecture(),
        "config": { "Env": ["PATH=/opt/tools:/bin", "COLOUR=green", "HOME=/root"] },
        "rootfs": { "type": "layers", "diff_ids": contents.collect::<Vec<_>>() },
    });
    serde_json::to_vec(&config).unwrap()
}

fn blob(folder: &Path, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    fs::write(folder.join(format!("blobs/sha256/{digest}")), bytes).unwrap();
    json!({ "mediaType": "", "digest": format!("sha256:{digest}"), "size": bytes.len() })
}

/// Writes an OCI layout of layers, each as it is and as it is stored.
pub(crate) fn write_layout(folder: &Path, layers: &[(&[u8], Vec<u8>)]) {
    let contents: Vec<&[u8]> = layers.iter().map(|(content, _)| *content).collect();
    let config = blob(folder, &configuration(&contents));
    let layers: Vec<Value> = layers.iter().map(|(_, stored)| blob(folder, stored)).collect();
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
    let mut manifest = blob(folder, &serde_json::to_vec(&manifest).unwrap());
    manifest["platform"] = json!({ "os": "linux", "architecture": architecture() });
    let other = json!({ "digest": format!("sha256:{}", Digest::of(b"")), "size": 0,
        "platform": { "os": "linux", "architecture": "s390x" } });
    let index = json!({ "schemaVersion": 2, "manifests": [other, manifest] });
    fs::write(folder.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
}
