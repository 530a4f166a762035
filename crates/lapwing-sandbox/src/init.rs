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
use crate::launcher::{self, Files, Home, INSIDE_ID};
use crate::layers;
use crate::network;
use crate::processor_time::ProcessorTime;
use crate::programs::Programs;
use crate::protect;
use crate::protocol::{Body, Creation, Event, Reply, Request, Run, SET_UP, Step};
use crate::root;
use crate::seccomp;
use crate::sys::process::{self, Fork};
use crate::sys::socket::{self, Interest, Wait};
use crate::terminal;
use crate::watch::Watch;
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
pub(crate) fn run(creation: &Creation, home: Home, socket: OwnedFd, files: Files) {
    match set_up(creation, home) {
        Ok(Prepared { children, null, terminals, programs, upper, watch }) => {
            let limits = &creation.limits;
            let confinement = Confinement {
                limits: limits.clone(),
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
                helpers: Helpers::new(limits.disk_bytes, upper),
                services: Vec::new(),
                waits: Vec::new(),
                watch,
                causes: Causes::new(files.kills.map(Kills::new)),
                watchdog: Watchdog::new(
                    limits.memory_bytes,
                    creation.grouped.memory,
                    limits.cpu_seconds.map(|limit| ProcessorTime::new(limit, files.time)),
                ),
                verdict: files.verdict,
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
    watch: Option<Watch>,
}

fn set_up(creation: &Creation, home: Home) -> Result<Prepared, (Step, io::Error)> {
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
    match home {
        Home::Host => network::set_up(creation.network)?,
        Home::Network => network::close_abstract_sockets(),
    }
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
    let null = null.map_err(at(Step::Devices))?;
    let terminals = File::open("/dev/pts").map_err(at(Step::Devices))?;
    let watch = Watch::start(creation).map_err(at(Step::Watch))?;
    Ok(Prepared { children, null, terminals, programs, upper, watch })
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
    watch: Option<Watch>,
    causes: Causes,
    watchdog: Watchdog,
    /// Written before this process ends the sandbox.
    verdict: Option<File>,
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
            if process::has_children() {
                self.watchdog.wake();
            }
            let time_left = self.time_left();
            let programs = self.programs.interests();
            let jobs = self.jobs.interests();
            let watched = self.watch.as_ref().map(Watch::interests).unwrap_or_default();
            let n_watched = watched.len();
            let own =
                [(self.socket.as_fd(), Interest::Read), (self.children.as_fd(), Interest::Read)];
            let all: Vec<(BorrowedFd<'_>, Interest)> =
                own.into_iter().chain(programs).chain(jobs).chain(watched).collect();
            let n_programs = all.len() - own.len() - self.jobs.interests().len() - n_watched;
            let ready = socket::poll(&all, time_left)?;
            let watch_ready = ready[ready.len() - n_watched..].contains(&true);
            let program_ready = ready[own.len()..own.len() + n_programs].to_vec();

            for event in self.programs.advance(&program_ready) {
                channel::send(self.socket.as_fd(), &event, &[], Wait::Block)?;
            }
            self.settle_children()?;
            self.settle_time()?;
            self.settle_watch(watch_ready);
            if let Some(verdict) = self.watchdog.look(Instant::now()) {
                // Every other process of the namespace ends with this one, so nothing can show before this is written.
                return self.verdict.as_ref().map_or(Ok(()), |file| verdict.write(file));
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
        let watch = self.watch.as_ref().and_then(Watch::deadline);
        let deadlines = waits
            .chain(self.jobs.deadline())
            .chain(self.helpers.deadline())
            .chain(self.watchdog.deadline())
            .chain(watch);
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

    /// Lets watched calls go on.
    fn settle_watch(&mut self, ready: bool) {
        let Some(watch) = &mut self.watch else { return };
        if ready || watch.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            watch.advance(&mut self.jobs);
        }
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
            Body::Spawn(run) => {
                let started = self.jobs.spawn(id, &run, &self.confinement);
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
            Body::Observed => {
                let jobs = &mut self.jobs;
                let file = self.watch.as_mut().map(|watch| watch.collect(jobs)).transpose();
                match file {
                    Ok(Some(file)) => self.reply(id, Reply::Output, &[file.as_fd()]),
                    Ok(None) => self.reply(id, Reply::Absent, &[]),
                    Err(error) => self.reply(id, failed(error), &[]),
                }
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
                if let Some(watch) = &mut self.watch {
                    watch.begun(pid, run);
                }
                self.services.push(Service { name, pid, status: None });
                Ok(())
            }
        }
    }
}
