//! The network of a sandbox, or of several beside each other: a loopback on which every port can be served and, as a
//! sinkhole, on which every address of the internet lies.

use std::fs;
use std::io;

use lapwing_core::Network;

use crate::protocol::Step;
use crate::sink;
use crate::sys::network;
use crate::sys::process;

/// Sets up the network namespace of this process.
pub(crate) fn set_up(outside: Network) -> Result<(), (Step, io::Error)> {
    network::loopback_up()
        // Through whatever /proc there is: these files are about the namespace of who opens them.
        .and_then(|()| fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"))
        .map_err(|error| (Step::Loopback, error))?;
    match outside {
        Network::Loopback => Ok(()),
        Network::Sinkhole => network::own_every_address()
            .and_then(|()| network::add_address(sink::OWN))
            .map_err(|error| (Step::Sinkhole, error)),
    }
}

/// Makes this process, which was cloned into a user and a network namespace of its own, the holder of that network. The
/// sandboxes on it have user namespaces below, so that no pid 1 has a right over what they share.
pub(crate) fn hold(outside: Network) -> Result<(), (Step, io::Error)> {
    process::die_with_parent().map_err(|error| (Step::Supervisor, error))?;
    set_up(outside)
}

/// Closes the abstract unix sockets of sandboxes beside this one, which share its network namespace. Pid 1 does it for all
/// its commands. Kernels before 6.12 cannot: there these sockets can be reached.
pub(crate) fn close_abstract_sockets() {
    let _ = network::scope_abstract_sockets();
}
