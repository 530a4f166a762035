//! Model folders in the layout of Hugging Face: `config.json`, safetensors in one file or several, `tokenizer.json`, a chat template.

mod config;
mod folder;
mod model;
mod peft;
mod tensors;

pub use config::Stops;
pub use folder::write_folder;
pub(crate) use model::write_network;
pub use model::{Model, SaveOptions};
pub(crate) use peft::write_adapters;
pub use peft::{load_adapters, save_adapters};
pub use tensors::{Precision, read_tensors, write_tensors};

use std::io;
use std::path::PathBuf;

use crate::nn::{ConfigError, LoraError};
use crate::tokenizer::TokenizerError;

/// What is wrong with a model folder, or with writing one.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What was said.
        source: io::Error,
    },
    /// A folder is there already.
    #[error("{} is there already; choose another name or remove it", .0.display())]
    Exists(PathBuf),
    /// A JSON file cannot be read.
    #[error("{} is not what it should be: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Neither `model.safetensors` nor its index is there.
    #[error(
        "{} has neither model.safetensors nor model.safetensors.index.json; weights in other formats must be converted first",
        .0.display()
    )]
    NoWeights(PathBuf),
    /// A key of `config.json` asks for what the engine does not do.
    #[error("{}: {key} is {value}; this engine knows {knows}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would be understood.
        knows: &'static str,
    },
    /// The sizes of `config.json` do not fit together.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: ConfigError,
    },
    /// A file is shorter or longer than its header says.
    #[error("{} has {found} bytes, and its header promises {expected}; was it copied to the end?", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of header and tensors.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The header of a safetensors file makes no sense.
    #[error("{} is not a safetensors file: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A tensor that the shape needs is nowhere.
    #[error("{}: the tensor {name} is missing", path.display())]
    MissingTensor {
        /// Where it was looked for.
        path: PathBuf,
        /// Its name.
        name: String,
    },
    /// A tensor has no place in a network of this shape.
    #[error("{}: the tensor {name} has no place in a network of this config.json", path.display())]
    UnknownTensor {
        /// Where it is.
        path: PathBuf,
        /// Its name.
        name: String,
    },
    /// A tensor has another shape.
    #[error("{}: the tensor {name} has shape {found:?}, and config.json asks for {expected:?}", path.display())]
    Shape {
        /// Where it is.
        path: PathBuf,
        /// Its name.
        name: String,
        /// What the configuration asks for.
        expected: Vec<usize>,
        /// What is there.
        found: Vec<usize>,
    },
    /// A tensor has a type that is not read.
    #[error("{}: the tensor {name} is of type {found}; F32, F16 and BF16 are read", path.display())]
    Type {
        /// Where it is.
        path: PathBuf,
        /// Its name.
        name: String,
        /// Its type.
        found: String,
    },
    /// Tokens that the model has no row for.
    #[error(
        "{} has token {token}, and the model's vocabulary ends at {vocab_size}; the tokenizer belongs to another model",
        path.display()
    )]
    OtherTokenizer {
        /// The tokenizer.
        path: PathBuf,
        /// Its highest token.
        token: u32,
        /// Tokens of the model.
        vocab_size: usize,
    },
    /// A tokenizer cannot be read.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Adapters cannot be made.
    #[error("{}: {source}", path.display())]
    Adapters {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: LoraError,
    },
    /// There is nothing to save.
    #[error("the network has no adapters to save")]
    NoAdapters,
}

impl CheckpointError {
    /// Says what was tried on which file.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn json(path: impl Into<PathBuf>) -> impl FnOnce(serde_json::Error) -> Self {
        let path = path.into();
        move |source| Self::Json { path, source }
    }
}
