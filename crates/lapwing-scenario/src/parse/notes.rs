//! What a scenario declares and does not use: no mistake, but often a slip.

use std::cell::RefCell;
use std::collections::BTreeSet;

use lapwing_core::Network;

use super::Context;
use crate::Diagnostic;
use crate::diagnostic::Text;
use crate::reader::Table;
use crate::template::Template;

/// What was used so far.
#[derive(Default)]
pub(super) struct Uses {
    evidence: RefCell<BTreeSet<String>>,
    variables: RefCell<BTreeSet<String>>,
}

impl Uses {
    /// A rule, a measure or other evidence names this evidence.
    pub(super) fn evidence(&self, name: &str) {
        self.evidence.borrow_mut().insert(name.to_owned());
    }

    /// The names in a template are used.
    pub(super) fn template(&self, template: &Template) {
        self.variables.borrow_mut().extend(template.names());
    }
}

/// Evidence that nothing asks for, and draws and texts that nothing shows.
pub(super) fn notes(root: &Table<'_>, context: &Context<'_>) -> Vec<Diagnostic> {
    let evidence = root.named("evidence").into_iter().filter_map(|(_, item)| item.table());
    let evidence = evidence.flat_map(|table| table.all()).map(|(name, _)| name);
    let is_asked_for = |name: &Text| context.uses.evidence.borrow().contains(&name.value);
    let unasked = evidence.filter(|name| !is_asked_for(name)).map(|name| {
        let problem = name.diagnostic("nothing asks for this evidence");
        problem.help("name it in a rule, a measure or other evidence, or leave it out")
    });
    let values = ["vary", "text"].into_iter().flat_map(|key| root.named(key));
    let values = values.map(|(name, _)| name);
    let unused = values.filter(|name| !is_used(&name.value, context)).map(|name| {
        let problem = name.diagnostic("no template, program or policy uses it");
        problem.help(format!("write `{{{{ {} }}}}` in a text, or leave it out", name.value))
    });
    unasked.chain(unused).chain(unrecorded(root, context)).collect()
}

/// Evidence that is always unknown, because no sandbox records what it is about.
fn unrecorded(root: &Table<'_>, context: &Context<'_>) -> Vec<Diagnostic> {
    let sandboxes = || context.sandboxes.iter();
    let sunk = sandboxes().any(|sandbox| sandbox.network == Network::Sinkhole);
    let connections = sunk || sandboxes().any(|sandbox| sandbox.observe.connect);
    let programs = sandboxes().any(|sandbox| sandbox.observe.exec);
    let kinds = [
        (
            "net",
            connections,
            "connections",
            "give one `observe = [\"connect\"]` or `network = \"sinkhole\"`",
        ),
        ("exec", programs, "programs that are run", "give one `observe = [\"exec\"]`"),
    ];
    let unrecorded = kinds.into_iter().filter(|(_, recorded, ..)| !recorded);
    let notes = unrecorded.flat_map(|(kind, _, what, help)| {
        let tables = root.named("evidence").into_iter().filter(move |(name, _)| name.value == kind);
        let queries = tables.filter_map(|(_, item)| item.table()).flat_map(|table| table.all());
        queries.map(move |(name, _)| {
            name.diagnostic(format!("no sandbox records {what}, so this is unknown")).help(help)
        })
    });
    notes.collect()
}

/// Whether a template names the value; or a program, which is given all values, or a policy has its name in it.
fn is_used(name: &str, context: &Context<'_>) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut files = context
        .folder
        .files()
        .iter()
        .filter(|(path, _)| path.starts_with("programs/") || path.as_str() == "policies.toml");
    context.uses.variables.borrow().contains(name)
        || files.any(|(_, bytes)| {
            String::from_utf8_lossy(bytes).split(|c| !is_part(c)).any(|word| word == name)
        })
}
