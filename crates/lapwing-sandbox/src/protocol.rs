//! What harness, launcher and pid 1 say to each other. Descriptors that belong to a message travel beside it.

use std::fmt;
use std::path::PathBuf;

use lapwing_core::{Command, ExitStatus, Limits, Network, Observe, Service, TerminalSize};
use serde::{Deserialize, Serialize};

/// The id under which pid 1 reports that the sandbox is set up.
pub(crate) const SET_UP: u64 = 0;

/// To the launcher, or to a holder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Carries the sandbox's end of its socket and, behind it, what `carried` lists.
    Sandbox { creation: Box<Creation>, carried: Vec<Carried> },
    /// A network for several sandboxes: answered like a sandbox, by a holder that takes orders from then on. Carries its end
    /// of its socket.
    Network(Network),
}

/// What a descriptor beside an [`Order`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Carried {
    /// Pid 1 writes to it why it ends the sandbox.
    Verdict,
    /// Tells what the kernel has ended in the control groups.
    Kills,
    /// Tells the processor time of the control groups.
    Time,
    /// The id of a process that is written to it enters a control group.
    Entry,
    /// The folder of a control group of version two, into which processes can be cloned.
    Group,
}

/// What a sandbox is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Creation {
    pub(crate) hostname: String,
    pub(crate) programs: Vec<String>,
    pub(crate) limits: Limits,
    /// What control groups hold of it.
    pub(crate) grouped: Grouped,
    /// What lies below its writable files; `None` where nothing but the host's programs does.
    pub(crate) layers: Option<Layers>,
    pub(crate) network: Network,
    pub(crate) observe: Observe,
    /// Names for 127.0.0.1.
    pub(crate) names: Vec<String>,
}

/// Folders of the host that lie below the writable files of a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Layers {
    /// Each over those behind it.
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) programs: ProgramsFrom,
    /// Variables of every command, beside the usual ones.
    pub(crate) env: Vec<(String, String)>,
    /// Whether they hold the files that every sandbox gets: those of a sandbox that it is a fork of.
    pub(crate) furnished: bool,
}

/// Where the programs of a sandbox come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProgramsFrom {
    /// The host's `/usr`.
    Host,
    /// Its own layers.
    Layers,
}

/// What control groups hold of a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grouped {
    pub(crate) memory: bool,
    pub(crate) processes: bool,
    pub(crate) processors: bool,
}

/// A command without what concerns the harness only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) limit_ms: u64,
}

impl From<&Command> for Run {
    fn from(command: &Command) -> Self {
        let env = command.env.iter().map(|(name, value)| (name.clone(), value.clone()));
        Self {
            argv: command.argv.clone(),
            cwd: command.cwd.clone(),
            env: env.collect(),
            limit_ms: command.limit_ms,
        }
    }
}

/// A file whose bytes follow those of the files before it, in the memory file beside the message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PutFile {
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) size: u64,
}

/// From the harness to pid 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Under which the replies come.
    pub(crate) id: u64,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Body {
    /// Replies: `Started` with the reading ends of output and error, then `Ended`. May carry the standard input.
    Exec(Run),
    /// Replies: `Started` with the writing end of input and the reading end of output, then `Ended`.
    Open(Run),
    /// The same, for a command in the background: its `Ended` counts what it leaves behind.
    Spawn(Run),
    /// Replies: `Started` with the terminal's own end, then `Ended`.
    Terminal { run: Run, size: TerminalSize },
    /// Replies: `Done`.
    Start { name: String, run: Run },
    /// Replies: `Status`.
    Wait { name: String, limit_ms: u64 },
    /// Replies: `Services`.
    Services,
    /// Replies: `Output`, what [`crate::record`] writes.
    Observed,
    /// Replies: `Done`.
    Protect { paths: Vec<String> },
    /// Kills the command of an `Exec`, `Open`, `Spawn` or `Terminal` with its descendants. No reply of its own.
    Kill { id: u64 },
    /// No reply.
    Answer { call: u64, stdout: String, code: i32 },
    /// Replies: `Output`, `Absent`.
    Help(Task),
}

