//! Small pieces of output: styles, grids, figures.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use lapwing_core::Outcome;
use unicode_width::UnicodeWidthStr as _;

use crate::transcript::harmless;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();

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

    /// Writes the grid, its header dimmed, cells that begin like a number to the right.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width_of = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max()
        };
        let widths: Vec<usize> =
            (0..n_columns).map(|column| width_of(column).unwrap_or_default()).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::from(" ");
            for (cell, width) in row.iter().zip(&widths) {
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
        }
        Ok(())
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

/// `1 sample`, `2 samples`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
