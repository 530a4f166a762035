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
const NARROWEST: usize = 24;

/// Columns before a grid, and before what is folded in it.
const INDENT: usize = 2;
const FOLDED: usize = 6;

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

    /// The grid without the columns, from `first` on, in which every cell is a dash.
    pub(crate) fn without_empty_columns(mut self, first: usize) -> Self {
        let n_columns = self.rows.first().map_or(0, Vec::len);
        for column in (first..n_columns).rev() {
            let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
            if cells.all(|cell| cell == "–") {
                self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
            }
        }
        self
    }

    /// Writes the grid, its header dimmed, cells that begin like a number to the right. On a terminal that is too narrow the
    /// last column is wrapped, else the widest, or else the columns that do not fit are put into lines below.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_within(out, columns().unwrap_or(usize::MAX))
    }

    fn write_within(&self, out: &mut dyn Write, room: usize) -> io::Result<()> {
        let places = self.places(room);
        for (index, row) in self.rows.iter().enumerate() {
            let mut lines: Vec<String> = Vec::new();
            let mut first = 0;
            for (cell, place) in row.iter().zip(&places).filter(|(cell, _)| !cell.is_empty()) {
                if place.folds {
                    first = lines.len();
                }
                let unsigned = cell.strip_prefix(['+', '-']).unwrap_or(cell);
                let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '[');
                for (below, text) in wrap(cell, place.width).into_iter().enumerate() {
                    if first + below == lines.len() {
                        lines.push(String::new());
                    }
                    let line = &mut lines[first + below];
                    let gap = if numeric { place.width.saturating_sub(text.width()) } else { 0 };
                    let blanks = (place.begin + gap).saturating_sub(line.width());
                    line.extend(std::iter::repeat_n(' ', blanks));
                    line.push_str(&text);
                }
            }
            for line in lines {
                if index == 0 {
                    writeln!(out, "{DIM}{line}{DIM:#}")?;
                } else {
                    writeln!(out, "{line}")?;
                }
            }
        }
        Ok(())
    }

    /// Where each column stands, in a space of `room` columns.
    fn places(&self, room: usize) -> Vec<Place> {
        let widths = self.widths(room);
        let n_columns = widths.len();
        let mut places: Vec<Place> = Vec::new();
        let mut begin = INDENT;
        for (column, width) in widths.into_iter().enumerate() {
            let is_last = column + 1 == n_columns;
            let wraps = |begin: usize| is_last && room.saturating_sub(begin) >= NARROWEST;
            let folds = begin + width > room && begin > INDENT && !wraps(begin);
            if folds {
                begin = FOLDED;
            }
            let width = if wraps(begin) { width.min(room - begin) } else { width };
            places.push(Place { begin, width, folds });
            begin += width + 2;
        }
        places
    }

    /// The widths of the columns. Where the last one cannot give what is too much, the widest one gives it, so that all columns
    /// fit, or all but the last.
    fn widths(&self, room: usize) -> Vec<usize> {
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or_default()
        };
        let longest_word = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.flat_map(|cell| cell.split(' ')).map(str::width).max().unwrap_or_default()
        };
        let mut widths: Vec<usize> = (0..n_columns).map(width).collect();
        for fitted in [n_columns, n_columns.saturating_sub(1)] {
            let total = INDENT + widths[..fitted].iter().map(|width| width + 2).sum::<usize>();
            let excess = total.saturating_sub(room.saturating_add(2));
            let last_gives = fitted == n_columns
                && widths.last().is_some_and(|last| *last >= NARROWEST + excess);
            if excess == 0 || last_gives {
                break;
            }
            let widest = (0..fitted.min(n_columns - 1)).max_by_key(|column| widths[*column]);
            if let Some(widest) = widest
                && widths[widest] >= longest_word(widest) + excess
            {
                widths[widest] -= excess;
                break;
            }
        }
        widths
    }
}

/// Where a column of a grid stands.
struct Place {
    begin: usize,
    width: usize,
    /// It begins a line of its own, below those before it.
    folds: bool,
}

/// Columns of the terminal that standard output is; `None` if it is none, and nothing is wrapped.
pub(crate) fn columns() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// The words of `text` in lines of at most `room` columns; a longer word has a line of its own.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    fill(text.split(' '), room)
}

fn fill<'a>(words: impl Iterator<Item = &'a str>, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.width().saturating_add(1 + word.width()) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn room(indent: usize) -> usize {
    columns().map_or(usize::MAX, |columns| columns.saturating_sub(indent).max(NARROWEST))
}

/// Writes `text` behind `indent` spaces, wrapped to the terminal. It may quote anybody: it is made harmless.
pub(crate) fn paragraph(out: &mut dyn Write, indent: usize, text: &str) -> io::Result<()> {
    let lines = wrap(&harmless(text), room(indent));
    lines.iter().try_for_each(|line| writeln!(out, "{:indent$}{line}", ""))
}

