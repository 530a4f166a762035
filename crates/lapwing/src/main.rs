//! The `lapwing` command: arguments, printing, wiring.

mod args;
mod command;
mod config;
mod experiments;
mod failure;
mod human;
mod library;
mod progress;
mod render;
mod tables;
mod transcript;

use std::process::ExitCode;

use anstream::eprintln;
use clap::Parser as _;

use crate::args::Args;
use crate::failure::Failure;

/// The sandbox launcher comes first: it must be started before threads, an async runtime or a key exist in this process.
fn main() -> ExitCode {
    lapwing_sandbox::entry();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { Failure::USAGE } else { 0 };
            // Nobody is left to tell if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match command::run(args) {
        Ok(code) => code,
        Err(failure) => {
            if !failure.is_silent() {
                eprintln!("{failure}");
            }
            ExitCode::from(failure.code)
        }
    }
}
