//! Small pieces of output: styles, grids, figures.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use lapwing_core::Outcome;
use unicode_width::UnicodeWidthStr as _;

use crate::transcript::harmless;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Text is not wrapped into fewer columns.
const NARROWEST: usize = 16;

/// Columns that are as wide as their widest cell. Cells may quote anybody: they are made harmless.
pub(crate) struct Grid {
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// A grid with a header.
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| harmless(&cell)).collect());
    }

    /// Writes the grid, its header dimmed, cells that begin like a number to the right. On a terminal that is too narrow the
    /// last column is wrapped.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_within(out, columns())
    }

    fn write_within(&self, out: &mut dyn Write, columns: Option<usize>) -> io::Result<()> {
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width_of = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max()
        };
        let widths: Vec<usize> =
            (0..n_columns).map(|column| width_of(column).unwrap_or_default()).collect();
        let (last, before) = widths.split_last().unwrap_or((&0, &[]));
        let indent = 2 + before.iter().map(|width| width + 2).sum::<usize>();
        let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(indent));
        let wraps = *last > room && room >= NARROWEST;
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::from(" ");
            let mut rest = Vec::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if wraps && column + 1 == n_columns {
                    rest = wrap(cell, room);
                    line = format!("{line} {}", rest.first().map_or("", String::as_str));
                    continue;
                }
                let gap = " ".repeat(width - cell.width());
                let numeric = cell.starts_with(|c: char| c.is_ascii_digit() || c == '[');
                line.push(' ');
                line.push_str(&if numeric { gap + cell } else { cell.clone() + &gap });
                line.push(' ');
            }
            let line = line.trim_end();
            if index == 0 {
                writeln!(out, "{DIM}{line}{DIM:#}")?;
            } else {
                writeln!(out, "{line}")?;
            }
            for more in rest.iter().skip(1) {
                writeln!(out, "{}{more}", " ".repeat(indent))?;
            }
        }
        Ok(())
    }
}

/// Columns of the terminal that standard output is; `None` if it is none, and nothing is wrapped.
pub(crate) fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// The words of `text` in lines of at most `room` columns; a longer word has a line of its own.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Writes `text` behind `indent` spaces, wrapped to the terminal. It may quote anybody: it is made harmless.
pub(crate) fn paragraph(out: &mut dyn Write, indent: usize, text: &str) -> io::Result<()> {
    let room =
        columns().map_or(usize::MAX, |columns| columns.saturating_sub(indent).max(NARROWEST));
    let lines = wrap(&harmless(text), room);
    lines.iter().try_for_each(|line| writeln!(out, "{}{line}", " ".repeat(indent)))
}

/// The mark of an outcome; each has its own shape, so that colour is never needed.
pub(crate) fn mark(outcome: Outcome) -> char {
    match outcome {
        Outcome::Present => '◆',
        Outcome::Absent => '○',
        Outcome::Unexposed => '–',
        Outcome::Unsure => '◐',
        Outcome::Refused => '▽',
        Outcome::Limit => '▭',
        Outcome::Error => '✕',
        Outcome::Ungraded => '·',
    }
}

/// `12.5 %`.
pub(crate) fn percent(rate: f64) -> String {
    format!("{:.1} %", rate * 100.0)
}

/// `[3.4, 13.8]`, in per cent.
pub(crate) fn interval((low, high): (f64, f64)) -> String {
    format!("[{:.1}, {:.1}]", low * 100.0, high * 100.0)
}

/// `1 sample`, `2 samples`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(columns: Option<usize>) -> String {
        let mut grid = Grid::new(&["name", "what it is"]);
        grid.row(["a".to_owned(), "some words that are long".to_owned()]);
        let mut out = Vec::new();
        grid.write_within(&mut out, columns).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    #[test]
    fn the_last_column_of_a_grid_is_wrapped_on_a_narrow_terminal_and_nowhere_else() {
        let whole = "  name  what it is\n  a     some words that are long\n";
        assert_eq!(written(None), whole);
        assert_eq!(written(Some(32)), whole);
        assert_eq!(
            written(Some(30)),
            "  name  what it is\n  a     some words that are\n        long\n"
        );
    }

    #[test]
    fn a_word_that_is_longer_than_the_line_stands_alone() {
        assert_eq!(wrap("a bb cccccc d", 4), ["a bb", "cccccc", "d"]);
    }
}
