//! Work on files inside, done by short-lived children of pid 1, so that pid 1 itself never waits for a disk or trips
//! over what an agent has laid out. Commands can kill and stop these children. What is only looked at pid 1 then does itself:
//! evidence can be delayed, not denied.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use lapwing_core::ExitStatus;

use crate::channel;
use crate::export;
use crate::files;
use crate::manifest;
use crate::processes;
use crate::protocol::{Reply, Task};
use crate::sys::process::{self, Fork};
use crate::sys::socket;

/// A helper that takes longer was stopped by something inside.
const LIMIT: Duration = Duration::from_mins(2);
/// Tries before pid 1 does the work of a helper that keeps being killed, or gives it up.
const TRIES: u32 = 3;

/// Exit codes of a helper; its output holds the result or the cause.
const OUTPUT: i32 = 0;
const FAILED: i32 = 1;
const UNWRITTEN: i32 = 2;

/// All helpers that run.
pub(crate) struct Helpers {
    running: Vec<Helper>,
    disk_bytes: u64,
    /// Where what is written lies, if that is not below the root.
    upper: Option<OwnedFd>,
}

struct Helper {
    id: u64,
    pid: i32,
    work: Work,
    until: Instant,
    tries: u32,
    /// Whether it was killed for the time that it took.
    slow: bool,
}

struct Work {
    task: Task,
    input: Option<File>,
    output: File,
    /// Process ids that are no commands.
    shims: Vec<i32>,
}

impl Helpers {
    pub(crate) fn new(disk_bytes: u64, upper: Option<OwnedFd>) -> Self {
        Self { running: Vec::new(), disk_bytes, upper }
    }

    pub(crate) fn start(
        &mut self,
        id: u64,
        task: Task,
        input: Option<OwnedFd>,
        shims: Vec<i32>,
    ) -> io::Result<()> {
        let output = socket::memory_file(c"output")?;
        let work = Work { task, input: input.map(File::from), output, shims };
        self.run(id, work, 1)
    }

    fn run(&mut self, id: u64, mut work: Work, tries: u32) -> io::Result<()> {
        match process::fork()? {
            Fork::Child => {
                let code = match process::keep_capabilities(work.capabilities()) {
                    Ok(()) => work.perform(self.disk_bytes, self.upper.as_ref(), &self.pids()),
                    Err(_) => UNWRITTEN,
                };
                process::exit(code)
            }
            Fork::Parent(pid) => {
                let until = Instant::now() + LIMIT;
                self.running.push(Helper { id, pid, work, until, tries, slow: false });
                Ok(())
            }
        }
    }

    fn pids(&self) -> Vec<i32> {
        self.running.iter().map(|helper| helper.pid).collect()
    }

    /// When [`Helpers::enforce`] is to be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.running.iter().map(|helper| helper.until).min()
    }

    /// Kills what takes too long.
    pub(crate) fn enforce(&mut self, now: Instant) {
        for helper in &mut self.running {
            if helper.until <= now {
                process::kill(helper.pid);
                helper.until = now + LIMIT;
                helper.slow = true;
            }
        }
    }

    /// Takes note of children that ended. Returns the replies, each with its output.
    pub(crate) fn settle(
        &mut self,
        ended: &[(i32, ExitStatus)],
    ) -> Vec<(u64, Reply, Option<OwnedFd>)> {
        let mut replies = Vec::new();
        for helper in &self.running {
            // Nobody else would wake it, and one that is killed is tried again.
            if process::is_stopped(helper.pid) {
                process::kill(helper.pid);
            }
        }
        for (pid, status) in ended {
            let Some(index) = self.running.iter().position(|helper| helper.pid == *pid) else {
                continue;
            };
            let Helper { id, mut work, tries, slow, .. } = self.running.swap_remove(index);
            let mut status = *status;
            if !matches!(status, ExitStatus::Exit { .. }) {
                // What the last one wrote is no whole.
                match socket::memory_file(c"output") {
                    Ok(output) => work.output = output,
                    Err(error) => {
                        replies.push((id, Reply::Failed { cause: error.to_string() }, None));
                        continue;
                    }
                }
                if tries < TRIES {
                    if let Err(error) = self.run(id, work, tries + 1) {
                        replies.push((id, Reply::Failed { cause: error.to_string() }, None));
                    }
                    continue;
                }
                // What took too long by itself would hold pid 1 up.
                if work.only_looks() && !slow {
                    status = ExitStatus::Exit {
                        code: work.perform(self.disk_bytes, self.upper.as_ref(), &self.pids()),
                    };
                }
            }
            let output = OwnedFd::from(work.output);
            replies.push(match status {
                ExitStatus::Exit { code: OUTPUT } => (id, Reply::Output, Some(output)),
                ExitStatus::Exit { code: FAILED } => {
                    let cause = channel::contents(output).unwrap_or_default();
                    let cause = String::from_utf8_lossy(&cause).into_owned();
                    (id, Reply::Failed { cause }, None)
                }
                status => {
                    let cause = format!("something inside ended the helper: {status:?}");
                    (id, Reply::Failed { cause }, None)
                }
            });
        }
        replies
    }
}

impl Work {
    /// Whether it changes nothing inside.
    fn only_looks(&self) -> bool {
        match self.task {
            Task::Put { .. } | Task::Export => false,
            Task::Get { .. } | Task::Manifest | Task::Processes => true,
        }
    }

    /// What the helper needs.
    fn capabilities(&self) -> u64 {
        match self.task {
            Task::Put { .. } | Task::Processes => 0,
            // Nothing is hidden by taking its permission bits away.
            Task::Get { .. } | Task::Manifest | Task::Export => process::READ_ALL,
        }
    }

    /// Does it and returns the exit code.
    fn perform(&mut self, disk_bytes: u64, upper: Option<&OwnedFd>, helpers: &[i32]) -> i32 {
        let outcome = self.outcome(disk_bytes, upper, helpers);
        let (bytes, code) = match outcome {
            Ok(bytes) => (bytes, OUTPUT),
            Err(cause) => (cause.into_bytes(), FAILED),
        };
        match self.output.write_all(&bytes) {
            Ok(()) => code,
            Err(_) => UNWRITTEN,
        }
    }

    fn outcome(
        &mut self,
        disk_bytes: u64,
        upper: Option<&OwnedFd>,
        helpers: &[i32],
    ) -> Result<Vec<u8>, String> {
        match &self.task {
            Task::Put { files } => files::put(files, self.input.as_mut()),
            Task::Get { paths, max_bytes } => files::get(paths, *max_bytes),
            Task::Manifest => manifest::take(disk_bytes, upper),
            Task::Export => export::write(disk_bytes, upper, self.input.as_mut()),
            Task::Processes => {
                let own = std::process::id().cast_signed();
                let ours = [&self.shims, helpers, &[own]].concat();
                serde_json::to_vec(&processes::visible(&ours)).map_err(|error| error.to_string())
            }
        }
    }
}
