//! Developer commands of Lapwing: `cargo xtask ci`, `tidy`, `miri`, `bench` and `interop`.

mod ci;
mod interop;
mod miri;
mod ordinary;
mod tidy;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{self, ExitCode};

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand, ValueEnum};

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
    /// Run under Miri what it can run: protocols, parsers, kernels; needs a nightly toolchain with it.
    Miri,
    /// Measure, in a release build, each figure beside a yardstick of the same run.
    Bench {
        /// What to measure.
        #[arg(value_enum)]
        what: Bench,
    },
    /// Check what goes between Lapwing and the tools of others.
    #[command(subcommand)]
    Interop(Interop),
}

#[derive(Clone, Copy, Subcommand)]
enum Interop {
    /// Logs to and from Inspect; makes a Python environment below target/.
    Inspect,
    /// A run against a server that nobody here wrote; needs Python with transformers.
    Server,
    /// `lapwing serve` under the official client, held against transformers; needs Python with torch, transformers and openai.
    Serve,
    /// The laboratory's files and training steps, held against transformers and PEFT; needs Python with both.
    Lab,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    /// A run's calls and commands, beside a bare HTTP client.
    Engine,
    /// Life of a sandbox, beside a plain child process and `unshare`.
    Sandbox,
    /// Expanding a design and grading a sample.
    Scenario,
    /// Training and generation, beside PyTorch where Python has it.
    Lab,
    /// Time and memory of a long sample on its way to an Inspect log and back.
    Inspect,
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
        Command::Miri => miri::run(root),
        Command::Interop(Interop::Inspect) => interop::inspect::run(root),
        Command::Interop(Interop::Server) => interop::server::run(root),
        Command::Interop(Interop::Serve) => interop::serve::run(root),
        Command::Interop(Interop::Lab) => interop::lab::run(root),
        Command::Bench { what: Bench::Engine } => bench(root, "lapwing", "engine"),
        Command::Bench { what: Bench::Inspect } => bench(root, "lapwing-inspect", "memory"),
        Command::Bench { what: Bench::Lab } => bench(root, "lapwing-lab", "lab"),
        Command::Bench { what: Bench::Sandbox } => bench(root, "lapwing-sandbox", "sandbox"),
        Command::Bench { what: Bench::Scenario } => bench(root, "lapwing-scenario", "scenario"),
    }
}

fn bench(root: &Path, package: &str, bench: &str) -> anyhow::Result<()> {
    let status = process::Command::new(env!("CARGO"))
        .args(["bench", "--quiet", "--package", package, "--bench", bench])
        .current_dir(root)
        .status()
        .context("cargo cannot be run")?;
    ensure!(status.success(), "the benchmark {bench} failed");
    Ok(())
}
