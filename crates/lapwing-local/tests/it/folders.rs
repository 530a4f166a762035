//! From names to models, and folders that are none.

use std::fs;
use std::path::{Path, PathBuf};

use lapwing_lab::checkpoint::SaveOptions;
use lapwing_local::{Chat, Local, find, list};

use crate::parrot;
use crate::support::checkpoint;

fn copy(into: &Path) -> PathBuf {
    let copy = into.join("copy");
    fs::create_dir_all(&copy).unwrap();
    for entry in fs::read_dir(checkpoint()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// What is done to a folder, under a name, and what is said of it.
type Row = (&'static str, fn(&Path), &'static [&'static str]);

#[test]
fn what_is_wrong_with_a_folder_is_said_with_its_file() {
    let rows: [Row; 8] = [
        (
            "no weights",
            |copy| fs::remove_file(copy.join("model.safetensors")).unwrap(),
            &["has neither model.safetensors nor"],
        ),
        (
            "half of the weights",
            |copy| {
                let whole = fs::read(copy.join("model.safetensors")).unwrap();
                fs::write(copy.join("model.safetensors"), &whole[..whole.len() / 2]).unwrap();
            },
            &["model.safetensors has 44492 bytes, and its header promises 88984"],
        ),
        (
            "another shape",
            |copy| {
                replace(
                    &copy.join("config.json"),
                    "\"intermediate_size\": 40",
                    "\"intermediate_size\": 48",
                );
            },
            &["mlp", "has shape [", "and config.json asks for ["],
        ),
        (
            "another architecture",
            |copy| {
                replace(
                    &copy.join("config.json"),
                    "\"model_type\": \"llama\"",
                    "\"model_type\": \"gpt2\"",
                );
            },
            &["config.json: model_type is gpt2; this engine knows llama"],
        ),
        (
            "another tokenizer",
            |copy| replace(&copy.join("tokenizer.json"), "\": 255", "\": 300"),
            &["tokenizer.json has token 300, and the model's vocabulary ends at 258"],
        ),
        (
            "no tokenizer",
            |copy| fs::remove_file(copy.join("tokenizer.json")).unwrap(),
            &["has no tokenizer.json"],
        ),
        (
            "a lineage of something else",
            |copy| {
                let lineage =
                    r#"{"format":1,"purpose":"p","stages":[],"files":{"config.json":"00"}}"#;
                fs::write(copy.join("lineage.json"), lineage).unwrap();
            },
            &["config.json is not what lineage.json says"],
        ),
        (
            "half a template",
            |copy| fs::write(copy.join("chat_template.jinja"), "{% if %}").unwrap(),
            &["the chat template of"],
        ),
    ];
    for (name, spoil, parts) in rows {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy(folder.path());
        spoil(&copy);
        let loaded = Local::load("local/copy", &copy, 1);
        let said = loaded.err().map(|error| error.to_string()).unwrap_or_default();
        for part in parts {
            assert!(said.contains(part), "{name}: {said}");
        }
    }
}

#[test]
fn names_lead_to_folders_and_what_is_missing_is_said_with_what_is_there() {
    let organisms = tempfile::tempdir().unwrap();
    for name in ["b", "a"] {
        let folder = organisms.path().join(name);
        parrot::parrot(&["x"], None).save(&folder, SaveOptions::default()).unwrap();
    }
    fs::create_dir(organisms.path().join("empty")).unwrap();
    let names: Vec<String> = list(organisms.path()).into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(find(organisms.path(), "a").unwrap(), organisms.path().join("a"));
    let path = checkpoint().display().to_string();
    assert_eq!(find(organisms.path(), &path).unwrap(), checkpoint());
    let said = |name: &str| find(organisms.path(), name).unwrap_err().to_string();
    assert!(
        said("c").contains("there is no model c: ") && said("c").contains(" are a, b"),
        "{}",
        said("c")
    );
    assert!(said("empty").contains("has no config.json"), "{}", said("empty"));
    assert!(said("").contains("has no config.json"), "{}", said(""));
    let nowhere = find(Path::new("/nowhere"), "c").unwrap_err().to_string();
    assert!(nowhere.contains("no models are in /nowhere"), "{nowhere}");
}

#[test]
fn a_model_without_a_template_takes_one_message_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw");
    parrot::parrot(&["x"], None).save(&path, SaveOptions::default()).unwrap();
    let model = Local::load("local/raw", &path, 1).unwrap();
    let mut chat = Chat::default();
    chat.push("user", " as it is\n");
    assert_eq!(model.render(&chat).unwrap(), " as it is\n");
    chat.push("assistant", "no");
    let said = model.render(&chat).unwrap_err().to_string();
    assert!(said.starts_with("local/raw has no chat template: it continues a text"), "{said}");
    let mut system = Chat::default();
    system.push("system", "x");
    assert!(model.render(&system).is_err());
}

#[test]
fn an_address_changes_with_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let copy = copy(folder.path());
    let before = Local::load("local/copy", &copy, 1).unwrap().address;
    assert_eq!(before.len(), 64);
    fs::write(copy.join("chat_template.jinja"), "another").unwrap();
    assert_ne!(Local::load("local/copy", &copy, 1).unwrap().address, before);
}
