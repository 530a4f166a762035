//! `lapwing config show`: what is set, and where.

use std::process::ExitCode;

use lapwing_model::{Endpoint, PROVIDERS, Surroundings};
use serde::Serialize;

use super::{Global, print_json};
use crate::args::Sampling;
use crate::config::Config;
use crate::failure::Failure;
use crate::render::Grid;

/// A setting, its value and what set it.
#[derive(Serialize)]
struct Setting {
    name: String,
    value: String,
    origin: String,
}

/// A provider as a model of it would be asked.
#[derive(Serialize)]
struct Reached {
    provider: String,
    address: String,
    address_from: String,
    key_from: String,
    has_key: bool,
}

pub(crate) fn show(global: &Global) -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    let settings = settings(&config)?;
    let env = |name: &str| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned());
    let own = config.provider.keys().map(String::as_str);
    let own = own.filter(|name| PROVIDERS.iter().all(|known| known.name != *name));
    let reached = PROVIDERS.iter().map(|known| known.name).chain(own).map(|provider| {
        let around = Surroundings {
            env: &env,
            configs: &config.provider,
            base_url: None,
            needs_keys: false,
        };
        match Endpoint::find(&format!("{provider}/NAME"), around) {
            Ok(endpoint) => Reached {
                provider: provider.to_owned(),
                address: endpoint.base().to_owned(),
                address_from: endpoint.base_setting().to_owned(),
                key_from: endpoint.key_setting().to_owned(),
                has_key: endpoint.has_key(),
            },
            Err(error) => Reached {
                provider: provider.to_owned(),
                address: format!("– {error}"),
                address_from: String::new(),
                key_from: String::new(),
                has_key: false,
            },
        }
    });
    let reached: Vec<Reached> = reached.collect();
    if global.json {
        print_json(&serde_json::json!({ "settings": settings, "providers": reached }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stdout().lock();
    let mut grid = Grid::new(&["setting", "value", "from"]);
    for Setting { name, value, origin } in settings {
        grid.row([name, value, origin]);
    }
    grid.write(&mut out)?;
    let mut grid = Grid::new(&["provider", "key", "address"]);
    for reached in reached {
        let is_set = if reached.has_key { "set" } else { "not set" };
        let key = if reached.key_from.is_empty() {
            "–".to_owned()
        } else {
            format!("{is_set}: {}", reached.key_from)
        };
        grid.row([reached.provider, key, reached.address]);
    }
    std::io::Write::write_all(&mut out, b"\n")?;
    grid.write(&mut out)?;
    Ok(ExitCode::SUCCESS)
}

fn settings(config: &Config) -> Result<Vec<Setting>, Failure> {
    let generate = serde_json::to_value(config.generate(&Sampling::default()))?;
    let set = |name: &str| generate.get(name).map(ToString::to_string);
    let list = |list: &[String]| (!list.is_empty()).then(|| list.join(", "));
    let rows = [
        ("target", list(&config.roles.target), "none: the instrument check"),
        ("judge", config.roles.judge.clone(), "none"),
        ("temperature", set("temperature"), "the provider's"),
        ("top_p", set("top_p"), "the provider's"),
        ("max_tokens", set("max_tokens"), "the provider's"),
        ("reasoning_effort", set("reasoning_effort"), "the provider's"),
        ("reasoning_tokens", set("reasoning_tokens"), "the provider's"),
        ("seed", set("seed"), "none"),
        ("stop", set("stop"), "none"),
        ("logprobs", set("logprobs"), "not asked for"),
        ("budget", config.budget.clone(), "none"),
        ("cache", config.cache.as_ref().map(|dir| dir.display().to_string()), "none"),
        (
            "max_connections",
            config.max_connections.map(|n| n.to_string()),
            "200, or fewer as found out",
        ),
    ];
    let rows = rows.into_iter().map(|(name, value, default)| Setting {
        name: name.to_owned(),
        origin: match &value {
            Some(_) => config.place(name).unwrap_or_default(),
            None => "default".to_owned(),
        },
        value: value.unwrap_or_else(|| default.to_owned()),
    });
    Ok(rows.collect())
}
