//! Scenarios: those that are built in, and folders of the user.

use std::collections::BTreeMap;
use std::path::Path;

use include_dir::{Dir, include_dir};
use lapwing_scenario::{Folder, Scenario};

use crate::failure::Failure;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../scenarios");

/// Names of the built-in scenarios.
pub(crate) fn names() -> Vec<String> {
    BUILT_IN.dirs().map(|dir| dir.path().to_string_lossy().into_owned()).collect()
}

/// How a command is told the scenario `name`, which a run knows without its place.
pub(crate) fn wanted(name: &str) -> String {
    if BUILT_IN.get_dir(name).is_some() { name.to_owned() } else { format!("PATH/{name}") }
}

/// Loads a built-in scenario by name, or a folder by path. A name with a slash or a dot is a path.
pub(crate) fn load(wanted: &str) -> Result<Scenario, Failure> {
    if wanted.contains(['/', '.']) {
        return load_folder(Path::new(wanted));
    }
    parse(wanted, built_in(wanted)?)
}

/// Loads the scenario folder at `path`; its name is the folder's.
pub(crate) fn load_folder(path: &Path) -> Result<Scenario, Failure> {
    let folder = Folder::read(path)?;
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    parse(&whole.file_name().unwrap_or_default().to_string_lossy(), folder)
}

fn parse(name: &str, folder: Folder) -> Result<Scenario, Failure> {
    Scenario::load(name, folder).map_err(|faults| Failure::diagnostics(&faults))
}

fn built_in(name: &str) -> Result<Folder, Failure> {
    let Some(dir) = BUILT_IN.get_dir(name) else {
        let failure = Failure::new(Failure::USAGE, format!("there is no scenario `{name}`"));
        let names = names();
        let near = near(name, &names);
        let known = format!("the scenarios are: {}", names.join(", "));
        return Err(match near {
            Some(near) => failure.help(format!("did you mean `{near}`? {known}")),
            None if Path::new(name).is_dir() => {
                failure.help(format!("for the folder of that name write ./{name}; {known}"))
            }
            None => failure.help(format!("{known}; a folder is given by its path, as ./{name}")),
        });
    };
    let mut files = BTreeMap::new();
    collect(dir, dir.path(), &mut files);
    Ok(Folder::from_files(files))
}

fn collect(dir: &Dir<'_>, root: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for file in dir.files() {
        if let Ok(path) = file.path().strip_prefix(root) {
            files.insert(path.to_string_lossy().into_owned(), file.contents().to_vec());
        }
    }
    for inner in dir.dirs() {
        collect(inner, root, files);
    }
}

/// The most similar of `names`, if any is similar.
pub(crate) fn near<'a>(wanted: &str, names: &'a [String]) -> Option<&'a str> {
    let similar = |name: &&String| strsim::jaro_winkler(wanted, name);
    names
        .iter()
        .filter(|name| similar(name) > 0.75)
        .max_by(|a, b| similar(a).total_cmp(&similar(b)))
        .map(String::as_str)
}
