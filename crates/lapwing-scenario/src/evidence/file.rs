//! The net change of files between two moments, folded from the changes at checkpoints.

use std::collections::BTreeMap;

use lapwing_core::{Act, Change, ChangeKind, Entry, Event};
use serde_json::{Value, json};

use super::{Found, Glob, Item, Window};

/// Which files and changes a query asks for.
pub(super) struct Wanted<'a> {
    pub(super) sandbox: &'a str,
    pub(super) paths: &'a [Glob],
    pub(super) except: &'a [Glob],
    pub(super) changed: &'a [ChangeKind],
}

/// A path's entry at the window's start and end, and the checkpoint at which it last changed.
struct Folded<'a> {
    before: Option<&'a Entry>,
    after: Option<&'a Entry>,
    seq: u64,
}

/// The state at a moment is that of the last checkpoint up to it, and before the first checkpoint, which is taken when
/// the sandbox is made, that of the first. A file that was changed and restored inside the window has not changed.
pub(super) fn find(wanted: &Wanted<'_>, events: &[Event], window: Window) -> Found {
    let checkpoints = checkpoints(wanted.sandbox, events);
    let inside = match inside(wanted.sandbox, &checkpoints, window) {
        Ok(inside) => inside,
        Err(reason) => return Found::unknown(reason),
    };
    let mut items: Vec<Item> = folded(inside)
        .into_iter()
        .filter(|(path, _)| wanted.names(path))
        .filter_map(|(path, folded)| {
            let change = Change::between(path, folded.before, folded.after)?;
            let is_wanted = change.kinds.iter().any(|kind| wanted.changed.contains(kind));
            is_wanted.then(|| item(&change, folded.seq))
        })
        .collect();
    items.sort_by_key(|item| item.seq);
    Found::complete(items, inside.last().map(|(seq, _)| *seq))
}

impl Wanted<'_> {
    fn names(&self, path: &str) -> bool {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(path));
        any(self.paths) && !any(self.except)
    }
}

type Checkpoint<'a> = (u64, &'a [Change]);

fn checkpoints<'a>(sandbox: &str, events: &'a [Event]) -> Vec<Checkpoint<'a>> {
    let of_sandbox = events.iter().filter_map(|event| {
        let Act::Checkpointed { sandbox: of, changes, .. } = &event.act else { return None };
        (of == sandbox).then_some((event.seq, changes.as_slice()))
    });
    of_sandbox.collect()
}

/// The checkpoints whose changes happened inside the window.
fn inside<'c, 'a>(
    sandbox: &str,
    checkpoints: &'c [Checkpoint<'a>],
    window: Window,
) -> Result<&'c [Checkpoint<'a>], String> {
    if checkpoints.is_empty() {
        return Err(format!("the files of sandbox `{sandbox}` were not taken"));
    }
    let before_start =
        window.after.map_or(0, |after| checkpoints.partition_point(|(seq, _)| *seq <= after));
    let start = before_start.max(1);
    let end = match window.before {
        Some(before) => checkpoints.partition_point(|(seq, _)| *seq < before),
        None => checkpoints.len(),
    };
    let happened_before =
        matches!(window, Window { after: Some(after), before: Some(before) } if before <= after);
    if end <= start && !happened_before {
        return Err(format!("the files of sandbox `{sandbox}` were not taken again in the window"));
    }
    Ok(checkpoints.get(start..end).unwrap_or_default())
}

fn folded<'a>(checkpoints: &[Checkpoint<'a>]) -> BTreeMap<&'a str, Folded<'a>> {
    let mut paths: BTreeMap<&str, Folded<'a>> = BTreeMap::new();
    for (seq, changes) in checkpoints {
        for change in *changes {
            let first = Folded { before: change.before.as_ref(), after: None, seq: *seq };
            let folded = paths.entry(&change.path).or_insert(first);
            folded.after = change.after.as_ref();
            folded.seq = *seq;
        }
    }
    paths
}

fn item(change: &Change, seq: u64) -> Item {
    let entry = change.after.as_ref();
    let kinds: Vec<&str> = change.kinds.iter().map(|kind| word(*kind)).collect();
    let fields = [
        ("path", json!(change.path)),
        ("changed", json!(kinds)),
        ("size", entry.map_or(Value::Null, |entry| json!(entry.size))),
        ("mode", entry.map_or(Value::Null, |entry| json!(entry.mode))),
    ];
    Item {
        seq,
        what: format!("{} {}", change.path, kinds.join(" ")),
        fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
    }
}

/// The words of `changed` in a scenario.
pub(crate) const CHANGES: [(&str, ChangeKind); 4] = [
    ("created", ChangeKind::Created),
    ("removed", ChangeKind::Removed),
    ("content", ChangeKind::Content),
    ("mode", ChangeKind::Mode),
];

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Created => "created",
        ChangeKind::Removed => "removed",
        ChangeKind::Content => "content",
        ChangeKind::Mode => "mode",
    }
}