/// What a helper process does with the files or processes inside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Carries the bytes. Output: nothing.
    Put { files: Vec<PutFile> },
    /// Output: what [`crate::files::parts`] reads.
    Get { paths: Vec<String>, max_bytes: u64 },
    /// Output: what is written, as JSON.
    Manifest,
    /// Carries the file that gets what is written, as a layer of an image. Output: nothing.
    Export,
    /// Output: a list of processes as JSON.
    Processes,
}

/// To the harness, from pid 1 and, before it lives, from the launcher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Pid 1 exists. Carries its pidfd.
    Born,
    /// The sandbox cannot be set up.
    Stillborn { step: Step, errno: i32, cause: String },
    /// Concerns the request `id`.
    Reply { id: u64, reply: Reply },
    /// A program was called and waits.
    Call { id: u64, program: String, arguments: Vec<String>, pid: u32 },
    /// The caller is gone.
    CallGone { id: u64 },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    Started,
    /// `orphans` are processes that the command leaves behind, where they were to be counted.
    Ended {
        status: ExitStatus,
        orphans: u64,
    },
    Status {
        status: Option<ExitStatus>,
    },
    Services {
        services: Vec<Service>,
    },
    Output,
    Absent,
    Failed {
        cause: String,
    },
}

impl Reply {
    /// Whether no other reply to the same request follows.
    pub(crate) fn is_last(&self) -> bool {
        !matches!(self, Self::Started)
    }
}

/// The steps of setting up, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Step {
    UserNamespace,
    PidNamespace,
    NetworkNamespace,
    MountNamespace,
    IpcNamespace,
    UtsNamespace,
    ControlGroup,
    IdMap,
    CgroupNamespace,
    Identity,
    PrivateMounts,
    WritableTree,
    Layers,
    HostPrograms,
    Devices,
    Proc,
    SystemFiles,
    Pivot,
    Loopback,
    Sinkhole,
    HostName,
    NestedNamespaces,
    Programs,
    Supervisor,
    Watch,
}

impl Step {
    /// All steps.
    pub(crate) const ALL: [Self; 25] = [
        Self::UserNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::MountNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::ControlGroup,
        Self::IdMap,
        Self::CgroupNamespace,
        Self::Identity,
        Self::PrivateMounts,
        Self::WritableTree,
        Self::Layers,
        Self::HostPrograms,
        Self::Devices,
        Self::Proc,
        Self::SystemFiles,
        Self::Pivot,
        Self::Loopback,
        Self::Sinkhole,
        Self::HostName,
        Self::NestedNamespaces,
        Self::Programs,
        Self::Supervisor,
        Self::Watch,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserNamespace => "user namespace",
            Self::PidNamespace => "pid namespace",
            Self::NetworkNamespace => "network namespace",
            Self::MountNamespace => "mount namespace",
            Self::IpcNamespace => "ipc namespace",
            Self::UtsNamespace => "uts namespace",
            Self::CgroupNamespace => "cgroup namespace",
            Self::ControlGroup => "control group",
            Self::IdMap => "uid and gid map",
            Self::Identity => "change of uid",
            Self::PrivateMounts => "private mounts",
            Self::WritableTree => "tmpfs",
            Self::Layers => "overlay of file systems",
            Self::HostPrograms => "read-only /usr",
            Self::Devices => "devices",
            Self::Proc => "own /proc",
            Self::SystemFiles => "files of /etc",
            Self::Pivot => "change of root",
            Self::Loopback => "loopback interface",
            Self::Sinkhole => "routes to nowhere",
            Self::HostName => "host name",
            Self::NestedNamespaces => "no nested user namespaces",
            Self::Programs => "programs",
            Self::Supervisor => "pid 1",
            Self::Watch => "notification of system calls",
        })
    }
}
