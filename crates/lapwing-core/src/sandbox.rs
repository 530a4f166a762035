//! The seam behind which every isolation back end stands.
//!
//! A [`Provider`] creates [`Sandbox`]es. A sandbox runs commands, moves files in and out, and tells its state as a
//! [`Manifest`] and a table of processes. *Programs* are commands offered inside whose logic runs outside: a call
//! blocks at a [`Checkpoint`] until it is answered.
//!
//! A command that fails is a result; `Err` means that the sandbox itself failed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Background, BoxFuture, Digest, LimitKind, Manifest, Network, Observe, Observed};

/// Creates sandboxes of one kind.
pub trait Provider: Send + Sync {
    /// The back end's name, for example `native`.
    fn name(&self) -> &str;

    /// What holds the limits of its sandboxes on this machine.
    fn enforced(&self) -> Enforced {
        Enforced::default()
    }

    /// Makes the root file system at `path`, a folder or an archive, ready for [`SandboxSpec::root`].
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] where it is none, or this back end has only one of its own.
    fn prepare(&self, path: &Path) -> BoxFuture<'_, Result<RootFiles, SandboxError>> {
        let reason = format!("{} cannot be the root of a sandbox of this kind", path.display());
        let mend = "use the native sandbox".to_owned();
        Box::pin(std::future::ready(Err(SandboxError::Unavailable { reason, mend })))
    }

    /// Creates a sandbox.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] where isolation is missing, with the reason and what mends it.
    fn create(&self, spec: SandboxSpec) -> BoxFuture<'_, Result<Box<dyn Sandbox>, SandboxError>>;

    /// A provider whose sandboxes stand beside each other on one loopback and share nothing else: what one serves on
    /// 127.0.0.1 answers in all of them, and what is outside is the same for all.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] where this back end cannot.
    fn beside(&self, _outside: Network) -> BoxFuture<'_, Result<Arc<dyn Provider>, SandboxError>> {
        let reason =
            format!("the back end `{}` cannot put sandboxes beside each other", self.name());
        let mend = "use the native back end".to_owned();
        Box::pin(std::future::ready(Err(SandboxError::Unavailable { reason, mend })))
    }
}

/// An isolated machine. Dropping it destroys it.
pub trait Sandbox: Send + Sync {
    /// Runs `command` to its end. Background processes that it leaves live on until the sandbox ends.
    fn exec(&self, command: Command) -> BoxFuture<'_, Result<Captured, SandboxError>>;

    /// Starts `command` with its standard input and output open to the caller; standard error goes to standard output.
    fn open(&self, command: Command) -> BoxFuture<'_, Result<Box<dyn Session>, SandboxError>>;

    /// Starts `command` in a terminal of `size`: its input, output and error. Dropping it hangs up, which ends the command and
    /// its descendants.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] where the back end has no terminals.
    fn terminal(
        &self,
        _command: Command,
        _size: TerminalSize,
    ) -> BoxFuture<'_, Result<Box<dyn Terminal>, SandboxError>> {
        let reason = "sandboxes of this kind have no terminals".to_owned();
        let mend = "use the native sandbox".to_owned();
        Box::pin(std::future::ready(Err(SandboxError::Unavailable { reason, mend })))
    }

    /// Commands that run while others do, and are asked about by their numbers.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] where the back end has none.
    fn background(&self) -> Result<&dyn Background, SandboxError> {
        let reason = "sandboxes of this kind run no commands in the background".to_owned();
        let mend = "use the native sandbox".to_owned();
        Err(SandboxError::Unavailable { reason, mend })
    }

    /// Starts `command` as the service `name`; pid 1 keeps its wait status.
    fn start(&self, name: &str, command: Command) -> BoxFuture<'_, Result<(), SandboxError>>;

    /// Waits until the service `name` has ended, at most `limit_ms`. Returns its status, or `None` while it runs.
    fn wait(
        &self,
        name: &str,
        limit_ms: u64,
    ) -> BoxFuture<'_, Result<Option<ExitStatus>, SandboxError>>;

    /// Writes files, with the sandbox's own uid, making parent directories as needed.
    fn put(&self, files: Vec<NewFile>) -> BoxFuture<'_, Result<(), SandboxError>>;

    /// Reads a regular file of at most `max_bytes`, without following a link in its last component.
    /// `None`: there is no such file, it is no regular file, or it is larger.
    fn get(
        &self,
        path: &str,
        max_bytes: u64,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, SandboxError>>;

    /// Reads several files, each as [`Sandbox::get`] does. One answer for each path.
    fn get_all<'a>(
        &'a self,
        paths: &'a [String],
        max_bytes: u64,
    ) -> BoxFuture<'a, Result<Vec<Option<Vec<u8>>>, SandboxError>> {
        Box::pin(async move {
            let mut all = Vec::with_capacity(paths.len());
            for path in paths {
                all.push(self.get(path, max_bytes).await?);
            }
            Ok(all)
        })
    }

    /// Makes `paths` read-only from now on. Nothing inside can undo it.
    fn protect(&self, paths: &[String]) -> BoxFuture<'_, Result<(), SandboxError>>;

    /// The state of the writable tree.
    fn manifest(&self) -> BoxFuture<'_, Result<Manifest, SandboxError>>;

    /// All live processes except pid 1, by pid.
    fn processes(&self) -> BoxFuture<'_, Result<Vec<Process>, SandboxError>>;

    /// The services that were started, in that order.
    fn services(&self) -> BoxFuture<'_, Result<Vec<Service>, SandboxError>>;

    /// What pid 1 has written down since this was asked last; see [`SandboxSpec::observe`]. What commands that have ended did
    /// is in it.
    fn observed(&self) -> BoxFuture<'_, Result<Observed, SandboxError>> {
        Box::pin(std::future::ready(Ok(Observed::default())))
    }

    /// Waits for the next call of a program. The caller inside stays blocked until [`Sandbox::answer`].
    /// Dropping the future loses no call.
    fn checkpoint(&self) -> BoxFuture<'_, Result<Checkpoint, SandboxError>>;

    /// Answers the call `id` and lets its caller go on.
    fn answer(&self, id: u64, answer: Answer) -> BoxFuture<'_, Result<(), SandboxError>>;

    /// Keeps the files as they are now, for new sandboxes that begin with them.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] where the back end cannot do this.
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, SandboxError>> {
        let reason = "sandboxes of this kind cannot be forked".to_owned();
        let mend = "use the native sandbox".to_owned();
        Box::pin(std::future::ready(Err(SandboxError::Unavailable { reason, mend })))
    }

    /// Ends every process and waits until all are gone. Destroying twice is no error.
    fn destroy(&self) -> BoxFuture<'_, Result<(), SandboxError>>;
}

