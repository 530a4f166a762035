//! Reads `scenario.toml`, `lists.toml` and the files that they name into a [`Definition`].

mod behaviour;
pub(crate) mod design;
mod evidence;
mod inject;
mod judge;
mod measure;
mod network;
mod notes;
mod organism;
mod part;
mod phase;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Problems, Text, near};
use crate::expr::{Expr, parse};
use crate::reader::{self, Item, Source, Table};
use crate::schema::{Behaviour, Definition, Factor, SandboxDefinition, ServiceDefinition};
use crate::template::Template;
use crate::{Diagnostic, Folder, JudgeQuery, rubric};

use notes::Uses;

/// The only version of the format so far.
const FORMAT: u64 = 1;

/// A list with fewer entries lets chance repeat too often.
const MIN_LIST: usize = 20;

/// What the later parts of a file are checked against.
struct Context<'a> {
    folder: &'a Folder,
    problems: &'a Problems,
    factors: Vec<Factor>,
    /// Names that templates may use.
    variables: BTreeSet<String>,
    sandboxes: Vec<SandboxDefinition>,
    services: Vec<ServiceDefinition>,
    phases: Vec<String>,
    queries: Vec<String>,
    /// Parts of the world.
    parts: Vec<String>,
    /// The columns of the ledger, if there is a sound one.
    columns: Option<Vec<String>>,
    uses: Uses,
}

/// Reads the folder; the mistakes go to `problems`. `None` if a part without which there is no scenario is unsound.
pub(crate) fn definition(folder: &Folder, problems: &Problems) -> Option<Definition> {
    let lists = lists(folder, problems);
    let text = problems.keep(folder.text("scenario.toml"))?;
    let source = Source { file: "scenario.toml", text, problems };
    let parsed = reader::parse(&source)?;
    let root = Table::root(&source, &parsed);
    check_format(&root)?;

    let title = root.need("title", "\"What is asked\"").and_then(|item| item.text());
    let description = root.need("description", "\"One sentence\"").and_then(|item| item.text());
    let imported = root.optional("imported", Item::text);
    let mut context = Context {
        folder,
        problems,
        factors: design::factors(&root),
        variables: BTreeSet::from(["nonce".to_owned()]),
        sandboxes: Vec::new(),
        services: Vec::new(),
        phases: phase_ids(&root),
        queries: evidence::names(&root),
        parts: root.get("world").map(|item| item.keys()).unwrap_or_default(),
        columns: None,
        uses: Uses::default(),
    };
    context.note_unsound(&root, "factor", |context, name| {
        context.factors.iter().any(|factor| factor.name == name)
    });
    let factors = root.get("factor").map(|item| item.keys()).unwrap_or_default();
    context.variables.extend(factors);
    let design = design::design(&root, &context);
    let vary = world::vary(&root, &mut context, &lists);
    let texts = world::texts(&root, &mut context);
    context.sandboxes = world::sandboxes(&root, &context);
    context.note_unsound(&root, "sandbox", |context, name| {
        context.sandboxes.iter().any(|sandbox| sandbox.name == name)
    });
    context.services = world::services(&root, &context);
    context.note_unsound(&root, "service", |context, name| {
        context.services.iter().any(|service| service.name == name)
    });
    let programs = world::programs(&root, &context);
    let backstage = world::files("programs", &context);
    let world = part::parts(&root, &context, &programs);
    context.columns = part::columns(&world);
    let phases = phase::phases(&root, &context);
    let injections = inject::injections(&root, &context);
    let organism = organism::view(&root, &context, &phases);
    let mut queries = evidence::queries(&root, &context);
    let example = format!("\"{}\"", context.queries.first().map_or("notice", String::as_str));
    let exposed = root.need("exposed", &example).and_then(|item| context.rule(&item));
    let may_have_none = !matches!(imported, Ok(None));
    let (behaviours, rules): (Vec<_>, Vec<_>) =
        behaviour::behaviours(&root, &context, may_have_none).into_iter().unzip();
    context.note_unsound(&root, "behaviour", |_, name| {
        behaviours.iter().any(|behaviour: &Behaviour| behaviour.name == name)
    });
    let measures = measure::measures(&root, &context, &behaviours, &design.controls);
    let rules_and_values = rules.iter().flatten().chain(&measures.values).chain(&exposed);
    evidence::note_reads(&mut queries, rules_and_values);
    let published = behaviour::published(&root, &context, &behaviours);
    let judged = evidence::names_of_kind(&root, "judge");
    let rubrics = rubric::rubrics(folder, problems);
    let gold = rubric::gold(folder, problems);
    let notes = notes::notes(&root, &context);
    root.report_unknown();

    Some(Definition {
        title: title?.value,
        description: description?.value,
        imported: imported.ok()?.map(|text| text.value),
        factors: context.factors,
        design,
        vary,
        texts,
        lists,
        sandboxes: context.sandboxes,
        services: context.services,
        programs,
        backstage,
        world,
        phases,
        injections,
        organism: organism.ok()?,
        exposed: exposed?,
        judges: JudgeQuery::of(&queries, &rubrics),
        queries,
        judged,
        measures,
        behaviours,
        rules,
        published,
        gold,
        notes,
    })
}

