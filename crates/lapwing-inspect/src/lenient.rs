//! JSON as Inspect writes it, made into JSON as the standard has it, while it is read.
//!
//! | in a log | becomes |
//! |---|---|
//! | bare `NaN`, `Infinity`, `-Infinity` | a text of that name |
//! | an integer that fits no 64 bits, a float that is not finite | a text of its digits |
//! | half of a surrogate pair | U+FFFD |
//! | what is nested deeper than [`MAX_DEPTH`] | a text of its JSON |

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// Levels of nesting that are kept as JSON. Inspect itself refuses what is deeper than about 250.
const MAX_DEPTH: u32 = 256;
/// The longest number or word.
const MAX_WORD: usize = 1 << 16;
/// Bytes of one value, which is the most that is in memory at once.
const MAX_VALUE: u64 = 256 << 20;

/// Counts the bytes of the value that is being read. Who reads says where one ends and the next begins.
#[derive(Clone, Default)]
pub(crate) struct Meter(Rc<Cell<u64>>);

impl Meter {
    /// The next value begins.
    pub(crate) fn reset(&self) {
        self.0.set(0);
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        self.0.set(self.0.get() + bytes as u64);
        if self.0.get() > MAX_VALUE {
            return Err(invalid(&format!("a value has more than {} MiB", MAX_VALUE >> 20)));
        }
        Ok(())
    }
}

/// A reader of standard JSON over one of JSON as Python writes it.
pub(crate) struct Lenient<R> {
    inner: R,
    out: Vec<u8>,
    at: usize,
    state: State,
    word: Vec<u8>,
    /// The first half of a surrogate pair, if it was just read.
    high: Option<u16>,
    depth: u32,
    meter: Meter,
}

enum State {
    Between,
    Word,
    Text,
    Escape,
    Unicode(String),
}

impl<R: BufRead> Lenient<R> {
    pub(crate) fn new(inner: R, meter: Meter) -> Self {
        Self {
            inner,
            out: Vec::new(),
            at: 0,
            state: State::Between,
            word: Vec::new(),
            high: None,
            depth: 0,
            meter,
        }
    }

    fn is_text_of_json(&self) -> bool {
        self.depth > MAX_DEPTH
    }

    /// Writes one byte of JSON, or of JSON in a text.
    fn put(&mut self, byte: u8) {
        if self.is_text_of_json() {
            match byte {
                b'"' | b'\\' => self.out.extend([b'\\', byte]),
                0..0x20 => {}
                _ => self.out.push(byte),
            }
        } else {
            self.out.push(byte);
        }
    }

