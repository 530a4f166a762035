//! The conversation with a process backstage: the logic of a program, or the program of a `run` phase.
//!
//! It gets one line, the greeting, on its standard input, and prints one action a line (see [`Action`]). Actions that ask for
//! something are answered with one line. What it prints to standard error counts as a line too, so that a mistake in a script is seen.
//! The shell library `lapwing.sh` beside it has these lines as functions.

use std::collections::BTreeMap;

use lapwing_core::{
    Act, Answer, Captured, Command, Executor, ExitStatus, NewFile, Sandbox, SandboxError,
    SandboxSpec, Session,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::machine::executed;
use crate::sample::{Halt, Runner};
use crate::tool;

/// Where the scenario's `programs` folder lies backstage.
pub(crate) const FOLDER: &str = "/home/agent";

/// Wall time of an action that sets none.
const ACTION_MS: u64 = 10_000;

/// Bytes that a process backstage may print.
pub(crate) const SAID_BYTES: usize = 64 << 20;

/// Characters of a line that are quoted when it cannot be followed.
const QUOTED_CHARACTERS: usize = 500;

/// The shell library for programs.
const LIBRARY: &str = include_str!("lapwing.sh");

/// The sandbox name under which events show what was run in a throw-away sandbox.
const THROW_AWAY: &str = "try";

/// One line of output, for example `{"say": "hello"}`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Action {
    /// Logs a named event.
    Emit {
        name: String,
        #[serde(default)]
        fields: Map<String, Value>,
    },
    /// Logs what a `run` phase found out, under the name of the query that it answers.
    Report {
        query: String,
        value: Value,
        #[serde(default)]
        fields: Map<String, Value>,
    },
    /// Runs a command in the sandbox that is meant; answered with `{"status", "stdout", "stderr"}`.
    Exec(Asked),
    /// Runs a command in a fresh sandbox that holds only the copied files and `files`; answered as `exec` is.
    Try {
        #[serde(flatten)]
        asked: Asked,
        #[serde(default)]
        files: BTreeMap<String, String>,
    },
    /// Waits for the end of a service of the sandbox that is meant; answered with `{"status"}`, null while it runs.
    Await { service: String, limit_ms: Option<u64> },
    /// Adds a line to the caller's standard output.
    Say(String),
    /// Sets the caller's exit code.
    Code(i32),
}

/// A command to be run.
#[derive(Deserialize)]
struct Asked {
    argv: Vec<String>,
    #[serde(default)]
    stdin: String,
    limit_ms: Option<u64>,
}

impl Asked {
    fn command(self, most_ms: u64) -> Command {
        Command {
            stdin: self.stdin.into_bytes(),
            limit_ms: self.limit_ms.unwrap_or(ACTION_MS).min(most_ms),
            ..Command::new(self.argv)
        }
    }
}

/// Who speaks.
pub(crate) enum Speaker {
    /// A program; a process of the sandbox `caller` waits for its answer.
    Program { name: String, caller: String, answer: Answer },
    /// The program of a backstage `run` phase, about the sandbox `of`, whose copied files are `tree`.
    Grader { phase: String, of: Option<String>, tree: Vec<NewFile> },
    /// The script of an inside `run` phase, which nobody answers.
    Inside { phase: String },
}

impl Speaker {
    fn name(&self) -> &str {
        match self {
            Self::Program { name, .. } => name,
            Self::Grader { phase, .. } | Self::Inside { phase } => phase,
        }
    }

    pub(crate) fn executor(&self) -> Executor {
        match self {
            Self::Program { name, .. } => Executor::Program(name.clone()),
            Self::Grader { phase, .. } | Self::Inside { phase } => Executor::Phase(phase.clone()),
        }
    }

    /// The sandbox in which it can have commands run.
    fn of(&self) -> Result<String, Broken> {
        match self {
            Self::Program { caller, .. } => Ok(caller.clone()),
            Self::Grader { of: Some(of), .. } => Ok(of.clone()),
            Self::Grader { of: None, .. } => {
                Err(Broken::nonsense("asked for a sandbox, but its phase has no `of`"))
            }
            Self::Inside { .. } => Err(Broken::nonsense("asked for what nobody answers inside")),
        }
    }
}

/// Why a conversation broke off.
pub(crate) enum Broken {
    /// What was said cannot be followed, as the end of a sentence: `printed "x": ...`.
    Nonsense(String),
    /// The sample cannot go on.
    Halt(Halt),
}

impl Broken {
    pub(crate) fn nonsense(message: impl Into<String>) -> Self {
        Self::Nonsense(message.into())
    }
}

impl<E: Into<Halt>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Halt(error.into())
    }
}

