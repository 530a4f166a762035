//! Base64 and hexadecimal runs inside other text.
//!
//! Nearly every long word could be base64. So a run is kept only if it decodes to text, or is too long to be a word.

use super::{gzip, is_text};

/// The shortest base64 run, which is a text of five bytes.
const MIN_BASE64: usize = 7;

/// The fewest bytes of a text in a run.
const MIN_TEXT: usize = 4;

/// Bytes from which on a run is kept though it is not text.
const MIN_BINARY: usize = 64;

/// Parts of a path that may stand before a run.
const MAX_PARTS: usize = 8;

/// A line of at least this many letters of a run goes on in the next line.
const MIN_WRAPPED: usize = 16;

/// Whether bytes that are no text are worth keeping.
fn is_binary(bytes: &[u8]) -> bool {
    bytes.len() >= MIN_BINARY || bytes.starts_with(&gzip::MAGIC)
}

/// What the base64 runs in `bytes` decode to.
pub(super) fn base64(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|byte| base64_value(*byte).is_some()) {
        let starts_line = start == 0 || rest[start - 1] == b'\n';
        let (lines, length) = base64_run(&rest[start..], starts_line);
        decoded.extend(base64_of(&lines));
        rest = &rest[start + length..];
    }
    decoded
}

/// The values of the run at the start of `bytes`, line by line, and its length. It goes on over a line break if its line
/// holds nothing else and is long.
fn base64_run(bytes: &[u8], starts_line: bool) -> (Vec<Vec<u8>>, usize) {
    let (mut lines, mut at) = (Vec::new(), 0);
    loop {
        let line: Vec<u8> = bytes[at..].iter().map_while(|byte| base64_value(*byte)).collect();
        let is_long = line.len() >= MIN_WRAPPED;
        at += line.len();
        lines.push(line);
        let line_break =
            [b"\r\n".as_slice(), b"\n"].into_iter().find(|end| bytes[at..].starts_with(end));
        let next =
            line_break.map(|line_break| at + line_break.len()).filter(|_| is_long && starts_line);
        let goes_on =
            |next: &usize| bytes.get(*next).is_some_and(|next| base64_value(*next).is_some());
        let Some(next) = next.filter(goes_on) else { return (lines, at) };
        at = next;
    }
}

/// The lines as one text, perhaps but for the last, which may be a word of what follows; else each line that is a text
/// alone; else all as binary data.
fn base64_of(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let shorter = lines.len().saturating_sub(1).max(1);
    let joined = [lines.len(), shorter].map(|n| lines[..n].concat());
    if let Some(text) = joined.iter().find_map(|values| base64_text(values)) {
        return vec![text];
    }
    let texts: Vec<Vec<u8>> = lines.iter().filter_map(|line| base64_text(line)).collect();
    if !texts.is_empty() {
        return texts;
    }
    joined
        .first()
        .map(|values| packed(values))
        .filter(|decoded| is_binary(decoded))
        .into_iter()
        .collect()
}

/// The text from the first place at which it is one. The start of a run may belong to what is before it: letters of a
/// word, which shift it by one to three places, or a path, whose parts end where base64 has its two special letters.
fn base64_text(values: &[u8]) -> Option<Vec<u8>> {
    if values.len() < MIN_BASE64 {
        return None;
    }
    let is_special = |(_, value): &(usize, &u8)| **value >= 62;
    let parts = values.iter().enumerate().filter(is_special).map(|(place, _)| place + 1);
    let mut starts = (0..4).chain(parts.take(MAX_PARTS));
    starts.find_map(|start| {
        let decoded = packed(values.get(start..).unwrap_or_default());
        (decoded.len() >= MIN_TEXT && is_text(&decoded)).then_some(decoded)
    })
}

/// Six bits a value, the highest first.
fn packed(values: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * 3 / 4);
    let (mut bits, mut n_bits) = (0_u32, 0);
    for value in values {
        bits = bits << 6 | u32::from(*value);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((bits >> n_bits) as u8);
        }
    }
    bytes
}

fn base64_value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// What the hexadecimal runs in `bytes` decode to.
pub(super) fn hex(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (run, end) = hex_run(bytes, at);
        let is_kept = run.len() >= MIN_TEXT && is_text(&run) || is_binary(&run);
        if is_kept {
            decoded.push(run);
            at = end;
        } else {
            at = past_digits(bytes, at);
        }
    }
    decoded
}

/// The pairs from `start` on, and where they end.
fn hex_run(bytes: &[u8], start: usize) -> (Vec<u8>, usize) {
    let mut run = Vec::new();
    let mut at = start;
    loop {
        let next = if run.is_empty() { at } else { past_separator(bytes, at) };
        let next = past_prefix(bytes, next);
        let digits = (
            bytes.get(next).copied().and_then(digit),
            bytes.get(next + 1).copied().and_then(digit),
        );
        let (Some(high), Some(low)) = digits else { return (run, at) };
        run.push(high << 4 | low);
        at = next + 2;
    }
}

/// Past the digits at `at`, or past one byte that is none.
fn past_digits(bytes: &[u8], at: usize) -> usize {
    let digits = bytes[at..].iter().take_while(|byte| digit(**byte).is_some()).count();
    at + digits.max(1)
}

fn past_separator(bytes: &[u8], at: usize) -> usize {
    let is_separator =
        |byte: &&u8| matches!(byte, b' ' | b':' | b',' | b'-' | b'\t' | b'\r' | b'\n');
    at + bytes[at..].iter().take(3).take_while(is_separator).count()
}

fn past_prefix(bytes: &[u8], at: usize) -> usize {
    let has_prefix = |prefix: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(prefix));
    if has_prefix(b"\\x") || has_prefix(b"0x") { at + 2 } else { at }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