/// Writes one entry of a list behind `indent` spaces, its further lines two columns deeper. It may quote anybody: it is made
/// harmless.
pub(crate) fn entry(out: &mut dyn Write, indent: usize, text: &str) -> io::Result<()> {
    for (row, line) in wrap(&harmless(text), room(indent + INDENT)).iter().enumerate() {
        let indent = if row == 0 { indent } else { indent + INDENT };
        writeln!(out, "{:indent$}{line}", "")?;
    }
    Ok(())
}

/// A dimmed paragraph, two columns in.
pub(crate) fn note(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let lines = wrap(&harmless(text), room(INDENT));
    lines.iter().try_for_each(|line| writeln!(out, "{DIM}  {line}{DIM:#}"))
}

/// Writes what is wrong behind its red label, wrapped to the terminal, its lines as parts of one sentence. It may quote
/// anybody: it is made harmless.
pub(crate) fn fault(out: &mut dyn Write, label: &str, text: &str) -> io::Result<()> {
    let words = format!("{label} {}", harmless(&one_line(text)));
    for (row, line) in wrap(&words, room(FOLDED)).iter().enumerate() {
        match line.strip_prefix(label).filter(|_| row == 0) {
            Some(rest) => writeln!(out, "  {ERROR}{label}{ERROR:#}{rest}")?,
            None => writeln!(out, "{:FOLDED$}{line}", "")?,
        }
    }
    Ok(())
}

/// The lines of a message as one.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

/// Writes `items` behind `indent` spaces with commas between them, wrapped between items only.
pub(crate) fn items(out: &mut dyn Write, indent: usize, items: &[String]) -> io::Result<()> {
    let n_items = items.len();
    let comma = |index| if index + 1 < n_items { "," } else { "" };
    let items: Vec<String> =
        items.iter().enumerate().map(|(i, item)| harmless(item) + comma(i)).collect();
    let lines = fill(items.iter().map(String::as_str), room(indent));
    lines.iter().try_for_each(|line| writeln!(out, "{:indent$}{line}", ""))
}

/// Says `text` on standard error behind two spaces, wrapped to its terminal.
pub(crate) fn say(text: &str) {
    let columns = terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| width.0);
    let room =
        columns.map_or(usize::MAX, |columns| usize::from(columns) - INDENT.min(columns.into()));
    for line in wrap(&harmless(text), room.max(NARROWEST)) {
        anstream::eprintln!("  {line}");
    }
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

/// `1 sample`, `2 samples`, `1 process`, `2 processes`, `1 policy`, `2 policies`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    match (n, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        (_, None) if noun.ends_with('s') => format!("{n} {noun}es"),
        (_, None) => format!("{n} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(room: usize) -> String {
        let mut grid = Grid::new(&["name", "n", "what it is"]);
        grid.row(["a".to_owned(), "10".to_owned(), "some words that are rather long".to_owned()]);
        let mut out = Vec::new();
        grid.write_within(&mut out, room).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    #[test]
    fn the_last_column_of_a_grid_is_wrapped_on_a_narrow_terminal_and_nowhere_else() {
        let whole = "  name  n   what it is\n  a     10  some words that are rather long\n";
        assert_eq!(written(usize::MAX), whole);
        assert_eq!(written(43), whole);
        let wrapped =
            "  name  n   what it is\n  a     10  some words that are rather\n            long\n";
        assert_eq!(written(42), wrapped);
    }

    #[test]
    fn the_widest_column_is_wrapped_where_the_last_one_has_nothing_to_give() {
        let mut grid = Grid::new(&["condition", "rate", "k/n"]);
        grid.row(["one=two three=four five=six seven=eight", "1.0 %", "1/100"].map(str::to_owned));
        let mut out = Vec::new();
        grid.write_within(&mut out, 46).unwrap();
        let written = anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string();
        let expected = "  condition                       rate   k/n\n  one=two three=four five=six     1.0 %  1/100\n  seven=eight\n";
        assert_eq!(written, expected);
    }

    #[test]
    fn columns_that_have_no_room_are_folded_into_lines_below() {
        let folded = "  name  n\n      what it is\n  a     10\n      some words that are\n      rather long\n";
        assert_eq!(written(30), folded);
    }

    #[test]
    fn a_column_of_dashes_can_be_left_out() {
        let mut grid = Grid::new(&["a", "b", "c", "d"]);
        grid.row(["–", "1", "–", "2"].map(str::to_owned));
        grid.row(["–", "–", "–", "3"].map(str::to_owned));
        let rows = [["a", "b", "d"], ["–", "1", "2"], ["–", "–", "3"]];
        assert_eq!(grid.without_empty_columns(1).rows, rows);
    }

    #[test]
    fn what_is_counted_stands_in_the_plural_unless_it_is_one() {
        assert_eq!(count(1, "process"), "1 process");
        assert_eq!(count(2, "process"), "2 processes");
        assert_eq!(count(2, "policy"), "2 policies");
        assert_eq!(count(0, "seed"), "0 seeds");
    }

    #[test]
    fn a_word_that_is_longer_than_the_line_stands_alone() {
        assert_eq!(wrap("a bb cccccc d", 4), ["a bb", "cccccc", "d"]);
    }
}
