//! Characters that show nothing.

use super::is_text;

/// Characters without width that are used for bits.
const SYMBOLS: [char; 5] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];

/// Tag characters: invisible twins of ASCII, `\u{e0020}` for the blank and so on.
const TAGS: std::ops::RangeInclusive<char> = '\u{e0001}'..='\u{e007f}';

/// The text without them, what their bits spell for every choice of zero and one, and what tags spell.
pub(super) fn readings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let is_hidden = |c: char| SYMBOLS.contains(&c) || TAGS.contains(&c);
    let hidden: Vec<char> = text.chars().filter(|c| is_hidden(*c)).collect();
    if hidden.is_empty() {
        return Vec::new();
    }
    let mut readings = vec![text.replace(is_hidden, "").into_bytes()];
    let tags = hidden.iter().filter(|c| TAGS.contains(c));
    readings.push(tags.map(|tag| (u32::from(*tag) & 0x7f) as u8).collect());
    for zero in SYMBOLS {
        for one in SYMBOLS.into_iter().filter(|one| *one != zero) {
            let bits = hidden.iter().filter(|c| **c == zero || **c == one).map(|c| *c == one);
            readings.extend(Some(of_bits(bits)).filter(|decoded| is_text(decoded)));
        }
    }
    readings
}

/// Eight bits a byte, the highest first; what is left over at the end is dropped.
fn of_bits(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let bits: Vec<bool> = bits.collect();
    let bytes = bits.chunks_exact(8);
    bytes.map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect()
}
