//! From a model's name to where and how it is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::codec::{Codec, Dialect, Format, Streaming};
use crate::transport::{Service, Transport};

/// The version of the Messages API that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// The version of Azure's API if none is named: the last one that is generally available under a date.
const AZURE_VERSION: &str = "2024-10-21";

/// A provider that is known by name.
#[derive(Clone, Copy, Debug)]
pub struct Provider {
    /// The word before the slash of a model's name.
    pub name: &'static str,
    format: Format,
    dialect: Dialect,
    /// Its address, if it has one of its own.
    base: Option<&'static str>,
    base_env: &'static str,
    key_env: &'static str,
    needs_key: bool,
}

/// Every provider that is known by name.
pub static PROVIDERS: [Provider; 9] = [
    Provider {
        name: "openai",
        format: Format::Openai,
        dialect: Dialect::Official,
        base: Some("https://api.openai.com/v1"),
        base_env: "OPENAI_BASE_URL",
        key_env: "OPENAI_API_KEY",
        needs_key: true,
    },
    Provider {
        name: "openai-responses",
        format: Format::OpenaiResponses,
        dialect: Dialect::Official,
        base: Some("https://api.openai.com/v1"),
        base_env: "OPENAI_BASE_URL",
        key_env: "OPENAI_API_KEY",
        needs_key: true,
    },
    Provider {
        name: "anthropic",
        format: Format::Anthropic,
        dialect: Dialect::Official,
        base: Some("https://api.anthropic.com/v1"),
        base_env: "ANTHROPIC_BASE_URL",
        key_env: "ANTHROPIC_API_KEY",
        needs_key: true,
    },
    Provider {
        name: "openrouter",
        format: Format::Openai,
        dialect: Dialect::Openrouter,
        base: Some("https://openrouter.ai/api/v1"),
        base_env: "OPENROUTER_BASE_URL",
        key_env: "OPENROUTER_API_KEY",
        needs_key: true,
    },
    Provider {
        name: "azure",
        format: Format::Openai,
        dialect: Dialect::Official,
        base: None,
        base_env: "AZURE_OPENAI_ENDPOINT",
        key_env: "AZURE_OPENAI_API_KEY",
        needs_key: true,
    },
    Provider {
        name: "ollama",
        format: Format::Openai,
        dialect: Dialect::Compatible,
        base: Some("http://127.0.0.1:11434/v1"),
        base_env: "OLLAMA_BASE_URL",
        key_env: "OLLAMA_API_KEY",
        needs_key: false,
    },
    Provider {
        name: "vllm",
        format: Format::Openai,
        dialect: Dialect::Vllm,
        base: Some("http://127.0.0.1:8000/v1"),
        base_env: "VLLM_BASE_URL",
        key_env: "VLLM_API_KEY",
        needs_key: false,
    },
    Provider {
        name: "llama-cpp",
        format: Format::Openai,
        dialect: Dialect::Compatible,
        base: Some("http://127.0.0.1:8080/v1"),
        base_env: "LLAMA_CPP_BASE_URL",
        key_env: "LLAMA_CPP_API_KEY",
        needs_key: false,
    },
    Provider {
        name: "lmstudio",
        format: Format::Openai,
        dialect: Dialect::Compatible,
        base: Some("http://127.0.0.1:1234/v1"),
        base_env: "LMSTUDIO_BASE_URL",
        key_env: "LMSTUDIO_API_KEY",
        needs_key: false,
    },
];

/// What a user sets for one provider, or for one of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// The wire format; a provider that is known by name has its own.
    pub format: Option<Format>,
    /// The address, up to and with `/v1`.
    pub base_url: Option<String>,
    /// The environment's variable that holds the key.
    pub key_env: Option<String>,
    /// The file that holds the key.
    pub key_file: Option<PathBuf>,
    /// Azure's version of the API.
    pub api_version: Option<String>,
    /// Whether answers are streamed.
    pub stream: Option<Streaming>,
    /// Most calls at a time.
    pub max_connections: Option<usize>,
}

/// Where a model is asked, and how.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The model's whole name.
    pub name: String,
    /// The provider's name.
    pub provider: String,
    /// How requests become bytes.
    pub codec: Codec,
    /// The most calls at a time that are set for it.
    pub max_connections: Option<usize>,
    pub(crate) base: Url,
    pub(crate) base_setting: String,
    pub(crate) key_setting: String,
    pub(crate) key: Option<SecretString>,
    /// The header in which the key goes.
    key_header: HeaderName,
    api_version: Option<String>,
    /// Who answers in this process, instead of a server.
    service: Option<Arc<dyn Service>>,
}

