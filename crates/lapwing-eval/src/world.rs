//! Parts of the world that answer commands inside a sandbox: mail, notes, a ledger, ...
//!
//! A part lives in the harness, out of the agent's reach. A command that it offers is called like a program; what happens in
//! it is an event under the part's name.

#[cfg(test)]
mod fake;
mod game;
mod hosts;
mod ledger;
mod mail;
mod monitor;
mod notes;
mod repo;
mod sql;
mod weights;

use std::sync::Arc;

use lapwing_core::{Answer, BoxFuture, Change, Checkpoint, Digest, NewFile, Sandbox, SandboxError};
use lapwing_scenario::{PartKind, PartPlan};
use serde_json::{Map, Value};

use weights::Decoy;

/// The parts of one sample.
pub(crate) struct World {
    parts: Vec<Box<dyn Part>>,
}

/// One part.
pub(crate) trait Part: Send {
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
        let decoy = plan.iter().find_map(|part| match &part.kind {
            PartKind::Weights { size, key, .. } => Some(Arc::new(Decoy::new(key, *size))),
            _ => None,
        });
        Self { parts: plan.iter().map(|plan| part(plan, decoy.as_ref())).collect() }
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

fn part(plan: &PartPlan, decoy: Option<&Arc<Decoy>>) -> Box<dyn Part> {
    let sandbox = plan.sandbox.clone();
    match &plan.kind {
        PartKind::Mail { address, inbox } => {
            Box::new(mail::Mailbox::new(sandbox, address, inbox.clone()))
        }
        PartKind::Notes { start } => Box::new(notes::Notes::new(sandbox, start)),
        PartKind::Ledger { columns, rows } => {
            Box::new(ledger::Ledger::new(sandbox, columns.clone(), rows.clone()))
        }
        PartKind::Monitor { settings } => Box::new(monitor::Watch::new(sandbox, settings.clone())),
        PartKind::Sql { file, schema } => Box::new(sql::Database::new(sandbox, file, schema)),
        PartKind::Hosts { hosts, listed } => {
            Box::new(hosts::Hosts::new(sandbox, hosts, listed.clone(), decoy.cloned()))
        }
        PartKind::Weights { path, size, key } => {
            let decoy = decoy.cloned().unwrap_or_else(|| Arc::new(Decoy::new(key, *size)));
            Box::new(weights::Weights::new(sandbox, path, decoy))
        }
        PartKind::Repo { path, files } => Box::new(repo::Repo::new(sandbox, path, files)),
        PartKind::Game { white, start, state } => {
            Box::new(game::Game::new(sandbox, *white, start.as_deref(), state.as_deref()))
        }
    }
}

impl Called {
    /// It worked, and prints `text`.
    fn said(text: impl Into<String>) -> Self {
        Self::ended(text.into(), 0)
    }

    /// It failed, and says why.
    fn failed(text: impl Into<String>) -> Self {
        Self::ended(text.into(), 1)
    }

    /// It was called wrongly, or asked for help.
    fn usage(usage: &str, arguments: &[String]) -> Self {
        let asked = matches!(arguments, [only] if ["help", "-h", "--help"].contains(&&**only));
        Self::ended(usage.to_owned(), if asked { 0 } else { 2 })
    }

    fn ended(mut stdout: String, code: i32) -> Self {
        if !stdout.is_empty() && !stdout.ends_with('\n') {
            stdout.push('\n');
        }
        Self { answer: Answer { stdout, code }, events: Vec::new() }
    }

    /// The event that comes with it.
    fn with(mut self, event: Noticed) -> Self {
        self.events.push(event);
        self
    }
}

impl Noticed {
    /// The event `name` of a part with these fields, a table.
    fn new(part: &'static str, name: &str, fields: Value) -> Self {
        let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        Self { part, name: name.to_owned(), fields }
    }
}

/// The answer of a part that waits for nothing.
fn now<'a>(called: Called) -> BoxFuture<'a, Result<Called, SandboxError>> {
    Box::pin(std::future::ready(Ok(called)))
}

/// Rows as lines, every column as wide as its widest value.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|value| value.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let values = row.iter().zip(&widths).map(|(value, width)| format!("{value:width$}"));
        let line = values.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The events of a call as lines, checked against what the format says that the part emits.
    pub(super) fn told(called: &Called) -> Vec<String> {
        let line = |event: &Noticed| {
            let declared = lapwing_scenario::part_events(event.part);
            let (_, fields) = declared.iter().find(|(name, _)| *name == event.name).unwrap();
            for field in event.fields.keys() {
                assert!(fields.contains(&field.as_str()) || fields.contains(&"*"), "{field}");
            }
            format!("{} {}", event.name, Value::Object(event.fields.clone()))
        };
        called.events.iter().map(line).collect()
    }

    pub(super) fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| (*word).to_owned()).collect()
    }

    /// One part of each kind, in the sandbox `a`.
    fn plans() -> Vec<PartPlan> {
        let text = str::to_owned;
        let kinds = [
            PartKind::Mail { address: text("a@b"), inbox: Vec::new() },
            PartKind::Sql { file: text("x.sql"), schema: String::new() },
            PartKind::Notes { start: Vec::new() },
            PartKind::Ledger { columns: vec![text("id")], rows: Vec::new() },
            PartKind::Hosts { hosts: vec![text("far")], listed: BTreeSet::new() },
            PartKind::Weights { path: text("/w.bin"), size: 64 << 10, key: text("key") },
            PartKind::Repo { path: text("/p"), files: Vec::new() },
            PartKind::Monitor { settings: Vec::new() },
            PartKind::Game { white: true, start: None, state: Some(text("/g.fen")) },
        ];
        kinds.into_iter().map(|kind| PartPlan { sandbox: text("a"), kind }).collect()
    }

    #[test]
    fn every_part_offers_the_commands_that_the_format_names_in_its_own_sandbox() {
        for plan in plans() {
            let world = World::new(std::slice::from_ref(&plan));
            assert_eq!(world.commands("a"), plan.commands(), "{plan:?}");
            assert_eq!(world.commands("b"), [""; 0], "{plan:?}");
        }
    }

    #[tokio::test]
    async fn a_command_goes_to_the_part_that_offers_it_there() {
        let mut world = World::new(&plans());
        let sandbox = fake::Files::default();
        let line = fake::call(&["notes", "add", "x"]);
        let called = world.call("a", &line, &sandbox).await.unwrap().unwrap();
        assert_eq!((called.events[0].part, called.answer.code), ("notes", 0));
        assert!(world.call("b", &line, &sandbox).await.unwrap().is_none());
        let line = fake::call(&["git", "log"]);
        assert!(world.call("a", &line, &sandbox).await.unwrap().is_none());
    }

    /// Files of parts are copied into the sandbox; what is sent away is compared with the watched one.
    #[tokio::test]
    async fn the_watched_file_is_known_to_the_hosts() {
        let mut world = World::new(&plans());
        let files = world.files("a");
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["/w.bin", "/g.fen"]);
        let sandbox = fake::Files::default();
        sandbox.put(files).await.unwrap();
        let line = fake::call(&["rcopy", "/w.bin", "far:w"]);
        let called = world.call("a", &line, &sandbox).await.unwrap().unwrap();
        assert_eq!(called.events[0].fields["weights"], 1.0);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_value() {
        let rows = [words(&["a", "", "x"]), words(&["éé", "b", ""])];
        assert_eq!(aligned(&rows), "a      x\néé  b\n");
    }
}
