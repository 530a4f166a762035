//! What pid 1 writes down of programs and connections.

use lapwing_core::{
    Command, Contact, Observe, Protocol, Provider, Record, Sandbox, SandboxSpec, Spawn,
};
use lapwing_sandbox::Native;

use crate::beside::server;
use crate::{Suite, bash, output, refusal, run, sandbox, spec};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("three_hundred_programs_are_written_down_with_their_arguments", programs);
    suite.test("a_program_is_written_down_with_who_ran_it_and_where", one_program);
    suite.test("no_way_of_naming_a_program_goes_unseen", ways);
    suite.test("connections_on_the_loopback_are_written_down_on_request", connections);
    suite.test("nothing_is_written_down_unless_it_is_asked_for", nothing);
    suite.test("messages_that_look_like_those_of_pid_1_are_refused", forged);
    suite.test("programs_that_are_killed_while_they_wait_leave_the_log_working", killed);
    suite.test("more_records_than_are_kept_are_counted", too_many);
    suite.test("calls_that_cannot_be_made_leave_nothing_unknown", wrong);
    suite.test("a_watched_sandbox_ends_in_the_middle_of_a_storm", storm);
}

pub(crate) async fn watched(native: &Native, observe: Observe) -> Box<dyn Sandbox> {
    native.create(SandboxSpec { observe, ..spec() }).await.unwrap()
}

const EXEC: Observe = Observe { exec: true, connect: false };
const CONNECT: Observe = Observe { exec: false, connect: true };

/// What was written down, of which nothing was lost.
pub(crate) async fn records(sandbox: &dyn Sandbox) -> Vec<Record> {
    let observed = sandbox.observed().await.unwrap();
    assert_eq!(observed.missed, 0);
    observed.records
}

/// Records that are all of programs.
async fn spawns(sandbox: &dyn Sandbox) -> Vec<Spawn> {
    let records = records(sandbox).await;
    let count = records.len();
    let spawns: Vec<Spawn> = records
        .into_iter()
        .filter_map(|record| match record {
            Record::Spawn(spawn) => Some(spawn),
            Record::Contact(_) => None,
        })
        .collect();
    assert_eq!(spawns.len(), count);
    spawns
}

/// Records that are all of connections.
pub(crate) async fn contacts(sandbox: &dyn Sandbox) -> Vec<Contact> {
    let records = records(sandbox).await;
    let count = records.len();
    let contacts: Vec<Contact> = records
        .into_iter()
        .filter_map(|record| match record {
            Record::Contact(contact) => Some(contact),
            Record::Spawn(_) => None,
        })
        .collect();
    assert_eq!(contacts.len(), count);
    contacts
}

async fn programs(native: Native) {
    let sandbox = watched(&native, EXEC).await;
    output(&*sandbox, "for i in $(seq 300); do /usr/bin/env true $i; done").await;
    let ran = spawns(&*sandbox).await;
    let numbered: Vec<&Spawn> = ran.iter().filter(|spawn| spawn.path == "/usr/bin/env").collect();
    assert_eq!(numbered.len(), 300);
    for (index, spawn) in numbered.iter().enumerate() {
        assert_eq!(spawn.argv, ["/usr/bin/env", "true", &(index + 1).to_string()]);
    }
    assert_eq!(ran.iter().filter(|spawn| spawn.argv[0] == "true").count(), 300);
    assert!(spawns(&*sandbox).await.is_empty());
}

