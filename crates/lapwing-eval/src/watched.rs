//! What pid 1 of a sandbox records, as events of the sample.

use lapwing_core::{Act, Contact, Network, Observe, Observed, Protocol, Record, Spawn};
use lapwing_scenario::{Plan, SandboxPlan};

use crate::log::Log;

/// What is recorded in one sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    observe: Observe,
    sinkhole: bool,
}

impl Watched {
    /// `None` where nothing is.
    pub(crate) fn of(sandbox: &SandboxPlan) -> Option<Self> {
        let sinkhole = sandbox.network == Network::Sinkhole;
        let Observe { exec, connect } = sandbox.observe;
        (exec || connect || sinkhole).then_some(Self { observe: sandbox.observe, sinkhole })
    }

    /// The event that says so, and how many records were lost.
    pub(crate) fn act(self, sandbox: &str, missed: u64) -> Act {
        let Self { observe, sinkhole } = self;
        Act::Watched { sandbox: sandbox.to_owned(), observe, sinkhole, missed }
    }

    /// Logs what was seen, in its order, with the bytes that were sent.
    pub(crate) fn log(self, sandbox: &str, observed: Observed, log: &mut Log<'_>) {
        for record in observed.records {
            let act = match record {
                Record::Spawn(spawn) => spawned(sandbox, spawn),
                Record::Contact(contact) => connected(sandbox, contact, log),
            };
            log.push(act);
        }
        if observed.missed > 0 {
            log.push(self.act(sandbox, observed.missed));
        }
    }
}

fn spawned(sandbox: &str, spawn: Spawn) -> Act {
    let Spawn { pid, parent, path, argv, cwd } = spawn;
    Act::Spawned { sandbox: sandbox.to_owned(), pid, parent, path, argv, cwd }
}

fn connected(sandbox: &str, contact: Contact, log: &mut Log<'_>) -> Act {
    let Contact { pid, protocol, address, port, name, told, sent_bytes, payload } = contact;
    // Who asks for a name talks to the server.
    let addressed = name.clone().filter(|_| protocol != Protocol::Dns);
    let sent = (!payload.is_empty()).then(|| log.keep_bytes(payload));
    Act::Connected {
        sandbox: sandbox.to_owned(),
        host: addressed.unwrap_or_else(|| address.clone()),
        port,
        sent_bytes,
        sent,
        protocol,
        address,
        name,
        told,
        pid,
    }
}

/// What stands for 127.0.0.1 in the sandbox `name`, beside its own host name: those of the others on its network, and the names
/// of all.
pub(crate) fn names(name: &str, plan: &Plan) -> Vec<String> {
    let mut names = Vec::new();
    for neighbour in neighbours(name, plan) {
        let Some(sandbox) = plan.sandboxes.get(neighbour) else { continue };
        if neighbour != name {
            names.push(sandbox.hostname.clone());
        }
        names.extend(sandbox.names.iter().cloned());
    }
    names
}

/// The sandboxes on the network of `name`, that which has it first.
pub(crate) fn neighbours<'p>(name: &'p str, plan: &'p Plan) -> Vec<&'p str> {
    let beside = plan.sandboxes.get(name).and_then(|sandbox| sandbox.beside.as_deref());
    let owner = beside.unwrap_or(name);
    let others =
        plan.sandboxes.iter().filter(|(_, sandbox)| sandbox.beside.as_deref() == Some(owner));
    [owner].into_iter().chain(others.map(|(name, _)| name.as_str())).collect()
}
