//! Why isolation is missing and what mends it.

use std::io;

use lapwing_core::SandboxError;

use crate::protocol::{Event, Step};

/// Why a sandbox was not created.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A step of setting up failed.
    Step { step: Step, errno: i32, cause: String },
    /// The launcher or pid 1 ended without a word.
    Vanished,
    /// The harness's own side failed.
    Host(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

impl Failure {
    pub(crate) fn from_event(event: Event) -> Self {
        match event {
            Event::Stillborn { step, errno, cause } => Self::Step { step, errno, cause },
            Event::Born | Event::Reply { .. } | Event::Call { .. } | Event::CallGone { .. } => {
                Self::Vanished
            }
        }
    }

    pub(crate) fn diagnose(self) -> SandboxError {
        match self {
            Self::Step { step, errno, cause } => SandboxError::Failed { step: step.to_string(), cause: format!("{cause} {errno}") },
            Self::Vanished => SandboxError::Failed { step: "create a sandbox".to_owned(), cause: "the launcher ended".to_owned() },
            Self::Host(error) => SandboxError::Failed { step: "create a sandbox".to_owned(), cause: error.to_string() },
        }
    }
}
