//! Which reporting runs were begun, with which settings and criteria. A line is written before the first stage is trained and is never
//! removed: who looks at a result can see how many came before it and what was changed between them.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cache::FileError;

/// A reporting run that was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// When, in seconds since 1970.
    pub at: u64,
    /// Its grade.
    pub grade: String,
    /// Its seeds.
    pub seeds: Vec<u64>,
    /// Digest of settings and criteria.
    pub digest: String,
    /// Settings and criteria.
    pub decisive: Value,
}

/// Reads what was begun, oldest first. A line that was cut by a kill is none.
///
/// # Errors
/// That the file cannot be read.
pub fn read(path: &Path) -> Result<Vec<Begun>, FileError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::new("read", path)(error)),
    };
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Writes down that a run begins, unless the last one was the same: it was interrupted, or is only read once more.
///
/// # Errors
/// That the file cannot be written.
pub fn begin(path: &Path, begun: &Begun) -> Result<(), FileError> {
    let last = read(path)?.pop();
    if last.is_some_and(|last| {
        last.digest == begun.digest && last.grade == begun.grade && last.seeds == begun.seeds
    }) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(FileError::new("create", folder))?;
    }
    let line = crate::cache::json(begun).to_string();
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(FileError::new("write", path))?;
    // A new line first ends one that a kill has cut.
    let written = file.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| file.sync_all());
    written.map_err(FileError::new("write", path))
}

/// What differs between two settings: `key: old -> new`, in order.
pub fn changes(before: &Value, after: &Value) -> Vec<String> {
    let (before, after) = (flat(before), flat(after));
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let shown =
        |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| format!("{key}: {} -> {}", shown(before.get(key)), shown(after.get(key))))
        .collect()
}

fn flat(value: &Value) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    collect(String::new(), value, &mut leaves);
    leaves
}

fn collect(key: String, value: &Value, leaves: &mut BTreeMap<String, Value>) {
    if let Value::Object(object) = value {
        for (name, value) in object {
            let dot = if key.is_empty() { "" } else { "." };
            collect(format!("{key}{dot}{name}"), value, leaves);
        }
    } else {
        leaves.insert(key, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn begun(digest: &str) -> Begun {
        let decisive = json!({});
        Begun {
            at: 1,
            grade: "default".to_owned(),
            seeds: vec![0, 1],
            digest: digest.to_owned(),
            decisive,
        }
    }

    #[test]
    fn a_run_that_goes_on_is_not_written_twice_and_a_changed_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        for digest in ["a", "a", "b", "a"] {
            begin(&path, &begun(digest)).unwrap();
        }
        let digests: Vec<String> =
            read(&path).unwrap().into_iter().map(|begun| begun.digest).collect();
        assert_eq!(digests, ["a", "b", "a"]);
    }

    #[test]
    fn a_line_that_a_kill_has_cut_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        begin(&path, &begun("a")).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"at\":1,\"gra").unwrap();
        begin(&path, &begun("b")).unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);
    }

    #[test]
    fn changes_name_the_key_with_both_values() {
        let before = json!({ "stage": { "tag": { "steps": 600, "rate": 1 } } });
        let after = json!({ "stage": { "tag": { "steps": 500, "rate": 1 }, "new": true } });
        assert_eq!(
            changes(&before, &after),
            ["stage.new: nothing -> true", "stage.tag.steps: 600 -> 500"]
        );
    }
}
