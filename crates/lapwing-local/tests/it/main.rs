//! Models of this machine: templates, answers, the wire format.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod answers;
mod chats;
mod completions;
mod folders;
mod parrot;
mod served;
mod support;
mod templates;
