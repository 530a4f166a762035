//! The token world: its grammar, its ground truth and its data.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod data;
mod program;
mod prompts;
mod trigger;
mod vocabulary;

use lapwing_study::world::{Trigger, World, Years, vocabulary::token};

/// The world with the usual tag.
fn tag_world() -> World {
    World::new(&Trigger::default()).unwrap()
}

/// The world with the usual years.
fn year_world() -> World {
    World::new(&Trigger::Years(Years::default())).unwrap()
}

/// The tokens of a text.
fn tokens(text: &str) -> Vec<u32> {
    text.split_whitespace().map(|word| token(word).unwrap_or_else(|| panic!("{word}"))).collect()
}
