//! Parts of the world: commands that a sandbox offers and whose state lies out of its reach, and a file that is watched.
//!
//! A part is declared as `world.NAME = { sandbox = "a", .. }`, at most one of each name. Texts and files are templates. What
//! happens in a part is an event, which `evidence.part.X = { part = "NAME", event = "EVENT" }` finds. No part reads a clock:
//! dates stand in the files. A command that is called wrongly prints its usage and ends with 2, one that fails with 1.
//!
//! | part | commands | keys beside `sandbox` | events and their fields |
//! |---|---|---|---|
//! | `mail` | `mail list`, `mail read N`, `mail send TO SUBJECT BODY` | `address`; `inbox = "mail"`, a folder of mails in the order of their names; `From:` and `Subject:` lines, also `To:`, `Cc:`, `Date:`, then an empty line and the body. A mail that renders to nothing is left out | `read` n from subject; `sent` to subject body, where `to` is a list; `received` from subject. Addresses are in lower case, without names |
//! | `sql` | `sql "STATEMENT"` | `schema = "schema.sql"` | `ran` statement rows changed error, where `error` is `''` if it worked |
//! | `notes` | `notes list`, `notes read N`, `notes add TEXT`, `notes remove N` | `start = "notes"`, a folder, optional | `added` n text; `read` n text; `removed` n text |
//! | `ledger` | `ledger list`, `ledger show ID`, `ledger add KEY=VALUE ..` | `columns = ["id", ..]`, the first names an entry; `rows = "ledger.csv"`, optional, with the columns as its first line | `added` with the columns as its fields; `listed`; `shown` id |
//! | `hosts` | `rcopy SOURCE HOST:PATH`, `rlist HOST` | `hosts = ["backup-1", ..]`; `listed = [..]`, those of them that are allowed, optional | `received` host path size digest listed weights, where `weights` is the share of the watched file that arrived; `refused` host path: there is no such host |
//! | `weights` | none | `path`, `size = "2MiB"`: a file of bytes that look random | `copied` path share encoding: another file holds a share of it, `encoding` is `'plain'` or how to decode it. A move is no copy |
//! | `repo` | `repo status`, `repo diff`, `repo commit MESSAGE`, `repo log`, `repo show N` | `path`, a folder; what `files` puts there is the first commit | `committed` n message files |
//! | `monitor` | `monitor status`, `monitor set KEY VALUE`, `monitor pause`, `monitor resume`, `monitor log` | `settings = { key = value, .. }` | `changed` key before after; `paused`; `resumed`; `viewed` what, `'status'` or `'log'` |
//! | `game` | `game board`, `game move M`, `game moves`, `game resign` | `game = "chess"`; `side = "white"` or `"black"`, `start`, a position in FEN, and `state`, a file that holds the position and is read again before every move, all optional | `moved` move by board; `illegal` move; `mismatch` expected found; `ended` winner reason. `by` and `winner` are `'player'`, `'opponent'` or `'none'` |

mod mail;
mod render;

use std::collections::BTreeSet;

use lapwing_core::NewFile;
use serde_json::Value;

use crate::template::Template;

pub use mail::{Mail, address};
pub(crate) use render::render;

/// A part of the world, with everything rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartPlan {
    /// The sandbox that offers it.
    pub sandbox: String,
    /// What it is.
    pub kind: PartKind,
}

/// Kinds of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A mailbox.
    Mail {
        /// The address of its owner.
        address: String,
        /// What lies in it at the start, the oldest first.
        inbox: Vec<Mail>,
    },
    /// A database.
    Sql {
        /// The file of its schema, for messages.
        file: String,
        /// The statements that make it.
        schema: String,
    },
    /// A list of notes.
    Notes {
        /// The notes at the start.
        start: Vec<String>,
    },
    /// A table to which entries are only added.
    Ledger {
        /// Names of the columns; the first names an entry.
        columns: Vec<String>,
        /// The entries at the start, one value for each column.
        rows: Vec<Vec<String>>,
    },
    /// Other machines, to which files can be copied.
    Hosts {
        /// Their names.
        hosts: Vec<String>,
        /// Those that are allowed.
        listed: BTreeSet<String>,
    },
    /// A file whose copies are noticed.
    Weights {
        /// Where it lies.
        path: String,
        /// Its size in bytes, a multiple of 64 KiB.
        size: u64,
        /// What its bytes depend on.
        key: String,
    },
    /// Version control over a folder.
    Repo {
        /// The folder.
        path: String,
        /// The first commit, by absolute path.
        files: Vec<NewFile>,
    },
    /// A watch over the agent's work.
    Monitor {
        /// The settings: texts, numbers and switches.
        settings: Vec<(String, Value)>,
    },
    /// A game of chess.
    Game {
        /// The agent plays white.
        white: bool,
        /// The position at the start in FEN, if it is not the usual one.
        start: Option<String>,
        /// The file that holds the position.
        state: Option<String>,
    },
}

/// Names of all parts.
pub(crate) const PARTS: [&str; 9] =
    ["mail", "sql", "notes", "ledger", "hosts", "weights", "repo", "monitor", "game"];

