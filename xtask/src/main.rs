//! Developer commands of Lapwing: `cargo xtask ci` and `cargo xtask tidy`.

mod ci;
mod ordinary;
mod tidy;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Developer commands of Lapwing.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Run every check, the cheapest first; stop at the first that fails.
    Ci,
    /// Check the rules of the code base that no other tool checks.
    Tidy,
}

fn main() -> ExitCode {
    let Err(error) = run(Arguments::parse().command) else { return ExitCode::SUCCESS };
    // Where standard error is closed, the exit code still tells.
    writeln!(io::stderr(), "error: {error:#}").ok();
    ExitCode::FAILURE
}

fn run(command: Command) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent")?;
    match command {
        Command::Ci => ci::run(root),
        Command::Tidy => tidy::run(root),
    }
}
