//! Studies: small organisms with known misbehaviour are trained, treated and measured, as `studies/*.toml` declare it.
//!
//! What they test is the *direction of a published claim in a small analogue*.

pub mod probe;
