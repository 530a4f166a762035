//! API clients for language models.
//!
//! A client sends what it is given, keeps the raw bytes of both directions, and reads tolerantly: a field that it
//! does not know can never fail a sample. [`Endpoint::find`] turns a name into where and how a model is asked; `codec` into which
//! bytes (`chat`, `responses`, `anthropic` have the wire formats); [`Client`] makes the call, in as many attempts as it takes.
//! How many calls an account takes at a time is found out by `limiter`; [`Ledger`] holds the budget, [`Cache`] answers of
//! earlier runs, and [`Replay`] says again what a run recorded.

mod anthropic;
mod cache;
mod chat;
mod client;
mod codec;
mod endpoint;
mod fault;
mod ledger;
mod limiter;
mod price;
mod replay;
mod responses;
mod retry;
mod sse;
mod transport;

pub use cache::{Cache, CacheError};
pub use client::{Account, Client, Shared};
pub use codec::{Codec, Dialect, Format, SettingError, Streaming};
pub use endpoint::{Endpoint, PROVIDERS, Provider, ProviderConfig, SetupError, Surroundings};
pub use ledger::{Budget, BudgetError, Ledger, Spent};
pub use price::{Listed, Price, Usd, listed};
pub use replay::{Asked, Replay, Then};
pub use retry::RetryConfig;
pub use secrecy::SecretString;
pub use transport::Service;
