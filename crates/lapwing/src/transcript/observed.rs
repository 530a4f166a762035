//! What pid 1 of a sandbox recorded: programs that were run and connections that were tried.

use lapwing_core::{Observe, Protocol};

use super::style::{PLAIN, QUIET, STRONG};
use super::text::{Cell, inline};
use crate::render::count;

/// What is recorded, or was not kept.
pub(super) fn watched(sandbox: &str, observe: Observe, sinkhole: bool, missed: u64) -> String {
    if missed > 0 {
        return format!("{} of {sandbox} were not kept", count(missed as usize, "record"));
    }
    let kinds = [
        (observe.exec, "programs"),
        (observe.connect, "connections"),
        (sinkhole, "connections to the outside, which lead nowhere"),
    ];
    let kinds: Vec<&str> = kinds.into_iter().filter(|(is, _)| *is).map(|(_, kind)| kind).collect();
    format!("recorded in {sandbox} from here on: {}", kinds.join(", "))
}

pub(super) fn spawned(sandbox: &str, argv: &[String], cwd: &str, ids: [u32; 2]) -> Vec<Cell> {
    let [pid, parent] = ids;
    let mut cells = inline(&format!("{sandbox} runs "), PLAIN);
    cells.extend(inline(&argv.join(" "), STRONG));
    cells.extend(inline(&format!(" in {cwd}, process {pid} of {parent}"), QUIET));
    cells
}

/// A connection.
pub(super) struct Contact<'e> {
    pub(super) host: &'e str,
    pub(super) port: u16,
    pub(super) sent_bytes: Option<u64>,
    pub(super) protocol: Protocol,
    pub(super) address: &'e str,
    pub(super) name: Option<&'e str>,
    pub(super) told: Option<&'e str>,
}

impl Contact<'_> {
    pub(super) fn line(&self, sandbox: &str) -> String {
        let Self { host, port, address, .. } = self;
        let sent = self.sent_bytes.map_or_else(
            || "bytes not counted".to_owned(),
            |bytes| format!("{} sent", count(bytes as usize, "byte")),
        );
        let told = self.told.filter(|told| told != host);
        let told = told.map_or_else(String::new, |told| format!(", calling it {told}"));
        let at = if host == address || address.is_empty() {
            String::new()
        } else {
            format!(" ({address})")
        };
        match (self.protocol, self.name) {
            (Protocol::Dns, Some(name)) => format!("{sandbox} looks up {name} at {host}"),
            (Protocol::Dns, None) => format!("{sandbox} looks up a name at {host}"),
            (Protocol::Tcp, _) => format!("{sandbox} connects to {host}:{port}{at}{told}, {sent}"),
            (Protocol::Udp, _) => format!("{sandbox} sends datagrams to {host}:{port}{at}, {sent}"),
        }
    }
}
