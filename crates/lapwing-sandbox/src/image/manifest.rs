//! What an image consists of: the documents of the OCI image format (image-spec 1.1) and those of `docker save`.

use std::path::{Path, PathBuf};

use lapwing_core::Digest;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Fault;
use super::archive::Blobs;

/// An image that was not unpacked yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The digest of its configuration.
    pub(crate) digest: Digest,
    /// The lowest first.
    pub(crate) layers: Vec<Part>,
    pub(crate) env: Vec<(String, String)>,
    /// `OCI layout` or `docker archive`.
    pub(crate) format: &'static str,
}

/// One layer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) file: PathBuf,
    /// Of the file as it lies there, where it is told.
    pub(crate) digest: Option<Digest>,
    /// Of the archive that it is compressed from.
    pub(crate) content: Digest,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(default, rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Saved {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
    #[serde(default, rename = "RepoTags")]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    config: Option<Defaults>,
    rootfs: RootFiles,
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

#[derive(Deserialize)]
struct Defaults {
    #[serde(default, rename = "Env")]
    env: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RootFiles {
    diff_ids: Vec<String>,
}

impl Parts {
    /// The image in `blobs`; `None` if there is none.
    pub(crate) fn find(blobs: &Blobs) -> Result<Option<Self>, Fault> {
        if let Some(bytes) = blobs.document(Path::new("index.json"))? {
            let index: Index = parse(&bytes, "index.json")?;
            return Self::oci(blobs, &index, 0).map(Some);
        }
        match blobs.document(Path::new("manifest.json"))? {
            Some(bytes) => {
                Self::docker(blobs, &parse::<Vec<Saved>>(&bytes, "manifest.json")?).map(Some)
            }
            None => Ok(None),
        }
    }

    fn oci(blobs: &Blobs, index: &Index, depth: u32) -> Result<Self, Fault> {
        let chosen = choose(&index.manifests)?;
        let bytes = blob(blobs, chosen)?;
        if chosen.media_type.contains("index") || chosen.media_type.contains("manifest.list") {
            if depth > 3 {
                return Err("its indices lead to each other".to_owned());
            }
            return Self::oci(blobs, &parse(&bytes, "an index")?, depth + 1);
        }
        let manifest: Manifest = parse(&bytes, "its manifest")?;
        let config = blob(blobs, &manifest.config)?;
        let layers = manifest.layers.iter().map(|layer| {
            let digest = digest(&layer.digest)?;
            Ok((place(digest), Some(digest)))
        });
        Self::of(&config, layers.collect::<Result<_, Fault>>()?, "OCI layout")
    }

    fn docker(blobs: &Blobs, saved: &[Saved]) -> Result<Self, Fault> {
        let [image] = saved else {
            let names: Vec<&str> = saved
                .iter()
                .flat_map(|image| image.tags.iter().flatten())
                .map(String::as_str)
                .collect();
            return Err(format!(
                "it holds {} images ({}); save one alone",
                saved.len(),
                names.join(", ")
            ));
        };
        let config = blobs.document(Path::new(&image.config))?;
        let config = config.ok_or_else(|| format!("its file {} is missing", image.config))?;
        let layers = image.layers.iter().map(|name| (PathBuf::from(name), None));
        Self::of(&config, layers.collect(), "docker archive")
    }

    fn of(
        config: &[u8],
        layers: Vec<(PathBuf, Option<Digest>)>,
        format: &'static str,
    ) -> Result<Self, Fault> {
        let own = Digest::of(config);
        let configuration: Configuration = parse(config, "its configuration")?;
        let Configuration { os, architecture, .. } = &configuration;
        if (!os.is_empty() && os != "linux")
            || (!architecture.is_empty() && architecture != this_architecture())
        {
            return Err(format!(
                "it is for {os}/{architecture}, this is linux/{}",
                this_architecture()
            ));
        }
        let contents = &configuration.rootfs.diff_ids;
        if contents.len() != layers.len() {
            return Err(format!(
                "it has {} layers, and its configuration names {}",
                layers.len(),
                contents.len()
            ));
        }
        let layers = layers.into_iter().zip(contents).map(|((file, digest_), content)| {
            Ok(Part { file, digest: digest_, content: digest(content)? })
        });
        let env = configuration.config.and_then(|defaults| defaults.env).unwrap_or_default();
        let env = env.iter().filter_map(|variable| variable.split_once('='));
        Ok(Self {
            digest: own,
            layers: layers.collect::<Result<_, Fault>>()?,
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            format,
        })
    }
}

/// The manifest for this machine.
fn choose(manifests: &[Descriptor]) -> Result<&Descriptor, Fault> {
    let fits = |found: &&Descriptor| match &found.platform {
        Some(platform) => platform.os == "linux" && platform.architecture == this_architecture(),
        None => true,
    };
    let mut fitting = manifests.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(found), None) => Ok(found),
        (None, _) => Err(format!(
            "none of its {} images is for linux/{}",
            manifests.len(),
            this_architecture()
        )),
        (Some(_), Some(_)) => {
            Err(format!("it holds {} images for this machine; keep one", 2 + fitting.count()))
        }
    }
}

/// The name of this machine's architecture in images.
fn this_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The bytes that a descriptor means, which have its digest and size.
fn blob(blobs: &Blobs, descriptor: &Descriptor) -> Result<Vec<u8>, Fault> {
    let wanted = digest(&descriptor.digest)?;
    let bytes = blobs.document(&place(wanted))?;
    let bytes = bytes.ok_or_else(|| format!("its part {wanted} is missing"))?;
    if bytes.len() as u64 != descriptor.size || Digest::of(&bytes) != wanted {
        return Err(format!("its part {wanted} has another content than its name says"));
    }
    Ok(bytes)
}

fn place(digest: Digest) -> PathBuf {
    PathBuf::from(format!("blobs/sha256/{digest}"))
}

fn digest(text: &str) -> Result<Digest, Fault> {
    let hex = text.strip_prefix("sha256:");
    hex.and_then(|hex| hex.parse().ok()).ok_or_else(|| format!("`{text}` is no SHA-256 digest"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| format!("{what} cannot be read: {error}"))
}
