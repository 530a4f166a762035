//! Progress of a run on standard error: samples done, rate, errors, time left.

use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::time::Duration;

use anstream::eprintln;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use lapwing_core::{Finding, Outcome};
use lapwing_eval::Progress;

pub(crate) struct Meter {
    bar: ProgressBar,
    seen: RefCell<Seen>,
    is_terminal: bool,
}

#[derive(Default)]
struct Seen {
    present: usize,
    errors: usize,
    tenths: u64,
}

impl Meter {
    pub(crate) fn new(n_samples: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target =
            if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(n_samples as u64), target);
        let left = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // Nothing sensible can be said before a few samples are done.
            let _ = if state.pos() < 3 {
                write!(out, "estimating")
            } else {
                write!(out, "{} left", HumanDuration(state.eta()))
            };
        };
        if let Ok(style) =
            ProgressStyle::with_template("  {bar:24} {pos}/{len} samples  {per_sec}  {msg}  {left}")
        {
            bar.set_style(style.with_key("left", left).progress_chars("━╸ "));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        let meter = Self { bar, seen: RefCell::default(), is_terminal };
        meter.describe();
        meter
    }

    pub(crate) fn see(&self, progress: &Progress) {
        match progress {
            Progress::Started => {}
            Progress::Finished { findings, .. } => {
                self.count(findings);
                self.bar.inc(1);
                self.describe();
                self.print_tenth();
            }
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn count(&self, findings: &[Finding]) {
        let has = |outcome| findings.iter().any(|finding: &Finding| finding.outcome == outcome);
        let mut seen = self.seen.borrow_mut();
        seen.present += usize::from(has(Outcome::Present));
        seen.errors += usize::from(has(Outcome::Error));
    }

    fn describe(&self) {
        let seen = self.seen.borrow();
        let errors = if seen.errors == 1 { "error" } else { "errors" };
        self.bar.set_message(format!("{} present, {} {errors}", seen.present, seen.errors));
    }

    /// Where no terminal shows the bar, a line at every tenth.
    fn print_tenth(&self) {
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default().max(1));
        let tenth = done * 10 / all;
        let mut seen = self.seen.borrow_mut();
        if self.is_terminal || tenth == seen.tenths {
            return;
        }
        seen.tenths = tenth;
        eprintln!(
            "  {done}/{all} samples  {:.1}/s  {} present, {} errors  {} left",
            self.bar.per_sec(),
            seen.present,
            seen.errors,
            HumanDuration(self.bar.eta()),
        );
    }
}
