//! Version control over a folder of the sandbox: every commit takes all changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use lapwing_core::{BoxFuture, Checkpoint, Digest, EntryKind, NewFile, Sandbox, SandboxError};
use serde_json::json;
use similar::TextDiff;

use super::{Called, Noticed, Part};

const USAGE: &str = "\
usage: repo status
       repo diff
       repo commit MESSAGE
       repo log
       repo show N

A commit takes all changes. Put quotes around MESSAGE.";

/// Larger files are compared by their digests only.
const MAX_BYTES: u64 = 256 << 10;

/// Files with more lines are not compared line by line, because that could take for ever.
const MAX_LINES: usize = 5_000;

/// Bytes of a printed comparison.
const MAX_OUTPUT: usize = 128 << 10;

/// Files by path below the folder.
type Tree = BTreeMap<String, Version>;

#[derive(Clone)]
struct Version {
    digest: Digest,
    /// `None`: binary, or too large to be shown.
    text: Option<String>,
}

struct Commit {
    message: String,
    tree: Tree,
}

pub(super) struct Repo {
    sandbox: String,
    path: String,
    first: Commit,
    later: Vec<Commit>,
}

impl Repo {
    pub(super) fn new(sandbox: String, path: &str, files: &[NewFile]) -> Self {
        let below = format!("{path}/");
        let tree = files.iter().filter_map(|file| {
            Some((file.path.strip_prefix(&below)?.to_owned(), Version::of(file.bytes.clone())))
        });
        let first = Commit { message: "Initial commit".to_owned(), tree: tree.collect() };
        Self { sandbox, path: path.to_owned(), first, later: Vec::new() }
    }

    async fn answer(
        &mut self,
        arguments: &[String],
        sandbox: &dyn Sandbox,
    ) -> Result<Called, SandboxError> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["log"] => Ok(self.log()),
            ["show", n] => Ok(self.show(n)),
            ["status"] => {
                let tree = self.tree(sandbox).await?;
                let changed = changed(&self.head().tree, &tree);
                let line =
                    |path: &&String| format!("{}  {path}\n", kind(&self.head().tree, &tree, path));
                let lines: String = changed.iter().map(line).collect();
                Ok(Called::said(if lines.is_empty() {
                    "Nothing to commit.".to_owned()
                } else {
                    lines
                }))
            }
            ["diff"] => Ok(Called::said(compare(&self.head().tree, &self.tree(sandbox).await?))),
            ["commit", message] if !message.trim().is_empty() => {
                let tree = self.tree(sandbox).await?;
                Ok(self.commit(message, tree))
            }
            _ => Ok(Called::usage(USAGE, arguments)),
        }
    }

    fn head(&self) -> &Commit {
        self.later.last().unwrap_or(&self.first)
    }

    /// The regular files of the folder as they are now. Bytes of files that did not change are not read again.
    async fn tree(&self, sandbox: &dyn Sandbox) -> Result<Tree, SandboxError> {
        let below = format!("{}/", self.path);
        let mut tree = Tree::new();
        for (path, entry) in sandbox.manifest().await?.entries {
            let (Some(name), Some(digest)) = (path.strip_prefix(&below), entry.digest) else {
                continue;
            };
            if entry.kind != EntryKind::File {
                continue;
            }
            let known = self.head().tree.get(name).filter(|version| version.digest == digest);
            let version = match known {
                Some(version) => version.clone(),
                None => match sandbox.get(&path, MAX_BYTES).await? {
                    Some(bytes) => Version::of(bytes),
                    None => Version { digest, text: None },
                },
            };
            tree.insert(name.to_owned(), version);
        }
        Ok(tree)
    }

    fn commit(&mut self, message: &str, tree: Tree) -> Called {
        let files: Vec<String> = changed(&self.head().tree, &tree).into_iter().cloned().collect();
        if files.is_empty() {
            return Called::failed("Nothing to commit.");
        }
        self.later.push(Commit { message: message.to_owned(), tree });
        let n = self.later.len() + 1;
        let said = format!("Commit {n}: {}\nfiles changed: {}", first_line(message), files.len());
        let fields = json!({ "n": n, "message": message, "files": files });
        Called::said(said).with(Noticed::new("repo", "committed", fields))
    }

    fn log(&self) -> Called {
        let commits = std::iter::once(&self.first).chain(&self.later).enumerate();
        let lines: Vec<String> = commits
            .map(|(index, commit)| format!("{:>3}  {}\n", index + 1, first_line(&commit.message)))
            .collect();
        Called::said(lines.into_iter().rev().collect::<String>())
    }

    fn show(&self, n: &str) -> Called {
        let number = n.parse::<usize>().unwrap_or(0);
        let commits: Vec<&Commit> = std::iter::once(&self.first).chain(&self.later).collect();
        let Some(commit) = number.checked_sub(1).and_then(|index| commits.get(index)) else {
            return Called::failed(format!("repo: there is no commit {n}; `repo log` shows them"));
        };
        let empty = Tree::new();
        let before = if number > 1 { &commits[number - 2].tree } else { &empty };
        let diff = compare(before, &commit.tree);
        Called::said(format!("Commit {number}\n\n    {}\n\n{diff}", commit.message.trim()))
    }
}

impl Version {
    fn of(bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        let small = bytes.len() as u64 <= MAX_BYTES && !bytes.contains(&0);
        Self { digest, text: String::from_utf8(bytes).ok().filter(|_| small) }
    }
}

fn first_line(message: &str) -> &str {
    message.trim().lines().next().unwrap_or_default()
}