    fn put_all(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.put(*byte);
        }
    }

    fn step(&mut self, byte: u8) -> io::Result<()> {
        match &mut self.state {
            State::Between => self.between(byte),
            State::Word if byte.is_ascii_alphanumeric() || b"+-.".contains(&byte) => {
                if self.word.len() >= MAX_WORD {
                    return Err(invalid("a number or word is too long"));
                }
                self.word.push(byte);
                Ok(())
            }
            State::Word => {
                self.end_word();
                self.state = State::Between;
                self.between(byte)
            }
            State::Text => {
                if byte == b'\\' {
                    self.state = State::Escape;
                    return Ok(());
                }
                self.end_half();
                if byte == b'"' {
                    self.state = State::Between;
                }
                self.put(byte);
                Ok(())
            }
            State::Escape if byte == b'u' => {
                self.state = State::Unicode(String::new());
                Ok(())
            }
            State::Escape => {
                self.end_half();
                self.state = State::Text;
                self.put_all(&[b'\\', byte]);
                Ok(())
            }
            State::Unicode(digits) => {
                digits.push(char::from(byte));
                if digits.len() == 4 {
                    let code = u16::from_str_radix(digits, 16)
                        .map_err(|_| invalid("a broken escape in a text"))?;
                    self.state = State::Text;
                    self.unicode(code);
                }
                Ok(())
            }
        }
    }

    fn between(&mut self, byte: u8) -> io::Result<()> {
        match byte {
            b'"' => {
                self.state = State::Text;
                self.put(byte);
            }
            b'{' | b'[' => {
                if self.depth == MAX_DEPTH {
                    self.out.push(b'"');
                }
                self.depth += 1;
                self.put(byte);
            }
            b'}' | b']' => {
                self.put(byte);
                self.depth = self.depth.checked_sub(1).ok_or_else(|| invalid("a stray bracket"))?;
                if self.depth == MAX_DEPTH {
                    self.out.push(b'"');
                }
            }
            _ if byte.is_ascii_alphanumeric() || byte == b'-' => {
                self.state = State::Word;
                self.word.clear();
                self.word.push(byte);
            }
            _ => self.put(byte),
        }
        Ok(())
    }

    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        if is_standard(&word) {
            self.put_all(&word);
        } else {
            self.put(b'"');
            self.put_all(&word);
            self.put(b'"');
        }
        self.word = word;
    }

    fn unicode(&mut self, code: u16) {
        match (self.high.take(), code) {
            (Some(high), 0xDC00..=0xDFFF) => {
                self.put_all(format!("\\u{high:04x}\\u{code:04x}").as_bytes());
            }
            (lone, code) => {
                if lone.is_some() {
                    self.put_all(b"\\ufffd");
                }
                match code {
                    0xD800..=0xDBFF => self.high = Some(code),
                    0xDC00..=0xDFFF => self.put_all(b"\\ufffd"),
                    _ => self.put_all(format!("\\u{code:04x}").as_bytes()),
                }
            }
        }
    }

    /// How many bytes of a text come next that stay what they are.
    fn plain(&self, rest: &[u8]) -> usize {
        if !matches!(self.state, State::Text) || self.high.is_some() || self.is_text_of_json() {
            return 0;
        }
        let ends = |byte: &u8| *byte == b'"' || *byte == b'\\';
        rest.iter().position(ends).unwrap_or(rest.len())
    }

    fn end_half(&mut self) {
        if self.high.take().is_some() {
            self.put_all(b"\\ufffd");
        }
    }

    /// Reads on until there is something to give away, or nothing more to read.
    fn fill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.at = 0;
        while self.out.is_empty() {
            let chunk = self.inner.fill_buf()?;
            if chunk.is_empty() {
                if let State::Word = self.state {
                    self.end_word();
                    self.state = State::Between;
                }
                return Ok(());
            }
            let chunk = chunk.to_vec();
            self.inner.consume(chunk.len());
            self.meter.count(chunk.len())?;
            let mut rest = chunk.as_slice();
            while let Some((first, after)) = rest.split_first() {
                let plain = self.plain(rest);
                if plain > 0 {
                    self.out.extend(&rest[..plain]);
                    rest = &rest[plain..];
                } else {
                    self.step(*first)?;
                    rest = after;
                }
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Lenient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.out.len() {
            self.fill()?;
        }
        let taken = buffer.len().min(self.out.len() - self.at);
        buffer[..taken].copy_from_slice(&self.out[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

/// Whether a JSON parser takes the word as it stands. What is no number at all is left to it to refuse.
fn is_standard(word: &[u8]) -> bool {
    let Ok(word) = std::str::from_utf8(word) else { return true };
    let digits = word.strip_prefix('-').unwrap_or(word);
    if ["NaN", "Infinity"].contains(&digits) {
        return false;
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return true;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return word.parse::<i64>().is_ok() || word.parse::<u64>().is_ok();
    }
    word.parse::<f64>().map_or(true, f64::is_finite)
}

fn invalid(cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn standard(text: &str) -> String {
        // A buffer of one byte splits every word and escape.
        let mut read = String::new();
        Lenient::new(io::BufReader::with_capacity(1, text.as_bytes()), Meter::default())
            .read_to_string(&mut read)
            .unwrap();
        read
    }

    #[test]
    fn what_no_standard_parser_takes_becomes_text() {
        let rows = [
            ("[NaN,Infinity,-Infinity]", r#"["NaN","Infinity","-Infinity"]"#),
            ("{\"a\": NaN}", "{\"a\": \"NaN\"}"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551616", "\"18446744073709551616\""),
            ("[1e309, -1e999, 1e30]", "[\"1e309\", \"-1e999\", 1e30]"),
            ("[true,false,null]", "[true,false,null]"),
            (r#""NaN \" Infinity""#, r#""NaN \" Infinity""#),
        ];
        for (given, expected) in rows {
            assert_eq!(standard(given), expected);
        }
    }

    #[test]
    fn halves_of_surrogate_pairs_become_the_replacement_character() {
        let rows = [
            (r#""\ud83d\ude00""#, "\u{1f600}"),
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00b""#, "\u{fffd}b"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ud83d\n\u00e9""#, "\u{fffd}\n\u{e9}"),
        ];
        for (given, expected) in rows {
            let read: String = serde_json::from_str(&standard(given)).unwrap();
            assert_eq!(read, expected, "{given}");
        }
    }

    #[test]
    fn what_is_nested_too_deeply_becomes_a_text_of_its_json() {
        let depth = MAX_DEPTH as usize + 3;
        let deep = format!("{}\"a\\\"b\"{}", "[".repeat(depth), "]".repeat(depth));
        let standard = standard(&deep);
        let mut parser = serde_json::Deserializer::from_str(&standard);
        parser.disable_recursion_limit();
        let mut value: Value = serde::Deserialize::deserialize(&mut parser).unwrap();
        for _ in 0..MAX_DEPTH {
            value = value.as_array_mut().unwrap().remove(0);
        }
        assert_eq!(value, Value::from(r#"[[["a\"b"]]]"#));
    }

    #[test]
    fn one_value_may_not_fill_the_memory() {
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'x');
                Ok(buffer.len())
            }
        }
        let open = io::BufReader::with_capacity(1 << 16, b"{\"a\": {\"b\": {\"".chain(Endless));
        let read = io::copy(&mut Lenient::new(open, Meter::default()), &mut io::sink());
        assert!(read.unwrap_err().to_string().contains("256 MiB"));
    }

    proptest! {
        #[test]
        fn standard_json_stays_what_it_is(texts in prop::collection::vec("\\PC{0,20}", 0..6), number in any::<f64>(), count in any::<i64>()) {
            let value = serde_json::json!({ "texts": texts, "number": number, "count": count });
            let read: Value = serde_json::from_str(&standard(&value.to_string())).unwrap();
            prop_assert_eq!(read, value);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut read = Vec::new();
            let _ = Lenient::new(bytes.as_slice(), Meter::default()).read_to_end(&mut read);
        }
    }
}
