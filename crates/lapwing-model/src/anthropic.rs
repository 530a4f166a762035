//! Anthropic's Messages.

mod body;
mod stream;
mod wire;

pub(crate) use body::{max_tokens, refused, segments};
pub(crate) use wire::read;
