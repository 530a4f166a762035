//! The scenario of an imported log: what its scorers said is evidence, to which a user may add.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::fold::{IMPORTED, PHASE};
use super::scores::{Catalog, Kind, SCORER};

/// Words of expressions, which are no names.
const WORDS: [&str; 20] = [
    "and", "before", "count", "encoding", "false", "first", "has", "in", "index", "last", "match",
    "matches", "max", "mean", "min", "not", "or", "overlap", "true", "value",
];

/// What is told of the log.
pub(crate) struct About<'a> {
    pub(crate) task: &'a str,
    pub(crate) description: &'a str,
    /// Where it comes from, in words.
    pub(crate) from: &'a str,
}

/// The folder, by path.
pub(crate) fn folder(about: &About<'_>, catalog: &Catalog) -> BTreeMap<String, Vec<u8>> {
    let files = [
        ("scenario.toml", scenario(about, catalog)),
        ("transcript.md", "The transcript was imported.\n".to_owned()),
        ("README.md", readme(about)),
    ];
    files.into_iter().map(|(path, text)| (path.to_owned(), text.into_bytes())).collect()
}

fn scenario(about: &About<'_>, catalog: &Catalog) -> String {
    let mut taken = BTreeSet::from(["imported".to_owned()]);
    let named: Vec<(String, &str, Kind)> = catalog
        .0
        .iter()
        .map(|(name, kind)| (identifier(name, &mut taken), name.as_str(), *kind))
        .collect();
    let mut text = format!(
        "format = 1\ntitle = {}\ndescription = {}\nimported = {}\n\n\
         phase = [{{ id = \"{PHASE}\", ask = \"transcript.md\", context = \"fresh\" }}]\n\
         exposed = \"imported\"\n\n\
         [evidence.event]\nimported = {{ name = \"{IMPORTED}\", program = \"inspect\" }}\n",
        quoted(&format!("Imported: {}", about.task)),
        quoted(about.description),
        quoted(about.from),
    );
    let mut line = |line: String| text.push_str(&line);
    for (id, name, _) in &named {
        line(format!("{id} = {{ name = {}, program = \"{SCORER}\" }}\n", quoted(name)));
    }
    let measured = named.iter().filter(|(_, _, kind)| *kind != Kind::Words);
    for (place, (id, name, kind)) in measured.enumerate() {
        line(if place == 0 { "\n[measure]\n".to_owned() } else { String::new() });
        // The name itself is that of the behaviour where there is one.
        let measure = match kind {
            Kind::Binary => identifier(&format!("{id}_score"), &mut taken),
            Kind::Unscored | Kind::Number | Kind::Words => id.clone(),
        };
        let note = quoted(&format!("the score {name}"));
        line(format!("{measure} = {{ value = \"first({id}).value\", note = {note} }}\n"));
    }
    let binary = named.iter().filter(|(_, _, kind)| *kind == Kind::Binary);
    for (place, (id, name, _)) in binary.enumerate() {
        line(if place == 0 { "\n[behaviour]\n".to_owned() } else { String::new() });
        let note = quoted(&format!("the score {name} is 1 (C, correct, true)"));
        line(format!("{id} = {{ success = \"first({id}).value == 1\", note = {note} }}\n"));
    }
    text
}

fn readme(about: &About<'_>) -> String {
    let mut text =
        format!("# {}\n\n{}\n\nImported from {}.\n", about.task, about.description, about.from);
    let _ = write!(
        text,
        "\nThe scores of the log are evidence here: `first(NAME).value` is the number, `.label` the word, `.explanation` and\n\
         `.metadata` what stood beside it. A score that the log leaves out is unknown, never 0.\n\
         \n\
         Add evidence of kind `text`, `call` or `judge`, and behaviours that ask for it; then `lapwing score RUN --with FOLDER`.\n"
    );
    text
}

/// A name that expressions can use, and nobody else has.
fn identifier(name: &str, taken: &mut BTreeSet<String>) -> String {
    let letters = name.chars().map(|c| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9') => c,
        _ => '_',
    });
    let mut id: String = letters.take(60).collect();
    let is_name = id.starts_with(|first: char| first.is_ascii_lowercase());
    if !is_name || WORDS.contains(&id.as_str()) {
        id = format!("score_{id}");
    }
    let mut unique = id.clone();
    for number in 2.. {
        if taken.insert(unique.clone()) {
            break;
        }
        unique = format!("{id}_{number}");
    }
    unique
}

/// A text of one line in TOML. What is no character for a terminal is left out.
fn quoted(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    serde_json::Value::from(line).to_string()
}

#[cfg(test)]
mod tests {
    use lapwing_scenario::{Folder, Scenario};

    use super::*;

    #[test]
    fn whatever_the_scores_are_called_the_scenario_loads() {
        let names =
            ["match", "a b", "a-b", "1st", "", "{{ x }}", "in", "\"\\\n\u{7f}", "imported", "ä"];
        let kinds = [Kind::Binary, Kind::Number, Kind::Words, Kind::Unscored];
        let scores = names.into_iter().zip(kinds.into_iter().cycle());
        let catalog = Catalog(scores.map(|(name, kind)| (name.to_owned(), kind)).collect());
        let about = About { task: "t\u{1b}[2J\"", description: "{% d %}", from: "a log, x.eval" };
        let scenario = Scenario::load("t", Folder::from_files(folder(&about, &catalog)));
        let scenario = scenario.unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(scenario.imported(), Some("a log, x.eval"));
        let behaviours = scenario.behaviours().iter().map(|behaviour| behaviour.name.as_str());
        assert_eq!(behaviours.collect::<Vec<_>>().len(), 3);
        assert!(scenario.policies().is_empty());
    }

    #[test]
    fn names_are_made_for_expressions_and_never_twice() {
        let mut taken = BTreeSet::new();
        let ids = ["Match", "a b", "a-b", "1st", "f1"].map(|name| identifier(name, &mut taken));
        assert_eq!(ids, ["score_match", "a_b", "a_b_2", "score_1st", "f1"]);
    }
}
