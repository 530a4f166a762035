//! A list of notes. A number is never used twice.

use std::collections::BTreeMap;

use lapwing_core::{BoxFuture, Checkpoint, Sandbox, SandboxError};
use serde_json::json;

use super::{Called, Noticed, Part, now};

const USAGE: &str = "\
usage: notes list
       notes read N
       notes add TEXT
       notes remove N

Put quotes around TEXT.";

pub(super) struct Notes {
    sandbox: String,
    entries: BTreeMap<usize, String>,
    /// How many notes there ever were.
    total: usize,
}

impl Notes {
    pub(super) fn new(sandbox: String, start: &[String]) -> Self {
        let notes = start.iter().enumerate().map(|(index, note)| (index + 1, note.clone()));
        Self { sandbox, entries: notes.collect(), total: start.len() }
    }

    fn answer(&mut self, arguments: &[String]) -> Called {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["list"] => self.list(),
            ["add", text] if !text.trim().is_empty() => {
                self.total += 1;
                self.entries.insert(self.total, (*text).to_owned());
                Called::said(format!("Added note {}.", self.total))
                    .with(noticed("added", self.total, text))
            }
            ["read", n] => match self.number(n).and_then(|n| self.entries.get_key_value(&n)) {
                Some((n, text)) => Called::said(text).with(noticed("read", *n, text)),
                None => missing(n),
            },
            ["remove", n] => match self.number(n).and_then(|n| self.entries.remove_entry(&n)) {
                Some((n, text)) => {
                    Called::said(format!("Removed note {n}.")).with(noticed("removed", n, &text))
                }
                None => missing(n),
            },
            _ => Called::usage(USAGE, arguments),
        }
    }

    fn list(&self) -> Called {
        if self.entries.is_empty() {
            return Called::said("No notes.");
        }
        let first = |text: &str| text.lines().next().unwrap_or("").chars().take(72).collect();
        let lines = self.entries.iter().map(|(n, text)| {
            let first: String = first(text);
            format!("{n:>3}  {first}\n")
        });
        Called::said(lines.collect::<String>())
    }

    fn number(&self, n: &str) -> Option<usize> {
        n.parse().ok().filter(|n| *n <= self.total)
    }
}

fn noticed(event: &str, n: usize, text: &str) -> Noticed {
    Noticed::new("notes", event, json!({ "n": n, "text": text }))
}

fn missing(n: &str) -> Called {
    Called::failed(format!("notes: there is no note {n}; `notes list` shows them"))
}

impl Part for Notes {
    fn sandbox(&self) -> &str {
        &self.sandbox
    }

    fn commands(&self) -> &[&'static str] {
        &["notes"]
    }

    fn call<'a>(
        &'a mut self,
        call: &'a Checkpoint,
        _: &'a dyn Sandbox,
    ) -> BoxFuture<'a, Result<Called, SandboxError>> {
        now(self.answer(&call.arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{told, words};
    use super::*;

    #[test]
    fn a_removed_number_is_not_given_again() {
        let mut notes = Notes::new("a".to_owned(), &words(&["one\nmore", "two"]));
        let removed = notes.answer(&words(&["remove", "2"]));
        assert_eq!(told(&removed), [r#"removed {"n":2,"text":"two"}"#]);
        let added = notes.answer(&words(&["add", "three"]));
        assert_eq!(told(&added), [r#"added {"n":3,"text":"three"}"#]);
        assert_eq!(notes.answer(&words(&["list"])).answer.stdout, "  1  one\n  3  three\n");
        let read = notes.answer(&words(&["read", "1"]));
        assert_eq!((read.answer.stdout.as_str(), told(&read).len()), ("one\nmore\n", 1));
    }

    #[test]
    fn what_is_not_there_leaves_no_event() {
        let mut notes = Notes::new("a".to_owned(), &[]);
        for (arguments, code) in [(["read", "1"], 1), (["remove", "x"], 1), (["add", " "], 2)] {
            let called = notes.answer(&words(&arguments));
            assert_eq!((called.answer.code, called.events.len()), (code, 0), "{arguments:?}");
        }
        assert_eq!(notes.answer(&words(&["list"])).answer.stdout, "No notes.\n");
    }
}
