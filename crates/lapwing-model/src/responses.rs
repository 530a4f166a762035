//! OpenAI's Responses, without anything stored at the provider: the whole conversation is sent each time, encrypted reasoning
//! included.

mod body;
mod wire;

pub(crate) use body::{refused, segments};
pub(crate) use wire::read;
