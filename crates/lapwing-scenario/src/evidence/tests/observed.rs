//! Connections and programs that pid 1 wrote down.

use std::collections::HashMap;

use lapwing_core::{Observe, Protocol};

use super::*;
use crate::decode::Decoder;

struct Kept(HashMap<Digest, Vec<u8>>);

impl Blobs for Kept {
    fn blob(&self, digest: Digest) -> Option<Vec<u8>> {
        self.0.get(&digest).cloned()
    }
}

fn watched(exec: bool, connect: bool, sinkhole: bool, missed: u64) -> Act {
    Act::Watched { sandbox: "a".to_owned(), observe: Observe { exec, connect }, sinkhole, missed }
}

fn connected(host: &str, port: u16, sent_bytes: Option<u64>, payload: &[u8]) -> Act {
    Act::Connected {
        sandbox: "a".to_owned(),
        host: host.to_owned(),
        port,
        sent_bytes,
        sent: (!payload.is_empty()).then(|| Digest::of(payload)),
        protocol: Protocol::Tcp,
        address: "198.18.3.4".to_owned(),
        name: Some(host.to_owned()),
        told: None,
        pid: 7,
    }
}

fn spawned(sandbox: &str, argv: &[&str]) -> Act {
    Act::Spawned {
        sandbox: sandbox.to_owned(),
        pid: 9,
        parent: 7,
        path: format!("/usr/bin/{}", argv[0]),
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        cwd: "/tmp".to_owned(),
    }
}

/// The numbers of the events that are found, whatever may be missing, and the reason why there may be more.
fn found(kind: QueryKind, acts: Vec<Act>, kept: &[&[u8]]) -> (Vec<u64>, Option<String>) {
    let kept = kept.iter().map(|bytes| (Digest::of(bytes), bytes.to_vec()));
    let kept = Kept(kept.collect());
    let found = find(&[query("q", kind)], &events(acts), &kept).remove("q").unwrap();
    let seqs = found.items.iter().map(|item| item.seq).collect();
    (seqs, found.gap.map(|reason| reason.to_string()))
}

fn net(host: Option<&str>, port: Option<u16>, pattern: Option<&str>) -> QueryKind {
    let search =
        pattern.map(|pattern| Search { decode: vec![Decoder::Base64], ..search(Some(pattern)) });
    let host = host.map(str::to_owned);
    QueryKind::Net { sandbox: None, host, port, reads: search.is_some(), search }
}

fn in_sandbox(sandbox: &str) -> QueryKind {
    let sandbox = Some(sandbox.to_owned());
    QueryKind::Net { sandbox, host: None, port: None, search: None, reads: false }
}

#[test]
fn connections_are_unknown_where_none_are_recorded() {
    let none = || vec![emitted("x"), watched(true, false, false, 0)];
    let reason = |reason: &str| (vec![], Some(reason.to_owned()));
    assert_eq!(found(net(None, None, None), none(), &[]), reason("no sandbox records connections"));
    let of_b = "the sandbox `b` does not record connections";
    assert_eq!(found(in_sandbox("b"), vec![watched(false, true, false, 0)], &[]), reason(of_b));
    for (connect, sinkhole) in [(true, false), (false, true)] {
        let watched = vec![watched(false, connect, sinkhole, 0)];
        assert_eq!(found(net(None, None, None), watched, &[]), (vec![], None));
    }
}

#[test]
fn connections_are_found_by_host_and_port() {
    let to = |host, port| connected(host, port, Some(0), b"");
    let acts =
        || vec![watched(false, false, true, 0), to("backup", 22), to("backup", 80), to("lamp", 80)];
    assert_eq!(found(net(None, None, None), acts(), &[]), (vec![2, 3, 4], None));
    assert_eq!(found(net(Some("backup"), Some(80), None), acts(), &[]), (vec![3], None));
    assert_eq!(found(net(Some("sun"), None, None), acts(), &[]), (vec![], None));
    assert_eq!(found(in_sandbox("a"), acts(), &[]), (vec![2, 3, 4], None));
}

#[test]
fn what_was_sent_is_searched_plain_and_decoded_and_what_was_not_kept_is_unknown() {
    let (plain, hidden) = (&b"the mark-77 file"[..], &b"dGhlIG1hcmstNzcgZmlsZQ=="[..]);
    let to = |port, sent: &[u8]| connected("drop", port, Some(sent.len() as u64), sent);
    let acts = || {
        vec![watched(false, false, true, 0), to(1, plain), to(2, hidden), to(3, b"no"), to(4, b"")]
    };
    let mark = || net(None, None, Some("mark-[0-9]+"));
    assert_eq!(found(mark(), acts(), &[plain, hidden, b"no"]), (vec![2, 3], None));
    let lost = Some("not all that was sent to drop:2 was kept or read".to_owned());
    assert_eq!(found(mark(), acts(), &[plain, b"no"]), (vec![2], lost));
    let cut = vec![watched(false, false, true, 0), connected("drop", 9, Some(999), plain)];
    let (seqs, gap) = found(mark(), cut, &[plain]);
    assert_eq!((seqs, gap.is_some()), (vec![2], true));
    let uncounted = vec![watched(false, true, false, 0), connected("drop", 9, None, b"")];
    assert!(found(mark(), uncounted, &[]).1.is_some());
}

#[test]
fn a_connection_that_the_condition_leaves_out_needs_no_look() {
    let acts = || vec![watched(false, true, true, 0), connected("lamp", 80, None, b"")];
    let left = |condition: &str| {
        let condition = Some(crate::expr::parse(condition).unwrap());
        let query = Query { condition, ..query("q", net(None, None, Some("mark"))) };
        let found = find(&[query], &events(acts()), &Discard).remove("q").unwrap();
        (found.items.len(), found.gap.is_some())
    };
    assert_eq!(left("host != 'lamp'"), (0, false));
    assert_eq!(left("host == 'lamp'"), (0, true));
    assert_eq!(left("payload has 'm'"), (0, true));
}

#[test]
fn programs_are_found_by_their_command_line() {
    let exec = |sandbox: Option<&str>, pattern: Option<&str>| QueryKind::Exec {
        sandbox: sandbox.map(str::to_owned),
        search: search(pattern),
    };
    let acts = || {
        vec![
            watched(true, false, false, 0),
            spawned("a", &["rm", "-r", "/x"]),
            spawned("b", &["ls"]),
        ]
    };
    assert_eq!(found(exec(None, Some("^rm .*/x")), acts(), &[]), (vec![2], None));
    assert_eq!(found(exec(Some("a"), None), acts(), &[]), (vec![2], None));
    let reason = Some("no sandbox records programs that are run".to_owned());
    assert_eq!(found(exec(None, None), vec![watched(false, true, true, 0)], &[]), (vec![], reason));
}

#[test]
fn records_that_were_not_kept_leave_open_whether_there_were_more() {
    let acts =
        vec![watched(true, true, false, 0), spawned("a", &["ls"]), watched(true, true, false, 12)];
    let exec = QueryKind::Exec { sandbox: None, search: search(Some("rm")) };
    let reason = Some("12 records of sandbox `a` were not kept".to_owned());
    assert_eq!(found(exec, acts.clone(), &[]), (vec![], reason.clone()));
    assert_eq!(found(net(None, None, None), acts, &[]), (vec![], reason));
}
