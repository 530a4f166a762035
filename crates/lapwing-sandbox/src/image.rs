//! Root file systems beside the host's: read from a folder or an archive, unpacked once into a cache, found again by digest.
//!
//! An *image* is an OCI layout or what `docker save` writes, as a folder or an archive; a *tree* is a plain folder or archive
//! with the files themselves. The kind is told by the content. What is unpacked belongs to the one user of sandboxes,
//! without set-id bits and device nodes.

mod archive;
mod cache;
mod index;
mod layer;
mod manifest;
mod source;
mod tree;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lapwing_core::{Digest, Entry};
use serde::{Deserialize, Serialize};

pub(crate) use cache::Lock;
pub use cache::{Cached, Images};
pub(crate) use layer::{Marks, apply};
pub(crate) use tree::{Tree, remove};

/// Bytes of all files of an image, also of those that a later layer removes.
const IMAGE_BYTES: u64 = 32 << 30;
/// Files, folders and links of an image.
const IMAGE_ENTRIES: u64 = 2_000_000;
/// Longest path in an image.
const PATH_BYTES: usize = 4096;

/// What is known of an unpacked root file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Of an image that of its configuration, as other tools show it; of a tree that of its files or its archive.
    pub digest: Digest,
    /// What it was read from, in words.
    pub kind: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its files, folders and links.
    pub entries: u64,
    /// Device nodes and the like that were left out.
    pub left_out: u64,
    /// Variables that the image sets for every command.
    pub env: Vec<(String, String)>,
}

/// An unpacked root file system, which stays in the cache as long as this lives.
#[derive(Clone)]
pub(crate) struct Root {
    pub(crate) facts: Facts,
    pub(crate) tree: PathBuf,
    /// Its entries by absolute path, written as in a manifest.
    pub(crate) index: Arc<BTreeMap<String, Entry>>,
    pub(crate) _lock: Arc<Lock>,
}

/// Why an image cannot be used, in words.
pub(crate) type Fault = String;