async fn one_program(native: Native) {
    let sandbox = watched(&native, EXEC).await;
    sandbox.start("worker", Command::new(["sleep", "0"])).await.unwrap();
    sandbox.wait("worker", 60_000).await.unwrap();
    run(&*sandbox, "cd /tmp; /bin/echo 'a b' '' $'\\xff' & wait").await;
    sandbox.exec(Command::new(["no-such-program"])).await.unwrap();
    let long = "x".repeat(100_000);
    output(&*sandbox, &format!("/bin/true {long} end")).await;
    let ran = spawns(&*sandbox).await;
    assert_eq!(ran[0].argv, ["sleep", "0"]);
    assert_eq!(ran[0].parent, 1);
    assert_eq!(ran[1].argv[..2], ["bash", "-c"]);
    assert_eq!((ran[1].parent, ran[1].cwd.as_str()), (1, "/home/agent"));
    assert_eq!(ran[2].argv, ["/bin/echo", "a b", "", "\u{fffd}"]);
    assert_eq!((ran[2].parent, ran[2].cwd.as_str()), (ran[1].pid, "/tmp"));
    assert_eq!(ran[3].argv, ["no-such-program"]);
    let last = ran.last().unwrap();
    assert_eq!(
        (last.argv[0].as_str(), last.argv[1].len()),
        ("/bin/true", 4096 - "/bin/true ".len())
    );
}

async fn ways(native: Native) {
    let sandbox = watched(&native, EXEC).await;
    output(&*sandbox, "mkdir -p /tmp/d/e; cp /bin/true /tmp/d/x; ln -s /tmp/d/x /tmp/link").await;
    // From a folder that is gone, through a descriptor of a folder, of the file itself, and through links.
    let execveat = libc::SYS_execveat;
    let script = format!(
        "sub run {{ my $f = shift; my $p = fork; if (!$p) {{ $f->(); exit 1 }} waitpid $p, 0; print $? >> 8 }} \
         chdir '/tmp/d/e'; rmdir '/tmp/d/e'; run(sub {{ exec {{ '../x' }} 'one' }}); \
         opendir D, '/tmp/d'; open F, '<', '/tmp/d/x'; $v = pack('P Q', 'two', 0); $n = 'x'; $e = ''; \
         run(sub {{ syscall({execveat}, fileno(D), $n, $v, 0, 0) }}); \
         $w = pack('P Q', 'three', 0); run(sub {{ syscall({execveat}, fileno(F), $e, $w, 0, 0x1000) }}); \
         run(sub {{ exec {{ '/tmp/link' }} 'four' }}); run(sub {{ exec {{ '/tmp/none' }} 'five' }})"
    );
    let ran = sandbox.exec(Command::new(["perl", "-e", &script])).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "00001", "{ran:?}");
    let names: Vec<String> =
        spawns(&*sandbox).await.into_iter().map(|spawn| spawn.argv[0].clone()).collect();
    assert_eq!(names[names.len() - 4..], ["one", "two", "three", "four"]);
}

async fn connections(native: Native) {
    let sandbox = watched(&native, CONNECT).await;
    let mut serving = sandbox.open(server(25)).await.unwrap();
    assert_eq!(serving.receive().await.unwrap(), b"on\n");
    output(&*sandbox, "exec 3<>/dev/tcp/127.0.0.1/25; cat <&3").await;
    refusal(&*sandbox, "exec 3<>/dev/tcp/192.0.2.7/81").await;
    output(&*sandbox, "for i in 1 2 3; do echo x; done > /dev/udp/127.0.0.1/99; true").await;
    let send = "use Socket; socket(S, PF_INET, SOCK_DGRAM, 0); for (1..5) { send(S, 'x', 0, sockaddr_in(98, inet_aton('127.0.0.1'))) }";
    sandbox.exec(Command::new(["perl", "-e", send])).await.unwrap();
    let tried = contacts(&*sandbox).await;
    let places: Vec<(Protocol, &str, u16)> =
        tried.iter().map(|one| (one.protocol, one.address.as_str(), one.port)).collect();
    let expected = [
        (Protocol::Tcp, "127.0.0.1", 25),
        (Protocol::Tcp, "192.0.2.7", 81),
        (Protocol::Udp, "127.0.0.1", 99),
        (Protocol::Udp, "127.0.0.1", 98),
    ];
    assert_eq!(places, expected);
    assert!(tried.iter().all(|one| one.sent_bytes.is_none() && one.pid > 1));
}

async fn nothing(native: Native) {
    let sandbox = sandbox(&native).await;
    output(&*sandbox, "/bin/true").await;
    assert!(records(&*sandbox).await.is_empty());
}

