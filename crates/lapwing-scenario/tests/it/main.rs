//! The format as a user of the crate gets it.

mod mistakes;
mod shutdown;
