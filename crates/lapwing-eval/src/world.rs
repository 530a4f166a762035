//! Parts of the world that answer commands inside a sandbox: mail, notes, a ledger, ...
//!
//! A part lives in the harness, out of the agent's reach. A command that it offers is called like a program; what happens in
//! it is an event under the part's name.

use lapwing_core::{Answer, BoxFuture, Change, Checkpoint, Digest, NewFile, Sandbox, SandboxError};
use lapwing_scenario::PartPlan;
use serde_json::{Map, Value};

/// The parts of one sample.
pub(crate) struct World {
    parts: Vec<Box<dyn Part>>,
}

/// One part.
pub(crate) trait Part: Send {
    /// Its name as events show it, for example `mail`.
    fn name(&self) -> &'static str;

    /// The sandbox that it belongs to.
    fn sandbox(&self) -> &str;

    /// The commands that it offers there.
    fn commands(&self) -> &[&'static str];

    /// Files to be written when the sandbox is made.
    fn files(&self) -> Vec<NewFile> {
        Vec::new()
    }

    /// Answers a call of one of its commands.
    fn call<'a>(
        &'a mut self,
        call: &'a Checkpoint,
        sandbox: &'a dyn Sandbox,
    ) -> BoxFuture<'a, Result<Called, SandboxError>>;

    /// Takes a mail in, with header lines. `None`: it is no mail part.
    fn deliver(&mut self, _mail: &str) -> Option<Noticed> {
        None
    }

    /// Looks at what changed in its sandbox; `read` gives the bytes of changed files.
    fn observe(
        &mut self,
        _changes: &[Change],
        _read: &dyn Fn(Digest) -> Option<Vec<u8>>,
    ) -> Vec<Noticed> {
        Vec::new()
    }
}

/// What a call came to.
#[derive(Debug, Default)]
pub(crate) struct Called {
    pub(crate) answer: Answer,
    /// What happened, in order.
    pub(crate) events: Vec<Noticed>,
}

/// Something that happened in a part.
#[derive(Debug, PartialEq)]
pub(crate) struct Noticed {
    pub(crate) part: &'static str,
    pub(crate) name: String,
    pub(crate) fields: Map<String, Value>,
}

impl World {
    /// The parts as they are at the beginning of a sample.
    pub(crate) fn new(plan: &[PartPlan]) -> Self {
        Self { parts: plan.iter().map(part).collect() }
    }

    /// The commands that are offered in `sandbox`.
    pub(crate) fn commands(&self, sandbox: &str) -> Vec<String> {
        let parts = self.parts.iter().filter(|part| part.sandbox() == sandbox);
        parts.flat_map(|part| part.commands()).map(|command| (*command).to_owned()).collect()
    }

    /// Files that parts keep in `sandbox`.
    pub(crate) fn files(&self, sandbox: &str) -> Vec<NewFile> {
        let parts = self.parts.iter().filter(|part| part.sandbox() == sandbox);
        parts.flat_map(|part| part.files()).collect()
    }

    /// Answers a call in the sandbox `name`; `None` if no part offers that command there.
    pub(crate) async fn call(
        &mut self,
        name: &str,
        call: &Checkpoint,
        sandbox: &dyn Sandbox,
    ) -> Result<Option<Called>, SandboxError> {
        let offers = |part: &&mut Box<dyn Part>| {
            part.sandbox() == name && part.commands().contains(&call.program.as_str())
        };
        match self.parts.iter_mut().find(offers) {
            Some(part) => Ok(Some(part.call(call, sandbox).await?)),
            None => Ok(None),
        }
    }

    /// Puts a mail into the inbox; `None` if the world has none.
    pub(crate) fn deliver(&mut self, mail: &str) -> Option<Noticed> {
        self.parts.iter_mut().find_map(|part| part.deliver(mail))
    }

    /// What parts of `sandbox` notice in the changes of its files.
    pub(crate) fn observe(
        &mut self,
        sandbox: &str,
        changes: &[Change],
        read: &dyn Fn(Digest) -> Option<Vec<u8>>,
    ) -> Vec<Noticed> {
        let parts = self.parts.iter_mut().filter(|part| part.sandbox() == sandbox);
        parts.flat_map(|part| part.observe(changes, read)).collect()
    }
}

fn part(plan: &PartPlan) -> Box<dyn Part> {
    match *plan {}
}
