//! OpenAI's Chat Completions and the many servers that are compatible with it.

mod body;
mod stream;
mod wire;

pub(crate) use body::{refused, segments};
pub(crate) use wire::{read, upstream};