impl Runner<'_, '_> {
    /// A fresh sandbox with the scenario's programs, the library, and `more`.
    pub(crate) async fn open_backstage(
        &mut self,
        more: Vec<NewFile>,
    ) -> Result<Box<dyn Sandbox>, Halt> {
        let spec = SandboxSpec { hostname: "backstage".to_owned(), ..SandboxSpec::default() };
        let sandbox = self.shared.provider.create(spec).await.map_err(Halt::backstage)?;
        let at = |path: &str| format!("{FOLDER}/{path}");
        let programs = self.plan.backstage.iter();
        let mut files: Vec<NewFile> =
            programs.map(|file| NewFile { path: at(&file.path), ..file.clone() }).collect();
        files.push(NewFile { path: at("lapwing.sh"), bytes: LIBRARY.into(), mode: 0o644 });
        files.extend(more);
        sandbox.put(files).await.map_err(Halt::backstage)?;
        Ok(sandbox)
    }

    /// The services of the sandbox `name`, as a greeting tells them.
    pub(crate) async fn services_of(&mut self, name: &str) -> Result<Value, Halt> {
        let services = self.machine(name).await?.1.sandbox.services().await?;
        serde_json::to_value(services).map_err(|error| Halt::bug(error.to_string()))
    }

    /// Follows what a process backstage says, to its end.
    pub(crate) async fn converse(
        &mut self,
        speaker: &mut Speaker,
        mut session: Box<dyn Session>,
    ) -> Result<ExitStatus, Broken> {
        let mut lines = Lines::default();
        while let Some(line) = lines.next(session.as_mut()).await? {
            if let Some(reply) = self.follow(speaker, &line).await? {
                session.send(format!("{reply}\n").as_bytes()).await.map_err(Halt::backstage)?;
            }
        }
        Ok(session.finish().await.map_err(Halt::backstage)?)
    }

    /// Carries out the action of one line and returns the line that answers it, if it has an answer.
    pub(crate) async fn follow(
        &mut self,
        speaker: &mut Speaker,
        line: &str,
    ) -> Result<Option<Value>, Broken> {
        let quoted = || format!("{:?}", tool::cut(line, QUOTED_CHARACTERS));
        let action = action(line)
            .map_err(|why| Broken::Nonsense(format!("printed {}, which is {why}", quoted())))?;
        match action {
            Action::Emit { name, fields } => {
                if let Speaker::Program { caller, .. } = speaker {
                    // The state at the event is what rules compare before and after it.
                    self.checkpoint(caller).await?;
                }
                self.log.push(Act::Emitted { program: speaker.name().to_owned(), name, fields });
                Ok(None)
            }
            Action::Report { query, value, mut fields } => {
                if let Speaker::Program { .. } = speaker {
                    return Err(Broken::Nonsense(format!(
                        "printed {}: only the program of a `run` phase reports; use `emit`",
                        quoted()
                    )));
                }
                fields.insert("value".to_owned(), value);
                let program = speaker.name().to_owned();
                self.log.push(Act::Emitted { program, name: query, fields });
                Ok(None)
            }
            Action::Exec(asked) => {
                let (of, by) = (speaker.of()?, speaker.executor());
                let command = asked.command(self.shared.limits.call_ms);
                let argv = command.argv.clone();
                let captured = match speaker {
                    // While a program answers, further calls wait: they could call without end.
                    Speaker::Program { .. } => {
                        self.machine(&of).await?.1.sandbox.exec(command).await?
                    }
                    Speaker::Grader { .. } | Speaker::Inside { .. } => {
                        self.exec(&of, command).await?
                    }
                };
                self.log.push(executed(&of, by, argv, &captured));
                Ok(Some(outcome(&captured)))
            }
            Action::Try { asked, files } => {
                let Speaker::Grader { of, tree, .. } = speaker else {
                    return Err(Broken::Nonsense(format!(
                        "printed {}: only the program of a backstage `run` phase can `try`",
                        quoted()
                    )));
                };
                let (of, mut held) = (of.clone(), tree.clone());
                held.extend(files.into_iter().map(|(path, text)| new_file(&path, text)));
                let command = asked.command(self.shared.limits.call_ms);
                let argv = command.argv.clone();
                let captured = self.throw_away(of.as_deref(), held, command).await?;
                self.log.push(executed(THROW_AWAY, speaker.executor(), argv, &captured));
                Ok(Some(outcome(&captured)))
            }
            Action::Await { service, limit_ms } => {
                let of = speaker.of()?;
                let (log, machine) = self.machine(&of).await?;
                if !machine.sandbox.services().await?.iter().any(|known| known.name == service) {
                    return Err(Broken::Nonsense(format!(
                        "printed {}: sandbox `{of}` has no such service",
                        quoted()
                    )));
                }
                let limit_ms = limit_ms.unwrap_or(ACTION_MS);
                let status = machine.sandbox.wait(&service, limit_ms).await?;
                machine.list(log).await?;
                Ok(Some(json!({ "status": status })))
            }
            Action::Say(line) => {
                caller_of(speaker, &quoted)?.stdout.extend([line.as_str(), "\n"]);
                Ok(None)
            }
            Action::Code(code) => {
                caller_of(speaker, &quoted)?.code = code;
                Ok(None)
            }
        }
    }

