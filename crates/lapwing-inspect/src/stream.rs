//! Writes one JSON document piece by piece.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// A document under way. Who writes it opens and closes what it is made of, in order.
pub(crate) struct Stream<'a> {
    out: &'a mut dyn Write,
    /// Whether something stands already in each of the open arrays and objects.
    filled: Vec<bool>,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, filled: Vec::new() }
    }

    /// Opens an object: the document itself, or an element of the open array.
    pub(crate) fn object(&mut self) -> io::Result<()> {
        self.separate()?;
        self.open(b"{")
    }

    /// Opens an object under a key of the open object.
    pub(crate) fn object_at(&mut self, key: &str) -> io::Result<()> {
        self.key(key)?;
        self.open(b"{")
    }

    /// Opens an array under a key of the open object.
    pub(crate) fn array_at(&mut self, key: &str) -> io::Result<()> {
        self.key(key)?;
        self.open(b"[")
    }

    pub(crate) fn end_object(&mut self) -> io::Result<()> {
        self.filled.pop();
        self.out.write_all(b"}")
    }

    pub(crate) fn end_array(&mut self) -> io::Result<()> {
        self.filled.pop();
        self.out.write_all(b"]")
    }

    /// A value under a key.
    pub(crate) fn field(&mut self, key: &str, value: &impl Serialize) -> io::Result<()> {
        self.key(key)?;
        Ok(serde_json::to_writer(&mut *self.out, value)?)
    }

    /// A value under a key, its numbers as of [`write_bare`].
    pub(crate) fn bare_field(&mut self, key: &str, value: &impl Serialize) -> io::Result<()> {
        self.key(key)?;
        write_bare(&mut *self.out, value)
    }

    /// An element of the open array.
    pub(crate) fn element(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.separate()?;
        Ok(serde_json::to_writer(&mut *self.out, value)?)
    }

    /// An element of the open array, its numbers as of [`write_bare`].
    pub(crate) fn bare_element(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.separate()?;
        write_bare(&mut *self.out, value)
    }

    /// An element of the open array that is JSON already.
    pub(crate) fn raw_element(&mut self, json: &[u8]) -> io::Result<()> {
        self.separate()?;
        self.out.write_all(json)
    }

    fn key(&mut self, key: &str) -> io::Result<()> {
        self.separate()?;
        serde_json::to_writer(&mut *self.out, key)?;
        self.out.write_all(b":")
    }

    fn open(&mut self, bracket: &[u8]) -> io::Result<()> {
        self.filled.push(false);
        self.out.write_all(bracket)
    }

    fn separate(&mut self) -> io::Result<()> {
        match self.filled.last_mut() {
            Some(filled) if *filled => self.out.write_all(b","),
            Some(filled) => {
                *filled = true;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Writes a value in which every missing number is a bare `NaN`, as Inspect writes what is not scored. Nothing in it may be null.
pub(crate) fn write_bare(out: impl Write, value: &impl Serialize) -> io::Result<()> {
    struct Bare(CompactFormatter);
    impl Formatter for Bare {
        fn write_null<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
            out.write_all(b"NaN")
        }
    }
    Ok(value.serialize(&mut Serializer::with_formatter(out, Bare(CompactFormatter)))?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pieces_become_one_document() {
        let mut out = Vec::new();
        let mut stream = Stream::new(&mut out);
        stream.object().unwrap();
        stream.field("a", &json!({ "b": null })).unwrap();
        stream.array_at("list").unwrap();
        stream.element(&1).unwrap();
        stream.raw_element(b"[2]").unwrap();
        stream.bare_element(&vec![0.5, f64::NAN]).unwrap();
        stream.end_array().unwrap();
        stream.object_at("none").unwrap();
        stream.end_object().unwrap();
        stream.end_object().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, r#"{"a":{"b":null},"list":[1,[2],[0.5,NaN]],"none":{}}"#);
    }
}
