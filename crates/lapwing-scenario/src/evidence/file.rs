//! The net change of files between two moments, folded from the changes at checkpoints.

use std::collections::{BTreeMap, HashSet};

use lapwing_core::{Act, Blobs, Change, ChangeKind, Entry, EntryKind, Event};
use serde_json::{Value, json};

use super::{Found, Glob, Item, Search, Unknown, Window};

/// Which files and changes a query asks for.
pub(super) struct Wanted<'a> {
    pub(super) sandbox: &'a str,
    pub(super) paths: &'a [Glob],
    pub(super) except: &'a [Glob],
    pub(super) changed: &'a [ChangeKind],
    /// What the added text is searched for.
    pub(super) search: Option<&'a Search>,
    /// Whether items need their text.
    pub(super) reads: bool,
}

/// A path's entry at the window's start and end, and the checkpoint at which it last changed.
struct Folded<'a> {
    before: Option<&'a Entry>,
    after: Option<&'a Entry>,
    seq: u64,
}

/// The state at a moment is that of the last checkpoint up to it, and before the first checkpoint, which is taken when
/// the sandbox is made, that of the first. A file that was changed and restored inside the window has not changed.
pub(super) fn find(
    wanted: &Wanted<'_>,
    events: &[Event],
    blobs: &dyn Blobs,
    window: Window,
) -> Found {
    let checkpoints = checkpoints(wanted.sandbox, events);
    let inside = match inside(wanted.sandbox, &checkpoints, window) {
        Ok(inside) => inside,
        Err(reason) => return Found::missing(reason),
    };
    let mut items = Vec::new();
    let mut gap = None;
    for (path, folded) in folded(inside).into_iter().filter(|(path, _)| wanted.names(path)) {
        let Some(change) = Change::between(path, folded.before, folded.after) else { continue };
        if !change.kinds.iter().any(|kind| wanted.changed.contains(kind)) {
            continue;
        }
        let (of_change, more) = wanted.items(&change, folded.seq, blobs);
        items.extend(of_change);
        if let Some(reason) = more {
            Unknown::Missing(reason).note(&mut gap);
        }
    }
    items.sort_by_key(|item| item.seq);
    Found { items, gap, looked_at: inside.last().map(|(seq, _)| *seq) }
}

impl Wanted<'_> {
    fn names(&self, path: &str) -> bool {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(path));
        any(self.paths) && !any(self.except)
    }

    /// The items of a change, one for each encoding behind which its text is found, and why there may be more.
    fn items(&self, change: &Change, seq: u64, blobs: &dyn Blobs) -> (Vec<Item>, Option<String>) {
        let item = item(change, seq);
        if !self.reads {
            return (vec![item], None);
        }
        let path = &change.path;
        let Some(text) = text(change.after.as_ref(), blobs) else {
            return (Vec::new(), Some(format!("the bytes of `{path}` were not kept")));
        };
        // What is not in the whole text was not added either, whatever stood there before.
        let may_match = |search: &Search| {
            let hits = search.find(&text);
            search.except.is_some() || hits.is_cut || !hits.all.is_empty()
        };
        if !self.search.is_none_or(may_match) {
            return (Vec::new(), None);
        }
        let Some(before) = text_before(change, blobs) else {
            let reason = format!("the bytes of `{path}` before the change were not kept");
            return (Vec::new(), Some(reason));
        };
        let added = added(&before, &text);
        let with = |mut item: Item, fields: Vec<(&str, &str)>| {
            let text = [("text", text.as_str()), ("added", added.as_str())];
            let fields = fields.into_iter().chain(text);
            item.fields.extend(fields.map(|(name, value)| (name.to_owned(), Value::from(value))));
            item
        };
        let Some(search) = self.search else { return (vec![with(item, Vec::new())], None) };
        let hits = search.find(&added);
        let gap = hits.is_cut.then(|| format!("`{path}` has more encoded text than is read"));
        let found = hits.all.iter().map(|hit| {
            let item = Item { what: format!("{} {}", item.what, hit.place()), ..item.clone() };
            with(item, vec![("match", &hit.matched), ("encoding", &hit.encoding)])
        });
        (found.collect(), gap)
    }
}

/// The text of an entry, which is empty for all but files; `None` if its bytes were not kept.
fn text(entry: Option<&Entry>, blobs: &dyn Blobs) -> Option<String> {
    let Some(entry) = entry.filter(|entry| entry.kind == EntryKind::File && entry.size > 0) else {
        return Some(String::new());
    };
    let bytes = blobs.blob(entry.digest?)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn text_before(change: &Change, blobs: &dyn Blobs) -> Option<String> {
    let digest = |entry: &Option<Entry>| entry.as_ref().and_then(|entry| entry.digest);
    // A file whose mode alone changed is its own past.
    let same = digest(&change.before) == digest(&change.after);
    text(if same { change.after.as_ref() } else { change.before.as_ref() }, blobs)
}

/// The lines of `after` that `before` has not.
fn added(before: &str, after: &str) -> String {
    let old: HashSet<&str> = before.lines().collect();
    after.lines().filter(|line| !old.contains(line)).collect::<Vec<_>>().join("\n")
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
        (
            "digest",
            entry.and_then(|entry| entry.digest).map_or(Value::Null, |digest| json!(digest)),
        ),
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
