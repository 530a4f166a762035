//! Vocabulary and pure logic of Lapwing: what a sample is, what can happen in it, what a finding is, and
//! the traits behind which models, sandboxes, monitors and stores stand.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time, seeds and ids come in as arguments.

mod background;
mod digest;
mod event;
mod finding;
mod judge;
mod manifest;
mod message;
mod model;
mod monitor;
mod observe;
mod recorder;
mod sample;
mod sandbox;
mod usage;

use std::future::Future;
use std::pin::Pin;

pub use background::{Background, Heard, Running};
pub use digest::{Digest, DigestError};
pub use event::{Act, Delivery, ErrorKind, Event, Executor, LimitKind, PhaseEnd, Role, Source};
pub use finding::{Citation, Finding, Outcome, Planted, Stage};
pub use judge::{Label, Quote};
pub use manifest::{Change, ChangeKind, Entry, EntryKind, Manifest};
pub use message::{Message, Part, Reasoning, ToolCall};
pub use model::{
    Attempt, Draw, Effort, GenerateConfig, Model, ModelError, ModelErrorKind, Output, Place,
    Receipt, Reply, Request, StopReason, Tokens, ToolSpec, Waits,
};
pub use monitor::{Monitor, Suspicion};
pub use observe::{Contact, Network, Observe, Observed, Protocol, Record, Spawn};
pub use recorder::{Blobs, Booking, Books, Discard, RecordError, Recorder, Reserve};
pub use sample::{Condition, SampleKey};
pub use sandbox::{
    Answer, Captured, Checkpoint, Command, Enforced, Enforcement, ExitStatus, Limits, Loss,
    NewFile, Process, Provider, RootFiles, Sandbox, SandboxError, SandboxSpec, Service, Session,
    Snapshot, Terminal, TerminalSize,
};
pub use usage::Usage;

/// A future behind a pointer, for traits that are used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
