//! Models of this machine: from a name to something that answers, in this process.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lapwing_core::BoxFuture;
use lapwing_lab::sample::Sampling;
use lapwing_local::{Api, Ask, AskError, ChatTemplate, FindError, LoadError, Local};
use lapwing_model::{Endpoint, Listed, Price, Service};

use crate::args::{Drawing, Named};
use crate::failure::Failure;

const PREFIX: &str = "local/";

/// Whether a model's name means one of this machine.
pub(crate) fn is_local(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The name of an organism or the path of a folder, without the word before it.
pub(crate) fn wanted(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// What the models of this machine cost.
pub(crate) fn price() -> Listed {
    let price = Price { input: 0.0, output: 0.0, cache_read: None, cache_write: None };
    Listed { price, source: "this machine".to_owned(), as_of: String::new() }
}

/// The folder of a model.
pub(crate) fn folder(model: &Named) -> Result<PathBuf, Failure> {
    Ok(lapwing_local::find(&model.organisms.dir, wanted(&model.name))?)
}

/// Loads a model that a command names.
pub(crate) fn load(model: &Named) -> Result<Arc<Local>, Failure> {
    load_folder(wanted(&model.name), &folder(model)?)
}

fn load_folder(wanted: &str, folder: &Path) -> Result<Arc<Local>, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Arc::new(Local::load(&format!("{PREFIX}{wanted}"), folder, threads)?))
}

impl Drawing {
    /// How an answer is drawn, and the seed that was given or is now chosen.
    pub(crate) fn ask(&self) -> Result<Ask, Failure> {
        let seed = match self.seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(|error| {
                Failure::new(Failure::ENVIRONMENT, format!("no random bytes: {error}"))
            })?,
        };
        let sampling = Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens: self.max_tokens.map_or(usize::MAX, |most| most as usize),
        };
        Ok(Ask { sampling, seed, stop: self.stop.clone(), top: 0 })
    }
}

/// The models of this machine that a connector has connected.
pub(crate) struct Locals {
    organisms: PathBuf,
    /// Nothing is loaded.
    is_dry: bool,
    loaded: Mutex<BTreeMap<String, Arc<Local>>>,
}

impl Locals {
    pub(crate) fn new(organisms: PathBuf, is_dry: bool) -> Self {
        Self { organisms, is_dry, loaded: Mutex::default() }
    }

    /// Where the model `name` is asked. It is loaded when it is first wanted.
    pub(crate) fn endpoint(&self, name: &str) -> Result<Endpoint, Failure> {
        let folder = lapwing_local::find(&self.organisms, wanted(name))?;
        let (address, inside) = if self.is_dry {
            let continues_text = ChatTemplate::load(&folder).map_err(LoadError::from)?.is_none();
            ("unloaded".to_owned(), Inside { api: None, continues_text })
        } else {
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            let local = match loaded.get(name) {
                Some(local) => Arc::clone(local),
                None => load_folder(wanted(name), &folder)?,
            };
            loaded.insert(name.to_owned(), Arc::clone(&local));
            let api = Some(Api::new(Arc::clone(&local), &local.address));
            (local.address.clone(), Inside { api, continues_text: !local.is_chat() })
        };
        Endpoint::inside(name, &address, Arc::new(inside))
            .map_err(|error| Failure::new(Failure::USAGE, error.to_string()))
    }
}

/// A model of this process; in a dry run there is none.
struct Inside {
    api: Option<Arc<Api>>,
    continues_text: bool,
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inside")
    }
}

impl Service for Inside {
    fn continues_text(&self) -> bool {
        self.continues_text
    }

    fn answer<'a>(
        &'a self,
        path: &'a str,
        body: Option<&'a [u8]>,
    ) -> BoxFuture<'a, (u16, Vec<u8>)> {
        Box::pin(async move {
            let Some(api) = &self.api else {
                return (400, b"nothing is asked in a dry run".to_vec());
            };
            let method = if body.is_some() { "POST" } else { "GET" };
            let (status, body) = api.answer(method, path, body.unwrap_or_default()).await;
            (status, body.bytes().await)
        })
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        Self::new(Self::USAGE, error.to_string())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::new(Self::ENVIRONMENT, error.to_string())
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let code = match error {
            AskError::Lost => Self::BUG,
            AskError::NoTemplate(_)
            | AskError::Template(_)
            | AskError::Empty
            | AskError::Token { .. }
            | AskError::Context { .. }
            | AskError::Setting { .. }
            | AskError::Tokenizer(_) => Self::USAGE,
        };
        Self::new(code, error.to_string())
    }
}
