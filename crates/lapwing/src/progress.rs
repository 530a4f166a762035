//! Progress of a run on standard error: samples done, rate, errors, time left.

mod study;

use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anstream::eprintln;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use lapwing_core::{Finding, Outcome};
use lapwing_eval::Progress;
use lapwing_model::{Account, Usd};

use crate::command::{Connector, short};
use crate::render::count;

pub(crate) use study::StudyMeter;

/// Nothing sensible can be said about the time left before this many samples are done.
const ENOUGH: usize = 3;

/// A bar on a terminal; elsewhere a line at every tenth.
pub(crate) struct Meter {
    bar: ProgressBar,
    seen: RefCell<Seen>,
}

struct Seen {
    begun: Instant,
    planned: usize,
    done: usize,
    /// Samples with a finding; `None` where findings are planted and say nothing.
    present: Option<usize>,
    errors: usize,
    /// What models use; `None` where scripted policies stand in for them.
    books: Option<Arc<Connector>>,
}

impl Meter {
    /// A meter for `planned` samples; hidden where the terminal is somebody else's. In an instrument check, which has no books, it
    /// counts no findings.
    pub(crate) fn new(planned: usize, hidden: bool, books: Option<Arc<Connector>>) -> Self {
        let bar = if !hidden && std::io::stderr().is_terminal() {
            ProgressBar::with_draw_target(Some(planned as u64), ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("  {bar:12} {used}{wide_msg}") {
            // Drawn at every tick, so that money and pauses are seen while no sample ends.
            let shown = books.clone();
            let used = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                if let Some(used) = shown.as_deref().and_then(used) {
                    let _ = write!(out, "{used}, ");
                }
            };
            bar.set_style(style.progress_chars("━╸ ").with_key("used", used));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        let present = books.is_some().then_some(0);
        let seen = Seen { begun: Instant::now(), planned, done: 0, present, errors: 0, books };
        bar.set_message(seen.describe());
        Self { bar, seen: RefCell::new(seen) }
    }

    pub(crate) fn see(&self, progress: &Progress) {
        let Progress::Finished { findings, .. } = progress else { return };
        let mut seen = self.seen.borrow_mut();
        let tenths = seen.tenths();
        seen.count(findings);
        self.bar.set_position(seen.done as u64);
        self.bar.set_message(seen.describe());
        if self.bar.is_hidden() && seen.tenths() > tenths {
            let used = seen.books.as_deref().and_then(used).map(|used| format!(", {used}"));
            eprintln!("  {}{}", seen.describe(), used.unwrap_or_default());
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Seen {
    fn count(&mut self, findings: &[Finding]) {
        let has = |outcome| findings.iter().any(|finding| finding.outcome == outcome);
        self.done += 1;
        self.present = self.present.map(|n| n + usize::from(has(Outcome::Present)));
        self.errors += usize::from(has(Outcome::Error));
    }

    fn tenths(&self) -> usize {
        self.done * 10 / self.planned.max(1)
    }

    fn describe(&self) -> String {
        let Self { begun, planned, done, present, errors, books: _ } = self;
        let mut so_far = format!("{done}/{planned} samples");
        if let Some(present) = present {
            so_far = format!("{so_far}, {present} with a finding");
        }
        if *errors > 0 {
            so_far = format!("{so_far}, {}", count(*errors, "error"));
        }
        if *done < ENOUGH {
            return so_far;
        }
        let elapsed = begun.elapsed();
        let rate = *done as f64 / elapsed.as_secs_f64();
        let left = elapsed.mul_f64((planned - done) as f64 / *done as f64);
        format!("{so_far}, {rate:.1}/s, {} left", HumanDuration(left))
    }
}

/// What was used so far, how many calls are on the way, and how long a provider wants none.
fn used(connector: &Connector) -> Option<String> {
    let ledger = connector.ledger();
    let spent = ledger.spent();
    let accounts = connector.accounts();
    let calls: usize = accounts.iter().map(|account| account.load().0).sum();
    let budget = ledger.budget().map(|budget| format!(" of {budget}")).unwrap_or_default();
    let parts = [
        (spent.tokens() > 0).then(|| format!("{} tokens", short(spent.tokens()))),
        (spent.cost > Usd::default()).then(|| format!("{}{budget}", spent.cost)),
        (calls > 0).then(|| count(calls, "call")),
        accounts
            .iter()
            .filter_map(Account::held)
            .max()
            .map(|left| format!("the provider asks for a pause of {}", HumanDuration(left))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_only_where_they_say_something() {
        let seen = |present| Seen {
            begun: Instant::now(),
            planned: 9,
            done: 2,
            present,
            errors: 1,
            books: None,
        };
        assert_eq!(seen(Some(1)).describe(), "2/9 samples, 1 with a finding, 1 error");
        assert_eq!(seen(None).describe(), "2/9 samples, 1 error");
    }
}
