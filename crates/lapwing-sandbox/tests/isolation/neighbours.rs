//! What one sandbox can do to others and to the harness.

use std::fs;
use std::process::{Command as HostCommand, ExitCode};

use lapwing_core::{Command, ExitStatus, Limits};
use lapwing_sandbox::Native;

use crate::{Suite, bash, limited, output, refusal, run, sandbox};

/// The argument of a harness that takes in more than it may keep.
pub(crate) const FLOOD: &str = "--flood-harness";
const GIGABYTE: u64 = 1_000_000_000;

pub(crate) fn add(suite: &mut Suite) {
    suite.test("a_fork_bomb_leaves_a_neighbour_its_processes", fork_bomb);
    suite.test("a_neighbour_can_neither_be_seen_nor_signalled_nor_reached", walls);
    suite.test("descriptors_on_their_way_do_not_run_out_for_a_neighbour", descriptors_in_flight);
    suite.test("a_gigabyte_of_output_leaves_the_harness_small", flood);
    suite.test("endless_arguments_are_told_in_part", arguments);
    suite.test("output_of_any_bytes_arrives_unchanged", bytes);
}

async fn fork_bomb(native: Native) {
    let limits = Limits { processes: 60, ..Limits::default() };
    let (bombed, healthy) =
        (limited(&native, limits.clone()).await, limited(&native, limits).await);
    let bomb = Command { limit_ms: 2000, ..Command::new(["perl", "-e", "while (1) { fork }"]) };
    let (ended, ()) = tokio::join!(bombed.exec(bomb), async {
        while bombed.processes().await.unwrap().len() < 50 {}
        for count in 1..=10 {
            let many = "for i in $(seq 20); do sleep 0 & done; wait; echo done";
            assert_eq!(output(&*healthy, many).await, "done", "{count}");
        }
    });
    assert_eq!(ended.unwrap().status, ExitStatus::TimeLimit);
}

async fn walls(native: Native) {
    let (one, other) = (sandbox(&native).await, sandbox(&native).await);
    one.start("worker", Command::new(["sleep", "1000"])).await.unwrap();
    let serve = "socket(S, 1, 1, 0); bind(S, pack('S a*', 1, \"\\0shared\")) and listen(S, 5) or die; \
                 socket(T, 2, 1, 0); bind(T, pack('S n a4 x8', 2, 4000, \"\\x7f\\0\\0\\1\")) and listen(T, 5) or die; \
                 $| = 1; print \"on\\n\"; sleep 1000";
    let mut server = one.open(Command::new(["perl", "-e", serve])).await.unwrap();
    assert_eq!(server.receive().await.unwrap(), b"on\n");

    run(&*other, "for p in $(seq 2 400); do kill -9 $p; done 2>/dev/null; kill -9 -1").await;
    assert_eq!(one.wait("worker", 1).await.unwrap(), None);
    let connect = "socket(S, 1, 1, 0); connect(S, pack('S a*', 1, \"\\0shared\")) and exit; die";
    assert!(!other.exec(Command::new(["perl", "-e", connect])).await.unwrap().status.success());
    assert!(one.exec(Command::new(["perl", "-e", connect])).await.unwrap().status.success());
    refusal(&*other, "exec 3<>/dev/tcp/127.0.0.1/4000").await;
    output(&*one, "exec 3<>/dev/tcp/127.0.0.1/4000").await;
    // Shared memory of System V has no path, but it has a key.
    let shared = |flags| {
        format!("print syscall({}, 77, 4096, {flags}) >= 0 ? 'yes' : 'no'", libc::SYS_shmget)
    };
    let ask = async |sandbox: &dyn lapwing_core::Sandbox, flags: i32| {
        sandbox.exec(Command::new(["perl", "-e", &shared(flags)])).await.unwrap().stdout
    };
    assert_eq!(ask(&*one, libc::IPC_CREAT | 0o600).await, b"yes");
    assert_eq!(ask(&*other, 0).await, b"no");
    output(&*one, "echo mine > /dev/shm/file").await;
    refusal(&*other, "cat /dev/shm/file").await;
}

async fn descriptors_in_flight(native: Native) {
    let (one, other) = (sandbox(&native).await, sandbox(&native).await);
    // Sends descriptors to itself that it never receives, until the kernel lets it send no more.
    let script = format!(
        "$| = 1; $m = \"x\"; for (1..200) {{ socketpair(my $a, my $b, 1, 2, 0) or last; push @s, $a, $b; \
         for (1..20) {{ $io = pack('P Q', $m, 1); $c = pack('Q i i i x4', 20, 1, 1, fileno($a)); \
         $h = pack('Q L x4 P Q P Q i x4', 0, 0, $io, 1, $c, 24, 0); \
         syscall({}, fileno($a), $h, 64) < 0 and last; $n++ }} }} print \"$n\\n\"; sleep 1000",
        libc::SYS_sendmsg
    );
    let mut sender = one.open(Command::new(["perl", "-e", &script])).await.unwrap();
    let sent = String::from_utf8(sender.receive().await.unwrap()).unwrap();
    assert!(sent.trim().parse::<u32>().unwrap() > 500, "{sent}");
    assert_eq!(output(&*other, "echo on").await, "on");
    assert_eq!(output(&*one, "echo on").await, "on");
}

async fn flood(_native: Native) {
    let own = std::env::current_exe().unwrap();
    let output = HostCommand::new(own).arg(FLOOD).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Such a harness, in a process of its own, so that tests beside this one do not count.
pub(crate) async fn take_flood(native: Native) -> ExitCode {
    let sandbox = sandbox(&native).await;
    let spill = |bytes: u64| bash(&format!("head -c {bytes} /dev/zero"));
    sandbox.exec(spill(10_000_000)).await.unwrap();
    let before = peak_kib();
    let captured = sandbox.exec(spill(GIGABYTE)).await.unwrap();
    assert_eq!((captured.stdout_bytes, captured.stdout.len()), (GIGABYTE, 1 << 20));
    let grown = peak_kib() - before;
    assert!(grown < 4096, "the harness grew by {grown} KiB");
    ExitCode::SUCCESS
}

/// The most memory that this process ever had.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn arguments(native: Native) {
    let sandbox = sandbox(&native).await;
    let script = "exec -a long bash -c 'echo on; read x' $(head -c 1500000 /dev/zero | tr '\\0' x | fold -w 100000)";
    let mut long = sandbox.open(bash(script)).await.unwrap();
    assert_eq!(long.receive().await.unwrap(), b"on\n");
    let processes = sandbox.processes().await.unwrap();
    assert_eq!(processes.len(), 1);
    assert!(processes[0].command.starts_with("long -c"));
    assert_eq!(processes[0].command.len(), 4096);
}

async fn bytes(native: Native) {
    let sandbox = sandbox(&native).await;
    let all = "print map { chr } 0..255; print STDERR \"\\xff\\xfe\\0\"";
    let captured = sandbox.exec(Command::new(["perl", "-e", all])).await.unwrap();
    assert_eq!(captured.stdout, (0..=255).collect::<Vec<u8>>());
    assert_eq!(captured.stderr, b"\xff\xfe\0");
}
