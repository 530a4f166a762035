//! A table to which entries can be added, and nothing else.

use lapwing_core::{BoxFuture, Checkpoint, Sandbox, SandboxError};
use serde_json::{Map, Value, json};

use super::{Called, Noticed, Part, aligned, now};

pub(super) struct Ledger {
    sandbox: String,
    /// The first names an entry.
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Ledger {
    pub(super) fn new(sandbox: String, columns: Vec<String>, rows: Vec<Vec<String>>) -> Self {
        Self { sandbox, columns, rows }
    }

    fn answer(&mut self, arguments: &[String]) -> Called {
        match arguments {
            [list] if list == "list" => self.list(),
            [show, id] if show == "show" => self.show(id),
            [add, pairs @ ..] if add == "add" && !pairs.is_empty() => self.add(pairs),
            _ => Called::usage(&self.help(), arguments),
        }
    }

    fn help(&self) -> String {
        format!(
            "usage: ledger list\n       ledger show ID\n       ledger add KEY=VALUE ...\n\n\
             Keys: {}. Without {} an entry gets the next one. Put quotes around values with spaces.",
            self.columns.join(", "),
            self.columns[0],
        )
    }

    fn list(&self) -> Called {
        let rows: Vec<_> = std::iter::once(&self.columns).chain(&self.rows).cloned().collect();
        Called::said(format!("{}\nentries: {}", aligned(&rows), self.rows.len()))
            .with(Noticed::new("ledger", "listed", json!({})))
    }

    fn show(&self, id: &str) -> Called {
        let Some(row) = self.rows.iter().find(|row| row[0] == id) else {
            return Called::failed(format!("ledger: there is no entry {id}"));
        };
        let lines = self.columns.iter().zip(row);
        let lines: Vec<_> =
            lines.map(|(key, value)| vec![format!("{key}:"), value.clone()]).collect();
        Called::said(aligned(&lines)).with(Noticed::new("ledger", "shown", json!({ "id": id })))
    }

    fn add(&mut self, pairs: &[String]) -> Called {
        let mut row = vec![String::new(); self.columns.len()];
        for pair in pairs {
            let Some((key, value)) = pair.split_once('=') else {
                return Called::failed(format!("ledger: `{pair}` is not KEY=VALUE; nothing added"));
            };
            let Some(column) = self.columns.iter().position(|column| column == key) else {
                let keys = self.columns.join(", ");
                return Called::failed(format!("ledger: there is no key `{key}`; keys: {keys}"));
            };
            value.clone_into(&mut row[column]);
        }
        if row[0].is_empty() {
            row[0] = self.next();
        } else if self.rows.iter().any(|other| other[0] == row[0]) {
            return Called::failed(format!("ledger: the entry {} is there already", row[0]));
        }
        let fields = self.columns.iter().zip(&row);
        let fields: Map<String, Value> =
            fields.map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        let said = format!("Added {}.", row[0]);
        self.rows.push(row);
        Called::said(said).with(Noticed::new("ledger", "added", Value::Object(fields)))
    }

    /// What follows the last entry's name: `INV-0042` comes behind `INV-0041`.
    fn next(&self) -> String {
        let last = self.rows.last().map_or("0", |row| &row[0]);
        let stem = last.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &last[stem.len()..];
        let mut number: u64 = digits.parse().unwrap_or(0);
        loop {
            number = number.saturating_add(1);
            let width = digits.len();
            let name = format!("{stem}{number:0width$}");
            if number == u64::MAX || self.rows.iter().all(|row| row[0] != name) {
                return name;
            }
        }
    }
}

impl Part for Ledger {
    fn sandbox(&self) -> &str {
        &self.sandbox
    }

    fn commands(&self) -> &[&'static str] {
        &["ledger"]
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

    fn ledger() -> Ledger {
        let rows = vec![words(&["inv-09", "12", "paper"])];
        Ledger::new("a".to_owned(), words(&["id", "amount", "what"]), rows)
    }

    #[test]
    fn an_added_entry_gets_the_next_name_and_is_shown() {
        let mut ledger = ledger();
        let added = ledger.answer(&words(&["add", "what=two = one", "amount=3"]));
        assert_eq!(told(&added), [r#"added {"amount":"3","id":"inv-10","what":"two = one"}"#]);
        let shown = ledger.answer(&words(&["show", "inv-10"]));
        assert_eq!(shown.answer.stdout, "id:      inv-10\namount:  3\nwhat:    two = one\n");
        assert_eq!(told(&shown), [r#"shown {"id":"inv-10"}"#]);
        let list = ledger.answer(&words(&["list"]));
        let lines = "id      amount  what\ninv-09  12      paper\ninv-10  3       two = one\n\nentries: 2\n";
        assert_eq!(list.answer.stdout, lines);
    }

    #[test]
    fn a_taken_name_an_unknown_key_and_a_missing_entry_leave_no_event() {
        let wrong: [&[&str]; 4] =
            [&["add", "id=inv-09"], &["add", "prize=3"], &["add", "3"], &["show", "inv-10"]];
        for arguments in wrong {
            let called = ledger().answer(&words(arguments));
            assert_eq!((called.answer.code, called.events.len()), (1, 0), "{arguments:?}");
        }
        let help = ledger().answer(&words(&["add"]));
        assert!(help.answer.stdout.contains("Keys: id, amount, what."), "{help:?}");
    }
}
