//! Templates: texts with `{{ value }}` and `{% if %}`, strict about names.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};

use crate::Diagnostic;
use crate::diagnostic::{Text, near};

/// A text to be rendered and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    origin: Origin,
    text: String,
    /// The template read once; `None` if it is malformed or there is no tag in it.
    compiled: Option<Arc<Environment<'static>>>,
}

#[derive(Clone, Debug)]
enum Origin {
    File(String),
    Key(Box<Text>),
}

impl Template {
    /// The template that a whole file is.
    pub(crate) fn of_file(path: &str, text: &str) -> Self {
        Self::new(Origin::File(path.to_owned()), text)
    }

    /// The template that a text of a TOML file is.
    pub(crate) fn of_text(text: &Text) -> Self {
        Self::new(Origin::Key(Box::new(text.clone())), &text.value)
    }

    fn new(origin: Origin, text: &str) -> Self {
        let compiled = text.contains('{').then(|| ENVIRONMENT.clone()).and_then(|mut one| {
            one.add_template_owned(NAME, text.to_owned()).ok()?;
            Some(Arc::new(one))
        });
        Self { origin, text: text.to_owned(), compiled }
    }

    /// As written.
    pub(crate) fn source(&self) -> &str {
        &self.text
    }

    /// The names that it uses; none if it is malformed.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let template = self.compiled.as_ref().and_then(|one| one.get_template(NAME).ok());
        let names = template.map(|template| template.undeclared_variables(false));
        names.into_iter().flatten().collect()
    }

    /// The mistakes that can be seen without values: syntax, and names that are not among `names`.
    pub(crate) fn check(&self, names: &BTreeSet<String>) -> Vec<Diagnostic> {
        let template = match ENVIRONMENT.template_from_str(&self.text) {
            Ok(template) => template,
            Err(error) => return vec![self.diagnostic(&error)],
        };
        let globals: BTreeSet<&str> = ENVIRONMENT.globals().map(|(name, _)| name).collect();
        let unknown = template.undeclared_variables(false).into_iter();
        let unknown: BTreeSet<String> = unknown
            .filter(|name| !names.contains(name) && !globals.contains(name.as_str()))
            .collect();
        let problem = |name: &String| {
            let help = near(name, names.iter().map(String::as_str));
            self.at(self.line_of(name), format!("unknown template variable `{name}`")).help(help)
        };
        unknown.iter().map(problem).collect()
    }

    /// The text under `values`.
    pub(crate) fn render(&self, values: &Map<String, Value>) -> Result<String, Diagnostic> {
        let rendered = match &self.compiled {
            Some(one) => {
                let template = one.get_template(NAME);
                template.and_then(|template| template.render(minijinja::value::Serde(values)))
            }
            None if self.text.contains('{') => {
                ENVIRONMENT.template_from_str(&self.text).map(|_| String::new())
            }
            None => Ok(self.text.clone()),
        };
        rendered.map_err(|error| self.diagnostic(&error))
    }

    /// A mistake in what it renders to.
    pub(crate) fn fail(&self, message: impl Into<String>) -> Diagnostic {
        self.at(None, message.into())
    }

    fn diagnostic(&self, error: &minijinja::Error) -> Diagnostic {
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        self.at(error.line().map(|line| line as u32), format!("the template is malformed: {detail}"))
            .help("write `{{ name }}` for a value and `{% if name == 'level' %} .. {% endif %}` for a choice")
    }

    fn at(&self, line: Option<u32>, message: String) -> Diagnostic {
        match &self.origin {
            Origin::File(path) => Diagnostic::in_file(path, message).at_line(line),
            Origin::Key(text) => text.diagnostic(message),
        }
    }

    /// The first line with a tag that has the word.
    fn line_of(&self, name: &str) -> Option<u32> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let has = |line: &str| line.split(|c| !is_part(c)).any(|word| word == name);
        let tagged = |line: &str| line.contains("{{") || line.contains("{%");
        let lines = || self.text.lines().enumerate();
        let found = lines().find(|(_, line)| tagged(line) && has(line));
        found.or_else(|| lines().find(|(_, line)| has(line))).map(|(index, _)| index as u32 + 1)
    }
}

/// The name of the only template of an environment.
const NAME: &str = "";

/// What all templates are rendered in: to make it takes longer than to render one.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// No includes, no escaping; a tag alone on its line leaves no empty line behind.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    environment
}
