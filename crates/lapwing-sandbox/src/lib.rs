//! Isolation for commands that a model runs.

mod capture;
mod channel;
mod command;
mod connection;
mod doctor;
mod escape;
mod files;
mod helper;
mod init;
mod isolated;
mod jobs;
mod launcher;
mod manifest;
mod native;
mod processes;
mod programs;
mod protect;
mod protocol;
mod root;
mod seccomp;
mod session;
mod sys;

pub use doctor::Probe;
pub use native::Native;

/// The first call in `main`: if this process was started as the launcher, becomes it and never returns; else returns
/// at once.
pub fn entry() {
    launcher::enter();
}
