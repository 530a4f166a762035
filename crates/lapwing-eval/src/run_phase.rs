//! `run` phases: a program of the scenario's folder looks at what was left, and reports.
//!
//! Backstage it runs in a fresh sandbox, with copies of files below `tree/` and the events so far in `events.jsonl`, one a line.
//! Its greeting is `{"phase", "values", "services"}`. Inside it is a script for `sh` in a live sandbox, whose output is read when
//! it has ended. See `backstage` for what both may print.
//!
//! The last command on record of such a phase is its program, and tells how it ended. A status that is no success means that it looked at something else
//! than it should: what printed a line that cannot be followed has exit code 125, with the reason as its output.

use std::time::Duration;

use lapwing_core::{Act, Command, Executor, ExitStatus, NewFile, PhaseEnd};
use lapwing_scenario::{Glob, RunPlace};
use serde_json::json;
use tokio::time::timeout;

use crate::backstage::{Broken, FOLDER, SAID_BYTES, Speaker, too_much};
use crate::sample::{Halt, Runner};

/// The exit code of a program whose output cannot be followed.
const NONSENSE: i32 = 125;

/// The name under which events show what ran backstage.
const BACKSTAGE: &str = "backstage";

impl Runner<'_, '_> {
    /// Runs the program of the phase `id`, within the time limit of one call.
    pub(crate) async fn run_program(
        &mut self,
        id: &str,
        program: &str,
        place: &RunPlace,
    ) -> Result<PhaseEnd, Halt> {
        let limit = Duration::from_millis(self.shared.limits.call_ms);
        let (sandbox, argv) = match place {
            RunPlace::Backstage { .. } => (BACKSTAGE, vec![format!("./{program}"), id.to_owned()]),
            RunPlace::Inside(sandbox) => (sandbox.as_str(), vec!["sh".to_owned(), "-s".to_owned()]),
        };
        let command = Command { limit_ms: self.shared.limits.call_ms, ..Command::new(argv) };
        let argv = command.argv.clone();
        let running = async {
            match place {
                RunPlace::Backstage { of, copy } => {
                    self.run_backstage(id, command, of.as_deref(), copy).await
                }
                RunPlace::Inside(sandbox) => self.run_inside(id, program, command, sandbox).await,
            }
        };
        let (status, output) = match timeout(limit, running).await {
            Ok(Ok((status, said))) => (status, said),
            Ok(Err(Broken::Nonsense(what))) => (ExitStatus::Exit { code: NONSENSE }, what),
            Ok(Err(Broken::Halt(halt))) => return Err(halt),
            Err(_) => (ExitStatus::TimeLimit, String::new()),
        };
        let by = Executor::Phase(id.to_owned());
        self.log.push(Act::Executed { sandbox: sandbox.to_owned(), by, argv, status, output });
        Ok(PhaseEnd::Ended)
    }

    async fn run_backstage(
        &mut self,
        id: &str,
        command: Command,
        of: Option<&str>,
        copy: &[Glob],
    ) -> Result<(ExitStatus, String), Broken> {
        let mut services = json!([]);
        let mut tree = Vec::new();
        if let Some(of) = of {
            services = self.services_of(of).await?;
            tree = self.copies(of, copy).await?.map_err(Broken::Nonsense)?;
        }
        let below_tree = |file: &NewFile| NewFile {
            path: format!("{FOLDER}/tree{}", file.path),
            ..file.clone()
        };
        let mut events = Vec::new();
        for event in self.log.events() {
            serde_json::to_writer(&mut events, event)
                .map_err(|error| Halt::bug(error.to_string()))?;
            events.push(b'\n');
        }
        let events = NewFile { path: format!("{FOLDER}/events.jsonl"), bytes: events, mode: 0o644 };
        let beside = tree.iter().map(below_tree).chain([events]);
        let sandbox = self.open_backstage(beside.collect()).await?;

        let greeting =
            json!({ "phase": id, "values": self.plan.values, "services": services }).to_string();
        let mut session = sandbox.open(command).await.map_err(Halt::backstage)?;
        session.send(format!("{greeting}\n").as_bytes()).await.map_err(Halt::backstage)?;

        let (phase, of) = (id.to_owned(), of.map(str::to_owned));
        let mut speaker = Speaker::Grader { phase, of, tree };
        let status = self.converse(&mut speaker, session).await?;
        sandbox.destroy().await.map_err(Halt::backstage)?;
        Ok((status, String::new()))
    }

    async fn run_inside(
        &mut self,
        id: &str,
        program: &str,
        command: Command,
        sandbox: &str,
    ) -> Result<(ExitStatus, String), Broken> {
        let script = self.plan.backstage.iter().find(|file| file.path == program);
        let Some(script) = script else {
            return Err(Halt::bug(format!("there is no program `{program}`")).into());
        };
        // Twice as much, because of an output only its beginning and its end are kept.
        let output_bytes = 2 * SAID_BYTES;
        let command = Command { stdin: script.bytes.clone(), output_bytes, ..command };
        let captured = self.exec(sandbox, command).await?;
        if captured.stdout_bytes > SAID_BYTES as u64 {
            return Err(too_much());
        }
        let mut speaker = Speaker::Inside { phase: id.to_owned() };
        let said = String::from_utf8_lossy(&captured.stdout);
        for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.follow(&mut speaker, line).await?;
        }
        Ok((captured.status, String::from_utf8_lossy(&captured.stderr).into_owned()))
    }
}
