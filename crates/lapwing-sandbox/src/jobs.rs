//! The commands that the harness waits for: each below a shim, with a deadline, until it has ended or all its
//! descendants are dead.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use lapwing_core::ExitStatus;

use crate::cause::Causes;
use crate::command::{self, Confinement, Report, Stdio};
use crate::processes;
use crate::protocol::{Reply, Run};
use crate::sys::process::{self, Fork};
use crate::sys::socket::{self, Interest};

/// Between two looks for descendants that were forked while their family was being killed.
const KILL_PAUSE: Duration = Duration::from_millis(1);

/// As often in a row nothing must be found before a command is over. The table of processes is read one by one: of processes that
/// live shorter than that, each the parent of the next, one look can miss every one.
const EMPTY_LOOKS: u32 = 4;

/// All jobs whose shim or command is not reaped yet.
#[derive(Default)]
pub(crate) struct Jobs(Vec<Job>);

/// What a fork of pid 1 is about to run.
pub(crate) struct Begun {
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: String,
}

impl From<&Run> for Begun {
    fn from(run: &Run) -> Self {
        Self { argv: run.argv.clone(), cwd: run.cwd.clone() }
    }
}

struct Job {
    id: u64,
    shim: i32,
    shim_gone: bool,
    reports: File,
    command: Option<i32>,
    /// What it runs, until that is written down.
    runs: Option<Begun>,
    /// How the command ended, or why it never ran.
    end: Option<Reply>,
    begun: Instant,
    deadline: Instant,
    /// How often in a row nothing was found that is left to be killed.
    n_empty: u32,
    /// What it is told to have ended by when it is past its deadline.
    killed_by: ExitStatus,
    counts_orphans: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// The time is up; descendants are being killed.
    Killing,
    /// The harness has its reply; only the shim is left.
    Over,
}

impl Jobs {
    /// Starts a command. Returns the reading ends of its output and error.
    pub(crate) fn exec(
        &mut self,
        id: u64,
        run: &Run,
        input: OwnedFd,
        confinement: &Confinement,
    ) -> io::Result<[OwnedFd; 2]> {
        let (output_end, output) = socket::pipe()?;
        let (error_end, error) = socket::pipe()?;
        self.start(id, run, &Stdio { input, output, error, terminal: false }, confinement)?;
        Ok([output_end, error_end])
    }

    /// Starts a command. Returns the writing end of its input and the reading end of its output and error.
    pub(crate) fn open(
        &mut self,
        id: u64,
        run: &Run,
        confinement: &Confinement,
    ) -> io::Result<[OwnedFd; 2]> {
        let (input, input_end) = socket::pipe()?;
        let (output_end, output) = socket::pipe()?;
        let error = output.try_clone()?;
        self.start(id, run, &Stdio { input, output, error, terminal: false }, confinement)?;
        Ok([input_end, output_end])
    }

    /// The same for a command in the background.
    pub(crate) fn spawn(
        &mut self,
        id: u64,
        run: &Run,
        confinement: &Confinement,
    ) -> io::Result<[OwnedFd; 2]> {
        let ends = self.open(id, run, confinement)?;
        if let Some(job) = self.find(id) {
            job.counts_orphans = true;
        }
        Ok(ends)
    }

    /// Starts a command in a terminal, of which it gets the far end.
    pub(crate) fn in_terminal(
        &mut self,
        id: u64,
        run: &Run,
        far: OwnedFd,
        confinement: &Confinement,
    ) -> io::Result<()> {
        let (output, error) = (far.try_clone()?, far.try_clone()?);
        self.start(id, run, &Stdio { input: far, output, error, terminal: true }, confinement)
    }

    fn start(
        &mut self,
        id: u64,
        run: &Run,
        stdio: &Stdio,
        confinement: &Confinement,
    ) -> io::Result<()> {
        let (reports, reports_end) = socket::pipe()?;
        match process::fork()? {
            Fork::Child => command::shim(run, stdio, reports_end, confinement),
            Fork::Parent(shim) => self.0.push(Job {
                id,
                shim,
                shim_gone: false,
                reports: reports.into(),
                command: None,
                runs: Some(Begun::from(run)),
                end: None,
                begun: Instant::now(),
                deadline: Instant::now() + Duration::from_millis(run.limit_ms),
                n_empty: 0,
                killed_by: ExitStatus::TimeLimit,
                counts_orphans: false,
                state: State::Running,
            }),
        }
        Ok(())
    }

    /// The process ids that are no commands. The id of a shim that is gone may be a command's by now.
    pub(crate) fn shims(&self) -> Vec<i32> {
        self.0.iter().filter(|job| !job.shim_gone).map(|job| job.shim).collect()
    }

    /// What the command `pid` runs, the first time that it is asked.
    pub(crate) fn take_begun(&mut self, pid: i32) -> Option<Begun> {
        for job in &mut self.0 {
            job.read_reports();
        }
        self.0.iter_mut().find(|job| job.command == Some(pid))?.runs.take()
    }

    /// Whether `pid` is a command.
    pub(crate) fn is_command(&self, pid: i32) -> bool {
        self.0.iter().any(|job| job.command == Some(pid))
    }

    /// What to wait for; [`Jobs::settle`] is to be called when any is ready.
    pub(crate) fn interests(&self) -> Vec<(BorrowedFd<'_>, Interest)> {
        let running = self.0.iter().filter(|job| job.state == State::Running && !job.shim_gone);
        running.map(|job| (job.reports.as_fd(), Interest::Read)).collect()
    }

