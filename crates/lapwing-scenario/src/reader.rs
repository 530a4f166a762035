//! Reads TOML tables key by key, so that every mistake has its line, column and dotted key.
//!
//! A function that meets a mistake collects it and returns `None`; the reading goes on with the next key.

use std::cell::RefCell;
use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Diagnostic;
use crate::diagnostic::{Place, Problems, Text, near};

/// A TOML file and where its mistakes go.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    pub(crate) problems: &'a Problems,
}

/// A table that tracks which of its keys were asked for.
pub(crate) struct Table<'a> {
    source: &'a Source<'a>,
    key: String,
    span: Range<usize>,
    entries: &'a DeTable<'a>,
    asked: RefCell<Vec<String>>,
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Item<'a> {
    source: &'a Source<'a>,
    key: String,
    span: Range<usize>,
    value: &'a DeValue<'a>,
}

/// A mistake was met and collected.
pub(crate) struct Reported;

/// Parses the TOML text of `source`.
pub(crate) fn parse<'a>(source: &Source<'a>) -> Option<Spanned<DeTable<'a>>> {
    let parsed = DeTable::parse(source.text).map_err(|error| {
        let place = source.place(error.span().unwrap_or(0..0), String::new());
        place.diagnostic(error.message().replace('\n', ", "))
    });
    source.problems.keep(parsed)
}

#[cfg(test)]
thread_local! {
    /// Keys of `scenario.toml` that were asked for, each with its table; `*` for all of them.
    static RECORD: RefCell<Vec<(String, String)>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
fn record(source: &Source<'_>, table: &str, key: &str) {
    if source.file == "scenario.toml" {
        RECORD.with_borrow_mut(|keys| keys.push((table.to_owned(), key.to_owned())));
    }
}

/// The keys that `read` asks for.
#[cfg(test)]
pub(crate) fn recorded(read: impl FnOnce()) -> Vec<(String, String)> {
    RECORD.take();
    read();
    RECORD.take()
}

impl Source<'_> {
    fn place(&self, span: Range<usize>, key: String) -> Place {
        let (line, column) = self.line_and_column(span.start);
        Place { file: self.file.to_owned(), line, column, key }
    }

    fn line_and_column(&self, offset: usize) -> (u32, u32) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let column = before.rsplit('\n').next().unwrap_or("").chars().count();
        (before.matches('\n').count() as u32 + 1, column as u32 + 1)
    }
}

