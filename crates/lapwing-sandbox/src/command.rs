//! From a fork of pid 1 to the running command: what it is allowed, what it sees, and who counts its descendants.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use lapwing_core::{ExitStatus, Limits};

use crate::protocol::Run;
use crate::sys::process::{self, Resource};
use crate::terminal;

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const OPEN_FILES: u64 = 1024;
const LOCKED_BYTES: u64 = 1 << 20;
const QUEUE_BYTES: u64 = 64 << 10;
const PENDING_SIGNALS: u64 = 1024;
/// At 0 the kernel still hands core dumps to a handler of the host, if it has one; at 1 it takes the dumping process for that
/// handler and gives up. No file of that size is written either.
const CORE_BYTES: u64 = 1;

/// How far commands stand behind the harness where nothing limits their share of the processors.
const NICENESS: i32 = 10;

/// What holds for every command of a sandbox.
pub(crate) struct Confinement {
    pub(crate) limits: Limits,
    pub(crate) filter: Vec<libc::sock_filter>,
    /// Whether commands run only while nothing more urgent does: where nothing limits their share of the processors.
    pub(crate) gives_way: bool,
    /// Variables of every command, beside the usual ones.
    pub(crate) env: Vec<(String, String)>,
}

impl Confinement {
    /// Applies it to this process for ever.
    fn apply(&self) -> io::Result<()> {
        process::new_session()?;
        process::set_umask(0o022);
        if self.gives_way {
            process::give_way(NICENESS)?;
        }
        for (resource, value) in [
            (Resource::Processes, self.limits.processes),
            (Resource::FileSize, self.limits.disk_bytes),
            (Resource::AddressSpace, self.limits.memory_bytes),
            (Resource::Descriptors, OPEN_FILES),
            (Resource::Core, CORE_BYTES),
            (Resource::LockedMemory, LOCKED_BYTES),
            (Resource::MessageQueues, QUEUE_BYTES),
            (Resource::PendingSignals, PENDING_SIGNALS),
            (Resource::Niceness, 0),
            (Resource::RealTime, 0),
        ] {
            process::set_limit(resource, value)?;
        }
        process::take_signals();
        process::keep_capabilities(0)?;
        process::no_new_privileges()?;
        process::install_filter(&self.filter)
    }
}

/// What a shim tells pid 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The command runs under this id.
    Pid(i32),
    /// The command has ended.
    Ended(ExitStatus),
    /// The command was not run: this error number.
    Unconfined(i32),
}

impl Report {
    /// Bytes of one report; short enough for a pipe to keep it whole.
    pub(crate) const BYTES: usize = 8;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let (kind, value) = match self {
            Self::Pid(pid) => (0, pid),
            Self::Ended(ExitStatus::Exit { code }) => (1, code),
            Self::Ended(ExitStatus::Signal { signal }) => (2, signal),
            Self::Ended(ExitStatus::TimeLimit) => (3, 0),
            Self::Ended(ExitStatus::OutOfMemory) => (5, 0),
            Self::Ended(ExitStatus::DiskFull { code }) => (6, code),
            Self::Ended(ExitStatus::ProcessorTime) => (7, 0),
            Self::Unconfined(errno) => (4, errno),
        };
        let mut bytes = [0; Self::BYTES];
        bytes[0] = kind;
        bytes[4..].copy_from_slice(&value.to_ne_bytes());
        bytes
    }

    /// The report in `bytes`, if it is one.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, value) = (*bytes.first()?, bytes.get(4..Self::BYTES)?);
        let value = i32::from_ne_bytes(value.try_into().ok()?);
        match kind {
            0 => Some(Self::Pid(value)),
            1 => Some(Self::Ended(ExitStatus::Exit { code: value })),
            2 => Some(Self::Ended(ExitStatus::Signal { signal: value })),
            3 => Some(Self::Ended(ExitStatus::TimeLimit)),
            4 => Some(Self::Unconfined(value)),
            5 => Some(Self::Ended(ExitStatus::OutOfMemory)),
            6 => Some(Self::Ended(ExitStatus::DiskFull { code: value })),
            7 => Some(Self::Ended(ExitStatus::ProcessorTime)),
            _ => None,
        }
    }
}

/// Standard input, output and error of a command.
pub(crate) struct Stdio {
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) error: OwnedFd,
    /// Whether they are a terminal, which is to be that of the command's session.
    pub(crate) terminal: bool,
}

