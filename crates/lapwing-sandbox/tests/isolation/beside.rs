//! Sandboxes beside each other: one loopback, and nothing else in common.

use std::fs;
use std::sync::Arc;

use lapwing_core::{Answer, Command, Limits, Network, Provider, Sandbox, SandboxSpec};
use lapwing_sandbox::Native;

use crate::endings::{marked, unique, with_mark};
use crate::{Suite, output, refusal, run, spec};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("what_one_serves_answers_beside_it_by_name", reachable);
    suite.test("files_and_processes_do_not_cross_to_the_side", apart);
    suite.test("abstract_sockets_and_programs_do_not_cross_to_the_side", sockets_apart);
    suite.test("no_right_over_the_shared_network_is_inside", no_rights);
    suite.test("what_runs_beside_another_is_not_root_outside_and_held_by_its_limits", held);
    suite.test("the_end_of_one_leaves_those_beside_it", one_end);
    suite.test("two_networks_do_not_reach_each_other", two_networks);
}

/// A sandbox `workstation` and beside it one named `hosts`.
pub(crate) async fn pair(native: &Native, outside: Network) -> [Box<dyn Sandbox>; 2] {
    let network: Arc<dyn Provider> = native.beside(outside).await.unwrap();
    let names = vec!["mail.internal".to_owned()];
    let agent = SandboxSpec { names: names.clone(), network: outside, ..spec() };
    let hosts = SandboxSpec { hostname: "hosts".to_owned(), names, ..SandboxSpec::default() };
    [network.create(agent).await.unwrap(), network.create(hosts).await.unwrap()]
}

/// Perl that answers every connection to a port of 127.0.0.1 with `hello`, and says when it does.
pub(crate) fn server(port: u16) -> Command {
    let script = format!(
        "use IO::Socket::INET; $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => {port}, Listen => 9, \
         ReuseAddr => 1) or die; $| = 1; print \"on\\n\"; while ($c = $s->accept) {{ print $c \"hello\\n\"; close $c }}"
    );
    Command::new(["perl", "-e", &script])
}

const ASK: &str = "exec 3<>/dev/tcp/mail.internal/25; cat <&3";

async fn reachable(native: Native) {
    let [agent, hosts] = pair(&native, Network::Loopback).await;
    let mut serving = hosts.open(server(25)).await.unwrap();
    assert_eq!(serving.receive().await.unwrap(), b"on\n");
    assert_eq!(output(&*agent, ASK).await, "hello");
    assert_eq!(output(&*hosts, ASK).await, "hello");
    assert_eq!(output(&*agent, "exec 3<>/dev/tcp/127.0.0.1/25; cat <&3").await, "hello");
    refusal(&*agent, "exec 3<>/dev/tcp/192.0.2.1/25").await;
}

