//! Progress of a study on standard error: stages done, what is being trained, time left.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anstream::eprintln;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lapwing_study::run::{Cell, Event};

/// A bar on a terminal; elsewhere a line for each stage that was trained.
pub(crate) struct StudyMeter {
    bar: ProgressBar,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Steps of what is being trained.
    running: BTreeMap<Cell, (u64, u64)>,
    left: Option<Duration>,
}

impl StudyMeter {
    /// A meter for so many cells.
    pub(crate) fn new(cells: usize) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::with_draw_target(Some(cells as u64), ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("  {bar:12} {pos}/{len} stages{wide_msg}") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        Self { bar, seen: Mutex::default() }
    }

    pub(crate) fn see(&self, event: &Event) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Began(cell) => {
                seen.running.insert(cell.clone(), (0, 0));
            }
            Event::Step { cell, done, of } => {
                seen.running.insert(cell.clone(), (*done, *of));
            }
            Event::Ended { cell, took, done, of, left } => {
                seen.running.remove(cell);
                seen.left = *left;
                self.bar.set_position(*done as u64);
                if let (true, Some(took)) = (self.bar.is_hidden(), took) {
                    let left = left.map_or_else(String::new, |left| {
                        format!(", about {} left", HumanDuration(left))
                    });
                    let Cell { seed, stage } = cell;
                    eprintln!(
                        "  {done}/{of} {stage}, seed {seed}: {:.1} s{left}",
                        took.as_secs_f64()
                    );
                }
            }
        }
        self.bar.set_message(seen.describe());
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Seen {
    fn describe(&self) -> String {
        let mut text = self
            .left
            .map_or_else(String::new, |left| format!(", about {} left", HumanDuration(left)));
        for (Cell { seed, stage }, (done, of)) in &self.running {
            // Writing to a string does not fail.
            let _ = match of {
                0 => write!(text, "; {stage} {seed}: measuring"),
                of => write!(text, "; {stage} {seed}: step {done}/{of}"),
            };
        }
        text
    }
}
