//! From a name to a model folder.

use std::fs;
use std::path::{Path, PathBuf};

use lapwing_lab::organism::{Lineage, OrganismError, lineage};

/// What a folder needs to be a model.
const CONFIG: &str = "config.json";
const LINEAGE: &str = "lineage.json";

/// A model folder.
#[derive(Debug)]
pub struct Found {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// Where it comes from, as it says; `None` for a checkpoint that is no organism.
    pub lineage: Option<Result<Lineage, OrganismError>>,
}

/// A name that is no model's.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is no such folder.
    #[error("there is no model {name}: {} {}{}", folder.display(), state, among(organisms, known))]
    Missing {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// What was found there.
        state: &'static str,
        /// The folder of organisms.
        organisms: PathBuf,
        /// The names of those that are there.
        known: Vec<String>,
    },
}

/// The folder of the model `name`: below `organisms`, or, if there is a slash in the name, the folder that it is the path of.
pub fn find(organisms: &Path, name: &str) -> Result<PathBuf, FindError> {
    let is_path = name.contains('/');
    let folder = if is_path { PathBuf::from(name) } else { organisms.join(name) };
    if folder.join(CONFIG).is_file() && !name.is_empty() {
        return Ok(folder);
    }
    let state = if folder.is_dir() { "has no config.json" } else { "is no folder" };
    let known = list(organisms).into_iter().map(|found| found.name).collect();
    let (name, organisms) = (name.to_owned(), organisms.to_owned());
    Err(FindError::Missing { name, folder, state, organisms, known })
}

/// The models below `organisms`, by name.
pub fn list(organisms: &Path) -> Vec<Found> {
    let entries = fs::read_dir(organisms).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path()).filter(|path| path.join(CONFIG).is_file());
    let mut found: Vec<Found> = folders
        .map(|folder| Found {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            lineage: folder.join(LINEAGE).exists().then(|| lineage(&folder)),
            folder,
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn among(organisms: &Path, known: &[String]) -> String {
    /// Names that are told.
    const TOLD: usize = 12;
    if known.is_empty() {
        return format!(
            "; no models are in {} (--organisms names another folder)",
            organisms.display()
        );
    }
    let more = if known.len() > TOLD { " .." } else { "" };
    let told = known[..known.len().min(TOLD)].join(", ");
    format!("; in {} are {told}{more}", organisms.display())
}
