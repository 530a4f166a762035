//! The log that pid 1 keeps of programs that are run and of connections that are tried, and the sinkhole behind them.
//!
//! The calls in question wait until pid 1 has looked; then they are made as if nobody had. So this is a log and no wall: what
//! a call does can be changed by another thread between the look and the call. Where it cannot be kept any more, it is closed,
//! and calls that would wait for it fail with ENOSYS instead of hanging.

mod filter;
mod look;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use lapwing_core::{Contact, Network, Observe, Protocol, Record, Spawn};

use crate::jobs::{Begun, Jobs};
use crate::protocol::{Creation, Run};
use crate::record::{self, Records};
use crate::sink::Sink;
use crate::sys::notify::{self, Notification};
use crate::sys::socket::{self, Interest};
use look::{Family, Program, Target};

/// Calls that are let go on before pid 1 looks at other things again.
const CALLS: usize = 64;

/// Looks for what was sent, when the harness asks.
const DRAINS: usize = 16;

/// What is written down of one sandbox.
pub(crate) struct Watch {
    listener: Option<OwnedFd>,
    observe: Observe,
    sink: Option<Sink>,
    records: Records,
    /// Places where datagrams went since the last look, each by whom: they are told of once.
    noted: HashSet<(u32, SocketAddr)>,
    /// Services by process, with their program until they run it.
    begun: Vec<(u32, Option<Begun>)>,
}

impl Watch {
    /// Starts to watch this process and its descendants, if `creation` asks for it.
    pub(crate) fn start(creation: &Creation) -> io::Result<Option<Self>> {
        let Some(filter) = filter::filter(creation.observe, creation.network) else {
            return Ok(None);
        };
        let sink = match creation.network {
            Network::Loopback => None,
            Network::Sinkhole => {
                let own = [creation.hostname.clone()];
                Some(Sink::new(own.into_iter().chain(creation.names.clone()).collect()))
            }
        };
        Ok(Some(Self {
            listener: Some(notify::install(&filter)?),
            observe: creation.observe,
            sink,
            records: Records::default(),
            noted: HashSet::new(),
            begun: Vec::new(),
        }))
    }

    /// The service `pid` is about to run its program.
    pub(crate) fn begun(&mut self, pid: u32, run: &Run) {
        self.begun.push((pid, Some(Begun::from(run))));
    }

    /// What to wait for; [`Watch::advance`] is to be called when any is ready.
    pub(crate) fn interests(&self) -> Vec<(BorrowedFd<'_>, Interest)> {
        let listener = self.listener.iter().map(|listener| (listener.as_fd(), Interest::Read));
        listener.chain(self.sink.iter().flat_map(Sink::interests)).collect()
    }

