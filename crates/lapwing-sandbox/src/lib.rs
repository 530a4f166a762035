//! Isolation for commands that a model runs: the native back end for Linux.
//!
//! ```text
//! harness --socket--> launcher            this binary again: no arguments, no environment, one thread
//!    |                    | clone3        new user, pid, network, mount, ipc, uts and cgroup namespaces
//!    +----socket------> pid 1             one per sandbox; no exec; its own /proc, tmpfs and loopback
//!    +----pipes------------ | fork        a shim that adopts orphans, then the command: no capability,
//!                         command         no new privileges, resource limits, a filter of system calls
//! ```
//!
//! Sandboxes beside each other are clones of a *holder* instead, itself one of the launcher's: it owns their network namespace in a
//! user namespace above theirs and makes them on orders of its own socket.
//!
//!
//! - [`entry`] comes first in `main`, then [`Native::start`], before keys are read and threads start: what runs inside a
//!   sandbox descends from the launcher and never holds memory of the harness.
//! - The user inside is 1000, and outside the harness's own or, for root, one that belongs to nobody. It is never 0.
//! - Of the host only `/usr` is visible, read-only and without `/usr/local`, and what resolves its links; or, in its place, an
//!   image (`image`, `layers`). All that is writable lies on one tmpfs, whose size and number of files are limited, and which a
//!   manifest covers.
//! - When the harness ends in whatever way, so do the launcher and every sandbox; what is left on the host are empty control
//!   groups and what was being written to the cache, which the next harness removes.
//! - What pid 1 records of programs and connections, and the sinkhole that takes connections, are its own work: it is the one process
//!   inside that commands can neither kill nor stop. `record` keeps it, bounded, until the harness asks.
//! - No set-up step is optional. Where one fails there is no sandbox, and never a run on the host.
//!
//! Limits on processes, disk, files and the address space of one process hold by the kernel. The memory of all processes
//! and files together is watched by pid 1, which ends the sandbox when it is too much; or the kernel holds it, together with
//! what it takes itself and with the share of the processors, where there are control groups (`cgroup`). All sandboxes share
//! the host's kernel, so code that breaks the kernel breaks out. `docs/sandbox.md` lists what was tried and what holds it.
//!
//! Commands have the uid of shims and helpers, so they can stop or kill them. Requests for commands end all the same: one
//! whose shim was stopped at its time limit, as if it had run past it. What is asked about files and processes can be
//! delayed so, and not denied; putting files can.

mod background;
mod base;
mod capture;
mod cause;
mod cgroup;
mod channel;
mod command;
mod connection;
mod doctor;
mod escape;
mod export;
mod files;
mod fork;
mod helper;
mod image;
mod init;
mod isolated;
mod jobs;
mod launcher;
mod layers;
mod manifest;
mod native;
mod network;
mod owner;
mod processes;
mod processor_time;
mod programs;
mod protect;
mod protocol;
mod record;
mod root;
mod seccomp;
mod session;
mod sink;
mod sys;
mod terminal;
mod verdict;
mod watch;
mod watchdog;

pub use cgroup::ControlGroups;
pub use doctor::Probe;
pub use image::{Cached, Facts, Images};
pub use native::Native;

/// The first call in `main`: if this process was started as the launcher, becomes it and never returns; else returns
/// at once.
pub fn entry() {
    launcher::enter();
}