/// A model that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No provider is called so.
    #[error("there is no provider `{provider}`; {help}")]
    UnknownProvider {
        /// What stands before the slash.
        provider: String,
        /// What can be done.
        help: String,
    },
    /// There is no slash, or nothing behind it.
    #[error("{name:?} is no PROVIDER/NAME; write for example openai/gpt-4.1")]
    NoModel {
        /// What was given.
        name: String,
    },
    /// The endpoint's address cannot be used.
    #[error(
        "{setting} {url:?} {reason}; it should look like https://api.openai.com/v1 or http://127.0.0.1:8000/v1"
    )]
    BaseUrl {
        /// What sets it.
        setting: String,
        /// The address, without a user's name and password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The provider has no address of its own.
    #[error("{provider} has no address; set {setting}")]
    NoBase {
        /// The provider.
        provider: String,
        /// What sets it.
        setting: String,
    },
    /// The provider's own endpoint needs a key.
    #[error("no key for {host}; set {setting}, or {base_setting} to a server that needs none")]
    NoKey {
        /// The host.
        host: String,
        /// What holds the key.
        setting: String,
        /// What sets the address.
        base_setting: String,
    },
    /// The key holds characters that no key has.
    #[error("{setting} holds a line break or another character that no key has; set it again")]
    MalformedKey {
        /// What holds the key.
        setting: String,
    },
    /// The file with the key cannot be read.
    #[error("the key file {} cannot be read: {cause}", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The HTTP client cannot be made.
    #[error("cannot prepare secure connections: {0}; install the system's ca-certificates")]
    Client(String),
}

/// What decides about endpoints beside a model's name.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// What is set for providers, by name.
    pub configs: &'a BTreeMap<String, ProviderConfig>,
    /// An address that goes before all others, and what sets it.
    pub base_url: Option<&'a str>,
    /// Whether a key must be there: nothing is asked in a dry run.
    pub needs_keys: bool,
}

impl Endpoint {
    /// The endpoint of the model `name`, written PROVIDER/NAME.
    ///
    /// # Errors
    /// The provider is unknown, or its address or key cannot be used.
    pub fn find(name: &str, around: Surroundings<'_>) -> Result<Self, SetupError> {
        let (provider, id) = name.split_once('/').unwrap_or((name, ""));
        let known = PROVIDERS.iter().find(|known| known.name == provider);
        let config = around.configs.get(provider).cloned().unwrap_or_default();
        if id.is_empty() {
            return Err(SetupError::NoModel { name: name.to_owned() });
        }
        if known.is_none() && !around.configs.contains_key(provider) {
            return Err(unknown(provider, id, around.configs));
        }
        let env = |name: &str| (around.env)(name).filter(|value| !value.trim().is_empty());
        let own_base = || format!("base_url of [provider.{provider}]");
        let base_env = known.map(|known| known.base_env);
        let from_env = base_env.and_then(|name| Some((env(name)?, name.to_owned())));
        let from_config = config.base_url.map(|base| (base, own_base()));
        let default = known.and_then(|known| known.base).map(str::to_owned);
        let base_setting = base_env.map_or_else(own_base, str::to_owned);
        let (base, base_setting) = around
            .base_url
            .map(|base| (base.to_owned(), "--base-url".to_owned()))
            .or(from_env)
            .or(from_config)
            .or_else(|| default.map(|base| (base, base_setting.clone())))
            .ok_or(SetupError::NoBase { provider: provider.to_owned(), setting: base_setting })?;
        let mut base = parse_base(&base, &base_setting)?;
        let default_host = known.and_then(|known| Url::parse(known.base?).ok());
        let is_own_host = default_host.is_some_and(|default| default.host_str() == base.host_str());

        let key_env = config.key_env.clone();
        let key_env = key_env.or_else(|| known.map(|known| known.key_env.to_owned()));
        let (key, key_setting) = key(key_env.as_deref(), config.key_file, &env)?;
        let wants_key =
            known.is_some_and(|known| known.needs_key) && is_own_host || provider == "azure";
        if key.is_none() && wants_key && around.needs_keys {
            let host = base.host_str().unwrap_or_default().to_owned();
            return Err(SetupError::NoKey { host, setting: key_setting, base_setting });
        }
        let format = config.format.or(known.map(|known| known.format)).unwrap_or(Format::Openai);
        let dialect = match known {
            // Whoever is behind another address need not be the official one.
            Some(known) if known.dialect == Dialect::Official && !is_own_host => {
                if provider == "azure" { Dialect::Official } else { Dialect::Compatible }
            }
            Some(known) => known.dialect,
            None => Dialect::Compatible,
        };
        let api_version = (provider == "azure").then(|| {
            let version = config.api_version.or_else(|| env("AZURE_OPENAI_API_VERSION"));
            version.unwrap_or_else(|| AZURE_VERSION.to_owned())
        });
        if api_version.is_some() {
            let root = base.path().trim_end_matches('/').to_owned();
            base.set_path(&format!("{root}/openai/deployments/{id}"));
        }
        let key_header = match (format, provider) {
            (Format::Anthropic, _) => HeaderName::from_static("x-api-key"),
            (_, "azure") => HeaderName::from_static("api-key"),
            (Format::Openai | Format::OpenaiResponses, _) => AUTHORIZATION,
        };
        let streaming = config.stream.unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            provider: provider.to_owned(),
            codec: Codec { format, dialect, id: id.to_owned(), streaming },
            max_connections: config.max_connections,
            base,
            base_setting,
            key_setting,
            key,
            key_header,
            api_version,
            service: None,
        })
    }

    /// The model `name` of this process. What answers it is told by `address`, of letters and digits.
    ///
    /// # Errors
    /// The name has no slash, or the address other characters.
    pub fn inside(
        name: &str,
        address: &str,
        service: Arc<dyn Service>,
    ) -> Result<Self, SetupError> {
        let (provider, _) =
            name.split_once('/').ok_or_else(|| SetupError::NoModel { name: name.to_owned() })?;
        let url = format!("{provider}://{address}/v1");
        let base = Url::parse(&url).map_err(|error| SetupError::BaseUrl {
            setting: name.to_owned(),
            url,
            reason: error.to_string(),
        })?;
        let codec = Codec {
            format: Format::Openai,
            dialect: Dialect::Local,
            id: name.to_owned(),
            streaming: Streaming::Never,
        };
        Ok(Self {
            name: name.to_owned(),
            provider: provider.to_owned(),
            codec,
            max_connections: None,
            base,
            base_setting: String::new(),
            key_setting: String::new(),
            key: None,
            key_header: AUTHORIZATION,
            api_version: None,
            service: Some(service),
        })
    }

    /// The address up to its version.
    pub fn base(&self) -> &str {
        self.base.as_str()
    }

    /// What holds the key.
    pub fn key_setting(&self) -> &str {
        &self.key_setting
    }

    /// Whether there is a key.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// What sets the address.
    pub fn base_setting(&self) -> &str {
        &self.base_setting
    }

    pub(crate) fn transport(&self) -> Result<Transport, SetupError> {
        if let Some(service) = &self.service {
            return Ok(Transport::inside(&self.name, self.base.clone(), Arc::clone(service)));
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.key {
            let fault = || SetupError::MalformedKey { setting: self.key_setting.clone() };
            let bearer = if self.key_header == AUTHORIZATION { "Bearer " } else { "" };
            let value = format!("{bearer}{}", key.expose_secret());
            let mut value = HeaderValue::from_str(&value).map_err(|_| fault())?;
            value.set_sensitive(true);
            headers.insert(self.key_header.clone(), value);
        }
        if self.codec.format == Format::Anthropic {
            let version = HeaderValue::from_static(ANTHROPIC_VERSION);
            headers.insert(HeaderName::from_static("anthropic-version"), version);
        }
        let query = self.api_version.as_ref().map(|version| format!("?api-version={version}"));
        let (base, key) = (self.base.clone(), self.key.clone());
        let query = query.unwrap_or_default();
        Transport::new(base, &self.base_setting, headers, query, key).map_err(SetupError::Client)
    }
}

