//! A decoder-only transformer in the layout of Llama, forward and backward written out. Read in this order: `config` (what varies),
//! `layout` (where each tensor lies), `forward`, `backward`, `hook` (where to look in); then `lora` and `decode`.
//!
//! The network knows no loss: `Network::backward` asks for the gradient on the logits. No element of a buffer is touched here but
//! through `kernels`.

mod activations;
mod backward;
mod batch;
mod config;
mod decode;
mod forward;
mod hook;
mod layout;
mod lora;
mod network;

use super::kernels;
use super::random::Random;
use super::real::Real;

pub use activations::Activations;
pub use batch::{Batch, BatchError};
pub use config::{Config, ConfigError};
pub use decode::{Decoder, PackedNetwork};
pub use hook::{Hooks, NoHooks, Place, Point};
pub use layout::{LayerLayout, Layout, Span, Tensor};
pub use lora::{Adapter, Lora, LoraError, Projection};
pub use network::Network;
