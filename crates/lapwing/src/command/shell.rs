//! `lapwing scenario shell`: a terminal in a sandbox of a scenario.
//!
//! What is written there goes to the author's terminal as it is: no model acts in it.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anstream::eprintln;
use lapwing_core::{Command, Condition, ExitStatus, Sandbox, SandboxError, TerminalSize};
use lapwing_eval::Shell;
use lapwing_scenario::{DesignChoice, PhaseKind, Plan, Scenario};
use rustix::termios::{self, OptionalActions, Termios};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::machine::Machine;
use super::start;
use crate::args;
use crate::failure::Failure;
use crate::library;
use crate::render::{BOLD, DIM};

/// A day: whoever works in a shell is not to be hurried.
const LIMIT_MS: u64 = 86_400_000;
const NO_TERMINAL: TerminalSize = TerminalSize { rows: 24, columns: 80 };
/// What ends the input of a program that reads from a terminal.
const END_OF_INPUT: u8 = 4;

pub(crate) fn run(args: &args::Shell) -> Result<ExitCode, Failure> {
    let scenario = library::load(&args.scenario)?;
    let condition = condition(&scenario, args)?;
    let plan = scenario.plan(&condition, args.seed)?;
    let name = sandbox(&plan, args.sandbox.as_deref())?;
    let native = start::isolation()?;
    let argv = match args.command.as_slice() {
        [] => vec!["bash".to_owned()],
        command => command.to_vec(),
    };
    let mut command = Command { limit_ms: LIMIT_MS, ..Command::new(argv) };
    let kind = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
    command.env.insert("TERM".to_owned(), kind);
    eprintln!(
        "{BOLD}{}{BOLD:#}  {}  seed {}  sandbox {name}\n{DIM}  as a model finds it; nothing is recorded; exit leaves, and nothing stays{DIM:#}",
        scenario.name(),
        scenario.describe(&condition),
        args.seed,
    );
    start::runtime()?.block_on(async {
        let machine = Machine::prepare(&scenario, &native).await?;
        let shell =
            Shell { scenario: &scenario, plan: &plan, provider: &native, roots: &machine.roots };
        let visit = async |sandbox: Arc<dyn Sandbox>| attend(sandbox.as_ref(), command).await;
        let status = shell.visit(&name, visit).await.map_err(|problem| {
            Failure::new(Failure::ENVIRONMENT, problem)
                .help("`lapwing scenario check` tells what is wrong with a scenario")
        })??;
        if status == ExitStatus::TimeLimit {
            eprintln!("  a day is over, and so is the shell");
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn condition(scenario: &Scenario, args: &args::Shell) -> Result<Condition, Failure> {
    let chosen = start::choices(&args.factors)?;
    let mut conditions = scenario.conditions(&chosen, DesignChoice::Default)?.into_iter();
    let Some(control) = &args.condition else {
        let none = || Failure::new(Failure::USAGE, "the scenario has no such condition");
        return conditions.next().ok_or_else(none);
    };
    let controls: Vec<String> = scenario
        .conditions(&chosen, DesignChoice::Default)?
        .into_iter()
        .filter_map(|condition| condition.control)
        .collect();
    let found = conditions.find(|found| found.control.as_ref() == Some(control));
    found.ok_or_else(|| {
        Failure::new(Failure::USAGE, format!("the scenario has no control `{control}`")).help(
            format!("its controls are: {}; -f chooses levels of factors", controls.join(", ")),
        )
    })
}

/// The sandbox that is wanted, or that of the first phase in which a model acts.
fn sandbox(plan: &Plan, wanted: Option<&str>) -> Result<String, Failure> {
    let names: Vec<&str> = plan.sandboxes.keys().map(String::as_str).collect();
    let acts = plan.phases.iter().find_map(|phase| match &phase.kind {
        PhaseKind::Agent { sandbox, .. } => Some(sandbox.as_str()),
        PhaseKind::Ask { .. } | PhaseKind::Run { .. } => None,
    });
    match wanted.or(acts).or(names.first().copied()) {
        Some(name) if names.contains(&name) => Ok(name.to_owned()),
        Some(name) => Err(Failure::new(Failure::USAGE, format!("there is no sandbox `{name}`"))
            .help(format!("the sandboxes are: {}", names.join(", ")))),
        None => Err(Failure::new(Failure::USAGE, "the scenario has no sandbox")),
    }
}

/// Passes keys and output on, until the command ends or the person is gone.
async fn attend(sandbox: &dyn Sandbox, command: Command) -> Result<ExitStatus, Failure> {
    let mut resized = listen(SignalKind::window_change())?;
    let mut hung_up = listen(SignalKind::hangup())?;
    let mut terminated = listen(SignalKind::terminate())?;
    let mut terminal = sandbox.terminal(command, size()).await?;
    let raw = Raw::enter();
    let mut keys = keys();
    let mut out = io::stdout();
    loop {
        tokio::select! {
            bytes = terminal.receive() => {
                let bytes = bytes?;
                if bytes.is_empty() {
                    break;
                }
                out.write_all(&bytes)?;
                out.flush()?;
            }
            key = keys.recv() => match key {
                Some(key) => terminal.send(&key).await?,
                None if raw.is_some() => break,
                // The input of a pipe is over: the program is told, and its last output awaited.
                None => {
                    terminal.send(&[END_OF_INPUT]).await?;
                    keys = never();
                }
            },
            _ = resized.recv() => terminal.resize(size())?,
            _ = hung_up.recv() => break,
            _ = terminated.recv() => break,
        }
    }
    drop(raw);
    match terminal.finish().await {
        // It was left alone.
        Err(SandboxError::Lost { .. }) => Ok(ExitStatus::Exit { code: 0 }),
        status => Ok(status?),
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    let deaf =
        |error| Failure::new(Failure::ENVIRONMENT, format!("no signals can be heard: {error}"));
    signal(kind).map_err(deaf)
}

fn size() -> TerminalSize {
    match termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            TerminalSize { rows: size.ws_row, columns: size.ws_col }
        }
        _ => NO_TERMINAL,
    }
}

/// What is typed. Read by a thread of its own, which waits for a key for as long as this process lives.
fn keys() -> mpsc::Receiver<Vec<u8>> {
    let (sender, keys) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = io::stdin().read(&mut buffer) {
            if sender.blocking_send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    keys
}

/// No key comes, and no end of them.
fn never() -> mpsc::Receiver<Vec<u8>> {
    let (sender, keys) = mpsc::channel(1);
    std::mem::forget(sender);
    keys
}

/// The person's terminal, which passes every key on as it is. Dropped, it is what it was.
struct Raw(Termios);

impl Raw {
    /// `None` where the input is no terminal.
    fn enter() -> Option<Self> {
        if !io::stdin().is_terminal() {
            return None;
        }
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