/// The paths that differ, in order.
fn changed<'a>(before: &'a Tree, after: &'a Tree) -> BTreeSet<&'a String> {
    let paths = before.keys().chain(after.keys());
    let digest = |tree: &Tree, path: &String| tree.get(path).map(|version| version.digest);
    paths.filter(|path| digest(before, path) != digest(after, path)).collect()
}

fn kind(before: &Tree, after: &Tree, path: &str) -> &'static str {
    match (before.contains_key(path), after.contains_key(path)) {
        (false, _) => "added   ",
        (true, false) => "removed ",
        (true, true) => "modified",
    }
}

/// The changes in the unified format.
fn compare(before: &Tree, after: &Tree) -> String {
    let mut all = String::new();
    for path in changed(before, after) {
        let (old, new) = (before.get(path), after.get(path));
        let name = |side: &str, version: Option<&Version>| match version {
            Some(_) => format!("{side}/{path}"),
            None => "/dev/null".to_owned(),
        };
        let (old_name, new_name) = (name("a", old), name("b", new));
        let text = |version: Option<&Version>| match version {
            Some(version) => version.text.clone(),
            None => Some(String::new()),
        };
        let texts = text(old)
            .zip(text(new))
            .filter(|(old, new)| [old, new].iter().all(|text| text.lines().count() <= MAX_LINES));
        match texts {
            Some((old, new)) => {
                let diff = TextDiff::from_lines(&old, &new);
                let mut unified = diff.unified_diff();
                let _ = write!(all, "{}", unified.header(&old_name, &new_name));
            }
            None => {
                let _ = writeln!(all, "Files {old_name} and {new_name} differ");
            }
        }
        if all.len() > MAX_OUTPUT {
            all.truncate(all.floor_char_boundary(MAX_OUTPUT));
            all.push_str("\n(cut here)\n");
            break;
        }
    }
    all
}

impl Part for Repo {
    fn sandbox(&self) -> &str {
        &self.sandbox
    }

    fn commands(&self) -> &[&'static str] {
        &["repo"]
    }

    fn call<'a>(
        &'a mut self,
        call: &'a Checkpoint,
        sandbox: &'a dyn Sandbox,
    ) -> BoxFuture<'a, Result<Called, SandboxError>> {
        Box::pin(self.answer(&call.arguments, sandbox))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Files;
    use super::super::tests::{told, words};
    use super::*;

    fn repo() -> (Repo, Files) {
        let file = |path: &str, text: &str| NewFile {
            path: path.to_owned(),
            bytes: text.as_bytes().to_vec(),
            mode: 0o644,
        };
        let files = [file("/p/a.txt", "one\ntwo\n"), file("/p/b.txt", "b\n")];
        let sandbox = Files::of(&[("/p/a.txt", "one\ntwo\n"), ("/p/b.txt", "b\n"), ("/q/c", "x")]);
        (Repo::new("a".to_owned(), "/p", &files), sandbox)
    }

    async fn ask(repo: &mut Repo, files: &Files, line: &[&str]) -> Called {
        repo.answer(&words(line), files).await.unwrap()
    }

    #[tokio::test]
    async fn changes_are_shown_committed_and_shown_again() {
        let (mut repo, files) = repo();
        assert_eq!(ask(&mut repo, &files, &["status"]).await.answer.stdout, "Nothing to commit.\n");
        files.write("/p/a.txt", "one\n2\n");
        files.write("/p/new/c.txt", "c\n");
        files.table().remove("/p/b.txt");
        let status = ask(&mut repo, &files, &["status"]).await.answer.stdout;
        assert_eq!(status, "modified  a.txt\nremoved   b.txt\nadded     new/c.txt\n");
        let diff = "--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n\
                    --- a/b.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n\
                    --- /dev/null\n+++ b/new/c.txt\n@@ -0,0 +1 @@\n+c\n";
        assert_eq!(ask(&mut repo, &files, &["diff"]).await.answer.stdout, diff);
        let called = ask(&mut repo, &files, &["commit", "Tidy\n\nmore"]).await;
        assert_eq!(
            told(&called),
            [r#"committed {"files":["a.txt","b.txt","new/c.txt"],"message":"Tidy\n\nmore","n":2}"#]
        );
        let log = ask(&mut repo, &files, &["log"]).await.answer.stdout;
        assert_eq!(log, "  2  Tidy\n  1  Initial commit\n");
        let shown = ask(&mut repo, &files, &["show", "2"]).await.answer.stdout;
        assert!(shown.starts_with("Commit 2\n\n    Tidy\n"), "{shown}");
        assert!(shown.ends_with(diff), "{shown}");
    }

    #[tokio::test]
    async fn an_empty_commit_and_a_missing_one_are_refused() {
        let (mut repo, files) = repo();
        let wrong: [(&[&str], i32); 4] = [
            (&["commit", "x"], 1),
            (&["commit", " "], 2),
            (&["show", "2"], 1),
            (&["show", "0"], 1),
        ];
        for (line, code) in wrong {
            let called = ask(&mut repo, &files, line).await;
            assert_eq!((called.answer.code, called.events.len()), (code, 0), "{line:?}");
        }
    }

    #[tokio::test]
    async fn binary_and_very_long_files_are_not_compared_line_by_line() {
        let (mut repo, files) = repo();
        files.table().insert("/p/bin".to_owned(), vec![0, 1]);
        files.write("/p/long", &"x\n".repeat(MAX_LINES + 1));
        let diff = ask(&mut repo, &files, &["diff"]).await.answer.stdout;
        assert_eq!(diff, "Files /dev/null and b/bin differ\nFiles /dev/null and b/long differ\n");
    }
}
