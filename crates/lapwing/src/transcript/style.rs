//! The looks of a transcript. Everything can be read without them.

use anstyle::{AnsiColor, Style};

pub(super) const PLAIN: Style = Style::new();
pub(super) const STRONG: Style = Style::new().bold();
pub(super) const QUIET: Style = Style::new().dimmed();
pub(super) const THOUGHT: Style = Style::new().dimmed().italic();
/// Characters that stand for others, which must not be printed.
pub(super) const STRANGE: Style = AnsiColor::Magenta.on_default().invert();
pub(super) const CITED: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const BROKEN: Style = AnsiColor::Red.on_default().bold();

#[cfg(test)]
pub(super) const ALL: [Style; 7] = [PLAIN, STRONG, QUIET, THOUGHT, STRANGE, CITED, BROKEN];
