//! Programs: commands inside a sandbox whose logic runs backstage, in JSON lines.
//!
//! A call blocks its caller. The harness numbers it, takes the state of the files, and starts the program in the sample's
//! backstage sandbox with one line on its standard input: `{"program", "arguments", "call", "values"}`. Every line that the program
//! prints is one action (see [`Action`]); `exec` and `await` are answered with one line.

use std::time::Duration;

use lapwing_core::{Act, Answer, Checkpoint, Command, Executor, ExitStatus, Session};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::sample::{Halt, Runner};

/// Wall time of one call.
const CALL_MS: u64 = 60_000;

/// Where the scenario's `programs` folder lies in the backstage sandbox.
pub(crate) const FOLDER: &str = "/home/agent";

/// Wall time of an `exec` or `await` that sets none.
const ACTION_MS: u64 = 10_000;

/// One line of a program's output, for example `{"say": "hello"}`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Action {
    /// Logs a named event.
    Emit {
        name: String,
        #[serde(default)]
        fields: Map<String, Value>,
    },
    /// Runs a command in the caller's sandbox; answered with `{"status", "stdout", "stderr"}`.
    Exec { argv: Vec<String>, limit_ms: Option<u64> },
    /// Waits for the end of a service of the caller's sandbox; answered with `{"status"}`, null while it runs.
    Await { service: String, limit_ms: Option<u64> },
    /// Adds a line to the caller's standard output.
    Say(String),
    /// Sets the caller's exit code.
    Code(i32),
}

impl Runner<'_, '_> {
    /// Answers one program call of the sandbox `caller`.
    pub(crate) async fn serve(&mut self, caller: &str, call: Checkpoint) -> Result<(), Halt> {
        self.log.push(Act::ProgramCalled {
            sandbox: caller.to_owned(),
            program: call.program.clone(),
            arguments: call.arguments.clone(),
            pid: call.pid,
        });
        let (log, machine) = self.machine(caller).await?;
        machine.list_if_a_service_ended(log).await?;
        machine.checkpoint(log).await?;
        // A process that the program left behind may hold its streams open for ever.
        let limit = Duration::from_millis(CALL_MS);
        let answer = timeout(limit, self.answer(caller, &call)).await.unwrap_or_else(|_| {
            let message =
                format!("program `{}` did not answer in {} s", call.program, CALL_MS / 1000);
            Err(Halt::scenario(message))
        })?;
        self.log.push(Act::ProgramAnswered { program: call.program, answer: answer.clone() });
        self.log.commit().await?;
        Ok(self.machine(caller).await?.1.sandbox.answer(call.id, answer).await?)
    }

    async fn answer(&mut self, caller: &str, call: &Checkpoint) -> Result<Answer, Halt> {
        let name = &call.program;
        let offered = self.plan.programs.iter().find(|offered| offered.name == *name);
        let Some(run) = offered.map(|offered| format!("./{}", offered.run)) else {
            return Err(Halt::bug(format!("a call of the unknown program `{name}`")));
        };
        self.n_calls += 1;
        let greeting = json!({
            "program": name,
            "arguments": call.arguments,
            "call": self.n_calls,
            "values": self.plan.values,
        });
        let mut argv = vec![run, name.clone()];
        argv.extend_from_slice(&call.arguments);
        let command = Command { cwd: FOLDER.to_owned(), limit_ms: CALL_MS, ..Command::new(argv) };
        let mut session = self.backstage().await?.open(command).await?;
        session.send(format!("{greeting}\n").as_bytes()).await?;

        let mut answer = Answer::default();
        let mut lines = Lines::default();
        while let Some(line) = lines.next(session.as_mut()).await? {
            let action: Action = serde_json::from_str(&line).map_err(|error| {
                Halt::scenario(format!("program `{name}` printed {line:?}: {error}"))
            })?;
            if let Some(reply) = self.act(caller, name, action, &mut answer).await? {
                session.send(format!("{reply}\n").as_bytes()).await?;
            }
        }
        match session.finish().await? {
            ExitStatus::Exit { code: 0 } => Ok(answer),
            status => Err(Halt::scenario(format!("program `{name}` ended with {status:?}"))),
        }
    }

    /// Carries out one action and returns the line that answers it, if it has an answer.
    async fn act(
        &mut self,
        caller: &str,
        program: &str,
        action: Action,
        answer: &mut Answer,
    ) -> Result<Option<Value>, Halt> {
        match action {
            Action::Emit { name, fields } => {
                // The state at the event is what rules compare before and after it.
                let (log, machine) = self.machine(caller).await?;
                machine.checkpoint(log).await?;
                self.log.push(Act::Emitted { program: program.to_owned(), name, fields });
                Ok(None)
            }
            Action::Exec { argv, limit_ms } => {
                let (log, machine) = self.machine(caller).await?;
                let limit_ms = limit_ms.unwrap_or(ACTION_MS).min(CALL_MS);
                let command = Command { limit_ms, ..Command::new(argv.clone()) };
                let captured = machine.sandbox.exec(command).await?;
                machine.log_exec(log, Executor::Program(program.to_owned()), argv, &captured);
                Ok(Some(json!({
                    "status": captured.status,
                    "stdout": String::from_utf8_lossy(&captured.stdout),
                    "stderr": String::from_utf8_lossy(&captured.stderr),
                })))
            }
            Action::Await { service, limit_ms } => {
                let (log, machine) = self.machine(caller).await?;
                let limit_ms = limit_ms.unwrap_or(ACTION_MS).min(CALL_MS);
                let status = machine.sandbox.wait(&service, limit_ms).await?;
                machine.list(log).await?;
                Ok(Some(json!({ "status": status })))
            }
            Action::Say(line) => {
                answer.stdout.push_str(&line);
                answer.stdout.push('\n');
                Ok(None)
            }
            Action::Code(code) => {
                answer.code = code;
                Ok(None)
            }
        }
    }
}

/// Cuts a session's output into lines.
#[derive(Default)]
struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// The next line that is not empty, without its end; `None` at the end of output.
    async fn next(&mut self, session: &mut dyn Session) -> Result<Option<String>, Halt> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            let bytes = session.receive().await?;
            if bytes.is_empty() {
                let rest = std::mem::take(&mut self.pending);
                let rest = String::from_utf8_lossy(&rest).trim().to_owned();
                return Ok((!rest.is_empty()).then_some(rest));
            }
            self.pending.extend(bytes);
        }
    }
}
