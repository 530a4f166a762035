//! Pid 1 of a sandbox: sets it up, then serves the harness until the harness closes its socket or the launcher ends.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use lapwing_core::{ExitStatus, Service};

use crate::cause::{Causes, Kills};
use crate::channel;
use crate::command::{self, Confinement, Stdio};
use crate::helper::Helpers;
use crate::jobs::Jobs;
use crate::launcher::{self, INSIDE_ID};
use crate::layers;
use crate::programs::Programs;
use crate::protect;
use crate::protocol::{Body, Creation, Event, Reply, Request, Run, SET_UP, Step};
use crate::root;
use crate::seccomp;
use crate::sys::process::{self, Fork};
use crate::sys::socket::{self, Interest, Wait};
use crate::terminal;
use crate::watchdog::Watchdog;

/// Second belt below the limit on processes, wide enough that ids are not soon used again.
const PIDS_MIN: u64 = 4096;

/// Limits of a user namespace beside the one on nested ones.
const OPTIONAL_LIMITS: [(&str, &str); 9] = [
    ("max_cgroup_namespaces", "0"),
    ("max_ipc_namespaces", "0"),
    ("max_net_namespaces", "0"),
    ("max_pid_namespaces", "0"),
    ("max_time_namespaces", "0"),
    ("max_uts_namespaces", "0"),
    ("max_fanotify_groups", "0"),
    ("max_inotify_instances", "32"),
    ("max_inotify_watches", "8192"),
];

/// Serves until the sandbox ends.
pub(crate) fn run(creation: &Creation, socket: OwnedFd, kills: Option<File>) {
    match set_up(creation) {
        Ok(Prepared { children, null, terminals, programs, upper }) => {
            let confinement = Confinement {
                limits: creation.limits.clone(),
                filter: seccomp::filter(),
                gives_way: !creation.grouped.processors,
                env: creation.layers.as_ref().map_or(Vec::new(), |layers| layers.env.clone()),
            };
            let supervisor = Supervisor {
                socket,
                children,
                null,
                terminals,
                programs,
                jobs: Jobs::default(),
                helpers: Helpers::new(creation.limits.disk_bytes, upper),
                services: Vec::new(),
                waits: Vec::new(),
                causes: Causes::new(kills.map(Kills::new)),
                watchdog: Watchdog::new(creation.limits.memory_bytes, creation.grouped.memory),
                confinement,
            };
            // An error means that the harness cannot be reached: the sandbox ends with this process.
            let _ = supervisor.serve();
        }
        Err((step, error)) => launcher::report(socket.as_fd(), step, &error),
    }
}

/// What pid 1 opens while nothing else runs inside.
struct Prepared {
    children: File,
    null: File,
    /// The folder of terminals.
    terminals: File,
    programs: Programs,
    /// Where what is written lies, if that is not below the root.
    upper: Option<OwnedFd>,
}