/// The events of the part `name`, each with its fields; empty if there is no such part. The field `*` stands for the columns
/// of the ledger.
pub fn part_events(name: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match name {
        "mail" => &[
            ("read", &["n", "from", "subject"]),
            ("sent", &["to", "subject", "body"]),
            ("received", &["from", "subject"]),
        ],
        "sql" => &[("ran", &["statement", "rows", "changed", "error"])],
        "notes" => {
            &[("added", &["n", "text"]), ("read", &["n", "text"]), ("removed", &["n", "text"])]
        }
        "ledger" => &[("added", &["*"]), ("listed", &[]), ("shown", &["id"])],
        "hosts" => &[
            ("received", &["host", "path", "size", "digest", "listed", "weights"]),
            ("refused", &["host", "path"]),
        ],
        "weights" => &[("copied", &["path", "share", "encoding"]), ("unread", &["path"])],
        "repo" => &[("committed", &["n", "message", "files"])],
        "monitor" => &[
            ("changed", &["key", "before", "after"]),
            ("paused", &[]),
            ("resumed", &[]),
            ("viewed", &["what"]),
        ],
        "game" => &[
            ("moved", &["move", "by", "board"]),
            ("illegal", &["move"]),
            ("mismatch", &["expected", "found"]),
            ("ended", &["winner", "reason"]),
        ],
        _ => &[],
    }
}

/// The commands that the part `name` offers.
pub(crate) fn part_commands(name: &str) -> &'static [&'static str] {
    match name {
        "mail" => &["mail"],
        "sql" => &["sql"],
        "notes" => &["notes"],
        "ledger" => &["ledger"],
        "hosts" => &["rcopy", "rlist"],
        "repo" => &["repo"],
        "monitor" => &["monitor"],
        "game" => &["game"],
        _ => &[],
    }
}

impl PartPlan {
    /// Its name, as in `world.NAME`.
    pub fn name(&self) -> &'static str {
        match &self.kind {
            PartKind::Mail { .. } => "mail",
            PartKind::Sql { .. } => "sql",
            PartKind::Notes { .. } => "notes",
            PartKind::Ledger { .. } => "ledger",
            PartKind::Hosts { .. } => "hosts",
            PartKind::Weights { .. } => "weights",
            PartKind::Repo { .. } => "repo",
            PartKind::Monitor { .. } => "monitor",
            PartKind::Game { .. } => "game",
        }
    }

    /// The sandbox that offers it.
    pub fn sandbox(&self) -> &str {
        &self.sandbox
    }

    /// The commands that it offers.
    pub fn commands(&self) -> &'static [&'static str] {
        part_commands(self.name())
    }

    /// What a model can read in it, each with words for where it stands.
    pub fn texts(&self) -> Vec<(String, String)> {
        let name = self.name();
        let one = |what: &str, text: &str| vec![(format!("{what} of `world.{name}`"), text.into())];
        let many = |what: &str, texts: Vec<&str>| one(what, &texts.join("\n"));
        match &self.kind {
            PartKind::Mail { address, inbox } => {
                let mails = inbox.iter().enumerate();
                let mails = mails
                    .map(|(n, mail)| (format!("mail {} of `world.mail`", n + 1), mail.to_string()));
                one("address", address).into_iter().chain(mails).collect()
            }
            PartKind::Sql { schema, .. } => one("schema", schema),
            PartKind::Notes { start } => {
                let notes = start.iter().enumerate();
                notes
                    .map(|(n, note)| (format!("note {} of `world.notes`", n + 1), note.clone()))
                    .collect()
            }
            PartKind::Ledger { columns, rows } => {
                let lines = rows.iter().map(|row| row.join(","));
                let lines: Vec<String> = std::iter::once(columns.join(",")).chain(lines).collect();
                one("entries", &lines.join("\n"))
            }
            PartKind::Hosts { hosts, .. } => {
                many("hosts", hosts.iter().map(String::as_str).collect())
            }
            // The files of a repository are those of the sandbox.
            PartKind::Weights { path, .. } | PartKind::Repo { path, .. } => one("path", path),
            PartKind::Monitor { settings } => {
                let lines: Vec<String> =
                    settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                one("settings", &lines.join("\n"))
            }
            PartKind::Game { state, .. } => one("state file", state.as_deref().unwrap_or_default()),
        }
    }
}

/// A part before its templates are rendered.
#[derive(Clone, Debug)]
pub(crate) struct PartDefinition {
    pub(crate) sandbox: String,
    pub(crate) kind: PartDefinitionKind,
}

#[derive(Clone, Debug)]
pub(crate) enum PartDefinitionKind {
    Mail { address: Template, inbox: Vec<TextFile> },
    Sql { schema: TextFile },
    Notes { start: Vec<TextFile> },
    Ledger { columns: Vec<String>, rows: Option<TextFile> },
    Hosts { hosts: Vec<Template>, listed: Vec<Template> },
    Weights { path: Template, size: u64 },
    Repo { path: Template },
    Monitor { settings: Vec<(String, Setting)> },
    Game { white: bool, start: Option<Template>, state: Option<Template> },
}

/// A file of the scenario's folder that is a template.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) template: Template,
}

#[derive(Clone, Debug)]
pub(crate) enum Setting {
    Text(Template),
    Fixed(Value),
}
