//! Letters that were moved or spread.

/// Fewer single letters in a row are initials or a formula.
const MIN_LETTERS: usize = 4;

/// A wider gap ends a row of single letters.
const MAX_GAP: usize = 4;

/// Each ASCII letter moved by 13 places.
pub(super) fn rot13(bytes: &[u8]) -> Vec<u8> {
    let moved = bytes.iter().map(|byte| match byte {
        b'a'..=b'm' | b'A'..=b'M' => byte + 13,
        b'n'..=b'z' | b'N'..=b'Z' => byte - 13,
        _ => *byte,
    });
    moved.collect()
}

/// Rows of single letters and digits, one a line, each with a blank where the gap is wider and then without blanks.
/// `None` if there is no row.
pub(super) fn joined(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> = Vec::new();
    let mut row: Vec<(usize, char)> = Vec::new();
    let mut gap = 0;
    let mut word = String::new();
    for character in text.chars().chain(std::iter::once(' ')) {
        if character.is_alphanumeric() {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            let mut letters = word.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) if row.is_empty() || gap <= MAX_GAP => row.push((gap, letter)),
                (Some(letter), None) => {
                    end(&mut row, &mut lines);
                    row.push((gap, letter));
                }
                _ => end(&mut row, &mut lines),
            }
            word.clear();
            gap = 0;
        }
        gap += 1;
    }
    end(&mut row, &mut lines);
    (!lines.is_empty()).then(|| lines.join("\n").into_bytes())
}

fn end(row: &mut Vec<(usize, char)>, lines: &mut Vec<String>) {
    let row = std::mem::take(row);
    if row.len() < MIN_LETTERS {
        return;
    }
    let usual = row.iter().skip(1).map(|(gap, _)| *gap).min().unwrap_or_default();
    let mut spaced = String::new();
    for (index, (gap, letter)) in row.iter().enumerate() {
        if index > 0 && *gap > usual {
            spaced.push(' ');
        }
        spaced.push(*letter);
    }
    let close: String = row.iter().map(|(_, letter)| letter).collect();
    let differs = spaced != close;
    lines.push(spaced);
    if differs {
        lines.push(close);
    }
}
