//! Runs as Inspect logs (`.eval`), and Inspect logs as runs.
//!
//! [`Source`] writes what Inspect's viewer, readers and data frames know, and a record from which an import gives back what was
//! exported. [`import()`] reads a log of any origin as a stream and makes a run of it. `docs/inspect.md` has the mapping.
//!
//! The format belongs to others and changes with them, which is why it is kept out of the store. Facts about it are those of
//! Inspect 0.3.285.

mod archive;
mod error;
mod export;
mod import;
mod lenient;
mod names;
mod spill;
mod stream;

pub use error::InspectError;
pub use export::{Exported, Source};
pub use import::{IMPORTED, Imported, Options, import};