    /// Runs `command` in a fresh sandbox of the make of `of` that holds only `files`.
    async fn throw_away(
        &mut self,
        of: Option<&str>,
        files: Vec<NewFile>,
        command: Command,
    ) -> Result<Captured, Broken> {
        let like = of.and_then(|of| self.plan.sandboxes.get(of));
        let spec = like.map_or_else(SandboxSpec::default, |like| SandboxSpec {
            hostname: like.hostname.clone(),
            programs: Vec::new(),
            limits: like.limits.clone(),
            root: self.shared.root_of(like),
            ..SandboxSpec::default()
        });
        let sandbox = self.shared.provider.create(spec).await?;
        sandbox.put(files).await.map_err(|error| {
            Broken::Nonsense(format!("asked for files that cannot be written: {error}"))
        })?;
        let captured = match sandbox.exec(command).await {
            // What was tried took too much: that is what there is to know about it.
            Err(SandboxError::Lost { loss, cause }) => match loss.limit() {
                Some((_, _, status)) => Captured::cut_off(status),
                None => return Err(SandboxError::Lost { loss, cause }.into()),
            },
            captured => captured?,
        };
        sandbox.destroy().await?;
        Ok(captured)
    }
}

/// The action that a line asks for; the error says what the line is instead.
fn action(line: &str) -> Result<Action, String> {
    let value: Value = serde_json::from_str(line)
        .map_err(|_| "no action in JSON (standard error is read too)".to_owned())?;
    serde_json::from_value(value).map_err(|error| format!("no action: {error}"))
}

/// A file by its absolute path, or by one relative to the home folder.
fn new_file(path: &str, text: String) -> NewFile {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("{FOLDER}/{path}") };
    let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
    NewFile { path, bytes: text.into_bytes(), mode }
}

/// The answer that a program's caller waits for.
fn caller_of<'s>(
    speaker: &'s mut Speaker,
    quoted: &dyn Fn() -> String,
) -> Result<&'s mut Answer, Broken> {
    match speaker {
        Speaker::Program { answer, .. } => Ok(answer),
        Speaker::Grader { .. } | Speaker::Inside { .. } => Err(Broken::Nonsense(format!(
            "printed {}: a `run` phase has no caller who could read it",
            quoted()
        ))),
    }
}

fn outcome(captured: &Captured) -> Value {
    json!({
        "status": captured.status,
        "stdout": String::from_utf8_lossy(&captured.stdout),
        "stderr": String::from_utf8_lossy(&captured.stderr),
    })
}

/// Cuts a session's output into lines.
#[derive(Default)]
struct Lines {
    pending: Vec<u8>,
    /// Bytes of `pending` that are known to hold no line end.
    searched: usize,
    n_bytes: usize,
}

impl Lines {
    /// The next line that is not empty, without its end; `None` at the end of output.
    async fn next(&mut self, session: &mut dyn Session) -> Result<Option<String>, Broken> {
        loop {
            let unread = &self.pending[self.searched..];
            if let Some(length) = unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=self.searched + length).collect();
                self.searched = 0;
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.pending.len();
            let bytes = session.receive().await.map_err(Halt::backstage)?;
            self.n_bytes += bytes.len();
            if self.n_bytes > SAID_BYTES {
                return Err(too_much());
            }
            if bytes.is_empty() {
                let rest = std::mem::take(&mut self.pending);
                self.searched = 0;
                let rest = String::from_utf8_lossy(&rest).trim().to_owned();
                return Ok((!rest.is_empty()).then_some(rest));
            }
            self.pending.extend(bytes);
        }
    }
}

/// More was printed than is read.
pub(crate) fn too_much() -> Broken {
    Broken::Nonsense(format!("printed more than {} MiB", SAID_BYTES >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_action_is_told_without_places_in_it() {
        let refused = |line| action(line).err().unwrap();
        assert_eq!(refused("hello"), "no action in JSON (standard error is read too)");
        assert_eq!(refused("{\"say\":"), "no action in JSON (standard error is read too)");
        let unknown = refused(r#"{"sayy": "x"}"#);
        assert!(unknown.starts_with("no action: unknown variant `sayy`"), "{unknown}");
        assert!(!unknown.contains("column"), "{unknown}");
        assert!(matches!(action(r#"{"say": "x"}"#), Ok(Action::Say(_))));
    }
}
