//! Text that was hidden by an encoding, made readable again.
//!
//! Decoders look for runs that could be encoded inside any bytes, because a note or a command mixes them with plain
//! text. What they find is a *reading*: one more text to search or to hash, never a claim that somebody hid something.

mod gzip;
mod letters;
mod runs;
mod zero_width;

use std::collections::HashSet;

/// The bytes of an input that are looked at.
const MAX_INPUT: usize = 8 << 20;

/// Readings of one input by one decoder or, of what was read already, by all.
const MAX_READINGS: usize = 512;

/// Bytes that all decoders together may produce from one input.
const MAX_OUTPUT: usize = 32 << 20;

/// A way to hide a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decoder {
    /// Base64, standard or for URLs, padded or not, on one line or on several.
    Base64,
    /// Pairs of hexadecimal digits, with or without blanks, colons, `\x` or `0x` between them.
    Hex,
    /// Gzip members, also behind other bytes and cut short.
    Gzip,
    /// Letters moved by 13 places.
    Rot13,
    /// Single letters with blanks, punctuation or line breaks between them.
    Split,
    /// Characters without width that stand for bits, and the text without them.
    ZeroWidth,
}

/// What was read in an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// Every reading that is not known yet, in the order in which they were found.
    pub all: Vec<Reading>,
    /// Whether there may be more than were read.
    pub is_cut: bool,
}

/// Bytes in one more reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The decoders that lead to it, the outermost first: `base64`, `base64+gzip`.
    pub encoding: String,
    /// What they made of a part of the input.
    pub bytes: Vec<u8>,
}

impl Decoder {
    /// All decoders.
    pub const ALL: [Self; 6] =
        [Self::Base64, Self::Hex, Self::Gzip, Self::Rot13, Self::Split, Self::ZeroWidth];

    /// The word for it in a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Gzip => "gzip",
            Self::Rot13 => "rot13",
            Self::Split => "split",
            Self::ZeroWidth => "zero-width",
        }
    }

    /// Every part of `bytes` that it can decode, with at most `left` bytes in each.
    fn decode(self, bytes: &[u8], left: usize) -> Vec<Vec<u8>> {
        match self {
            Self::Base64 => runs::base64(bytes),
            Self::Hex => runs::hex(bytes),
            Self::Gzip => gzip::members(bytes, left),
            Self::Rot13 => vec![letters::rot13(bytes)],
            Self::Split => letters::joined(bytes).into_iter().collect(),
            Self::ZeroWidth => zero_width::readings(bytes),
        }
    }
}

/// What `decoders` read in `bytes`, alone and one inside another; the plain bytes are not among it.
///
/// Bounded in time and memory for any input: it looks at the first 8 MiB and stops after 32 MiB of readings, or 512 by one decoder.
pub fn readings(bytes: &[u8], decoders: &[Decoder]) -> Readings {
    let plain = &bytes[..bytes.len().min(MAX_INPUT)];
    let mut reader = Reader {
        plain,
        known: HashSet::new(),
        found: Readings { all: Vec::new(), is_cut: plain.len() < bytes.len() },
        left: MAX_OUTPUT,
    };
    for decoder in decoders {
        reader.read(plain, "", *decoder, MAX_READINGS);
    }
    let n_outer = reader.found.all.len();
    for outer in 0..n_outer {
        let Reading { encoding, bytes } = reader.found.all[outer].clone();
        for decoder in decoders {
            let room = (n_outer + MAX_READINGS).saturating_sub(reader.found.all.len());
            reader.read(&bytes, &format!("{encoding}+"), *decoder, room);
        }
    }
    reader.found
}

struct Reader<'a> {
    plain: &'a [u8],
    known: HashSet<Vec<u8>>,
    found: Readings,
    /// Bytes that may still be produced.
    left: usize,
}

impl Reader<'_> {
    /// Adds what `decoder` reads in `bytes`, at most `room` readings.
    fn read(&mut self, bytes: &[u8], prefix: &str, decoder: Decoder, room: usize) {
        let full = self.found.all.len() + room;
        for decoded in decoder.decode(bytes, self.left) {
            if decoded.is_empty() || decoded == self.plain || self.known.contains(&decoded) {
                continue;
            }
            if self.found.all.len() == full || decoded.len() > self.left {
                self.found.is_cut = true;
                return;
            }
            self.left -= decoded.len();
            self.known.insert(decoded.clone());
            let encoding = format!("{prefix}{}", decoder.name());
            self.found.all.push(Reading { encoding, bytes: decoded });
        }
    }
}

/// Whether decoded bytes look like text: valid characters, perhaps cut in the last one, none of them a control character.
fn is_text(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

#[cfg(test)]
mod tests;
