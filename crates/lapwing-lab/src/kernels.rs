//! The operations of the network on flat buffers: the seam behind which a device stands.
//!
//! Each function is serial and says its formula and its shapes; matrices are row-major, `[rows, columns]`. Threads work on
//! different shards of a batch, never inside a kernel, so no result depends on their number. Functions in `vectorised!` are compiled
//! once for each instruction set and chosen at run time; matrix products are those of the `gemm` crate, which does the same.
//!
//! `nn` never reads or writes an element of a buffer: another device needs these functions and nothing else.
#![expect(
    unsafe_code,
    reason = "calls of `gemm` through pointers, and of functions compiled for the instruction set that was found"
)]
#![expect(
    clippy::inline_always,
    reason = "what is not inlined into the copy for an instruction set is compiled for the oldest one"
)]

#[macro_use]
mod simd;

mod attention;
mod cached;
mod elementwise;
mod embedding;
mod loss;
mod matrix;
mod norm;
mod optimiser;
mod packed;
mod rotary;
mod swiglu;

use super::real::{Real, exp};

pub use attention::{Heads, attention, attention_backward, attention_pattern};
pub use cached::{Cache, attend};
pub use elementwise::{add, add_bias, bias_backward, sum_of_squares};
pub use embedding::{embed, embed_backward};
pub use loss::{cross_entropy, kl_divergence, log_softmax, tempered};
pub use matrix::{Matrix, MatrixMut, Store, multiply, multiply_scaled};
pub use norm::{head_norm, head_norm_backward, rms_norm, rms_norm_backward};
pub use optimiser::{AdamW, adamw};
pub use packed::{Packed, multiply_packed};
pub use rotary::{Direction, Rotary, RotaryScaling, rotate};
#[cfg(test)]
pub(crate) use simd::FORCED;
pub use simd::{InstructionSet, instruction_set};
pub use swiglu::{swiglu, swiglu_backward};