/// A running command in a terminal. What is sent are keys: a `^C` among them interrupts.
pub trait Terminal: Session {
    /// Tells the command that its terminal has another size from now on.
    ///
    /// # Errors
    /// The sandbox is gone.
    fn resize(&mut self, size: TerminalSize) -> Result<(), SandboxError>;
}

/// Rows and columns of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// The files of a sandbox as they were at one time.
pub trait Snapshot: Send + Sync {
    /// A new sandbox of the same make with these files. Whatever is written in it, or in the one that they came from, the
    /// others do not see. Processes, and what lives in them only, stay behind, as do fifos, sockets and shared memory.
    /// What it costs does not depend on how much there is in the files, nor on how many branches there are.
    fn branch(&self) -> BoxFuture<'_, Result<Box<dyn Sandbox>, SandboxError>>;
}

/// A running command with its input and output open.
pub trait Session: Send {
    /// Writes to its standard input. An ended reader is no error.
    fn send<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, Result<(), SandboxError>>;

    /// The next bytes of its output; empty at the end of output.
    fn receive(&mut self) -> BoxFuture<'_, Result<Vec<u8>, SandboxError>>;

    /// Closes its input and waits for its end.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<ExitStatus, SandboxError>>;
}

/// What a sandbox is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxSpec {
    /// Host name inside.
    pub hostname: String,
    /// Names of the programs offered in `/usr/local/bin`.
    pub programs: Vec<String>,
    /// Resource limits.
    pub limits: Limits,
    /// What is outside of its loopback. Connections there are always written down.
    pub network: Network,
    /// What else is written down.
    pub observe: Observe,
    /// Names, beside its own, that stand for 127.0.0.1.
    pub names: Vec<String>,
    /// Its root file system, which [`Provider::prepare`] made ready; `None` for the back end's own.
    pub root: Option<Digest>,
}

/// A root file system that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFiles {
    /// By what it is known.
    pub digest: Digest,
    /// What it is, in words.
    pub kind: String,
}

/// Resource limits of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes, of all processes and files together; see [`Enforced::memory`].
    pub memory_bytes: u64,
    /// Writable disk in bytes.
    pub disk_bytes: u64,
    /// Files and directories.
    pub files: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Share of the processors, in thousandths of one.
    pub millicores: u64,
    /// Seconds of processor time of all processes together, ended ones included; `None` for no limit.
    pub cpu_seconds: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            disk_bytes: 512 << 20,
            files: 100_000,
            processes: 256,
            millicores: 1000,
            cpu_seconds: None,
        }
    }
}

/// What holds a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// The kernel, always.
    Kernel,
    /// A process that looks again and again, and ends the sandbox. Between two looks the limit can be exceeded.
    Watchdog,
    /// Nothing.
    #[default]
    None,
}