fn check_format(root: &Table<'_>) -> Option<()> {
    let item = root.need("format", "1")?;
    let format = item.count(0)?;
    if format != FORMAT {
        item.fail(|place| {
            place
                .diagnostic(format!("format {format} is not known"))
                .help(format!("this version reads format {FORMAT}"))
        });
        return None;
    }
    Some(())
}

/// The word lists of `lists.toml`.
fn lists(folder: &Folder, problems: &Problems) -> BTreeMap<String, Vec<String>> {
    if !folder.files().contains_key("lists.toml") {
        return BTreeMap::new();
    }
    let Some(text) = problems.keep(folder.text("lists.toml")) else { return BTreeMap::new() };
    let source = Source { file: "lists.toml", text, problems };
    let Some(parsed) = reader::parse(&source) else { return BTreeMap::new() };
    let entries = Table::root(&source, &parsed).all().into_iter().filter_map(|(name, item)| {
        let entries: BTreeSet<String> = item.texts()?.into_iter().map(|text| text.value).collect();
        if entries.len() < MIN_LIST {
            let short =
                format!("has {} different entries, at least {MIN_LIST} are needed", entries.len());
            let help = format!("add {} more, so that seeds differ", MIN_LIST - entries.len());
            item.fail(|place| place.diagnostic(short).help(help));
        }
        Some((name.value, entries.into_iter().collect()))
    });
    entries.collect()
}

/// The ids of the phases, for evidence that names one; what is wrong with a phase is reported when it is read.
fn phase_ids(root: &Table<'_>) -> Vec<String> {
    let phases = root.get("phase").map(|item| item.entries()).unwrap_or_default();
    phases.iter().filter_map(|phase| phase.peek("id")).collect()
}

