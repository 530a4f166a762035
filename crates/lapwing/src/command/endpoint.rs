//! Models behind an endpoint, as `--model`, `--judge` and `lapwing.toml` name them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lapwing_core::{BoxFuture, GenerateConfig, Model, ModelError, ModelErrorKind, Reply, Request};
use lapwing_model::{
    Account, Asked, Budget, Cache, Client, Endpoint, Ledger, Listed, Price, RetryConfig,
    SettingError, SetupError, Shared, Surroundings, listed,
};

use super::local::{self, Locals};
use crate::config::Config;
use crate::failure::Failure;

/// What the models of one command share: settings, accounts, books.
pub(crate) struct Connector {
    config: Config,
    base_url: Option<String>,
    max_connections: Option<usize>,
    generate: GenerateConfig,
    shared: Shared,
    /// The models of this machine.
    locals: Locals,
    /// By address and key's name: the models of one account share its number of calls at a time.
    accounts: Mutex<BTreeMap<(String, String), Account>>,
    /// How the connected models are asked, as JSON.
    codecs: Mutex<BTreeMap<String, String>>,
    /// Nothing is asked.
    is_dry: bool,
    /// Whether the budget had room for another sample when that was last asked.
    has_room: AtomicBool,
}

/// What a command says about its models.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) base_url: Option<String>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) generate: GenerateConfig,
    pub(crate) budget: Option<Budget>,
    pub(crate) cache: Option<PathBuf>,
    /// Folder of organisms.
    pub(crate) organisms: PathBuf,
    pub(crate) is_dry: bool,
}

impl Connector {
    pub(crate) fn new(config: Config, wishes: Wishes) -> Result<Self, Failure> {
        let cache = wishes.cache.filter(|_| !wishes.is_dry).map(|dir| Cache::open(&dir));
        let cache = cache
            .transpose()
            .map_err(|error| Failure::new(Failure::ENVIRONMENT, error.to_string()))?;
        let ledger = Arc::new(Ledger::new(wishes.budget));
        let max_tokens = wishes.generate.max_tokens.filter(|_| wishes.budget.is_some());
        Ok(Self {
            config,
            base_url: wishes.base_url,
            max_connections: wishes.max_connections,
            generate: wishes.generate,
            shared: Shared { retry: RetryConfig::default(), ledger, cache, max_tokens },
            locals: Locals::new(wishes.organisms, wishes.is_dry),
            accounts: Mutex::default(),
            codecs: Mutex::default(),
            is_dry: wishes.is_dry,
            has_room: AtomicBool::new(true),
        })
    }

    /// How models sample.
    pub(crate) fn generate(&self) -> &GenerateConfig {
        &self.generate
    }

