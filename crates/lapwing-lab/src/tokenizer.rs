//! Text to tokens and back: `tokenizer.json`, read by the `tokenizers` crate.

use std::fs;
use std::path::{Path, PathBuf};

/// A tokenizer, with the text it was read from.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    json: String,
}

/// What is wrong with a tokenizer or a text.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is no tokenizer.
    #[error("{} is not a tokenizer: {reason}", path.display())]
    Parse {
        /// Where it came from.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A text cannot be encoded, or tokens not decoded.
    #[error("the tokenizer failed: {0}")]
    Code(String),
}

impl Tokenizer {
    /// Reads `tokenizer.json`.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let json = fs::read_to_string(path)
            .map_err(|source| TokenizerError::Io { path: path.to_owned(), source })?;
        Self::parse(path, json)
    }

    /// Reads the text of a `tokenizer.json`; `path` is for messages.
    pub fn parse(path: &Path, json: String) -> Result<Self, TokenizerError> {
        let inner = json.parse().map_err(|error: tokenizers::Error| TokenizerError::Parse {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self { inner, json })
    }

    /// The text that it was read from.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The tokens of a text. Special tokens that the text spells out are encoded as such; none is added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.tokens(text, false)
    }

    /// The tokens of a text that begins a sequence: with those that the tokenizer puts around one, such as a token of the beginning.
    pub fn encode_whole(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.tokens(text, true)
    }

    fn tokens(&self, text: &str, adds_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.inner.encode_fast(text, adds_special);
        let encoding = encoding.map_err(|error| TokenizerError::Code(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, without special tokens.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        self.inner.decode(tokens, true).map_err(|error| TokenizerError::Code(error.to_string()))
    }

    /// The token that is spelled so.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// How a token is spelled in the vocabulary.
    pub fn spelling(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }

    /// The highest token.
    pub fn highest_token(&self) -> u32 {
        self.inner.get_vocab(true).into_values().max().unwrap_or(0)
    }
}
