//! The laboratory's engine: a decoder-only transformer whose forward and backward passes are written out, its training, sampling
//! and files.
//!
//! `kernels` are the operations on flat buffers, `nn` is the network, and everything else stands on these two.
//! `docs/lab.md` explains how to read it and how to train.
#![cfg_attr(
    test,
    expect(
        clippy::duplicate_mod,
        reason = "the gradient checks compile kernels and network once more, in double precision"
    )
)]

pub mod checkpoint;
pub mod data;
mod digest;
pub mod kernels;
pub mod nn;
pub mod objective;
pub mod organism;
mod parallel;
mod random;
mod real;
pub mod sample;
mod tokenizer;
pub mod train;

pub use random::Random;
pub use real::Real;
pub use tokenizer::{Tokenizer, TokenizerError};

/// The examples of `docs/lab.md` are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/lab.md")]
struct Guide;

#[cfg(test)]
mod gradient_tests;
#[cfg(test)]
mod instruction_set_tests;
#[cfg(test)]
mod product_tests;

/// The same kernels and the same network once more in double precision, for the gradient checks.
#[cfg(test)]
#[path = "."]
#[expect(dead_code, unreachable_pub, unused_imports, reason = "the checks use a part of it")]
#[expect(
    clippy::useless_conversion,
    clippy::struct_field_names,
    reason = "not so in single precision, and in public"
)]
mod double {
    pub mod real {
        pub type Real = f64;

        pub(crate) fn exp(x: f64) -> f64 {
            x.exp()
        }
    }

    use crate::random;

    pub mod kernels;
    pub mod nn;
}
