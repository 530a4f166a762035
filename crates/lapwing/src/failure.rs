//! What a user is told when a command cannot do its work, and the exit code that goes with it.

use std::fmt;

use lapwing_core::{ModelError, RecordError, SandboxError};
use lapwing_eval::JudgeError;
use lapwing_inspect::InspectError;
use lapwing_scenario::Diagnostic;
use lapwing_store::StoreError;

use crate::render::{BOLD, ERROR};
use crate::transcript::harmless;

/// A message for the user, and an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// A gate or check failed.
    pub(crate) const CHECK: u8 = 1;
    /// The command was called wrongly, or a scenario is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// This machine, an endpoint, a file or a disk does not allow it.
    pub(crate) const ENVIRONMENT: u8 = 3;
    /// A bug.
    pub(crate) const BUG: u8 = 4;

    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    /// Whoever read the output has gone, as `head` does: that is no fault, and nobody is left to tell.
    pub(crate) fn is_silent(&self) -> bool {
        self.code == 0
    }

    /// What happened, without help.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, where it is this machine that is at fault and not what it was asked.
    pub(crate) fn of_environment(self) -> Self {
        Self { code: Self::ENVIRONMENT, ..self }
    }

    /// Several faults of one scenario, each on its own lines.
    pub(crate) fn diagnostics(faults: &[Diagnostic]) -> Self {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Self::new(Self::USAGE, lines.join("\nerror: "))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ERROR}error:{ERROR:#} {}", harmless_lines(&self.message))?;
        if let Some(help) = &self.help {
            write!(f, "\n  {BOLD}help:{BOLD:#} {help}")?;
        }
        Ok(())
    }
}

/// A message may quote a server or a file: nothing in it may reach the terminal as a control character.
fn harmless_lines(message: &str) -> String {
    message.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::NoRun { .. } | StoreError::Ambiguous { .. } | StoreError::NoRuns { .. } => {
                Self::USAGE
            }
            StoreError::NotARun { .. }
            | StoreError::Newer { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Io { .. }
            | StoreError::Full { .. } => Self::ENVIRONMENT,
        };
        Self::new(code, error.to_string())
    }
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        let code = match error {
            InspectError::Store(error) => return error.into(),
            InspectError::Record(error) => return error.into(),
            InspectError::Scenario(faults) => return Self::diagnostics(&faults),
            InspectError::Exists(_)
            | InspectError::Name(_)
            | InspectError::Running(_)
            | InspectError::Scoring(_)
            | InspectError::Nothing { .. } => Self::USAGE,
            InspectError::Io { .. }
            | InspectError::Temporary(_)
            | InspectError::NotALog { .. }
            | InspectError::Newer { .. }
            | InspectError::Chunked { .. }
            | InspectError::Damaged { .. } => Self::ENVIRONMENT,
        };
        Self::new(code, error.to_string())
    }
}

impl From<JudgeError> for Failure {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::Store(error) => error.into(),
            JudgeError::Lost(_) => Self::new(Self::BUG, error.to_string()),
            JudgeError::Unpaid(_) => Self::new(Self::CHECK, error.to_string())
                .help("give a greater --budget, or label less: --rubric NAME"),
        }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        Self::new(Self::ENVIRONMENT, error.to_string())
            .help("what was committed before is kept; `lapwing runs` lists it")
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        let failure = Self::new(Self::ENVIRONMENT, format!("no sandbox: {error}"));
        match error {
            SandboxError::Unavailable { mend, .. } => {
                failure.help(format!("{mend}; `lapwing doctor` shows every check"))
            }
            SandboxError::Failed { .. } | SandboxError::Lost { .. } => {
                failure.help("`lapwing doctor` shows what this machine can isolate")
            }
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::new(Self::ENVIRONMENT, error.message)
    }
}

impl From<Diagnostic> for Failure {
    fn from(fault: Diagnostic) -> Self {
        Self::diagnostics(&[fault])
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { code: 0, message: String::new(), help: None };
        }
        Self::new(Self::ENVIRONMENT, format!("the output cannot be written: {error}"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Self::BUG, format!("the result cannot be written as JSON: {error}"))
    }
}