async fn forged(native: Native) {
    let sandbox = watched(&native, Observe { exec: true, connect: true }).await;
    // MSG_SYN, by which pid 1 marks its own messages.
    let script = format!(
        "socketpair(A, B, 1, 2, 0); $io = pack('P Q', 'x', 1); $h = pack('Q L x4 P Q Q Q i x4', 0, 0, $io, 1, 0, 0, 0); \
         print syscall({0}, fileno(A), $h, 0x400) < 0 ? $! + 0 : 'sent', syscall({0}, fileno(A), $h, 0) < 0 ? ' no' : ' sent'",
        libc::SYS_sendmsg
    );
    let told = sandbox.exec(Command::new(["perl", "-e", &script])).await.unwrap();
    assert_eq!(String::from_utf8(told.stdout).unwrap(), format!("{} sent", libc::EINVAL));
}

async fn killed(native: Native) {
    let sandbox = watched(&native, EXEC).await;
    let storm = "for i in $(seq 200); do (timeout -s KILL 0.001 /bin/true || true) & done; wait";
    run(&*sandbox, &format!("{{ {storm}; }} 2>/dev/null")).await;
    let mut stopped = bash("while :; do /bin/true & done");
    stopped.limit_ms = 300;
    sandbox.exec(stopped).await.unwrap();
    assert_eq!(output(&*sandbox, "/bin/echo on").await, "on");
    // Who died before pid 1 looked may be counted as missed.
    let is_last = |record: &Record| matches!(record, Record::Spawn(spawn) if spawn.argv == ["/bin/echo", "on"]);
    assert!(sandbox.observed().await.unwrap().records.iter().any(is_last));
}

async fn too_many(native: Native) {
    let sandbox = watched(&native, CONNECT).await;
    let flood = "use Socket; $a = sockaddr_in(9, inet_aton('127.0.0.1')); \
                 for (1..21000) { socket(S, PF_INET, SOCK_STREAM, 0); connect(S, $a) }";
    sandbox.exec(Command::new(["perl", "-e", flood])).await.unwrap();
    let observed = sandbox.observed().await.unwrap();
    assert_eq!((observed.records.len(), observed.missed), (20_000, 1000));
    assert_eq!(output(&*sandbox, "echo on").await, "on");
}

async fn storm(native: Native) {
    let sandbox = watched(&native, Observe { exec: true, connect: true }).await;
    let storm = "for i in 1 2 3 4 5 6; do (while :; do /bin/true; echo x > /dev/udp/127.0.0.1/9; done) & done 2>/dev/null; echo on; wait";
    let mut running = sandbox.open(bash(storm)).await.unwrap();
    assert_eq!(running.receive().await.unwrap(), b"on\n");
    // Returns when all processes are gone, those that wait to be looked at among them.
    sandbox.destroy().await.unwrap();
}

async fn wrong(native: Native) {
    let sandbox = watched(&native, Observe { exec: true, connect: true }).await;
    let (connect, sendmsg, sendmmsg) = (libc::SYS_connect, libc::SYS_sendmsg, libc::SYS_sendmmsg);
    let script = format!(
        "use Socket; $a = sockaddr_in(9, inet_aton('127.0.0.1')); socket(S, PF_INET, SOCK_STREAM, 0); $s = fileno(S); \
         syscall({connect}, -1, $a, 16); syscall({connect}, 0, $a, 16); syscall({connect}, $s, 8, 16); \
         syscall({connect}, $s, -1, 16); syscall({connect}, $s, $a, 3); syscall({sendmsg}, $s, -9, 0); \
         syscall({sendmmsg}, $s, -9, 9, 0); syscall({sendmmsg}, $s, $a, 0, 0); syscall({0}, -8, -8, 0); print 'on'",
        libc::SYS_execve
    );
    let made = sandbox.exec(Command::new(["perl", "-e", &script])).await.unwrap();
    assert_eq!(made.stdout, b"on");
    // Only perl itself, at each path where it was looked for and is.
    let seen = spawns(&*sandbox).await;
    assert!(seen.iter().all(|spawn| spawn.argv[0] == "perl"), "{seen:?}");
}
