//! Sequences one after another, without padding.

/// The tokens of some sequences, packed into rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<u32>,
    starts: Vec<usize>,
    positions: Vec<usize>,
}

/// Tokens that the network cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A token is not in the vocabulary.
    #[error(
        "sequence {sequence} has token {token}, and the vocabulary ends at {vocab_size}: was it made by another tokenizer?"
    )]
    Token {
        /// Index of the sequence.
        sequence: usize,
        /// The token.
        token: u32,
        /// Tokens of the vocabulary.
        vocab_size: usize,
    },
    /// A sequence is longer than the model's positions.
    #[error(
        "sequence {sequence} has {len} tokens, and the model has {max_positions} positions; cut it"
    )]
    Long {
        /// Index of the sequence.
        sequence: usize,
        /// Its tokens.
        len: usize,
        /// Positions of the model.
        max_positions: usize,
    },
    /// A sequence has no tokens.
    #[error("sequence {sequence} is empty")]
    Empty {
        /// Index of the sequence.
        sequence: usize,
    },
}

impl Batch {
    /// Packs sequences for a network of this shape.
    pub fn new<'a>(
        config: &super::Config,
        sequences: impl IntoIterator<Item = &'a [u32]>,
    ) -> Result<Self, BatchError> {
        let mut batch = Self { tokens: Vec::new(), starts: vec![0], positions: Vec::new() };
        for (sequence, tokens) in sequences.into_iter().enumerate() {
            let (len, vocab_size) = (tokens.len(), config.vocab_size);
            if len == 0 {
                return Err(BatchError::Empty { sequence });
            }
            if len > config.max_positions {
                return Err(BatchError::Long {
                    sequence,
                    len,
                    max_positions: config.max_positions,
                });
            }
            if let Some(token) = tokens.iter().find(|token| **token as usize >= vocab_size) {
                return Err(BatchError::Token { sequence, token: *token, vocab_size });
            }
            batch.tokens.extend(tokens);
            batch.positions.extend(0..len);
            batch.starts.push(batch.tokens.len());
        }
        Ok(batch)
    }

    /// Rows: tokens of all sequences.
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// All tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The first row of each sequence, and the end.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// The position of each row in its sequence.
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }
}