/// What holds each limit of a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// Memory of all processes and files together.
    pub memory: Enforcement,
    /// Bytes on the writable disk.
    pub disk: Enforcement,
    /// Files and directories.
    pub files: Enforcement,
    /// Processes and threads.
    pub processes: Enforcement,
    /// Share of the processors.
    pub processors: Enforcement,
    /// Processor time of all processes together.
    pub processor_time: Enforcement,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Its absolute path.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments; the program is searched in the sandbox's `PATH`.
    pub argv: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// Variables beside `HOME`, `PATH`, `SHELL`, `USER`, `LANG`.
    pub env: BTreeMap<String, String>,
    /// Standard input.
    pub stdin: Vec<u8>,
    /// Wall time after which the command and all its descendants are killed.
    pub limit_ms: u64,
    /// Bytes kept of each output stream: the first and the last half.
    pub output_bytes: usize,
}

impl Command {
    /// A command with the default limits: 120 s, 1 MiB a stream.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            cwd: "/home/agent".to_owned(),
            env: BTreeMap::new(),
            stdin: Vec::new(),
            limit_ms: 120_000,
            output_bytes: 1 << 20,
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
pub enum ExitStatus {
    /// It returned.
    Exit {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// It ran past its time limit and was killed.
    TimeLimit,
    /// The kernel ended it, or a process that it waited for, because its sandbox was at its limit on memory.
    OutOfMemory,
    /// Its sandbox was ended at its limit on processor time.
    ProcessorTime,
    /// It failed while the disk of its sandbox was full, in bytes or in files.
    DiskFull {
        /// Its exit code; 128 and the number of the signal, if one ended it.
        code: i32,
    },
}

impl ExitStatus {
    /// Whether the process returned 0.
    pub fn success(self) -> bool {
        matches!(self, Self::Exit { code: 0 })
    }
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output as far as it was kept.
    pub stdout: Vec<u8>,
    /// Standard error as far as it was kept.
    pub stderr: Vec<u8>,
    /// Bytes of standard output that were written.
    pub stdout_bytes: u64,
    /// Bytes of standard error that were written.
    pub stderr_bytes: u64,
    /// Wall time in milliseconds.
    pub millis: u64,
}

impl Captured {
    /// Of a command whose whole sandbox was ended, which `status` tells: what it wrote is lost.
    pub fn cut_off(status: ExitStatus) -> Self {
        Self {
            status,
            stdout: Vec::new(),
            stderr: Vec::new(),
            stdout_bytes: 0,
            stderr_bytes: 0,
            millis: 0,
        }
    }
}

/// A live process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id inside the sandbox.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// Its arguments joined by spaces; anyone inside can forge them.
    pub command: String,
}

/// A service and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name in the scenario.
    pub name: String,
    /// Its process id inside the sandbox.
    pub pid: u32,
    /// How it ended, as pid 1 saw it; `None` while it runs.
    pub status: Option<ExitStatus>,
}

/// A program call that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// To be handed to [`Sandbox::answer`].
    pub id: u64,
    /// The program's name.
    pub program: String,
    /// The arguments that followed the name.
    pub arguments: Vec<String>,
    /// The calling process, as the kernel tells.
    pub pid: u32,
}

/// What a program's caller sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Written to the caller's standard output.
    pub stdout: String,
    /// The caller's exit code.
    pub code: i32,
}

/// The sandbox itself failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SandboxError {
    /// This machine cannot isolate.
    #[error("{reason}")]
    Unavailable {
        /// What is missing.
        reason: String,
        /// The command or setting that mends it.
        mend: String,
    },
    /// A step failed.
    #[error("{step}: {cause}")]
    Failed {
        /// What was being done.
        step: String,
        /// What the system said.
        cause: String,
    },
    /// The sandbox is gone.
    #[error("the sandbox is gone: {cause}")]
    Lost {
        /// Why, for programs.
        loss: Loss,
        /// Why, in words.
        cause: String,
    },
}

/// Why a sandbox is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Its processes and files took more memory than its limit: what runs inside did it.
    Memory {
        /// The limit.
        limit_bytes: u64,
    },
    /// Its processes took more processor time than its limit: what runs inside did it.
    ProcessorTime {
        /// The limit.
        limit_seconds: u64,
    },
    /// The memory of the host ran short, and its share was more than what was left for it.
    HostMemory,
    /// Something outside ended it: the launcher is gone, or its pid 1 was killed.
    Killed,
    /// The harness ended it.
    Destroyed,
    /// What it said cannot be understood.
    Protocol,
}

impl Loss {
    /// The limit that what runs inside ran into, with its value and how the commands ended that ran then; `None` where something
    /// else is to blame.
    pub fn limit(self) -> Option<(LimitKind, u64, ExitStatus)> {
        match self {
            Self::Memory { limit_bytes } => {
                Some((LimitKind::Memory, limit_bytes, ExitStatus::OutOfMemory))
            }
            Self::ProcessorTime { limit_seconds } => {
                let millis = limit_seconds.saturating_mul(1000);
                Some((LimitKind::ProcessorTime, millis, ExitStatus::ProcessorTime))
            }
            Self::HostMemory | Self::Killed | Self::Destroyed | Self::Protocol => None,
        }
    }
}
