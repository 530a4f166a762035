//! The limits on a whole sandbox that the kernel does not hold: pid 1 looks how much memory all processes and files take, and how
//! much processor time, and ends the sandbox when it is too much.
//!
//! Between two looks a limit can be exceeded; what a process can take by then is bounded by the limit on its address space.
//! Memory in the kernel itself, as buffers of sockets and pipes are, is not seen.

use std::path::Path;
use std::time::{Duration, Instant};

use lapwing_core::Loss;

use crate::processes;
use crate::processor_time::ProcessorTime;
use crate::sys::mount;
use crate::verdict::Verdict;

const PERIOD: Duration = Duration::from_millis(100);
/// Looks take at most one part in so many of the time.
const SHARE: u32 = 10;
/// While less than one part in so many of the host's memory is available, limits shrink in step with it.
const HOST_RESERVE: u64 = 5;

pub(crate) struct Watchdog {
    limit: u64,
    /// Whether the kernel holds the limit. What the host has left is looked at all the same.
    held: bool,
    processor_time: Option<ProcessorTime>,
    /// `None` while nothing has run since the last look.
    next: Option<Instant>,
    pause: Duration,
}

/// The memory of a sandbox that has to end.
struct Excess {
    used: u64,
    allowed: u64,
    limit: u64,
}

impl Excess {
    fn verdict(&self) -> Verdict {
        let mebibytes = |bytes: u64| bytes >> 20;
        let Self { used, allowed, limit } = *self;
        let (loss, whose) = if allowed < limit {
            (Loss::HostMemory, "what the host, whose memory runs out, has left for it")
        } else {
            (Loss::Memory { limit_bytes: limit }, "its limit")
        };
        let cause = format!(
            "its processes and files took {} MiB of memory, more than {whose}: {} MiB",
            mebibytes(used),
            mebibytes(allowed),
        );
        Verdict { loss, cause }
    }
}

impl Watchdog {
    pub(crate) fn new(limit: u64, held: bool, processor_time: Option<ProcessorTime>) -> Self {
        Self { limit, held, processor_time, next: None, pause: PERIOD }
    }

    /// Takes note that something runs.
    pub(crate) fn wake(&mut self) {
        self.next.get_or_insert_with(|| Instant::now() + self.pause);
    }

    /// When [`Watchdog::look`] is to be called next. What has ended is looked at once more, for what it left.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Looks, if it is time. Why the sandbox has to end, if it has.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Verdict> {
        if self.next.is_none_or(|next| now < next) {
            return None;
        }
        let allowed = allowance(self.limit, Host::read());
        let used = if self.held && allowed == self.limit { 0 } else { used(allowed) };
        let excess =
            (used > allowed).then(|| Excess { used, allowed, limit: self.limit }.verdict());
        let verdict = excess.or_else(|| self.processor_time.as_ref()?.look());
        self.next = None;
        self.pause = PERIOD.max(now.elapsed() * SHARE);
        verdict
    }
}

/// What all processes and files take; looked at closely only where it may be more than `allowed`.
fn used(allowed: u64) -> u64 {
    let pids: Vec<i32> = processes::table().iter().map(|row| row.pid).collect();
    // Counts what processes share once for each: cheap, and never too little.
    let resident: u64 = pids.iter().map(|pid| resident(*pid).0).sum();
    let most = resident + files_and_segments();
    if most <= allowed {
        return most;
    }
    // Twice: what one process frees and another takes between two reads is counted for both.
    let looks = [(); 2].map(|()| proportional(&pids, files_and_segments()));
    looks[0].min(looks[1])
}

/// Memory of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host {
    total: u64,
    available: u64,
}

impl Host {
    fn read() -> Option<Self> {
        let text = processes::read("/proc/meminfo").ok()?;
        let (total, available) = (field(&text, "MemTotal:")?, field(&text, "MemAvailable:")?);
        Some(Self { total, available })
    }
}

/// What a sandbox with the limit `limit` may take at the moment.
fn allowance(limit: u64, host: Option<Host>) -> u64 {
    let Some(host) = host else { return limit };
    let reserve = (host.total / HOST_RESERVE).max(1);
    let part = u128::from(limit) * u128::from(host.available) / u128::from(reserve);
    u64::try_from(part).unwrap_or(u64::MAX).min(limit)
}

/// Bytes of the line `name` in a file that tells KiB.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// Bytes in the writable tree and in shared segments of System V, whether or not a process has them mapped.
fn files_and_segments() -> u64 {
    let segments = processes::read("/proc/sysvipc/shm").unwrap_or_default();
    mount::used_bytes(Path::new("/")).unwrap_or(0) + segment_bytes(&segments)
}

/// The sum of the column `rss`.
fn segment_bytes(table: &str) -> u64 {
    let mut lines = table.lines().map(str::split_whitespace);
    let Some(mut head) = lines.next() else { return 0 };
    let Some(column) = head.position(|name| name == "rss") else { return 0 };
    lines.filter_map(|mut line| line.nth(column)?.parse::<u64>().ok()).sum()
}

/// Resident bytes of a process, and those of them that no file and no shared segment stands behind.
fn resident(pid: i32) -> (u64, u64) {
    let text = processes::read(&format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut pages = text.split_whitespace().skip(1).map(|pages| pages.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    let bytes = |pages: u64| pages * mount::page_bytes();
    (bytes(resident), bytes(resident.saturating_sub(shared)))
}

/// Bytes that `pids` take, each page divided among those that share it, and `files`. Files that are mapped are in both; as
/// nobody can tell which, the larger counts, so that this is never too much.
fn proportional(pids: &[i32], files: u64) -> u64 {
    let (mut own, mut shared) = (0, 0);
    for pid in pids {
        let text = processes::read(&format!("/proc/{pid}/smaps_rollup"));
        let parts = text
            .as_ref()
            .ok()
            .and_then(|text| Some((field(text, "Pss_Anon:")?, field(text, "Pss_Shmem:")?)));
        // A program that nobody may read closes this file.
        let (anonymous, segments) = parts.unwrap_or_else(|| (resident(*pid).1, 0));
        own += anonymous;
        shared += segments;
    }
    own + files.max(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_until_the_host_runs_short_and_shrinks_with_what_is_left() {
        let host = |available| Some(Host { total: 1000, available });
        let allowed = |available| allowance(500, host(available));
        assert_eq!([1000, 200, 100, 2, 0].map(allowed), [500, 500, 250, 5, 0]);
        assert_eq!(allowance(500, None), 500);
        assert_eq!(allowance(u64::MAX, host(400)), u64::MAX);
    }

    #[test]
    fn tables_of_the_kernel_are_read_by_their_names() {
        let table = "       key      shmid perms  size  rss  swap\n 0 1 600 8192 4096 0\n 5 2 600 1 8192 0\n";
        assert_eq!(segment_bytes(table), 12_288);
        assert_eq!(segment_bytes(""), 0);
        let text = "Pss:          5 kB\nPss_Anon:     3 kB\n";
        assert_eq!((field(text, "Pss_Anon:"), field(text, "None:")), (Some(3072), None));
    }

    #[test]
    fn what_this_process_holds_is_seen() {
        let held = vec![1_u8; 64 << 20];
        let pid = std::process::id().cast_signed();
        let (all, own) = resident(pid);
        let divided = proportional(&[pid], 0);
        assert!(all >= own && own >= 64 << 20 && divided >= 64 << 20, "{all} {own} {divided}");
        drop(held);
    }
}
