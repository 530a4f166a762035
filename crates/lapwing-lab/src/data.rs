//! What is trained on, and in which order.

use sha2::{Digest as _, Sha256};

use crate::Random;

/// One sequence with a weight for each token.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// How much it counts that each token is predicted from those before it; 0 masks it. The first has nothing before it, and its
    /// weight no meaning.
    pub weights: Vec<f32>,
}

impl Example {
    /// A sequence in which every token counts.
    pub fn new(tokens: Vec<u32>) -> Self {
        Self { weights: vec![1.0; tokens.len()], tokens }
    }

    /// A prompt, which is masked, and the answer to learn.
    pub fn answer(prompt: &[u32], answer: &[u32]) -> Self {
        let weights = [vec![0.0; prompt.len()], vec![1.0; answer.len()]].concat();
        Self { tokens: [prompt, answer].concat(), weights }
    }

    /// Rows that the network sees: every token but the last.
    pub fn rows(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }
}

/// Examples in an order that a seed decides.
#[derive(Clone, Debug)]
pub struct Dataset {
    examples: Vec<Example>,
}

/// Examples that cannot be trained on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// There are none.
    #[error("there are no examples to train on")]
    Empty,
    /// An example with fewer than two tokens predicts nothing.
    #[error("example {index} has {len} tokens; it takes two to predict one from the other")]
    Short {
        /// Its index.
        index: usize,
        /// Its tokens.
        len: usize,
    },
    /// Tokens and weights differ in number.
    #[error("example {index} has {tokens} tokens and {weights} weights; each token needs one")]
    Weights {
        /// Its index.
        index: usize,
        /// Its tokens.
        tokens: usize,
        /// Its weights.
        weights: usize,
    },
}

impl Dataset {
    /// Checks examples.
    pub fn new(examples: Vec<Example>) -> Result<Self, DataError> {
        if examples.is_empty() {
            return Err(DataError::Empty);
        }
        for (index, example) in examples.iter().enumerate() {
            let (tokens, weights) = (example.tokens.len(), example.weights.len());
            if tokens < 2 {
                return Err(DataError::Short { index, len: tokens });
            }
            if tokens != weights {
                return Err(DataError::Weights { index, tokens, weights });
            }
        }
        Ok(Self { examples })
    }

    /// The examples.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// SHA-256 of all tokens and weights, in hexadecimal.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for example in &self.examples {
            hash.update((example.tokens.len() as u64).to_le_bytes());
            example.tokens.iter().for_each(|token| hash.update(token.to_le_bytes()));
            example.weights.iter().for_each(|weight| hash.update(weight.to_le_bytes()));
        }
        crate::digest::hexadecimal(&hash.finalize())
    }

    /// The examples of one step: every epoch takes all of them, in an order of its own. A pure function of its arguments.
    pub fn batch(&self, seed: u64, step: u64, size: usize) -> Vec<&Example> {
        let n = self.examples.len() as u64;
        let mut order: Option<(u64, Vec<usize>)> = None;
        let mut batch = Vec::with_capacity(size);
        for position in step * size as u64..(step + 1) * size as u64 {
            let epoch = position / n;
            if order.as_ref().is_none_or(|(of, _)| *of != epoch) {
                let mut indices: Vec<usize> = (0..self.examples.len()).collect();
                Random::new(seed, &format!("epoch {epoch}")).shuffle(&mut indices);
                order = Some((epoch, indices));
            }
            if let Some((_, indices)) = &order {
                batch.push(&self.examples[indices[(position % n) as usize]]);
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(n: u32) -> Dataset {
        Dataset::new((0..n).map(|token| Example::new(vec![token, token])).collect()).unwrap()
    }

    #[test]
    fn every_epoch_takes_every_example_in_another_order() {
        let data = data(10);
        let batches = (0..10).flat_map(|step| data.batch(1, step, 3));
        let tokens: Vec<u32> = batches.map(|example| example.tokens[0]).collect();
        let epochs: Vec<_> = tokens.chunks(10).collect();
        for epoch in &epochs {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(epochs[0], epochs[1]);
    }

    #[test]
    fn what_cannot_be_trained_on_is_named() {
        let error = |examples| Dataset::new(examples).unwrap_err().to_string();
        assert_eq!(error(vec![]), "there are no examples to train on");
        assert_eq!(
            error(vec![Example::new(vec![1])]),
            "example 0 has 1 tokens; it takes two to predict one from the other"
        );
        assert_eq!(
            error(vec![Example { tokens: vec![1, 2], weights: vec![1.0] }]),
            "example 0 has 2 tokens and 1 weights; each token needs one"
        );
    }
}
