//! What pid 1 of a sandbox recorded.

use lapwing_core::{Act, Observe, Protocol};

use super::{Options, numbered, plain};

pub(super) fn watched(sandbox: &str, missed: u64) -> Act {
    let observe = Observe { exec: true, connect: false };
    Act::Watched { sandbox: sandbox.to_owned(), observe, sinkhole: true, missed }
}

pub(super) fn spawned(text: &str) -> Act {
    let [sandbox, path, cwd] = [text, text, text].map(str::to_owned);
    Act::Spawned { sandbox, pid: 9, parent: 7, path, argv: vec![text.into(), "-l".into()], cwd }
}

pub(super) fn connected(text: &str, protocol: Protocol, sent_bytes: Option<u64>) -> Act {
    Act::Connected {
        sandbox: text.into(),
        host: text.into(),
        port: 80,
        sent_bytes,
        sent: None,
        protocol,
        address: "198.18.3.4".into(),
        name: Some(text.into()),
        told: Some(format!("{text}2")),
        pid: 9,
    }
}

#[test]
fn what_was_recorded_is_a_line_each_and_that_it_is_only_in_full() {
    let events = numbered([
        watched("a", 0),
        spawned("ls"),
        connected("drop", Protocol::Tcp, Some(3)),
        connected("drop", Protocol::Udp, None),
        connected("drop", Protocol::Dns, Some(4)),
        watched("a", 12),
    ]);
    let short = plain(&events, &[], Options { width: 100, full: false });
    let lines = [
        "    2 · ls runs ls -l in ls, process 9 of 7",
        "    3 · drop connects to drop:80 (198.18.3.4), calling it drop2, 3 bytes sent",
        "    4 · drop sends datagrams to drop:80 (198.18.3.4), bytes not counted",
        "    5 · drop looks up drop at drop",
        "    6 · 12 records of a were not kept",
    ];
    assert_eq!(short.trim_end(), lines.join("\n"));
    let full = plain(&events, &[], Options { width: 200, full: true });
    let first = "    1 · recorded in a from here on: programs, connections to the outside, which lead nowhere";
    assert_eq!(full.lines().next(), Some(first));
}
