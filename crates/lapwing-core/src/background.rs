//! Commands that go on while others run.

use serde::{Deserialize, Serialize};

use crate::{BoxFuture, Command, ExitStatus, SandboxError};

/// The commands in the background of one sandbox. They are known by numbers, from 1 in the order of their starts, and end with
/// the sandbox at the latest. That a number belongs to none is [`SandboxError::Failed`].
pub trait Background: Send + Sync {
    /// Starts `command`, which begins with its standard input and keeps that open; standard error goes to standard output, of
    /// which the first and the last half of [`Command::output_bytes`] are kept between two polls. Returns its number.
    fn spawn(&self, command: Command) -> BoxFuture<'_, Result<u64, SandboxError>>;

    /// What it has written since the last poll, and how it ended. Where nothing is new, waits for it, at most `wait_ms`.
    fn poll(&self, number: u64, wait_ms: u64) -> BoxFuture<'_, Result<Heard, SandboxError>>;

    /// Writes `bytes` to its standard input, and closes that where they are the `last`; waits at most `wait_ms`. Returns how many
    /// it took: not all, where it has ended, has closed its input or does not read it.
    fn feed<'a>(
        &'a self,
        number: u64,
        bytes: &'a [u8],
        last: bool,
        wait_ms: u64,
    ) -> BoxFuture<'a, Result<usize, SandboxError>>;

    /// Kills it with all its descendants, and waits until they are gone. That it has ended is no error.
    fn kill(&self, number: u64) -> BoxFuture<'_, Result<(), SandboxError>>;

    /// All that were started, in that order.
    fn list(&self) -> Vec<Running>;
}

/// What a command in the background has written, and whether it still runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Output as far as it was kept.
    pub output: Vec<u8>,
    /// Bytes that were written.
    pub output_bytes: u64,
    /// How it ended; `None` while it runs.
    pub status: Option<ExitStatus>,
    /// Processes that it left behind when it ended: they live on.
    pub orphans: u64,
}

/// A command in the background.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its number.
    pub number: u64,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// How it ended; `None` while it runs.
    pub status: Option<ExitStatus>,
    /// Whether there is output, or an end, that no poll has told.
    pub news: bool,
}
