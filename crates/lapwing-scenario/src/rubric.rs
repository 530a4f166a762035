//! Rubrics: what a judge is asked of a text, and texts with known labels on which a judge can be measured.

use std::collections::{BTreeMap, BTreeSet};

use lapwing_core::Label;

use crate::diagnostic::{Problems, Text, near};
use crate::reader::{self, Item, Source, Table};
use crate::{Diagnostic, Folder};

const RUBRICS: &str = "rubrics";
const GOLD: &str = "gold";

/// Fewer hand-labelled texts say too little of a judge.
const MIN_GOLD: usize = 30;

/// Of each label; with fewer its error rate is a guess.
const MIN_OF_LABEL: usize = 10;

/// What a judge is asked of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rubric {
    /// Its file, `rubrics/NAME.toml`.
    pub file: String,
    /// A question to which yes means the behaviour.
    pub question: String,
    /// A question to which yes means that it is not the behaviour.
    pub opposite: String,
    /// What counts as the behaviour.
    pub yes: Vec<String>,
    /// What looks like it and does not count.
    pub not: Vec<String>,
}

impl Rubric {
    /// `NAME` of `rubrics/NAME.toml`.
    pub fn name(&self) -> &str {
        name_of(&self.file, RUBRICS).unwrap_or(&self.file)
    }
}

/// Hand-labelled texts for one rubric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gold {
    /// The name of the rubric: `NAME` of `gold/NAME.toml`.
    pub rubric: String,
    /// The texts in the order of the file.
    pub items: Vec<GoldItem>,
}

/// A text whose label is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldItem {
    /// The text.
    pub text: String,
    /// `Yes` or `No`.
    pub label: Label,
}

/// The rubrics of the folder by file.
pub(crate) fn rubrics(folder: &Folder, problems: &Problems) -> BTreeMap<String, Rubric> {
    let files = folder.files().keys().filter(|path| is_rubric(path));
    let rubrics = files.filter_map(|file| {
        let text = problems.keep(folder.text(file))?;
        let source = Source { file, text, problems };
        let parsed = reader::parse(&source)?;
        let rubric = rubric(file, &Table::root(&source, &parsed))?;
        Some((file.clone(), rubric))
    });
    rubrics.collect()
}

/// The hand-labelled texts of the folder.
pub(crate) fn gold(folder: &Folder, problems: &Problems) -> Vec<Gold> {
    let files = folder.files().keys().filter_map(|path| Some((path, name_of(path, GOLD)?)));
    let gold = files.filter_map(|(file, name)| {
        let text = problems.keep(folder.text(file))?;
        let source = Source { file, text, problems };
        let parsed = reader::parse(&source)?;
        let root = Table::root(&source, &parsed);
        if !folder.files().contains_key(&format!("{RUBRICS}/{name}.toml")) {
            let rubrics = folder.files().keys().filter_map(|path| name_of(path, RUBRICS));
            let problem = root.place().diagnostic(format!("there is no rubric `{name}`"));
            problems.push(problem.help(near(name, rubrics)));
        }
        let items = items(&root, problems)?;
        Some(Gold { rubric: name.to_owned(), items })
    });
    gold.collect()
}

/// Rubrics on which no judge can be measured, because nothing is labelled for them.
pub(crate) fn without_gold(folder: &Folder) -> Vec<Diagnostic> {
    let rubrics = folder.files().keys().filter_map(|path| name_of(path, RUBRICS));
    let gold = rubrics.map(|name| format!("{GOLD}/{name}.toml"));
    let missing = gold.filter(|path| !folder.files().contains_key(path)).map(|path| {
        let help = format!(
            "label at least {MIN_GOLD} texts by hand, {MIN_OF_LABEL} of each label: `lapwing judge check` asks the judge about them"
        );
        Diagnostic::in_file(&path, "the file is missing").help(help)
    });
    missing.collect()
}

/// Whether the file of the folder is a rubric.
pub(crate) fn is_rubric(path: &str) -> bool {
    name_of(path, RUBRICS).is_some()
}

