//! API clients for language models.
//!
//! A client sends what it is given, keeps the raw bytes of both directions, and reads tolerantly: a field that it
//! does not know can never fail a sample. It has no cache and no budget.

mod fault;
mod openai;
mod retry;
mod transport;

pub use openai::{OpenAi, SetupError};
pub use retry::RetryConfig;
pub use secrecy::SecretString;
