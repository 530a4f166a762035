//! `lapwing.toml`: settings that need not be written every time. Flags go before it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lapwing_core::{Effort, GenerateConfig};
use lapwing_model::{Budget, Price, ProviderConfig};
use serde::Deserialize;

use crate::args::{Connection, Sampling};
use crate::failure::Failure;
use crate::library::near;

/// The file, in the working directory unless `LAPWING_CONFIG` names another.
const FILE: &str = "lapwing.toml";

/// What the file sets. A key that is not known is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Who does what.
    pub(crate) roles: Roles,
    /// How models sample.
    pub(crate) generate: Generate,
    /// Most that a run may use.
    pub(crate) budget: Option<String>,
    /// Where answers are kept.
    pub(crate) cache: Option<PathBuf>,
    /// Most calls at a time of one account.
    pub(crate) max_connections: Option<u64>,
    /// Providers, by name.
    pub(crate) provider: BTreeMap<String, ProviderConfig>,
    /// Prices, by the model's whole name.
    pub(crate) price: BTreeMap<String, Price>,
    /// The file, if there is one, and its text.
    #[serde(skip)]
    pub(crate) file: Option<(PathBuf, String)>,
}

/// Models by what they do.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Roles {
    /// What is tested.
    pub(crate) target: Vec<String>,
    /// Who labels.
    pub(crate) judge: Option<String>,
}

/// How models sample.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Generate {
    temperature: Option<f64>,
    top_p: Option<f64>,
    max_tokens: Option<u64>,
    reasoning_effort: Option<Effort>,
    reasoning_tokens: Option<u64>,
    seed: Option<u64>,
    stop: Vec<String>,
    logprobs: bool,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or it says something that is not known; with its line and the nearest name.
    pub(crate) fn load() -> Result<Self, Failure> {
        let named = std::env::var_os("LAPWING_CONFIG").map(PathBuf::from);
        let path = named.clone().unwrap_or_else(|| PathBuf::from(FILE));
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, text),
            Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => {
                Ok(Self::default())
            }
            Err(error) => {
                let message = format!("{} cannot be read: {error}", path.display());
                Err(Failure::new(Failure::USAGE, message))
            }
        }
    }

    fn parse(path: &Path, text: String) -> Result<Self, Failure> {
        let mut config: Self = toml::from_str(&text).map_err(|error| fault(path, &text, &error))?;
        if let Some(budget) = &config.budget {
            budget.parse::<Budget>().map_err(|error| {
                let line = line_of(&text, "budget").unwrap_or(1);
                Failure::new(Failure::USAGE, format!("{}:{line}: {error}", path.display()))
            })?;
        }
        config.file = Some((path.to_owned(), text));
        Ok(config)
    }

    /// How models sample: each flag, else what the file says.
    pub(crate) fn generate(&self, flags: &Sampling) -> GenerateConfig {
        let file = &self.generate;
        let stop = if flags.stop.is_empty() { &file.stop } else { &flags.stop };
        GenerateConfig {
            temperature: flags.temperature.or(file.temperature),
            top_p: flags.top_p.or(file.top_p),
            max_tokens: flags.max_tokens.or(file.max_tokens),
            seed: flags.seed.or(file.seed),
            stop: stop.clone(),
            logprobs: flags.logprobs || file.logprobs,
            reasoning_effort: flags.reasoning_effort.or(file.reasoning_effort),
            reasoning_tokens: flags.reasoning_tokens.or(file.reasoning_tokens),
        }
    }

    /// Most calls at a time of one account.
    pub(crate) fn max_connections(&self, flags: &Connection) -> Option<usize> {
        flags.max_connections.or(self.max_connections).map(|n| n as usize)
    }

    /// Most that a run may use.
    pub(crate) fn budget(&self, flag: Option<Budget>) -> Option<Budget> {
        flag.or_else(|| self.budget.as_ref()?.parse().ok())
    }

    /// Where a setting of the file stands, as `lapwing.toml:7`.
    pub(crate) fn place(&self, key: &str) -> Option<String> {
        let (path, text) = self.file.as_ref()?;
        Some(format!("{}:{}", path.display(), line_of(text, key)?))
    }
}

/// The line on which `key`, the last part of a dotted name, is set.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let sets = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
    };
    text.lines().position(sets).map(|index| index + 1)
}

fn fault(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let line = error.span().map_or(1, |span| {
        let before = text.get(..span.start).unwrap_or_default();
        before.matches('\n').count() + 1
    });
    let message = error.message();
    let failure = Failure::new(Failure::USAGE, format!("{}:{line}: {message}", path.display()));
    // serde quotes the key that it does not know, and behind it those that it knows.
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().filter(|_| message.starts_with("unknown field"));
    let known: Vec<String> = quoted.map(str::to_owned).collect();
    let near = unknown.and_then(|unknown| near(unknown, &known));
    match (unknown.and_then(home), near) {
        (Some(table), _) => failure.help(format!("it belongs under [{table}]")),
        (None, Some(near)) => failure.help(format!("did you mean `{near}`?")),
        (None, None) => failure,
    }
}

/// The table of a key that stands where it is not known.
fn home(key: &str) -> Option<&'static str> {
    match key {
        "target" | "judge" => Some("roles"),
        "temperature" | "top_p" | "max_tokens" | "reasoning_effort" | "reasoning_tokens"
        | "seed" | "stop" | "logprobs" => Some("generate"),
        "base_url" | "key_env" | "key_file" | "format" => Some("provider.NAME"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("lapwing.toml"), text.to_owned()).map_err(|f| f.to_string())
    }

    #[test]
    fn what_is_not_known_is_told_with_its_line_and_the_nearest_name() {
        let rows = [
            (
                "[generate]\ntempature = 1",
                "lapwing.toml:2: unknown field `tempature`",
                "`temperature`?",
            ),
            ("[role]\ntarget = []", "lapwing.toml:1: unknown field `role`", "`roles`?"),
            ("judge = 'x/y'", "lapwing.toml:1: unknown field `judge`", "it belongs under [roles]"),
            ("cache = 'x'\nbudget = '20'", "lapwing.toml:2: \"20\" is no budget", "20usd"),
            ("[provider.x]\nkey = 'sk'", "lapwing.toml:2: unknown field `key`", "key_env"),
            ("[generate]\nreasoning_effort = 'lots'", "lapwing.toml:2: ", "`high`"),
        ];
        for (text, place, help) in rows {
            let said = parse(text).unwrap_err();
            let said = anstream::adapter::strip_str(&said).to_string();
            assert!(said.contains(place) && said.contains(help), "{said}");
        }
    }

    #[test]
    fn the_file_in_the_documentation_can_be_read() {
        let docs = include_str!("../../../docs/models.md");
        let example = docs.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let config = parse(example).unwrap();
        assert_eq!(config.roles.judge.as_deref(), Some("openai/gpt-4.1"));
        assert_eq!(config.price.len() + config.provider.len(), 2);
    }

    #[test]
    fn flags_go_before_the_file() {
        let config = parse("[generate]\ntemperature = 0.5\ntop_p = 0.9\nstop = ['a']").unwrap();
        let flags = Sampling { temperature: Some(1.0), ..Sampling::default() };
        let generate = config.generate(&flags);
        assert_eq!((generate.temperature, generate.top_p), (Some(1.0), Some(0.9)));
        assert_eq!(generate.stop, ["a"]);
        assert_eq!(config.place("top_p").as_deref(), Some("lapwing.toml:3"));
    }
}
