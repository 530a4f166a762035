//! However a sandbox or its harness ends, nothing is left.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command as HostCommand, ExitCode, Stdio};

use lapwing_core::{Command, Network, Provider, SandboxError};
use lapwing_sandbox::Native;

use crate::beside;
use crate::{Suite, bash, output, sandbox, spec};

const HOLD: &str = "--hold-sandboxes=";
/// The argument of a harness that counts what is left of sandboxes.
pub(crate) const CYCLE: &str = "--cycle-sandboxes";

pub(crate) fn add(suite: &mut Suite) {
    suite.test("killing_the_harness_ends_all_its_sandboxes", killed_harness);
    suite.test("a_harness_killed_while_it_creates_leaves_nothing", killed_while_busy);
    suite.test("dropping_a_sandbox_ends_its_processes", dropped);
    suite.test("destroy_returns_when_all_processes_are_gone", destroyed);
    suite.test("a_destroyed_sandbox_is_lost_to_those_who_wait_for_it", lost);
    suite.test("fifty_sandboxes_leave_nothing_behind", fifty);
    suite.test("many_sandboxes_live_side_by_side", many);
}

/// The argument of a harness that creates and destroys until it is killed.
pub(crate) const BUSY: &str = "--busy-harness";

/// The mark of a harness that is to be killed, from its argument.
pub(crate) fn mark(argument: &str) -> Option<String> {
    argument.strip_prefix(HOLD).map(str::to_owned)
}

/// Such a harness: fills sandboxes, says so, and waits for its end.
pub(crate) async fn hold(native: Native, mark: String) -> ExitCode {
    let mut sandboxes = Vec::new();
    for _ in 0..3 {
        let sandbox = sandbox(&native).await;
        sandbox.start("worker", marked(&mark)).await.unwrap();
        sandboxes.push(sandbox);
    }
    let beside = beside::pair(&native, Network::Sinkhole).await;
    for sandbox in &beside {
        sandbox.start("worker", marked(&mark)).await.unwrap();
    }
    #[expect(clippy::print_stdout, reason = "the other process reads it")]
    {
        println!("ready");
    }
    let last = sandboxes.pop().unwrap();
    let daemon =
        format!("(setsid bash -c 'exec -a {mark} sleep 1000' &); exec -a {mark} sleep 1000");
    last.exec(bash(&daemon)).await.unwrap();
    ExitCode::FAILURE
}

pub(crate) fn marked(mark: &str) -> Command {
    bash(&format!("exec -a {mark} sleep 1000"))
}

/// Host processes whose arguments begin with `mark`.
pub(crate) fn with_mark(mark: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(mark.as_bytes()))
    })
    .collect()
}

/// Host processes below `ancestor`.
fn descendants(ancestor: i32) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut pending = vec![ancestor];
    while let Some(parent) = pending.pop() {
        let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
            pending.extend(children.filter(|pid| found.insert(*pid)));
        }
    }
    found
}

/// A descriptor that tells the end of a process.
#[expect(unsafe_code, reason = "pidfd_open has no wrapper in the standard library")]
fn watch(pid: i32) -> OwnedFd {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    assert!(fd >= 0, "process {pid} is gone already");
    // SAFETY: the kernel just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Waits for the end of all `processes`, at most a minute each.
#[expect(unsafe_code, reason = "poll has no wrapper in the standard library")]
fn wait_for_end(processes: &[OwnedFd]) {
    for process in processes {
        let mut entry = libc::pollfd { fd: process.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `entry` is one live entry.
        assert_eq!(unsafe { libc::poll(&raw mut entry, 1, 60_000) }, 1, "a process lives on");
    }
}

/// A word that no other process on this machine has.
pub(crate) fn unique(word: &str) -> String {
    format!("{word}-{}", std::process::id())
}

async fn killed_harness(_native: Native) {
    let mark = unique("held");
    let mut harness = HostCommand::new(std::env::current_exe().unwrap())
        .arg(format!("{HOLD}{mark}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(harness.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    while with_mark(&mark).len() < 7 {
        tokio::task::yield_now().await;
    }
    let processes = descendants(harness.id().cast_signed());
    // The launcher, the holder of a network, pid 1 of each sandbox, and what runs in them.
    assert!(processes.len() >= 1 + 1 + 5 + 7, "{processes:?}");
    let watched: Vec<OwnedFd> = processes.into_iter().map(watch).collect();
    harness.kill().unwrap();
    harness.wait().unwrap();
    wait_for_end(&watched);
    assert_eq!(with_mark(&mark), [] as [i32; 0]);
}

/// Such a harness: says when each step begins.
pub(crate) async fn keep_busy(native: Native) -> ExitCode {
    let step = |name: &str| {
        #[expect(clippy::print_stdout, reason = "the other process reads it")]
        {
            println!("{name}");
        }
    };
    let mut sandboxes = Vec::new();
    loop {
        step("create");
        let sandbox = sandbox(&native).await;
        step("run");
        output(&*sandbox, "sleep 1000 & (setsid sleep 1000 &); echo done").await;
        step("keep");
        sandboxes.push(sandbox);
        step("hold");
        let network = native.beside(Network::Sinkhole).await.unwrap();
        step("beside");
        sandboxes.push(network.create(spec()).await.unwrap());
        if sandboxes.len() >= 4 {
            step("destroy");
            sandboxes.remove(0).destroy().await.unwrap();
        }
    }
}

/// Live processes of the session that `leader` began, and of that process itself. Only pid 1 of each sandbox stays in the
/// launcher's session.
fn of_session(leader: i32) -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> =
            stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
        fields.len() > 3 && fields[3] == leader.to_string() && !matches!(fields[0], "Z" | "X")
    })
    .collect()
}