impl Context<'_> {
    /// Remembers the entries of the table `key` that could not be read.
    fn note_unsound(&self, root: &Table<'_>, key: &str, is_sound: impl Fn(&Self, &str) -> bool) {
        let declared = root.get(key).map(|item| item.keys()).unwrap_or_default();
        self.problems.note_unsound(declared.into_iter().filter(|name| !is_sound(self, name)));
    }

    /// An expression over evidence.
    fn rule(&self, item: &Item<'_>) -> Option<Expr> {
        let text = item.text()?;
        let rule = self.expression(&text)?;
        let mut sound = true;
        let mut names = 0;
        for found in rule.names() {
            names += 1;
            self.uses.evidence(found.name);
            if self.queries.iter().any(|query| query == found.name) {
                continue;
            }
            sound = false;
            let problem = if self.factors.iter().any(|factor| factor.name == found.name) {
                text.diagnostic_at(
                    found.offset,
                    format!("a rule cannot name the factor `{}`", found.name),
                )
                .help("let the rule ask for evidence; findings must not know the condition")
            } else {
                text.diagnostic_at(found.offset, format!("unknown evidence `{}`", found.name))
                    .help(near(found.name, self.queries.iter().map(String::as_str)))
            };
            self.problems.push(problem);
        }
        if names == 0 {
            let problem = text.diagnostic("the rule names no evidence");
            self.problems.push(problem.help(near("", self.queries.iter().map(String::as_str))));
        }
        (sound && names > 0).then_some(rule)
    }

    fn expression(&self, text: &Text) -> Option<Expr> {
        self.fixed(text)?;
        let parsed = parse(&text.value)
            .map_err(|error| text.diagnostic_at(error.offset, error.message).help(error.help));
        self.problems.keep(parsed)
    }

    /// Nothing if `text` is written like a template: what is looked for must be the same in every condition and seed.
    fn fixed(&self, text: &Text) -> Option<()> {
        let Some(tag) = text.value.find("{{").or_else(|| text.value.find("{%")) else {
            return Some(());
        };
        let problem =
            text.diagnostic_at(tag, "this is no template: evidence cannot depend on draws");
        let help =
            "give the thing a fixed name or mark, or let a program emit a field and ask for that";
        self.report(problem.help(help));
        None
    }

    /// The template in the file that `item` names.
    fn file_template(&self, item: &Item<'_>) -> Option<Template> {
        self.named_template(&item.text()?)
    }

    /// The template in the file `name`.
    fn named_template(&self, name: &Text) -> Option<Template> {
        let path = self.file(name)?;
        let text = self.problems.keep(self.folder.text(path))?;
        self.checked(Template::of_file(path, text))
    }

    /// The template that `text` is.
    fn text_template(&self, text: &Text) -> Option<Template> {
        self.checked(Template::of_text(text))
    }

    fn checked(&self, template: Template) -> Option<Template> {
        self.uses.template(&template);
        let problems = template.check(&self.variables);
        let sound = problems.is_empty();
        for problem in problems {
            self.problems.push(problem);
        }
        sound.then_some(template)
    }

    fn file<'t>(&self, name: &'t Text) -> Option<&'t str> {
        if self.folder.files().contains_key(&name.value) {
            return Some(&name.value);
        }
        let help = near(&name.value, self.folder.files().keys().map(String::as_str));
        self.problems
            .push(name.diagnostic(format!("the file `{}` is missing", name.value)).help(help));
        None
    }

    /// The sandbox that `name` names.
    fn sandbox(&self, name: &Text) -> Option<String> {
        let known = self.sandboxes.iter().map(|sandbox| sandbox.name.as_str());
        self.known("sandbox", name, known)
    }

    /// The text of `name` if it is among `known`.
    fn known<'k>(
        &self,
        what: &str,
        name: &Text,
        known: impl Iterator<Item = &'k str> + Clone,
    ) -> Option<String> {
        self.problems.known(what, name, known)
    }

    /// A name that templates and expressions can use.
    fn identifier(&self, name: &Text) -> Option<String> {
        let mut characters = name.value.chars();
        let starts = characters.next().is_some_and(|c| c.is_ascii_lowercase());
        if starts && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            return Some(name.value.clone());
        }
        let problem = name.diagnostic(format!("`{}` cannot be a name", name.value));
        self.problems.push(problem.help("use lower-case letters, digits and `_`, a letter first"));
        None
    }

    /// A table of factors and levels, at least one.
    fn levels(&self, item: &Item<'_>) -> Option<BTreeMap<String, String>> {
        design::levels(item, &self.factors, self.problems)
    }

    fn report(&self, problem: Diagnostic) {
        self.problems.push(problem);
    }
}
