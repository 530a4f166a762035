//! What a user can rely on about logs: what is exported comes back, whatever wrote a log it is read, and nothing half-written stays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod foreign;
mod golden;
mod round_trip;
mod support;
mod traps;
