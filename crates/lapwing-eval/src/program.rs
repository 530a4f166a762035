//! Programs: commands inside a sandbox whose logic runs elsewhere, backstage or in a part of the world.
//!
//! A call blocks its caller. The harness numbers it, takes the state of the files, and asks the part of the world that offers the
//! command, or starts the program in the sample's backstage sandbox. The program's greeting is
//! `{"program", "arguments", "call", "values", "services"}`; see `backstage` for what it may do.

use std::sync::Arc;
use std::time::Duration;

use lapwing_core::{Act, Answer, Checkpoint, Command, ExitStatus, Sandbox};
use serde_json::json;
use tokio::time::timeout;

use crate::backstage::{Broken, FOLDER, Speaker};
use crate::sample::{Halt, Runner};

/// Wall time of one call.
const CALL_MS: u64 = 60_000;

impl Runner<'_, '_> {
    /// Answers one call from the sandbox `caller`.
    pub(crate) async fn serve(&mut self, caller: &str, call: Checkpoint) -> Result<(), Halt> {
        self.log.push(Act::ProgramCalled {
            sandbox: caller.to_owned(),
            program: call.program.clone(),
            arguments: call.arguments.clone(),
            pid: call.pid,
        });
        let (log, machine) = self.machine(caller).await?;
        machine.list_if_a_service_ended(log).await?;
        let sandbox: Arc<dyn Sandbox> = Arc::clone(&machine.sandbox);
        self.checkpoint(caller).await?;
        let part = self.world.call(caller, &call, sandbox.as_ref()).await?;
        let answer = if let Some(called) = part {
            self.emit(called.events);
            called.answer
        } else {
            // A process that the program left behind may hold its streams open for ever.
            let limit = Duration::from_millis(CALL_MS);
            timeout(limit, self.ask_program(caller, &call)).await.unwrap_or_else(|_| {
                let (program, seconds) = (&call.program, CALL_MS / 1000);
                let message = format!("program `{program}` did not answer in {seconds} s");
                Err(Halt::scenario(message))
            })?
        };
        self.log.push(Act::ProgramAnswered { program: call.program, answer: answer.clone() });
        self.log.commit().await?;
        Ok(sandbox.answer(call.id, answer).await?)
    }

    async fn ask_program(&mut self, caller: &str, call: &Checkpoint) -> Result<Answer, Halt> {
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
            "services": self.services_of(caller).await?,
        });
        let mut argv = vec![run, name.clone()];
        argv.extend_from_slice(&call.arguments);
        let command = Command { cwd: FOLDER.to_owned(), limit_ms: CALL_MS, ..Command::new(argv) };
        let session = self.backstage().await?.open(command).await;
        let mut session = session.map_err(Halt::backstage)?;
        session.send(format!("{greeting}\n").as_bytes()).await.map_err(Halt::backstage)?;

        let (name, caller) = (name.clone(), caller.to_owned());
        let mut speaker = Speaker::Program { name, caller, answer: Answer::default() };
        let ended = self.converse(&mut speaker, session).await;
        let Speaker::Program { name, answer, .. } = speaker else {
            return Err(Halt::bug("a program became something else"));
        };
        match ended {
            Ok(ExitStatus::Exit { code: 0 }) => Ok(answer),
            Ok(status) => Err(Halt::scenario(format!("program `{name}` {}", ending(status)))),
            Err(Broken::Nonsense(what)) => Err(Halt::scenario(format!("program `{name}` {what}"))),
            Err(Broken::Halt(halt)) => Err(halt),
        }
    }
}

/// How a program ended, as the end of a sentence.
fn ending(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exit { code } => format!("ended with exit code {code}"),
        ExitStatus::Signal { signal } => format!("was ended by signal {signal}"),
        ExitStatus::TimeLimit => "ran past its time limit".to_owned(),
        ExitStatus::OutOfMemory => "was ended for want of memory".to_owned(),
        ExitStatus::ProcessorTime => "was ended for the processor time that it took".to_owned(),
        ExitStatus::DiskFull { code } => {
            format!("ended with exit code {code} while its disk was full")
        }
    }
}
