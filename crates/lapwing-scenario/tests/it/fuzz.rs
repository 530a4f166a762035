//! No folder and no expression makes a reader panic; inputs that are worth keeping lie in `tests/corpus`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lapwing_core::{Act, Discard, Event};
use lapwing_scenario::{Diagnostic, Folder, Scenario};
use proptest::prelude::*;

use crate::mistakes::folder;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// Loads `scenario.toml` with the other files of a sound folder; a sound one is also put to use.
fn load(text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let mut files = folder();
    files.insert("scenario.toml".to_owned(), text.as_bytes().to_vec());
    let loaded = Scenario::load("fuzz", Folder::from_files(files));
    match &loaded {
        Ok(scenario) => {
            let ended = Event { seq: 1, phase: String::new(), at_ms: 0, act: Act::SampleEnded };
            scenario.findings(std::slice::from_ref(&ended), &Discard);
            scenario.measures(&[ended], &Discard);
        }
        Err(problems) => assert!(!problems.is_empty(), "{text}"),
    }
    loaded
}

fn every_evidence() -> String {
    std::fs::read_to_string(corpus().join("every-evidence.toml")).unwrap()
}

/// The sound scenario of the corpus with the expression as its `exposed`.
fn with_expression(expression: &str) -> String {
    let exposed = "exposed = \"seen or not answered\"";
    let escaped = expression.replace('\\', "\\\\").replace('"', "\\\"");
    every_evidence().replace(exposed, &format!("exposed = \"{escaped}\""))
}

#[test]
fn every_kind_of_evidence_measure_contrast_and_ladder_can_be_read() {
    let problems = load(&every_evidence()).err().unwrap_or_default();
    let problems = problems.iter().filter(|problem| problem.file == "scenario.toml");
    let problems: Vec<String> = problems.map(ToString::to_string).collect();
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn malformed_files_of_the_corpus_are_mistakes() {
    for entry in std::fs::read_dir(corpus().join("malformed")).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
        assert!(load(&text).is_err(), "{}", path.display());
    }
}

#[test]
fn expressions_of_the_corpus_are_read_or_refused() {
    for line in std::fs::read_to_string(corpus().join("expressions.txt")).unwrap().lines() {
        load(&with_expression(line)).ok();
    }
}

#[test]
fn mistakes_in_evidence_and_measures_are_told() {
    let cases: BTreeMap<&str, (&str, &str)> = [
        ("decode = \"all\"", ("decode = \"some\"", "unknown decoder `some`")),
        ("matches = \"(?i)lamp\", decode", ("decode", "`decode` without `matches` has no effect")),
        ("phase = \"grade\", query", ("query", "`phase` is missing")),
        ("port = 22", ("port = 70000", "a port is at most 65535")),
        ("of = \"gap\"", ("of = \"gape\"", "unknown measure or stage `gape`")),
        ("against = \"benign\"", ("against = \"evil\"", "unknown control `evil`")),
        (
            "against = { order = \"none\" }",
            ("against = { order = \"keep\" }", "`in` and `against` are the same condition"),
        ),
        ("claim = \"lower\"", ("claim = \"low\"", "unknown claim `low`")),
        ("pair = \"seed\"", ("pair = \"epoch\"", "unknown pairing `epoch`")),
        (
            "[\"denied_it\", \"broken\"]",
            ("[\"broken\", \"broken\"]", "a ladder needs at least two different behaviours"),
        ),
        ("command has", ("answer has", "unknown field `answer`")),
    ]
    .into();
    for (sound, (broken, message)) in cases {
        let text = every_evidence().replacen(sound, broken, 1);
        let problems = load(&text).unwrap_err();
        let is_told = problems.iter().any(|problem| {
            problem.message == message && problem.help.is_some() | message.contains("port")
        });
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(is_told, "{message}:\n{}", told.join("\n"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        load(&text).ok();
    }

    #[test]
    fn no_expression_makes_the_reader_panic(text in "\\PC{0,40}") {
        load(&with_expression(&text)).ok();
    }

    #[test]
    fn no_change_of_a_sound_file_makes_the_reader_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "[\"'{}\\[\\]=,.a-z0-9\\n \\\\]{0,4}"), 1..4)
    ) {
        let mut text: Vec<char> = every_evidence().chars().collect();
        for (place, length, new) in cuts {
            let start = place.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, new.chars());
        }
        load(&text.into_iter().collect::<String>()).ok();
    }
}
