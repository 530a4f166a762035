//! Organisms and checkpoints as models of every scenario, and as an OpenAI-compatible endpoint.
//!
//! [`find`] turns a name into a folder, [`Local::load`] the folder into a model that answers: a conversation becomes a text by its
//! [`ChatTemplate`], the text tokens, and these join the batch of an [`Engine`]. What comes back are [`Piece`]s of text with their
//! tokens, which [`Splitter`] takes apart into text, reasoning and tool calls. [`Api`] is all of that in OpenAI's wire format, and
//! [`serve`] puts it on a port of the loopback.

mod api;
mod engine;
mod find;
mod model;
mod parts;
mod serve;
mod template;
mod text;

pub use api::{Api, Body};
pub use engine::{Engine, Step, Wanted};
pub use find::{FindError, Found, find, list};
pub use model::{Answer, Ask, AskError, Finished, LoadError, Local, Piece};
pub use parts::{Segment, Splitter};
pub use serve::{ServeError, bind, serve};
pub use template::{Chat, ChatTemplate, TemplateError};