async fn apart(native: Native) {
    let [agent, hosts] = pair(&native, Network::Loopback).await;
    hosts.start("worker", Command::new(["sleep", "1000"])).await.unwrap();
    output(&*hosts, "echo mine > /tmp/secret; echo mine > /dev/shm/secret").await;
    refusal(&*agent, "cat /tmp/secret || cat /dev/shm/secret").await;
    run(&*agent, "for p in $(seq 2 400); do kill -9 $p; done 2>/dev/null; kill -9 -1").await;
    assert_eq!(hosts.wait("worker", 1).await.unwrap(), None);
    let seen = output(&*agent, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").await;
    assert!(!seen.contains("sleep 1000"), "{seen}");
    assert_eq!(output(&*agent, "hostname 2>/dev/null || cat /etc/hostname").await, "workstation");
    // Every namespace but that of the network.
    let namespaces = "readlink /proc/self/ns/user /proc/self/ns/pid /proc/self/ns/mnt /proc/self/ns/ipc /proc/self/ns/uts";
    let (own, theirs) = (output(&*agent, namespaces).await, output(&*hosts, namespaces).await);
    assert!(own.lines().zip(theirs.lines()).all(|(own, theirs)| own != theirs), "{own} {theirs}");
    let network = "readlink /proc/self/ns/net";
    assert_eq!(output(&*agent, network).await, output(&*hosts, network).await);
}

async fn sockets_apart(native: Native) {
    let network = native.beside(Network::Loopback).await.unwrap();
    let programs = vec!["ask".to_owned()];
    let one = network.create(SandboxSpec { programs: programs.clone(), ..spec() }).await.unwrap();
    let other = network.create(SandboxSpec { programs, ..spec() }).await.unwrap();
    let serve = "socket(S, 1, 1, 0); bind(S, pack('S a*', 1, \"\\0shared\")) and listen(S, 5) or die; $| = 1; print \"on\\n\"; sleep 1000";
    let mut server = one.open(Command::new(["perl", "-e", serve])).await.unwrap();
    assert_eq!(server.receive().await.unwrap(), b"on\n");
    let connect = "socket(S, 1, 1, 0); connect(S, pack('S a*', 1, \"\\0shared\")) and exit; die $!";
    assert!(one.exec(Command::new(["perl", "-e", connect])).await.unwrap().status.success());
    assert!(!other.exec(Command::new(["perl", "-e", connect])).await.unwrap().status.success());
    for (sandbox, says) in [(&one, "first"), (&other, "second")] {
        let (asked, ()) = tokio::join!(output(&**sandbox, "ask"), async {
            let call = sandbox.checkpoint().await.unwrap();
            let answer = Answer { stdout: says.to_owned(), code: 0 };
            sandbox.answer(call.id, answer).await.unwrap();
        });
        assert_eq!(asked, says);
    }
}

async fn no_rights(native: Native) {
    let [agent, _hosts] = pair(&native, Network::Loopback).await;
    refusal(&*agent, "echo 1 > /proc/sys/net/ipv4/ip_unprivileged_port_start").await;
    refusal(&*agent, "ip link set lo down || exit 1").await;
    refusal(&*agent, "unshare -U true").await;
    // Ports below 1024 are open to all.
    let mut serving = agent.open(server(80)).await.unwrap();
    assert_eq!(serving.receive().await.unwrap(), b"on\n");
}

async fn held(native: Native) {
    let network = native.beside(Network::Loopback).await.unwrap();
    let limits = Limits { processes: 20, ..Limits::default() };
    let one = network.create(SandboxSpec { limits, ..spec() }).await.unwrap();
    let other = network.create(spec()).await.unwrap();
    let mark = unique("beside");
    one.start("worker", marked(&mark)).await.unwrap();
    let pids = loop {
        let pids = with_mark(&mark);
        if !pids.is_empty() {
            break pids;
        }
        tokio::task::yield_now().await;
    };
    let status = fs::read_to_string(format!("/proc/{}/status", pids[0])).unwrap();
    for name in ["Uid:", "Gid:"] {
        let ids = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert!(ids.split_whitespace().all(|id| id != "0"), "{name} {ids}");
    }
    let forks =
        "for (1..60) { $p = fork; defined $p or last; if (!$p) { sleep 1000 } $n++ } print $n";
    let forked = one.exec(Command::new(["perl", "-e", forks])).await.unwrap();
    let forked: u32 = String::from_utf8(forked.stdout).unwrap().parse().unwrap();
    assert!(forked < 20, "{forked}");
    let forked = other.exec(Command::new(["perl", "-e", forks])).await.unwrap();
    assert_eq!(forked.stdout, b"60");
}

async fn one_end(native: Native) {
    let [agent, hosts] = pair(&native, Network::Loopback).await;
    let mut serving = hosts.open(server(25)).await.unwrap();
    assert_eq!(serving.receive().await.unwrap(), b"on\n");
    agent.destroy().await.unwrap();
    drop(agent);
    assert_eq!(output(&*hosts, ASK).await, "hello");
    let network = native.beside(Network::Loopback).await.unwrap();
    let (one, other) =
        (network.create(spec()).await.unwrap(), network.create(spec()).await.unwrap());
    // The network lives as long as a sandbox on it.
    drop(network);
    one.destroy().await.unwrap();
    assert_eq!(output(&*other, "echo on").await, "on");
}

async fn two_networks(native: Native) {
    let ([_agent, hosts], [stranger, _]) =
        (pair(&native, Network::Loopback).await, pair(&native, Network::Loopback).await);
    let mut serving = hosts.open(server(25)).await.unwrap();
    assert_eq!(serving.receive().await.unwrap(), b"on\n");
    refusal(&*stranger, ASK).await;
}
