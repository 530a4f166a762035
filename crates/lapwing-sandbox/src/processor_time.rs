//! Processor time of a whole sandbox: as its control group counts it, else as its processes tell.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use lapwing_core::Loss;

use crate::processes::{self, Row};
use crate::sys::process;
use crate::verdict::Verdict;

/// Looks at the table of processes before its sum is believed: one who is read before it ends and whose parent is read
/// after it was waited for is counted twice.
const LOOKS: usize = 3;

/// The limit on processor time.
pub(crate) struct ProcessorTime {
    limit: Duration,
    /// The file in which the control group counts, and what was in it before.
    group: Option<(File, Duration)>,
}

impl ProcessorTime {
    pub(crate) fn new(limit_seconds: u64, group: Option<File>) -> Self {
        let group = group.and_then(|file| {
            let before = counted(&file)?;
            Some((file, before))
        });
        Self { limit: Duration::from_secs(limit_seconds), group }
    }

    /// Why the sandbox has to end, if it has.
    pub(crate) fn look(&self) -> Option<Verdict> {
        let used = match &self.group {
            Some((file, before)) => counted(file)?.saturating_sub(*before),
            None => self.of_processes(),
        };
        (used > self.limit).then(|| {
            let limit_seconds = self.limit.as_secs();
            Verdict {
                loss: Loss::ProcessorTime { limit_seconds },
                cause: format!(
                    "its processes took {:.1} s of processor time, more than its limit: {limit_seconds} s",
                    used.as_secs_f64(),
                ),
            }
        })
    }

    /// What processes took that live, and those that one of them has waited for.
    fn of_processes(&self) -> Duration {
        let mut least = Duration::MAX;
        for _ in 0..LOOKS {
            least = least.min(sum(&processes::table(), process::ticks_a_second()));
            if least <= self.limit {
                break;
            }
        }
        least
    }
}

fn sum(table: &[Row], ticks_a_second: u64) -> Duration {
    let ticks: u64 = table.iter().map(|row| row.ticks).sum();
    Duration::from_millis(ticks.saturating_mul(1000) / ticks_a_second)
}

fn counted(file: &File) -> Option<Duration> {
    let mut text = [0; 1024];
    let length = file.read_at(&mut text, 0).ok()?;
    count(&String::from_utf8_lossy(&text[..length]))
}

/// The line `usage_usec` of `cpu.stat`, or the nanoseconds that `cpuacct.usage` holds.
fn count(text: &str) -> Option<Duration> {
    let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
    let micros = line.and_then(|number| number.trim().parse().ok()).map(Duration::from_micros);
    micros.or_else(|| text.trim().parse().ok().map(Duration::from_nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_the_file_are_read() {
        assert_eq!(count("usage_usec 1500000\nuser_usec 1\n"), Some(Duration::from_millis(1500)));
        assert_eq!(count("1500000000\n"), Some(Duration::from_millis(1500)));
        assert_eq!(count("nothing"), None);
    }

    #[test]
    fn time_is_the_sum_over_the_table() {
        let row = |pid, ticks| Row { pid, parent: 1, zombie: false, ticks };
        assert_eq!(sum(&[row(1, 30), row(7, 120)], 100), Duration::from_millis(1500));
    }
}
