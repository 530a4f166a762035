//! The lapwing command.

mod transcript;

fn main() {}