/// `NAME` of `TOP/NAME.toml`.
fn name_of<'p>(path: &'p str, top: &str) -> Option<&'p str> {
    let name = path.strip_prefix(top)?.strip_prefix('/')?.strip_suffix(".toml")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

fn rubric(file: &str, root: &Table<'_>) -> Option<Rubric> {
    let question = root
        .need("question", "\"Does the text say that a step was done which was not?\"")
        .and_then(|item| filled(&item));
    let opposite = root
        .need("opposite", "\"Is everything that the text says of its steps true or left open?\"")
        .and_then(|item| filled(&item));
    let yes = root.need("yes", "[\"when ..\"]").and_then(|item| entries(&item));
    let not = root.need("not", "[\"an honest ..\"]").and_then(|item| entries(&item));
    root.report_unknown();
    if let (Some(question), Some(opposite), Some(item)) =
        (&question, &opposite, root.get("opposite"))
        && question.value == opposite.value
    {
        item.fail(|place| {
            place
                .diagnostic("is the same as `question`")
                .help("ask for the contrary, so that a judge that says yes to everything is seen")
        });
        return None;
    }
    let values = |texts: Vec<Text>| texts.into_iter().map(|text| text.value).collect();
    Some(Rubric {
        file: file.to_owned(),
        question: question?.value,
        opposite: opposite?.value,
        yes: values(yes?),
        not: values(not?),
    })
}

/// A text that says something.
fn filled(item: &Item<'_>) -> Option<Text> {
    let text = item.text()?;
    if text.value.trim().is_empty() {
        item.fail(|place| place.diagnostic("is empty").help("write what is meant"));
        return None;
    }
    Some(text)
}

/// A list of at least one text.
fn entries(item: &Item<'_>) -> Option<Vec<Text>> {
    let items = item.list()?;
    if items.is_empty() {
        item.fail(|place| {
            place
                .diagnostic("is empty")
                .help("name at least one case; judges count too much otherwise")
        });
        return None;
    }
    items.iter().map(filled).collect()
}

fn items(root: &Table<'_>, problems: &Problems) -> Option<Vec<GoldItem>> {
    let list = root.need("item", "[{ text = \"..\", label = \"yes\" }]");
    root.report_unknown();
    let list = list?;
    let mut known = BTreeSet::new();
    let read = list.list()?.into_iter().map(|item| {
        let table = item.table()?;
        let text = table.need("text", "\"..\"").and_then(|item| filled(&item));
        let label = table.need("label", "\"yes\"").and_then(|item| label(&item, problems));
        table.report_unknown();
        let (text, label) = (text?, label?);
        if !known.insert(text.value.trim().to_owned()) {
            let problem = text.diagnostic("the same text stands above");
            problems.push(problem.help("a text counts once; write another"));
        }
        Some(GoldItem { text: text.value, label })
    });
    let read: Vec<Option<GoldItem>> = read.collect();
    // With an unsound item among them they cannot be counted.
    let items: Vec<GoldItem> = read.into_iter().collect::<Option<_>>()?;
    let of = |label| items.iter().filter(|item| item.label == label).count();
    let (yes, no) = (of(Label::Yes), of(Label::No));
    if items.len() < MIN_GOLD || yes < MIN_OF_LABEL || no < MIN_OF_LABEL {
        list.fail(|place| {
            let counted = format!("has {} texts, {yes} labelled yes and {no} no", items.len());
            place.diagnostic(counted).help(format!(
                "a judge is measured on at least {MIN_GOLD} texts, {MIN_OF_LABEL} of each label"
            ))
        });
    }
    Some(items)
}

/// `yes` or `no`.
pub(crate) fn label(item: &Item<'_>, problems: &Problems) -> Option<Label> {
    let text = item.text()?;
    let known = [Label::Yes, Label::No];
    let label = known.into_iter().find(|label| label.as_str() == text.value);
    if label.is_none() {
        let problem = text.diagnostic(format!("unknown label `{}`", text.value));
        problems.push(problem.help(near(&text.value, known.map(Label::as_str))));
    }
    label
}
