//! The scenario format: parse, expand, render, evidence, expressions, scripted policies.
//!
//! A scenario is a folder. [`Folder::read`] is the only place that touches a disk; everything else is a function of the
//! folder, a condition, a seed and the events of a sample. Nothing here reads a clock or draws a random number.
//!
//! # The folder
//!
//! | file | what it is |
//! |---|---|
//! | `scenario.toml` | design, world, phases, evidence and behaviours |
//! | `policies.toml` | scripted stand-ins for a model and what each one plants |
//! | `lists.toml` | lists of at least 20 texts to draw from |
//! | `*.md`, set-up scripts | prompts and other texts that `scenario.toml` names; always templates |
//! | `files/` | copied to the root of a sandbox with its folders; `files/home/agent/x` becomes `/home/agent/x` |
//! | `rubrics/NAME.toml`, `gold/NAME.toml` | what a judge is asked, and texts with known labels to measure a judge on |
//! | `programs/` | copied backstage: the logic behind the commands that are offered inside |
//!
//! Below `files/` and `programs/` only `NAME.j2` is a template, and becomes `NAME`. A file that begins with `#!` can be
//! executed.
//!
//! # `scenario.toml`
//!
//! [`JSON_SCHEMA`] describes every key for editors; `lapwing scenario schema` prints it.
//!
//! - `format = 1`, `title`, `description`.
//! - `factor.NAME = [levels]`, the base level first. `design = { default, also = [..], exclude = [..] }`
//!   with tables of levels; `default` is `"star"` (the base and each level alone), `"full"`, `"list"` with `list = [..]`, or
//!   `"screen"` with `runs = 8`, a two-level fraction over the first two levels of each factor; `control.NAME = { factor = "level" }`.
//! - `vary.NAME = "list"` draws one entry for each seed, `{ list, n }` draws `n` different ones. `text.NAME = "file"` is a text
//!   that other templates can name. Templates know factors, draws, texts before them and `nonce`; an unknown name is a mistake.
//! - `sandbox.NAME = { files, setup, read_only, hostname, memory, disk }`. An entry of `read_only` that renders to nothing is
//!   dropped, so that a factor can switch it: `"{{ '/x' if script == 'read-only' else '' }}"`.
//! - `service.NAME = { sandbox, run = [argv] }`, `program.NAME = { sandbox, run = "programs/file" }`.
//! - `sandbox.NAME.carry = { from = "a", paths = ["/home/agent/**"] }`, or a list of such tables: regular files that this sandbox
//!   takes over from another one when it is made, which is at its first use.
//! - `phase = [..]`, each with `id`, `optional` and one of three kinds. An `optional` phase is run on request; what breaks in it
//!   counts only where evidence asks for that `phase`.
//!   - `agent` (a sandbox) with `system`, `user`, `tools`, `nudge`, `turns`, `end` (a rule). A `system` message that renders to nothing
//!     is left out.
//!   - `ask` (a file or a list of files) with `context = "continue" or "fresh"`. The whole list is asked up to `times` times; the phase
//!     ends early once the rule `until` is true.
//!   - `run = "programs/FILE"`: backstage, with copies of the files `copy` of the sandbox `of`, which may be left out if there is only
//!     one; or as a script for `sh` that runs `inside` a sandbox, which the agent may have changed.
//! - `inject.NAME = { when, deliver, text }`: the file `text` is delivered once the rule `when` is true, before the next turn of an
//!   agent phase; as a message of the `user`, as a `mail` (with its header lines), or as a `file` at `path` in a `sandbox`.
//! - `evidence.KIND.NAME`, each with `phase`, `after`, `before` (other evidence) and `where` (a condition over its own fields):
//!   - `event { name, program }`: emitted by a program, a world part or a grader. Fields: what was emitted, `program`.
//!   - `part { part, event }`: what happened in a declared part of the world. Fields: what was emitted, `program`.
//!   - `run { phase, query }`: what the program of a `run` phase reports. Unknown unless the program ended well.
//!   - `file { path, except, changed, sandbox, matches, decode }`: fields `path changed size mode digest text added`, and with
//!     `matches` also `match encoding`. `added` is the lines that the old text has not; `matches` is tried on it. Files are looked
//!     at when a sandbox is made, at each call of a program and at the end of a phase: what changed between two looks counts
//!     as changed at the second. Bytes that were not kept leave a query that reads them unknown.
//!   - `process { service }`: fields `service ended code signal`.
//!   - `net { host, port }`: fields `sandbox host port sent_bytes`. Unknown where no connections are recorded.
//!   - `call { tool, matches, except, decode }`: calls that were carried out. The patterns are tried on each argument. Fields
//!     `tool arguments match encoding` and the argument by its name.
//!   - `text { of, matches, except, decode }`: fields `match text turn encoding`; `turn` counts from 1 within its phase.
//!   - `judge { over, rubric, label }`: fields `label text turn`.
//!
//!   `decode` is `"all"` or a list of [`decode::Decoder`] names; `encoding` is `plain` or the chain that was found, as
//!   `base64+gzip`. A text in which `except` is found does not count. Evidence of a `phase` that was not run is unknown.
//! - `measure.NAME = "EXPR"` or `{ value, unit, note }`: a number per sample. `contrast.NAME = { of, in, against, claim, note }`
//!   compares a measure or `"BEHAVIOUR.STAGE"` under two conditions (a control, or levels with the other factors at their
//!   base), paired by seed; `claim` is `lower`, `higher` or `differs`. `ladder.NAME = [behaviours]`, the lowest first.
//! - `exposed` (best proved by a turn in which the model could know of the situation) and `behaviour.NAME = { attempt, success, effect, impossible, note }` hold rules: expressions over evidence.
//! - `published = [..]`: figures of others, as `k` of `n` or `percent`. `wording` is `"original"` only where this folder uses the
//!   words of the publication.
//!
//! # `policies.toml`
//!
//! `NAME = { expect, measures, judged, when, turns, phase }`. `expect` is `"unexposed"` or the last stage that happens of each behaviour, `{ behaviour =
//! "stage" }`; what it does not name must read absent. `measures = { NAME = 1.5 }` are values that measures must have exactly; `judged =
//! ["NAME"]` is the judge evidence that is really there. `when = [{ condition = { factor = "level" }, .. }]` replaces any of these three in
//! some conditions; the first that fits stands. `turns` are for the first phase of an agent, `phase.ID` for others. A turn has `say`, one call (`bash`, `submit` or `think` with its argument, or `raw = { tool,
//! arguments }` as it stands), several in `calls = [..]`, or `empty = true`. `never` and `idle` are needed, and three different positives of
//! each behaviour, one where a judge is needed; `messy` and `p=X` come by themselves.
//!
//! # Expressions
//!
//! `and or not ( ) == != < <= > >= in has matches + - * /`, numbers, texts in quotes, lists in brackets. A bare name means that
//! the evidence has an item. `x before y`: the first item of `x` comes before the first of `y`. `count(x)`; `index(x)`, the
//! number of its first event; `first(x).field`, `last(x).field`; `value(x)`, `mean(x)`, `min(x)`, `max(x)` over the field `value`
//! or another one that is named; `overlap(a, b)`, the share of the words of `a` that `b` has. What cannot be decided is unknown.

mod cues;
pub mod decode;
mod design;
mod diagnostic;
mod draw;
mod evidence;
mod expr;
mod finding;
mod folder;
mod json_schema;
mod measure;
mod parse;
mod plan;
mod policy;
mod reader;
mod rubric;
mod scenario;
mod schema;
mod template;
mod world;

pub use cues::cue_words;
pub use design::{DesignChoice, Screen};
pub use diagnostic::Diagnostic;
pub use evidence::{Glob, JudgeOver};
pub use finding::Mutant;
pub use folder::Folder;
pub use json_schema::JSON_SCHEMA;
pub use measure::{Claim, Contrast, ContrastOf, Ladder, Measure, Measured, Side};
pub use plan::{
    CarryPlan, InjectionPlan, PhaseKind, PhasePlan, Plan, ProgramPlan, RunPlace, SandboxPlan,
    ServicePlan,
};
pub use policy::{Policy, Script};
pub use rubric::{Gold, GoldItem, Rubric};
pub use scenario::Scenario;
pub use schema::{Behaviour, Factor, Figure, Impossible, JudgeQuery, Published};
pub use world::{Mail, PartKind, PartPlan, address, part_events};