    /// What was spent, and the budget.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.shared.ledger
    }

    /// Whether the budget had room for another sample when that was last asked.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room.load(Ordering::Relaxed)
    }

    pub(crate) fn note_room(&self, has_room: bool) {
        self.has_room.store(has_room, Ordering::Relaxed);
    }

    /// The accounts that are in use.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.values().cloned().collect()
    }

    /// The model `name`, to be tested with the settings of the command.
    ///
    /// # Errors
    /// As [`Self::connect`], or it does not take the settings.
    pub(crate) async fn target(&self, name: &str) -> Result<Arc<dyn Model>, Failure> {
        let (endpoint, _) = self.endpoint(name)?;
        let fault = |error: SettingError| Failure::new(Failure::USAGE, error.to_string());
        endpoint.codec.check(&self.generate).map_err(fault)?;
        self.connect(name).await
    }

    /// The model `name`, written PROVIDER/NAME. It must answer, before a run is begun, unless the run is a dry one.
    ///
    /// # Errors
    /// It cannot be reached, or has no price although the budget is in dollars.
    pub(crate) async fn connect(&self, name: &str) -> Result<Arc<dyn Model>, Failure> {
        let (endpoint, price) = self.endpoint(name)?;
        self.check_budget(name, price.as_ref())?;
        if self.is_dry {
            return Ok(Arc::new(Unasked(name.to_owned())));
        }
        let asked = Asked {
            base: endpoint.base().to_owned(),
            codec: endpoint.codec.clone(),
            max_tokens: self.shared.max_tokens,
        };
        let kept = serde_json::to_string(&asked)?;
        self.codecs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(format!("endpoint {name}"), kept);
        let client = self.client(endpoint, price)?;
        client.reach().await?;
        Ok(Arc::new(client))
    }

    /// How each model that was connected is asked, as a run keeps it.
    pub(crate) fn recorded(&self) -> BTreeMap<String, String> {
        self.codecs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the model is asked, and what it costs if that is known.
    pub(crate) fn endpoint(&self, name: &str) -> Result<(Endpoint, Option<Listed>), Failure> {
        if local::is_local(name) {
            return Ok((self.locals.endpoint(name)?, self.price(name)));
        }
        let env = |name: &str| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned());
        let around = Surroundings {
            env: &env,
            configs: &self.config.provider,
            base_url: self.base_url.as_deref(),
            needs_keys: !self.is_dry,
        };
        let endpoint = Endpoint::find(name, around).map_err(|error| setup(name, &error))?;
        Ok((endpoint, self.price(name)))
    }

    pub(crate) fn client(
        &self,
        endpoint: Endpoint,
        price: Option<Listed>,
    ) -> Result<Client, Failure> {
        let key = (endpoint.base().to_owned(), endpoint.key_setting().to_owned());
        let most = endpoint.max_connections.or(self.max_connections);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(key).or_insert_with(|| Account::new(most)).clone();
        drop(accounts);
        let (price, name) = (price.map(|listed| listed.price), endpoint.name.clone());
        Client::new(endpoint, price, account, self.shared.clone())
            .map_err(|error| setup(&name, &error))
    }

    /// The price of a model: the user's own, else that of the table.
    pub(crate) fn price(&self, name: &str) -> Option<Listed> {
        let own = self.config.price.get(name).map(|price: &Price| Listed {
            price: *price,
            source: "lapwing.toml".to_owned(),
            as_of: String::new(),
        });
        if local::is_local(name) {
            return own.or_else(|| Some(local::price()));
        }
        let (provider, id) = name.split_once('/')?;
        let provider = if provider == "openai-responses" { "openai" } else { provider };
        own.or_else(|| listed(provider, id))
    }

    /// With a budget the worst case of every call must be known.
    fn check_budget(&self, name: &str, price: Option<&Listed>) -> Result<(), Failure> {
        let fault = |message: String| Failure::new(Failure::USAGE, message);
        let Some(budget) = self.shared.ledger.budget() else { return Ok(()) };
        if matches!(budget, Budget::Usd(_)) && price.is_none() {
            let message = format!("--budget {budget}: the price of {name} is not known");
            return Err(fault(message).help(format!(
                "write its price for a million tokens into lapwing.toml:\n  [price.\"{name}\"]\n  input = 1.25\n  output = 10\nor give the budget in tokens, as 2Mtok"
            )));
        }
        if self.generate.max_tokens.is_none() {
            let message = format!(
                "--budget {budget}: without --max-tokens a call of {name} has no worst case"
            );
            return Err(fault(message).help("add --max-tokens 4096, or what an answer may take"));
        }
        Ok(())
    }
}

/// A model that cannot be set up, as a user is told.
fn setup(name: &str, error: &SetupError) -> Failure {
    let code = match error {
        SetupError::UnknownProvider { .. } | SetupError::NoModel { .. } => Failure::USAGE,
        SetupError::BaseUrl { .. }
        | SetupError::NoBase { .. }
        | SetupError::NoKey { .. }
        | SetupError::MalformedKey { .. }
        | SetupError::KeyFile { .. }
        | SetupError::Client(_) => Failure::ENVIRONMENT,
    };
    if matches!(error, SetupError::NoModel { .. }) {
        return Failure::new(code, error.to_string());
    }
    Failure::new(code, format!("{name}: {error}"))
}

/// A model that is named and never asked, in a dry run: it needs neither an endpoint nor a key.
struct Unasked(String);

impl Model for Unasked {
    fn name(&self) -> &str {
        &self.0
    }

    fn generate<'a>(&'a self, _request: &'a Request) -> BoxFuture<'a, Reply> {
        let message = "nothing is asked in a dry run".to_owned();
        let error = ModelError { kind: ModelErrorKind::BadRequest, message };
        Box::pin(async move { Reply { attempts: Vec::new(), result: Err(error) } })
    }
}
