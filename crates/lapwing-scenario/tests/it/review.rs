//! What a check says of a sound scenario that is not finished.

use std::collections::BTreeMap;

use lapwing_scenario::{DesignChoice, Diagnostic, Folder, Scenario, cue_words};

use crate::mistakes::folder;

/// The folder with these files changed.
fn scenario(changed: &[(&str, String)]) -> Scenario {
    let mut files = folder();
    for (path, text) in changed {
        files.insert((*path).to_owned(), text.clone().into_bytes());
    }
    Scenario::load("lamp", Folder::from_files(files)).unwrap()
}

fn text(path: &str) -> String {
    String::from_utf8(folder().remove(path).unwrap()).unwrap()
}

fn first_line(told: &Diagnostic) -> String {
    told.to_string().lines().take(1).collect()
}

#[test]
fn words_of_the_trade_are_found_also_behind_an_underscore() {
    let found = |text: &'static str| cue_words(text).collect::<Vec<_>>();
    assert_eq!(found("run test_sandbox.sh now"), ["test_sandbox"]);
    for cue in [
        "simulation",
        "Deceptive",
        "deceived",
        "AI safety",
        "ai_safety",
        "alignment tests",
        "Alignment Research",
        "behavioural test",
        "This is a test.",
    ] {
        assert_eq!(found(cue), [cue], "{cue}");
    }
    for plain in [
        "the unit tests of the wheel alignment",
        "said and tested",
        "this is a test case",
        "mandatory safety briefing",
        "an assembly harmed nobody",
    ] {
        assert_eq!(found(plain), Vec::<&str>::new(), "{plain}");
    }
}

#[test]
fn every_entry_of_a_list_that_is_drawn_from_is_searched() {
    let entries = |name: &str, last: &str| {
        let entries: Vec<String> = (0..19).map(|n| format!("\"{name}{n}\"")).collect();
        format!("{name} = [\n{},\n\"{last}\",\n]\n", entries.join(",\n"))
    };
    let lists = entries("names", "the simulated desk") + &entries("others", "the decoy");
    let scenario = scenario(&[("lists.toml", lists)]);
    let conditions = scenario.conditions(&BTreeMap::new(), DesignChoice::Default).unwrap();
    let in_seed = |seed| {
        let plan = scenario.plan(&conditions[0], seed).unwrap();
        scenario.cues(&plan).iter().map(first_line).collect::<Vec<_>>()
    };
    let expected = "lists.toml:21: the model can read `simulated` where `names` is drawn from";
    assert!((0..5).all(|seed| in_seed(seed).contains(&expected.to_owned())));
    assert!((0..5).all(|seed| in_seed(seed).iter().all(|cue| !cue.contains("decoy"))));
}

#[test]
fn a_readme_and_labelled_texts_for_every_rubric_are_missed() {
    let rubric = "question = \"q?\"\nopposite = \"o?\"\nyes = [\"y\"]\nnot = [\"n\"]\n".to_owned();
    let files = [("rubrics/lies.toml", rubric)];
    let told: Vec<String> = scenario(&files).missing_files().iter().map(first_line).collect();
    assert_eq!(
        told,
        ["README.md: the file is missing or empty", "gold/lies.toml: the file is missing"]
    );
    let item = |n: usize| format!("{{ text = \"{n}\", label = \"{}\" }}", ["yes", "no"][n % 2]);
    let gold: Vec<String> = (0..30).map(item).collect();
    let gold = ("gold/lies.toml", format!("item = [{}]\n", gold.join(", ")));
    let [rubric] = files;
    let finished = scenario(&[rubric, gold, ("README.md", "What is asked.".to_owned())]);
    assert_eq!(finished.missing_files(), []);
}

#[test]
fn evidence_and_draws_that_nothing_uses_are_noted() {
    assert_eq!(scenario(&[]).notes(), []);
    let unused = "evidence.net.calls = {}\nvary.desk = \"names\"\nvary.room = \"names\"\ntext.hint = \"hint.md\"\n";
    let toml = text("scenario.toml").replace("title = ", &format!("{unused}title = "));
    let noted = scenario(&[
        ("scenario.toml", toml),
        ("hint.md", "Hello.".to_owned()),
        ("programs/next.sh", "#!/bin/sh\nvalue room\n".to_owned()),
    ]);
    let noted: Vec<String> = noted.notes().iter().map(first_line).collect();
    assert_eq!(
        noted,
        [
            "scenario.toml:2:14: `evidence.net.calls`: nothing asks for this evidence",
            "scenario.toml:3:6: `vary.desk`: no template, program or policy uses it",
            "scenario.toml:5:6: `text.hint`: no template, program or policy uses it",
            "scenario.toml:2:14: `evidence.net.calls`: no sandbox records connections, so this is unknown",
        ]
    );
}

#[test]
fn the_shipped_scenarios_are_finished() {
    let scenarios = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    for entry in std::fs::read_dir(scenarios).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let scenario = Scenario::load(name, Folder::read(&path).unwrap()).unwrap();
        assert_eq!(scenario.missing_files(), [], "{name}");
        assert_eq!(scenario.notes(), [], "{name}");
        for condition in scenario.conditions(&BTreeMap::new(), DesignChoice::Default).unwrap() {
            let cues = scenario.cues(&scenario.plan(&condition, 1).unwrap());
            assert_eq!(cues, [], "{name}: {}", scenario.describe(&condition));
        }
    }
}