impl<'a> Table<'a> {
    pub(crate) fn root(source: &'a Source<'a>, parsed: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            source,
            key: String::new(),
            span: 0..0,
            entries: parsed.get_ref(),
            asked: RefCell::default(),
        }
    }

    /// The value of `key`, if it is there.
    pub(crate) fn get(&self, key: &str) -> Option<Item<'a>> {
        #[cfg(test)]
        record(self.source, &self.key, key);
        self.asked.borrow_mut().push(key.to_owned());
        let (name, value) = self.entries.get_key_value(key)?;
        Some(self.item(name, value))
    }

    /// The value of `key`; a mistake if it is missing.
    pub(crate) fn need(&self, key: &str, example: &str) -> Option<Item<'a>> {
        let item = self.get(key);
        if item.is_none() {
            let missing = self.place().diagnostic(format!("`{key}` is missing"));
            self.source.problems.push(missing.help(format!("add `{key} = {example}`")));
        }
        item
    }

    /// What `read` makes of the value of `key`, if it is there.
    pub(crate) fn optional<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> Result<Option<T>, Reported> {
        self.get(key).map(|item| read(&item).ok_or(Reported)).transpose()
    }

    /// The table at `key`, entry by entry in the order of the file; empty if it is not there.
    pub(crate) fn named(&self, key: &str) -> Vec<(Text, Item<'a>)> {
        self.get(key).and_then(|item| item.table()).map_or_else(Vec::new, |table| table.all())
    }

    /// All entries in the order of the file.
    pub(crate) fn all(&self) -> Vec<(Text, Item<'a>)> {
        #[cfg(test)]
        record(self.source, &self.key, "*");
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let named = entries.into_iter().map(|(name, value)| {
            let item = self.item(name, value);
            self.asked.borrow_mut().push(name.get_ref().to_string());
            let place = self.source.place(name.span(), item.key.clone());
            let start = (place.line, place.column);
            (Text { value: name.get_ref().to_string(), place, start }, item)
        });
        named.collect()
    }

    /// Reports every key that was not asked for.
    pub(crate) fn report_unknown(&self) {
        let asked = self.asked.borrow();
        for name in
            self.entries.keys().filter(|name| !asked.iter().any(|key| key == name.get_ref()))
        {
            let place = self.source.place(name.span(), self.dotted(name.get_ref()));
            let help = near(name.get_ref(), asked.iter().map(String::as_str));
            self.source.problems.push(place.diagnostic("unknown key").help(help));
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.source.place(self.span.clone(), self.key.clone())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn item(
        &self,
        name: &Spanned<std::borrow::Cow<'a, str>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Item<'a> {
        Item {
            source: self.source,
            key: self.dotted(name.get_ref()),
            span: value.span(),
            value: value.get_ref(),
        }
    }

    fn dotted(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }
}

impl<'a> Item<'a> {
    /// A text.
    pub(crate) fn text(&self) -> Option<Text> {
        match self.value {
            DeValue::String(text) => Some(Text {
                value: text.to_string(),
                place: self.place(),
                start: self.source.line_and_column(self.content_offset(text)),
            }),
            _ => self.expected("a text in quotes"),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.expected("`true` or `false`"),
        }
    }

    /// A whole number from `least`.
    pub(crate) fn count(&self, least: u64) -> Option<u64> {
        let number = match self.value {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        match number.filter(|number| *number >= least) {
            Some(number) => Some(number),
            None => self.expected(&format!("a whole number from {least}")),
        }
    }

    /// A number.
    pub(crate) fn number(&self) -> Option<f64> {
        let number = match self.value {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.or_else(|| self.expected("a number"))
    }

    /// A list.
    pub(crate) fn list(&self) -> Option<Vec<Item<'a>>> {
        let DeValue::Array(array) = self.value else { return self.expected("a list") };
        let items = array.iter().enumerate().map(|(index, value)| Item {
            source: self.source,
            key: format!("{}[{index}]", self.key),
            span: value.span(),
            value: value.get_ref(),
        });
        Some(items.collect())
    }

    /// A list of texts. A text alone is a list of one.
    pub(crate) fn texts(&self) -> Option<Vec<Text>> {
        match self.value {
            DeValue::String(_) => self.text().map(|text| vec![text]),
            DeValue::Array(_) => self.list()?.iter().map(Self::text).collect(),
            _ => self.expected("a text or a list of texts"),
        }
    }

    /// A table.
    pub(crate) fn table(&self) -> Option<Table<'a>> {
        let DeValue::Table(entries) = self.value else { return self.expected("a table") };
        Some(Table {
            source: self.source,
            key: self.key.clone(),
            span: self.span.clone(),
            entries,
            asked: RefCell::default(),
        })
    }

    /// The entries of a list, without a complaint about anything else.
    pub(crate) fn entries(&self) -> Vec<Item<'a>> {
        if self.is_list() { self.list().unwrap_or_default() } else { Vec::new() }
    }

    /// The keys of a table, without a complaint about anything else.
    pub(crate) fn keys(&self) -> Vec<String> {
        let DeValue::Table(table) = self.value else { return Vec::new() };
        table.keys().map(|key| key.get_ref().to_string()).collect()
    }

    /// The text at `key` of a table, without a complaint about anything else.
    pub(crate) fn peek(&self, key: &str) -> Option<String> {
        let DeValue::Table(table) = self.value else { return None };
        match table.get(key)?.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    /// A number or a switch.
    pub(crate) fn scalar(&self) -> Option<Value> {
        let value = match self.value {
            DeValue::Boolean(value) => Some(Value::from(*value)),
            DeValue::Integer(number) => number.as_str().parse::<i64>().ok().map(Value::from),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok().map(Value::from),
            _ => None,
        };
        value.or_else(|| self.expected("a text, a number, `true` or `false`"))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub(crate) fn place(&self) -> Place {
        self.source.place(self.span.clone(), self.key.clone())
    }

    /// Collects a mistake about this value.
    pub(crate) fn fail(&self, problem: impl FnOnce(Place) -> Diagnostic) {
        self.source.problems.push(problem(self.place()));
    }

    fn expected<T>(&self, what: &str) -> Option<T> {
        let got = match self.value {
            DeValue::String(_) => "a text".to_owned(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.fail(|place| place.diagnostic(format!("expected {what}, got {got}")));
        None
    }

    /// Where the characters of a text begin: behind its quotes, or at its start if it is written with escapes.
    fn content_offset(&self, text: &str) -> usize {
        let raw = self.source.text.get(self.span.clone()).unwrap_or("");
        self.span.start + raw.find(text).unwrap_or(1)
    }
}
