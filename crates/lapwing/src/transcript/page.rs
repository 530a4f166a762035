//! The page: a gutter that only we write to, and text to the right of it.
//!
//! ```text
//!    12 head of an event            the event's number ends in column 4, the head begins in column 6
//!       │ text                      a rule or mark in column 6, text from column 8
//! ── heading ──────
//! ```
//!
//! Text never begins before column 8 without a number on its line, so it cannot look like an event, a mark or a heading.

use std::io::{self, Write};

use anstyle::Style;

use super::style::{CITED, QUIET, STRONG};
use super::text::{self, Cell};

/// Columns of the gutter, the rule and the blank after it.
pub(super) const MARGIN: usize = 8;
/// Columns that text gets however narrow the terminal is.
pub(super) const NARROWEST: usize = 16;
/// Rows of an output that are shown unless everything is.
const MOST_ROWS: usize = 20;

/// How much of a text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Its first rows, and how many follow.
    Beginning,
}

pub(super) struct Page<'a> {
    pub(super) out: &'a mut dyn Write,
    pub(super) width: usize,
}

impl Page<'_> {
    /// A heading across the page, after an empty line.
    pub(super) fn heading(&mut self, title: &str) -> io::Result<()> {
        let columns = self.columns() + MARGIN;
        let mut cells = text::inline(title, STRONG);
        let row_length = text::wrap(&cells, columns - MARGIN).first().map_or(0, |row| row.len());
        cells.truncate(row_length);
        let used: usize = cells.iter().map(|cell| cell.columns).sum();
        write!(self.out, "\n{QUIET}──{QUIET:#} ")?;
        self.cells(&cells)?;
        writeln!(self.out, " {QUIET}{}{QUIET:#}", "─".repeat(columns - used - 4))
    }

    /// The head of an event whose text follows below.
    pub(super) fn head(&mut self, seq: u64, cells: &[Cell]) -> io::Result<()> {
        self.rows(&format!("{QUIET}{seq:>5}{QUIET:#} "), &" ".repeat(MARGIN), &[cells.to_vec()])
    }

    /// An event of one line, with its mark.
    pub(super) fn line(&mut self, seq: u64, mark: char, cells: &[Cell]) -> io::Result<()> {
        let first = format!("{QUIET}{seq:>5}{QUIET:#} {mark} ");
        self.rows(&first, &" ".repeat(MARGIN), &[cells.to_vec()])
    }

    /// A further line of an event, with its mark.
    pub(super) fn more(&mut self, mark: char, style: Style, cells: &[Cell]) -> io::Result<()> {
        let first = format!("      {style}{mark}{style:#} ");
        self.rows(&first, &" ".repeat(MARGIN), &[cells.to_vec()])
    }

    /// That the event above is cited.
    pub(super) fn cited(&mut self, words: &str) -> io::Result<()> {
        self.more('◆', CITED, &text::inline(words, CITED))
    }

    /// Text beside its rule.
    pub(super) fn text(
        &mut self,
        rule: char,
        words: &str,
        style: Style,
        extent: Extent,
    ) -> io::Result<()> {
        self.lines(rule, &text::lines(words, style), extent)
    }

    /// Lines beside their rule.
    pub(super) fn lines(
        &mut self,
        rule: char,
        lines: &[Vec<Cell>],
        extent: Extent,
    ) -> io::Result<()> {
        let columns = self.columns();
        let rows: Vec<Vec<Cell>> =
            lines.iter().flat_map(|line| text::wrap(line, columns)).map(<[Cell]>::to_vec).collect();
        let shown = match extent {
            Extent::Whole => rows.len(),
            Extent::Beginning if rows.len() <= MOST_ROWS + 1 => rows.len(),
            Extent::Beginning => MOST_ROWS,
        };
        let gutter = format!("      {QUIET}{rule}{QUIET:#} ");
        self.rows(&gutter, &gutter, &rows[..shown])?;
        if shown < rows.len() {
            let words = format!("… {} more lines (--full)", rows.len() - shown);
            self.rows(&gutter, &gutter, &[text::inline(&words, QUIET)])?;
        }
        Ok(())
    }

    fn columns(&self) -> usize {
        self.width.saturating_sub(MARGIN).max(NARROWEST)
    }

    fn rows(&mut self, first: &str, rest: &str, lines: &[Vec<Cell>]) -> io::Result<()> {
        let columns = self.columns();
        let mut gutter = first;
        for line in lines {
            for row in text::wrap(line, columns) {
                let blanks = row.iter().rev().take_while(|cell| cell.character == ' ').count();
                let row = &row[..row.len() - blanks];
                let gutter_shown = if row.is_empty() { gutter.trim_end() } else { gutter };
                write!(self.out, "{gutter_shown}")?;
                self.cells(row)?;
                writeln!(self.out)?;
                gutter = rest;
            }
        }
        Ok(())
    }

    fn cells(&mut self, cells: &[Cell]) -> io::Result<()> {
        for run in cells.chunk_by(|a, b| a.style == b.style) {
            let style = run[0].style;
            let words: String = run.iter().map(|cell| cell.character).collect();
            write!(self.out, "{style}{words}{style:#}")?;
        }
        Ok(())
    }
}