    /// When [`Jobs::enforce`] is to be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let open = self.0.iter().filter(|job| job.state != State::Over);
        open.map(|job| job.deadline).min()
    }

    fn find(&mut self, id: u64) -> Option<&mut Job> {
        self.0.iter_mut().find(|job| job.id == id)
    }

    /// Kills the job `id`.
    pub(crate) fn kill(&mut self, id: u64) {
        if let Some(job) = self.find(id).filter(|job| job.state == State::Running) {
            job.deadline = Instant::now();
            job.killed_by = ExitStatus::Signal { signal: libc::SIGKILL };
        }
    }

    /// Takes note of what shims report and of children of pid 1 that ended. Returns the replies to jobs that are over.
    pub(crate) fn settle(
        &mut self,
        ended: &[(i32, ExitStatus)],
        causes: &Causes,
    ) -> Vec<(u64, Reply)> {
        for job in &mut self.0 {
            job.read_reports();
            job.note(ended);
        }
        let replies = self.0.iter_mut().filter_map(|job| job.over(causes)).collect();
        self.0.retain(|job| job.state != State::Over || !job.shim_gone);
        replies
    }

    /// Kills what is past its deadline. Returns the replies to jobs of which nothing is left.
    pub(crate) fn enforce(&mut self, now: Instant) -> Vec<(u64, Reply)> {
        self.0.iter_mut().filter_map(|job| job.enforce(now)).collect()
    }
}

impl Job {
    fn read_reports(&mut self) {
        let ready = |reports: &File| {
            let ready = socket::poll(&[(reports.as_fd(), Interest::Read)], Some(Duration::ZERO));
            ready.is_ok_and(|ready| ready[0])
        };
        while ready(&self.reports) {
            let mut bytes = [0; Report::BYTES];
            match self.reports.read(&mut bytes) {
                Ok(Report::BYTES) => self.take(Report::from_bytes(&bytes)),
                _ => return,
            }
        }
    }

    fn take(&mut self, report: Option<Report>) {
        let end = match report {
            Some(Report::Pid(pid)) => {
                self.command = Some(pid);
                return;
            }
            Some(Report::Ended(status)) => ended_with(status),
            Some(Report::Unconfined(errno)) => {
                Reply::Failed { cause: io::Error::from_raw_os_error(errno).to_string() }
            }
            None => return,
        };
        // A command that could not be confined ends too, and the first report tells why.
        self.end.get_or_insert(end);
    }

    fn note(&mut self, ended: &[(i32, ExitStatus)]) {
        let status_of = |pid| ended.iter().find(|(ended, _)| *ended == pid).map(|found| found.1);
        if let Some(status) = status_of(self.shim) {
            self.shim_gone = true;
            // Something inside killed the shim. What is known of the command counts; pid 1 has adopted it.
            if self.command.is_none() && self.end.is_none() {
                self.end = Some(ended_with(status));
            }
        }
        if self.shim_gone && self.end.is_none() {
            let status = self.command.and_then(status_of);
            self.end = status.map(ended_with);
        }
    }

    /// The reply, once the command has ended by itself.
    fn over(&mut self, causes: &Causes) -> Option<(u64, Reply)> {
        if self.state != State::Running {
            return None;
        }
        let reply = match self.end.clone()? {
            Reply::Ended { status, .. } => Reply::Ended {
                status: causes.of_command(status, self.begun),
                orphans: self.orphans(),
            },
            reply => reply,
        };
        self.finish();
        Some((self.id, reply))
    }

    fn finish(&mut self) {
        self.state = State::Over;
        // What the command leaves behind becomes pid 1's and lives on.
        if !self.shim_gone {
            process::kill(self.shim);
        }
    }

    fn enforce(&mut self, now: Instant) -> Option<(u64, Reply)> {
        if self.state == State::Over || self.deadline > now {
            return None;
        }
        self.state = State::Killing;
        self.deadline = now + KILL_PAUSE;
        let table = processes::table();
        let family = match self.command {
            _ if !self.shim_gone => processes::descendants(&table, self.shim),
            Some(command) if self.end.is_none() => {
                [processes::descendants(&table, command), vec![command]].concat()
            }
            // The ids of what has been reaped may be others' by now.
            Some(_) | None => Vec::new(),
        };
        if !family.is_empty() {
            self.n_empty = 0;
            family.into_iter().for_each(process::kill);
            return None;
        }
        self.n_empty += 1;
        if self.n_empty < EMPTY_LOOKS {
            return None;
        }
        if self.command.is_none() && self.end.is_none() {
            // The shim was too slow, or something stopped it. A command that it forked meanwhile tells its id or ends.
            process::kill(self.shim);
            return None;
        }
        self.finish();
        Some((self.id, ended_with(self.killed_by)))
    }

    /// Descendants of the command that live on, where they are to be counted.
    fn orphans(&self) -> u64 {
        if !self.counts_orphans || self.shim_gone {
            return 0;
        }
        let family = processes::descendants(&processes::table(), self.shim);
        family.into_iter().filter(|pid| Some(*pid) != self.command).count() as u64
    }
}

fn ended_with(status: ExitStatus) -> Reply {
    Reply::Ended { status, orphans: 0 }
}