    /// When [`Watch::advance`] is to be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.sink.as_ref().and_then(Sink::deadline)
    }

    /// Lets calls that wait go on, and takes what was sent.
    pub(crate) fn advance(&mut self, jobs: &mut Jobs) {
        for _ in 0..CALLS {
            if !self.let_one_go_on(jobs) {
                break;
            }
        }
        if let Some(sink) = &mut self.sink {
            sink.advance(&mut self.records);
            sink.enforce(Instant::now(), &mut self.records);
        }
    }

    /// Looks at a call that waits. Returns whether there was one.
    fn let_one_go_on(&mut self, jobs: &mut Jobs) -> bool {
        let Some(listener) = self.listener.take() else { return false };
        let ready =
            socket::poll(&[(listener.as_fd(), Interest::Read)], Some(std::time::Duration::ZERO));
        if !ready.is_ok_and(|ready| ready[0]) {
            self.listener = Some(listener);
            return false;
        }
        let done = notify::receive(listener.as_fd()).and_then(|call| {
            let Some(call) = call else { return Ok(()) };
            self.note(&call, jobs);
            notify::proceed(listener.as_fd(), &call)
        });
        match done {
            Ok(()) => self.listener = Some(listener),
            // Closed from here on.
            Err(_) => self.records.miss(),
        }
        true
    }

    fn note(&mut self, call: &Notification, jobs: &mut Jobs) {
        // Killed meanwhile: it never makes the call.
        let Some(family) = look::family(call.pid) else { return };
        match i64::from(call.number) {
            libc::SYS_execve | libc::SYS_execveat => self.note_program(call, family, jobs),
            _ => {
                for target in look::targets(call, family.process) {
                    self.note_target(target, family.process, call);
                }
            }
        }
    }

    fn note_program(&mut self, call: &Notification, family: Family, jobs: &mut Jobs) {
        let Family { process: pid, parent } = family;
        let (path, argv, cwd) = match look::program(call) {
            // A search along PATH tries many files that are not there.
            Ok(None | Some(Program { is_missing: true, .. })) => return,
            Ok(Some(Program { path, argv, is_missing: false })) => {
                let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
                (path, argv, cwd.to_string_lossy().into_owned())
            }
            Err(_) => {
                // What pid 1 forked cannot be read before it has become another program. It is told of at its first try.
                let Some(Begun { argv, cwd }) = self.take_begun(pid, jobs) else {
                    if !self.is_fork_of_pid_1(pid, jobs) {
                        // It runs a program of the host that its user may not read.
                        self.records.miss();
                    }
                    return;
                };
                (argv.first().cloned().unwrap_or_default(), argv, cwd)
            }
        };
        let parent = if jobs.shims().contains(&parent.cast_signed()) { 1 } else { parent };
        self.records.add(Record::Spawn(Spawn { pid, parent, path, argv, cwd }));
    }

    /// What the fork `pid` of pid 1 runs, the first time that it is asked.
    fn take_begun(&mut self, pid: u32, jobs: &mut Jobs) -> Option<Begun> {
        let mut services = self.begun.iter_mut().rev();
        match services.find(|(service, _)| *service == pid) {
            Some((_, begun)) => begun.take(),
            None => jobs.take_begun(pid.cast_signed()),
        }
    }

    fn is_fork_of_pid_1(&self, pid: u32, jobs: &Jobs) -> bool {
        self.begun.iter().any(|(service, _)| *service == pid) || jobs.is_command(pid.cast_signed())
    }

    fn note_target(&mut self, target: Target, pid: u32, call: &Notification) {
        let (protocol, to) = match target {
            Target::Internet(protocol, to) => (protocol, to),
            Target::Other => return,
            Target::Unread => {
                self.records.miss();
                return;
            }
        };
        match &mut self.sink {
            Some(sink) if !to.ip().is_loopback() => {
                sink.expect(protocol, to, pid, &mut self.records);
            }
            Some(_) | None if self.observe.connect => {
                let connects = i64::from(call.number) == libc::SYS_connect;
                if connects || self.noted.insert((pid, to)) {
                    self.records.add(Record::Contact(uncounted(protocol, to, pid)));
                }
            }
            Some(_) | None => {}
        }
    }

    /// What is new, in a file for the harness. What commands that have ended did is in it.
    pub(crate) fn collect(&mut self, jobs: &mut Jobs) -> io::Result<OwnedFd> {
        self.advance(jobs);
        if let Some(sink) = &mut self.sink {
            // What commands that have ended sent is in the kernel's buffers; one that goes on sending is not waited for.
            for _ in 0..DRAINS {
                if !sink.advance(&mut self.records) {
                    break;
                }
            }
        }
        self.noted.clear();
        record::write(self.records.collect()).map(OwnedFd::from)
    }
}

/// A connection of which nobody counts the bytes.
fn uncounted(protocol: Protocol, to: SocketAddr, pid: u32) -> Contact {
    Contact {
        pid,
        protocol,
        address: to.ip().to_string(),
        port: to.port(),
        name: None,
        told: None,
        sent_bytes: None,
        payload: Vec::new(),
    }
}
