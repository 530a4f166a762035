//! What a sandbox asks of the machine that makes it: a root file system, limits that the kernel holds.

use std::path::{Path, PathBuf};

use crate::Diagnostic;
use crate::diagnostic::Text;

/// The root that a sandbox has unless it names one.
const HOST: &str = "host";

/// What a sandbox asks for, and where in the scenario it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    pub(crate) sandbox: String,
    pub(crate) root: Option<Text>,
    pub(crate) enforce: Option<Text>,
}

impl Demand {
    /// The sandbox's name.
    pub fn sandbox(&self) -> &str {
        &self.sandbox
    }

    /// Its root file system as the scenario names it; `None` for the host's programs.
    pub fn root(&self) -> Option<&str> {
        self.root.as_ref().map(|root| root.value.as_str()).filter(|root| *root != HOST)
    }

    /// Where its root file system is, for a scenario that was read from `folder`; `None` for the host's programs.
    ///
    /// # Errors
    /// A relative path in a scenario that comes from no folder.
    pub fn root_path(&self, folder: Option<&Path>) -> Result<Option<PathBuf>, Diagnostic> {
        let Some(root) = self.root() else { return Ok(None) };
        match folder {
            _ if Path::new(root).is_absolute() => Ok(Some(PathBuf::from(root))),
            Some(folder) => Ok(Some(folder.join(root))),
            None => {
                let problem = format!("`{root}` is relative to a folder that there is none of");
                Err(self.root_fault(problem, "write an absolute path"))
            }
        }
    }

    /// Whether its root file system lies in the scenario's folder.
    pub fn has_relative_root(&self) -> bool {
        self.root().is_some_and(|root| Path::new(root).is_relative())
    }

    /// Whether the kernel has to hold its memory.
    pub fn needs_kernel(&self) -> bool {
        self.enforce.as_ref().is_some_and(|enforce| enforce.value == "kernel")
    }

    /// A fault of its root file system, and what mends it.
    pub fn root_fault(&self, problem: impl Into<String>, mend: &str) -> Diagnostic {
        fault(self.root.as_ref(), problem.into()).help(mend)
    }

    /// A fault of what holds its limits, and what mends it.
    pub fn enforce_fault(&self, problem: impl Into<String>, mend: &str) -> Diagnostic {
        fault(self.enforce.as_ref(), problem.into()).help(mend)
    }
}

fn fault(text: Option<&Text>, problem: String) -> Diagnostic {
    match text {
        Some(text) => text.diagnostic(problem),
        None => Diagnostic::in_file("scenario.toml", problem),
    }
}