fn set_up(creation: &Creation) -> Result<Prepared, (Step, io::Error)> {
    let at = |step: Step| move |error| (step, error);
    process::set_umask(0o022);
    // Not when it was cloned: the launcher has put this process into its control group since.
    process::own_cgroup_root().map_err(at(Step::CgroupNamespace))?;
    // As the user of the harness, whom they belong to or whose folders lead to them.
    let layers =
        creation.layers.as_ref().map(layers::open).transpose().map_err(at(Step::Layers))?;
    process::become_user(INSIDE_ID).map_err(at(Step::Identity))?;
    process::die_with_parent()
        .and_then(|()| process::hide_memory())
        .and_then(|()| process::no_new_privileges())
        .map_err(at(Step::Supervisor))?;
    let upper = if let Some(layers) = layers {
        Some(layers::build(creation, &layers)?)
    } else {
        root::build(creation)?;
        None
    };
    socket::loopback_up()
        .and_then(|()| fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"))
        .map_err(at(Step::Loopback))?;
    process::set_host_name(&creation.hostname).map_err(at(Step::HostName))?;
    limit_namespace().map_err(at(Step::NestedNamespaces))?;
    // Each pid namespace has its own only in newer kernels; the limit on processes does not depend on it.
    let pids = creation.limits.processes.saturating_mul(4).clamp(PIDS_MIN, 4 << 20);
    let _ = fs::write("/proc/sys/kernel/pid_max", pids.to_string());
    if !creation.layers.as_ref().is_some_and(|layers| layers.furnished) {
        root::install_programs(&creation.programs).map_err(at(Step::Programs))?;
    }
    let programs = Programs::new(creation.programs.clone()).map_err(at(Step::Programs))?;
    let children = process::child_events().map_err(at(Step::Supervisor))?.into();
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    let terminals = File::open("/dev/pts").map_err(at(Step::Devices))?;
    Ok(Prepared { children, null: null.map_err(at(Step::Devices))?, terminals, programs, upper })
}

/// Limits what the user namespace may hold. The kernel counts it for the host's user as well, who would else run out.
fn limit_namespace() -> io::Result<()> {
    fs::write("/proc/sys/user/max_user_namespaces", "0")?;
    for (name, value) in OPTIONAL_LIMITS {
        match fs::write(format!("/proc/sys/user/{name}"), value) {
            // This kernel has nothing of the kind.
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            result => result?,
        }
    }
    Ok(())
}

struct Supervisor {
    socket: OwnedFd,
    /// Readable when a child has ended.
    children: File,
    /// `/dev/null`, opened before a command could lay out something else at that path.
    null: File,
    /// The folder of terminals, opened as early.
    terminals: File,
    programs: Programs,
    jobs: Jobs,
    helpers: Helpers,
    services: Vec<Service>,
    waits: Vec<ServiceWait>,
    causes: Causes,
    watchdog: Watchdog,
    confinement: Confinement,
}

/// A request that waits for the end of a service.
struct ServiceWait {
    id: u64,
    name: String,
    until: Instant,
}

impl Supervisor {
    fn serve(mut self) -> io::Result<()> {
        self.reply(SET_UP, Reply::Done, &[])?;
        loop {
            let programs = self.programs.interests();
            let jobs = self.jobs.interests();
            let own =
                [(self.socket.as_fd(), Interest::Read), (self.children.as_fd(), Interest::Read)];
            let all: Vec<(BorrowedFd<'_>, Interest)> =
                own.into_iter().chain(programs).chain(jobs).collect();
            let n_programs = all.len() - own.len() - self.jobs.interests().len();
            let ready = socket::poll(&all, self.time_left())?;
            let program_ready = ready[own.len()..own.len() + n_programs].to_vec();

            for event in self.programs.advance(&program_ready) {
                channel::send(self.socket.as_fd(), &event, &[], Wait::Block)?;
            }
            self.settle_children()?;
            self.settle_time()?;
            if let Some(excess) = self.watchdog.look(Instant::now()) {
                // Every other process of the namespace ends with this one.
                let event = Event::Over { loss: excess.loss(), cause: excess.cause() };
                return channel::send(self.socket.as_fd(), &event, &[], Wait::Block);
            }
            if ready[0] {
                let received = channel::receive::<Request>(self.socket.as_fd(), Wait::Never);
                match received {
                    Ok(Some((request, fds))) => self.handle(request, fds)?,
                    Ok(None) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn reply(&self, id: u64, reply: Reply, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        channel::send(self.socket.as_fd(), &Event::Reply { id, reply }, fds, Wait::Block)
    }

    /// Until the next deadline.
    fn time_left(&self) -> Option<Duration> {
        let waits = self.waits.iter().map(|wait| wait.until);
        let watch = process::has_children().then(|| self.watchdog.deadline());
        let deadlines =
            waits.chain(self.jobs.deadline()).chain(self.helpers.deadline()).chain(watch);
        deadlines.min().map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// Takes note of everything that has ended.
    fn settle_children(&mut self) -> io::Result<()> {
        let mut drain = [0; 1024];
        let _ = self.children.read(&mut drain);
        let ended: Vec<(i32, ExitStatus)> = std::iter::from_fn(process::reap).collect();
        let now = Instant::now();
        self.causes.look(now);
        for (id, reply) in self.jobs.settle(&ended, &self.causes) {
            self.reply(id, reply, &[])?;
        }
        for (id, reply, output) in self.helpers.settle(&ended) {
            let fds: Vec<BorrowedFd<'_>> = output.iter().map(AsFd::as_fd).collect();
            self.reply(id, reply, &fds)?;
        }
        for service in &mut self.services {
            let own = ended.iter().find(|(pid, _)| pid.unsigned_abs() == service.pid);
            // A process id may be used again after the service that had it has ended.
            let status = own.map(|(_, status)| self.causes.of_service(*status, now));
            service.status = service.status.or(status);
        }
        Ok(())
    }

    /// Answers waits that are over and enforces time limits.
    fn settle_time(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for (id, reply) in self.jobs.enforce(now) {
            self.reply(id, reply, &[])?;
        }
        self.helpers.enforce(now);
        for wait in std::mem::take(&mut self.waits) {
            let status = self.latest(&wait.name).and_then(|service| service.status);
            if status.is_some() || wait.until <= now {
                self.reply(wait.id, Reply::Status { status }, &[])?;
            } else {
                self.waits.push(wait);
            }
        }
        Ok(())
    }

    /// The service of that name that was started last.
    fn latest(&self, name: &str) -> Option<&Service> {
        self.services.iter().rev().find(|service| service.name == name)
    }

    fn handle(&mut self, request: Request, fds: Vec<OwnedFd>) -> io::Result<()> {
        let Request { id, body } = request;
        let failed = |error: io::Error| Reply::Failed { cause: error.to_string() };
        match body {
            Body::Exec(run) => {
                let input = fds.into_iter().next().map_or_else(|| self.null(), Ok);
                let started =
                    input.and_then(|input| self.jobs.exec(id, &run, input, &self.confinement));
                self.started(id, started)
            }
            Body::Open(run) => {
                let started = self.jobs.open(id, &run, &self.confinement);
                self.started(id, started)
            }
            Body::Terminal { run, size } => {
                let opened = terminal::open(&self.terminals, size);
                let started = opened.and_then(|(near, far)| {
                    self.jobs.in_terminal(id, &run, far, &self.confinement).map(|()| near)
                });
                match started {
                    Ok(near) => self.reply(id, Reply::Started, &[near.as_fd()]),
                    Err(error) => self.reply(id, failed(error), &[]),
                }
            }
            Body::Kill { id } => {
                self.jobs.kill(id);
                Ok(())
            }
            Body::Start { name, run } => {
                let reply = self.start_service(name, &run).map_or_else(failed, |()| Reply::Done);
                self.reply(id, reply, &[])
            }
            Body::Wait { name, limit_ms } => {
                if self.latest(&name).is_none() {
                    let cause = format!("no service is named {name:?}");
                    return self.reply(id, Reply::Failed { cause }, &[]);
                }
                let until = Instant::now() + Duration::from_millis(limit_ms);
                self.waits.push(ServiceWait { id, name, until });
                self.settle_time()
            }
            Body::Services => {
                self.reply(id, Reply::Services { services: self.services.clone() }, &[])
            }
            Body::Protect { paths } => {
                let reply = protect::protect(&paths)
                    .map_or_else(|cause| Reply::Failed { cause }, |()| Reply::Done);
                self.reply(id, reply, &[])
            }
            Body::Answer { call, stdout, code } => {
                self.programs.answer(call, &stdout, code);
                Ok(())
            }
            Body::Help(task) => {
                let shims = self.jobs.shims();
                match self.helpers.start(id, task, fds.into_iter().next(), shims) {
                    Ok(()) => Ok(()),
                    Err(error) => self.reply(id, failed(error), &[]),
                }
            }
        }
    }

    fn started(&self, id: u64, started: io::Result<[OwnedFd; 2]>) -> io::Result<()> {
        match started {
            Ok(fds) => self.reply(id, Reply::Started, &[fds[0].as_fd(), fds[1].as_fd()]),
            Err(error) => self.reply(id, Reply::Failed { cause: error.to_string() }, &[]),
        }
    }

    fn null(&self) -> io::Result<OwnedFd> {
        self.null.try_clone().map(OwnedFd::from)
    }

    /// A service is a child of pid 1 itself, so that its status is exact whatever is done to it.
    fn start_service(&mut self, name: String, run: &Run) -> io::Result<()> {
        let (input, output, error) = (self.null()?, self.null()?, self.null()?);
        let stdio = Stdio { input, output, error, terminal: false };
        match process::fork()? {
            Fork::Child => command::serve(run, &stdio, &self.confinement),
            Fork::Parent(pid) => {
                let pid = pid.unsigned_abs();
                self.services.push(Service { name, pid, status: None });
                Ok(())
            }
        }
    }
}