/// The key and what holds it: a file that is set, else the environment, else the file that the environment names.
fn key(
    key_env: Option<&str>,
    key_file: Option<PathBuf>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Option<SecretString>, String), SetupError> {
    let setting = key_env.unwrap_or("key_env or key_file").to_owned();
    let from_env = key_env.and_then(env);
    let named = key_env.and_then(|name| env(&format!("{name}_FILE"))).map(PathBuf::from);
    let (text, setting) = match (key_file, from_env, named) {
        (Some(path), _, _) | (None, None, Some(path)) => {
            let setting = path.display().to_string();
            let text = std::fs::read_to_string(&path)
                .map_err(|cause| SetupError::KeyFile { path, cause })?;
            (Some(text), setting)
        }
        (None, text, _) => (text, setting),
    };
    // A key read from a file often ends in a line feed, which a server that echoes it would not repeat.
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    Ok((text.map(SecretString::from), setting))
}

fn unknown(provider: &str, id: &str, configs: &BTreeMap<String, ProviderConfig>) -> SetupError {
    let own = configs.keys().map(String::as_str);
    let known: Vec<&str> = PROVIDERS.iter().map(|known| known.name).chain(own).collect();
    let near = known
        .iter()
        .map(|known| (strsim::jaro_winkler(known, provider), known))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let help = match near {
        Some((_, near)) => format!("did you mean {near}/{id}?"),
        None => {
            format!("the providers are {}; lapwing.toml can add others", known.join(", "))
        }
    };
    SetupError::UnknownProvider { provider: provider.to_owned(), help }
}

fn parse_base(text: &str, setting: &str) -> Result<Url, SetupError> {
    let refuse = |url: &str, reason: String| SetupError::BaseUrl {
        setting: setting.to_owned(),
        url: url.to_owned(),
        reason,
    };
    let mut url = Url::parse(text.trim())
        .map_err(|error| refuse(text, format!("is no address ({error})")))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Neither fails for an address that has them.
        url.set_username("").and_then(|()| url.set_password(None)).ok();
        let reason =
            "holds a name or password, which would be recorded; keys have a setting of their own";
        return Err(refuse(url.as_str(), reason.to_owned()));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refuse(url.as_str(), "is no http or https address".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        url.set_query(None);
        url.set_fragment(None);
        return Err(refuse(url.as_str(), "is followed by ? or #".to_owned()));
    }
    Ok(url)
}