/// Becomes the parent of the command, and of all its orphaned descendants, until pid 1 kills it. Call in a child.
pub(crate) fn shim(run: &Run, stdio: &Stdio, reports: OwnedFd, confinement: &Confinement) -> ! {
    let mut reports = File::from(reports);
    let mut report = |report: Report| {
        // Pid 1 takes a shim that ends without a report for a killed one.
        if reports.write_all(&report.to_bytes()).is_err() {
            process::exit(1);
        }
    };
    if let Err(error) = process::adopt_orphans() {
        report(Report::Unconfined(error.raw_os_error().unwrap_or(0)));
        process::exit(1);
    }
    let started = process::spawn(|| {
        if let Err(error) = confinement.apply() {
            report(Report::Unconfined(error.raw_os_error().unwrap_or(0)));
            process::exit(1);
        }
        // Told here, as the command itself may kill the shim before that could.
        report(Report::Pid(std::process::id().cast_signed()));
        execute(run, stdio, &confinement.env)
    });
    let command = match started {
        Ok(pid) => pid,
        Err(error) => {
            report(Report::Unconfined(error.raw_os_error().unwrap_or(0)));
            process::exit(1);
        }
    };
    if process::close_all_but(reports.as_fd()).is_err() {
        process::exit(1);
    }
    loop {
        let Some((pid, status)) = process::wait_for_end() else {
            std::thread::sleep(Duration::from_hours(1));
            continue;
        };
        // Before it is reaped: a shim killed in between leaves the status to pid 1.
        if pid == command && reports.write_all(&Report::Ended(status).to_bytes()).is_err() {
            process::exit(1);
        }
        process::reap_one(pid);
    }
}

/// Runs the command of a service in place of this process. Call in a child.
pub(crate) fn serve(run: &Run, stdio: &Stdio, confinement: &Confinement) -> ! {
    if confinement.apply().is_err() {
        process::exit(125);
    }
    execute(run, stdio, &confinement.env)
}

fn execute(run: &Run, stdio: &Stdio, more: &[(String, String)]) -> ! {
    let fds: [BorrowedFd<'_>; 3] = [stdio.input.as_fd(), stdio.output.as_fd(), stdio.error.as_fd()];
    let kept = process::keep_only(fds);
    let controlled = if stdio.terminal { terminal::control(io::stdin()) } else { Ok(()) };
    if kept.and(controlled).is_err() {
        process::exit(125);
    }
    let (message, code) = match run_program(run, more) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    // As a shell would say it. If nobody listens, the code says enough.
    let _ = writeln!(io::stderr(), "{message}");
    process::exit(code)
}

/// Returns only if the program cannot be run: a message and an exit code.
fn run_program(
    run: &Run,
    more: &[(String, String)],
) -> Result<std::convert::Infallible, (String, i32)> {
    std::env::set_current_dir(&run.cwd).map_err(|error| (says(&run.cwd, &error), 126))?;
    let Some(name) = run.argv.first() else { return Err(("no command given".to_owned(), 127)) };
    let mut env = BTreeMap::from([
        ("HOME", "/home/agent"),
        ("LANG", "C.UTF-8"),
        ("PATH", PATH),
        // A shell without it looks it up in the table of users, at every start.
        ("SHELL", "/bin/bash"),
        ("USER", "agent"),
    ]);
    env.extend(more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let path = env.get("PATH").copied().unwrap_or(PATH).to_owned();
    env.extend(run.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let env = env.into_iter().map(|(name, value)| CString::new(format!("{name}={value}")));
    let argv = run.argv.iter().map(|argument| CString::new(argument.as_str()));
    let refused = |_| (format!("{name}: an argument holds a NUL byte"), 126);
    let env: Vec<CString> = env.collect::<Result<_, _>>().map_err(refused)?;
    let argv: Vec<CString> = argv.collect::<Result<_, _>>().map_err(refused)?;

    let paths: Vec<String> = if name.contains('/') {
        vec![name.clone()]
    } else {
        path.split(':').map(|directory| format!("{directory}/{name}")).collect()
    };
    let mut failure = (format!("{name}: command not found"), 127);
    for path in paths {
        let Ok(program) = CString::new(path) else { continue };
        let error = process::execute(&program, &argv, &env);
        if error.kind() != io::ErrorKind::NotFound {
            failure = (says(name, &error), 126);
        } else if name.contains('/') {
            failure = (says(name, &error), 127);
        }
    }
    Err(failure)
}

/// The error in the system's words, without its number.
fn says(subject: &str, error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("{subject}: {text}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_through_the_pipe_is_one_report_or_none(bytes: Vec<u8>) {
            if let Some(report) = Report::from_bytes(&bytes) {
                prop_assert_eq!(Report::from_bytes(&report.to_bytes()), Some(report));
            }
        }
    }

    #[test]
    fn reports_survive_the_way_through_a_pipe() {
        for report in [
            Report::Pid(77),
            Report::Ended(ExitStatus::Exit { code: 255 }),
            Report::Ended(ExitStatus::Signal { signal: 9 }),
            Report::Unconfined(22),
        ] {
            assert_eq!(Report::from_bytes(&report.to_bytes()), Some(report));
        }
        assert_eq!(Report::from_bytes(&[0; 3]), None);
        assert_eq!(Report::from_bytes(&[9; 8]), None);
    }
}
