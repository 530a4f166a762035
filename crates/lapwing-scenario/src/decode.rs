//! Text that was hidden by an encoding, made readable again.
//!
//! Decoders look for runs that could be encoded inside any bytes, because a note or a command mixes them with plain
//! text. What they find is a *reading*: one more text to search or to hash, never a claim that somebody hid something.

mod gzip;
mod letters;
mod runs;
mod zero_width;

/// The bytes of an input that are looked at.
const MAX_INPUT: usize = 8 << 20;

/// Readings of one input.
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
/// Bounded in time and memory for any input: it looks at the first 8 MiB and stops after 512 readings or 32 MiB of them.
pub fn readings(bytes: &[u8], decoders: &[Decoder]) -> Vec<Reading> {
    let plain = &bytes[..bytes.len().min(MAX_INPUT)];
    let mut found = Readings { plain, all: Vec::new(), left: MAX_OUTPUT };
    found.read(plain, "", decoders);
    for outer in 0..found.all.len() {
        let Reading { encoding, bytes } = found.all[outer].clone();
        found.read(&bytes, &format!("{encoding}+"), decoders);
    }
    found.all
}

struct Readings<'a> {
    plain: &'a [u8],
    all: Vec<Reading>,
    /// Bytes that may still be produced.
    left: usize,
}

impl Readings<'_> {
    fn read(&mut self, bytes: &[u8], prefix: &str, decoders: &[Decoder]) {
        for decoder in decoders {
            for decoded in decoder.decode(bytes, self.left) {
                if self.all.len() == MAX_READINGS || decoded.len() > self.left {
                    return;
                }
                self.left -= decoded.len();
                let is_known = self.all.iter().any(|reading| reading.bytes == decoded);
                if !decoded.is_empty() && !is_known && decoded != self.plain {
                    let encoding = format!("{prefix}{}", decoder.name());
                    self.all.push(Reading { encoding, bytes: decoded });
                }
            }
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