async fn killed_while_busy(_native: Native) {
    for steps in [1, 2, 3, 5, 9, 14, 18, 23] {
        let mut harness = HostCommand::new(std::env::current_exe().unwrap())
            .arg(BUSY)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(harness.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "create");
        let launcher = loop {
            let family = descendants(harness.id().cast_signed());
            // It begins a session of its own soon after its start.
            if let Some(pid) = family.into_iter().find(|pid| of_session(*pid).contains(pid)) {
                break pid;
            }
        };
        lines.by_ref().take(steps).for_each(|line| drop(line.unwrap()));
        harness.kill().unwrap();
        harness.wait().unwrap();
        let ended = tokio::time::timeout(std::time::Duration::from_mins(1), async {
            while !of_session(launcher).is_empty() {
                tokio::task::yield_now().await;
            }
        });
        assert!(ended.await.is_ok(), "{:?} live on after {steps} steps", of_session(launcher));
    }
}

async fn dropped(native: Native) {
    let mark = unique("dropped");
    let sandbox = sandbox(&native).await;
    sandbox.start("worker", marked(&mark)).await.unwrap();
    while with_mark(&mark).is_empty() {
        tokio::task::yield_now().await;
    }
    let watched: Vec<OwnedFd> = with_mark(&mark).into_iter().map(watch).collect();
    drop(sandbox);
    wait_for_end(&watched);
}

async fn destroyed(native: Native) {
    let mark = unique("destroyed");
    let sandbox = sandbox(&native).await;
    output(&*sandbox, &format!("for i in 1 2 3 4 5; do (exec -a {mark} setsid sleep 1000) & done"))
        .await;
    sandbox.start("worker", marked(&mark)).await.unwrap();
    sandbox.destroy().await.unwrap();
    assert_eq!(with_mark(&mark), [] as [i32; 0]);
}

async fn lost(native: Native) {
    let sandbox = sandbox(&native).await;
    let mut session = sandbox.open(Command::new(["sleep", "1000"])).await.unwrap();
    sandbox.destroy().await.unwrap();
    assert_eq!(session.receive().await.unwrap(), b"");
    assert!(matches!(session.finish().await, Err(SandboxError::Lost { .. })));
}

async fn fifty(_native: Native) {
    // In a harness of its own, so that tests that run beside this one do not count.
    let own = std::env::current_exe().unwrap();
    let output = HostCommand::new(own).arg(CYCLE).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Such a harness.
pub(crate) async fn cycle(native: Native) -> ExitCode {
    let once = async || {
        let sandbox = sandbox(&native).await;
        output(&*sandbox, "sleep 1000 & echo done").await;
        sandbox.manifest().await.unwrap();
        sandbox.destroy().await.unwrap();
        for sandbox in beside::pair(&native, Network::Sinkhole).await {
            output(&*sandbox, "echo x > /dev/udp/192.0.2.1/9 || true").await;
            sandbox.destroy().await.unwrap();
        }
    };
    once().await;
    let before = held();
    for _ in 0..50 {
        once().await;
    }
    // What is closed in the background is given time, what is never closed fails.
    let released = tokio::time::timeout(std::time::Duration::from_mins(1), async {
        while held().iter().zip(before).any(|(now, then)| *now > then) {
            tokio::task::yield_now().await;
        }
    });
    assert!(released.await.is_ok(), "{before:?} before, {:?} after", held());
    ExitCode::SUCCESS
}

/// Numbers of processes below this one, of its descriptors, and of mounts.
fn held() -> [usize; 3] {
    let processes = descendants(std::process::id().cast_signed()).len();
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    [processes, descriptors, mounts]
}

async fn many(native: Native) {
    let mut sandboxes = Vec::new();
    for index in 0..60 {
        let sandbox = native.create(spec()).await.unwrap();
        output(&*sandbox, &format!("echo {index} > mine")).await;
        sandboxes.push(sandbox);
    }
    for (index, sandbox) in sandboxes.iter().enumerate() {
        assert_eq!(output(&**sandbox, "cat mine").await, index.to_string());
    }
}
