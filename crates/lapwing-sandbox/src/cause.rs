//! Why a command ended, as far as its wait status alone does not tell: pid 1 sees how full the disk is, and reads from the
//! control group, where there is one, how many processes the kernel has ended for want of memory.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use lapwing_core::ExitStatus;

use crate::sys::mount;

/// How long after the kernel ended something a death by the same signal counts as the same.
const SETTLED: Duration = Duration::from_secs(1);

/// The file in which a control group counts what the kernel has ended in it.
pub(crate) struct Kills(File);

impl Kills {
    pub(crate) fn new(file: File) -> Self {
        Self(file)
    }

    /// How many processes the kernel has ended since the group was made.
    pub(crate) fn count(&self) -> u64 {
        let mut text = [0; 1024];
        let length = self.0.read_at(&mut text, 0).unwrap_or(0);
        count(&String::from_utf8_lossy(&text[..length]))
    }
}

/// The line `oom_kill` of `memory.oom_control` or `memory.events`.
fn count(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// What pid 1 knows about the ends of processes.
pub(crate) struct Causes {
    kills: Option<Kills>,
    seen: u64,
    /// When the kernel was last seen to have ended something.
    risen: Option<Instant>,
}

impl Causes {
    pub(crate) fn new(kills: Option<Kills>) -> Self {
        let seen = kills.as_ref().map_or(0, Kills::count);
        Self { kills, seen, risen: None }
    }

    /// Looks what the kernel has ended. To be called before ends are told.
    pub(crate) fn look(&mut self, now: Instant) {
        let Some(kills) = &self.kills else { return };
        let count = kills.count();
        if count > self.seen {
            self.seen = count;
            self.risen = Some(now);
        }
    }

    /// How a command that runs since `begun` has ended, with whatever it waited for.
    pub(crate) fn of_command(&self, status: ExitStatus, begun: Instant) -> ExitStatus {
        let code = match status {
            ExitStatus::Exit { code } if code != 0 => code,
            ExitStatus::Signal { signal } => 128 + signal,
            ExitStatus::Exit { .. }
            | ExitStatus::TimeLimit
            | ExitStatus::OutOfMemory
            | ExitStatus::ProcessorTime
            | ExitStatus::DiskFull { .. } => return status,
        };
        if code == 128 + libc::SIGKILL && self.risen.is_some_and(|risen| risen >= begun) {
            return ExitStatus::OutOfMemory;
        }
        let by_itself = matches!(status, ExitStatus::Exit { .. }) || code == 128 + libc::SIGXFSZ;
        if by_itself && mount::is_full(Path::new("/")) {
            return ExitStatus::DiskFull { code };
        }
        status
    }

    /// How a service has ended just now. Its own exit code always stands.
    pub(crate) fn of_service(&self, status: ExitStatus, now: Instant) -> ExitStatus {
        let lately = self.risen.is_some_and(|risen| now.duration_since(risen) < SETTLED);
        match status {
            ExitStatus::Signal { signal: libc::SIGKILL } if lately => ExitStatus::OutOfMemory,
            status => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: ExitStatus = ExitStatus::Signal { signal: libc::SIGKILL };

    #[test]
    fn both_versions_of_the_file_are_read() {
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), 3);
        assert_eq!(count("low 0\nhigh 0\nmax 12\noom 4\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(count("nothing"), 0);
    }

    #[test]
    fn only_what_the_kernel_ended_meanwhile_ended_for_want_of_memory() {
        let begun = Instant::now();
        let risen = begun + Duration::from_millis(5);
        let later = risen + Duration::from_millis(5);
        let causes = Causes { kills: None, seen: 1, risen: Some(risen) };
        assert_eq!(causes.of_command(KILLED, begun), ExitStatus::OutOfMemory);
        assert_eq!(causes.of_command(KILLED, later), KILLED);
        let shell = ExitStatus::Exit { code: 137 };
        assert_eq!(causes.of_command(shell, begun), ExitStatus::OutOfMemory);
        let done = ExitStatus::Exit { code: 0 };
        assert_eq!(causes.of_command(done, begun), done);
        assert_eq!(causes.of_service(KILLED, later), ExitStatus::OutOfMemory);
        assert_eq!(causes.of_service(KILLED, later + SETTLED), KILLED);
        assert_eq!(Causes::new(None).of_service(KILLED, later), KILLED);
    }
}
