//! The conversations of a sample, and the texts that stand in it once.

use std::io;

use lapwing_core::Digest;
use serde_json::Value;

use crate::spill::{Keyed, Spill};

/// Characters of a text that stands in an event itself; longer ones are attachments.
const SHORT: usize = 100;
const ATTACHMENT: &str = "attachment://";
/// As old logs wrote it.
const OLD_ATTACHMENT: &str = "tc://";

/// Texts that are written once, at the end of the sample, and named by key where they stand.
pub(crate) struct Texts(Keyed<Digest>);

impl Texts {
    pub(crate) fn new() -> io::Result<Self> {
        Keyed::new().map(Self)
    }

    /// Puts a key for every long text in `value`. So does a short text that reads like a key: a model could write one.
    pub(crate) fn shorten(&mut self, value: &mut Value) -> io::Result<()> {
        match value {
            Value::String(text) => {
                let is_like_key = text.starts_with(ATTACHMENT) || text.starts_with(OLD_ATTACHMENT);
                if is_like_key || (text.len() > SHORT && text.chars().count() > SHORT) {
                    *text = self.keep(text)?;
                }
                Ok(())
            }
            Value::Array(values) => values.iter_mut().try_for_each(|value| self.shorten(value)),
            Value::Object(fields) => fields.values_mut().try_for_each(|value| self.shorten(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    /// Keeps a text and returns what stands for it.
    pub(crate) fn keep(&mut self, text: &str) -> io::Result<String> {
        let digest = Digest::of(text.as_bytes());
        self.0.keep(digest, text.as_bytes())?;
        Ok(format!("{ATTACHMENT}{}", key(digest)))
    }

    /// Shows every text with its key.
    pub(crate) fn each(
        &mut self,
        mut show: impl FnMut(&str, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        let pieces = self.0.pieces();
        for number in 0..pieces.len() {
            let bytes = pieces.get(number)?.unwrap_or_default();
            let text = String::from_utf8(bytes).map_err(io::Error::other)?;
            show(&key(Digest::of(text.as_bytes())), &text)?;
        }
        Ok(())
    }
}

/// 32 hexadecimal digits, as many as a key of Inspect's own has.
fn key(digest: Digest) -> String {
    digest.to_string()[..32].to_owned()
}

/// Every message of a sample once, and which of them a model sees now.
pub(crate) struct Conversation {
    /// As they stand among the messages of the sample.
    whole: Spill,
    /// As they stand in the pool that events point to.
    pool: Spill,
    /// Numbers in the pool.
    current: Vec<usize>,
}

impl Conversation {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { whole: Spill::new()?, pool: Spill::new()?, current: Vec::new() })
    }

    /// A fresh conversation begins; what was said before stays a part of the sample.
    pub(crate) fn clear(&mut self) {
        self.current.clear();
    }

    pub(crate) fn push(&mut self, message: &Value, texts: &mut Texts) -> io::Result<()> {
        self.whole.push(message.to_string().as_bytes())?;
        let number = self.pooled(message.clone(), texts)?;
        self.current.push(number);
        Ok(())
    }

    /// Adds a message that belongs to another conversation than the sample's, and returns its number in the pool.
    pub(crate) fn pooled(&mut self, mut message: Value, texts: &mut Texts) -> io::Result<usize> {
        texts.shorten(&mut message["content"])?;
        self.pool.push(message.to_string().as_bytes())
    }

    /// What the model sees now, as ranges of the pool.
    pub(crate) fn refs(&self) -> Vec<(usize, usize)> {
        ranges(self.current.iter().copied())
    }

    /// The messages of the sample, as JSON.
    pub(crate) fn whole(&mut self) -> &mut Spill {
        &mut self.whole
    }

    /// The pool, as JSON.
    pub(crate) fn pool(&mut self) -> &mut Spill {
        &mut self.pool
    }
}

/// Numbers as ranges, each with its first and the one behind its last.
pub(crate) fn ranges(numbers: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, end)) if *end == number => *end += 1,
            Some(_) | None => ranges.push((number, number + 1)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_in_a_row_are_one_range() {
        assert_eq!(ranges([0, 1, 2, 5, 5, 6].into_iter()), [(0, 3), (5, 6), (5, 7)]);
        assert_eq!(ranges(std::iter::empty()), []);
    }

    #[test]
    fn long_texts_and_what_reads_like_a_key_are_kept_apart() {
        let mut texts = Texts::new().unwrap();
        let (long, wide) = ("x".repeat(101), "ü".repeat(100));
        let mut value =
            json!({ "a": ["short", long], "b": wide, "c": "attachment://0", "d": "tc://1" });
        texts.shorten(&mut value).unwrap();
        let key = |text: &str| format!("attachment://{}", key(Digest::of(text.as_bytes())));
        let expected = json!({
            "a": ["short", key(&long)], "b": wide, "c": key("attachment://0"), "d": key("tc://1"),
        });
        assert_eq!(value, expected);
        let mut kept = Vec::new();
        texts
            .each(|_, text| {
                kept.push(text.to_owned());
                Ok(())
            })
            .unwrap();
        assert_eq!(kept, [long, "attachment://0".to_owned(), "tc://1".to_owned()]);
    }
}
