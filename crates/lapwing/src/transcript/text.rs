//! Hostile text made harmless: what reaches the terminal can neither move its cursor nor hide anything.

use anstyle::Style;
use unicode_width::UnicodeWidthChar as _;

use super::style;

/// Columns between tab stops.
const TAB: usize = 4;
/// Most combining marks on one character; more of them spill over the lines around.
const MOST_MARKS: usize = 3;

/// A character that is safe to print.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) character: char,
    /// Columns that it takes: 0, 1 or 2.
    pub(super) columns: usize,
    pub(super) style: Style,
}

/// The lines of `text`, line feeds taken as line ends; a last line without text is left out.
pub(super) fn lines(text: &str, style: Style) -> Vec<Vec<Cell>> {
    // `str::lines` would swallow carriage returns.
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').map(|line| inline(line, style)).collect()
}

/// `text` as one line without styles, for messages and tables that quote what a model, tool or server said.
pub(crate) fn harmless(text: &str) -> String {
    inline(text, style::PLAIN).iter().map(|cell| cell.character).collect()
}

/// `text` as one line, line feeds made visible like all other control characters.
pub(super) fn inline(text: &str, style: Style) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::with_capacity(text.len());
    let mut column = 0;
    // A mark at the beginning would combine with what is printed before the text.
    let mut marks = MOST_MARKS;
    for character in text.chars() {
        let before = cells.len();
        match character.width() {
            _ if character == '\t' => {
                let blanks = TAB - column % TAB;
                cells.extend((0..blanks).map(|_| Cell { character: ' ', columns: 1, style }));
            }
            Some(0) if !is_invisible(character) && marks < MOST_MARKS => {
                cells.push(Cell { character, columns: 0, style });
                marks += 1;
                continue;
            }
            Some(columns @ 1..) if !is_invisible(character) => {
                cells.push(Cell { character, columns, style });
            }
            Some(_) | None => {
                let shown = visible(character);
                let strange = |character| Cell { character, columns: 1, style: style::STRANGE };
                cells.extend(shown.chars().map(strange));
            }
        }
        marks = 0;
        column += cells[before..].iter().map(|cell| cell.columns).sum::<usize>();
    }
    cells
}

/// Cuts a line into rows of at most `columns` columns, after a blank where there is one in the last two thirds.
pub(super) fn wrap(cells: &[Cell], columns: usize) -> Vec<&[Cell]> {
    let mut rows = Vec::new();
    let mut rest = cells;
    loop {
        let mut used = 0;
        let fits = rest.iter().take_while(|cell| {
            used += cell.columns;
            used <= columns
        });
        let fits = fits.count();
        if fits == rest.len() {
            rows.push(rest);
            return rows;
        }
        let blank = rest[..fits].iter().rposition(|cell| cell.character == ' ');
        let end = blank.map(|at| at + 1).filter(|end| *end > fits / 3).unwrap_or(fits.max(1));
        rows.push(&rest[..end]);
        rest = &rest[end..];
    }
}

/// Characters that show nothing although a width may be given for them: direction marks and overrides, zero-width
/// characters, fillers, separators, variation selectors and tags.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// A printable form of a character that has none.
fn visible(character: char) -> String {
    match character {
        '\0'..='\u{1f}' => {
            let picture = char::from_u32(0x2400 + u32::from(character));
            picture.unwrap_or(char::REPLACEMENT_CHARACTER).to_string()
        }
        '\u{7f}' => '␡'.to_string(),
        _ => character.escape_unicode().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        inline(text, Style::new()).iter().map(|cell| cell.character).collect()
    }

    fn rows(text: &str, columns: usize) -> Vec<String> {
        let cells = inline(text, Style::new());
        let rows = wrap(&cells, columns);
        rows.iter().map(|row| row.iter().map(|cell| cell.character).collect()).collect()
    }

    #[test]
    fn controls_and_invisible_characters_are_shown() {
        assert_eq!(shown("\u{1b}[2J\r\n\0\u{7f}"), "␛[2J␍␊␀␡");
        assert_eq!(shown("\u{9b}31m"), r"\u{9b}31m");
        assert_eq!(
            shown("a\u{202e}b\u{2066}c\u{200b}d\u{feff}"),
            r"a\u{202e}b\u{2066}c\u{200b}d\u{feff}"
        );
        assert_eq!(shown("\u{e0041}\u{fe0f}"), r"\u{e0041}\u{fe0f}");
    }

    #[test]
    fn text_of_any_language_stays_as_it_is() {
        for text in ["naïve", "日本語", "नमस्ते", "e\u{301}", "🦅 → ok"] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn marks_that_would_leave_their_character_are_shown() {
        assert_eq!(shown("\u{301}a"), r"\u{301}a");
        assert_eq!(shown("a\u{301}\u{301}\u{301}\u{301}"), "a\u{301}\u{301}\u{301}\\u{301}");
    }

    #[test]
    fn tabs_reach_the_next_stop() {
        assert_eq!(shown("a\tb"), "a   b");
        assert_eq!(shown("日本\tb"), "日本    b");
    }

    #[test]
    fn rows_break_after_blanks_and_inside_words_that_are_too_long() {
        assert_eq!(rows("one two three", 8), ["one two ", "three"]);
        assert_eq!(rows("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(rows("日本語", 5), ["日本", "語"]);
        assert_eq!(rows("", 5), [""]);
    }

    #[test]
    fn a_final_line_feed_makes_no_line() {
        assert_eq!(lines("a\n\nb\n", Style::new()).len(), 3);
    }
}
