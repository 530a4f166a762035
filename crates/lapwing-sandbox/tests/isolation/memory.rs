//! The memory of a whole sandbox.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as HostCommand, ExitCode};

use lapwing_core::{
    Command, Enforcement, ExitStatus, Limits, Loss, Provider as _, Sandbox, SandboxError,
};
use lapwing_sandbox::Native;

use crate::{Suite, bash, limited, output, run, sandbox};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("one_process_cannot_take_more_memory_than_the_limit", one_process);
    suite.test("processes_that_take_too_much_together_end_their_sandbox_alone", many_processes);
    suite.test("files_count_as_memory", files);
    suite.test("segments_that_no_process_has_mapped_count_as_memory", segments);
    suite.test("what_processes_share_counts_once", shared);
    suite.test("what_is_said_to_hold_the_memory_holds_it", as_told);
    suite.test("a_host_without_memory_ends_commands_first", first_to_go);
}

/// The argument of a harness that fills the memory of a sandbox.
pub(crate) const FILL: &str = "--fill-memory";
const MEMORY_BYTES: u64 = 256 << 20;

async fn small(native: &Native) -> Box<dyn Sandbox> {
    limited(native, Limits { memory_bytes: MEMORY_BYTES, ..Limits::default() }).await
}

/// Checks that `command` loses its sandbox to the limit on memory.
async fn assert_over(sandbox: &dyn Sandbox, command: Command) {
    let Err(SandboxError::Lost { loss, cause: reason }) = sandbox.exec(command).await else {
        unreachable!("the sandbox lives on")
    };
    assert_eq!(loss, Loss::Memory { limit_bytes: MEMORY_BYTES });
    let expected = "its processes and files took ";
    assert!(
        reason.starts_with(expected) && reason.ends_with("more than its limit: 256 MiB"),
        "{reason}"
    );
    let Err(SandboxError::Lost { cause: again, .. }) = sandbox.manifest().await else {
        unreachable!("it answers")
    };
    assert_eq!(again, reason);
}

async fn one_process(native: Native) {
    let sandbox = small(&native).await;
    let take =
        |mebibytes: u32| format!("perl -e '$x = \"a\" x ({mebibytes} << 20); print length $x'");
    assert_eq!(output(&*sandbox, &take(50)).await, (50_u32 << 20).to_string());
    assert!(!run(&*sandbox, &take(300)).await.status.success());
    assert_eq!(output(&*sandbox, "echo alive").await, "alive");
}

async fn many_processes(native: Native) {
    let (greedy, modest) = (small(&native).await, small(&native).await);
    modest.start("worker", Command::new(["sleep", "1000"])).await.unwrap();
    let script = "for (1..10) { next if fork; $x = 'a' x (60 << 20); sleep 1000 } sleep 1000";
    assert_over(&*greedy, Command::new(["perl", "-e", script])).await;
    greedy.destroy().await.unwrap();
    assert_eq!(modest.wait("worker", 1).await.unwrap(), None);
    assert_eq!(output(&*modest, "echo alive").await, "alive");
}

async fn files(native: Native) {
    let sandbox = small(&native).await;
    let script = "for i in $(seq 300); do head -c 1M /dev/zero > $i; done; sleep 1000";
    assert_over(&*sandbox, bash(script)).await;
}

async fn segments(native: Native) {
    let sandbox = small(&native).await;
    let script = format!(
        "for (1..6) {{ $id = syscall({}, 0, 50 << 20, 896); $id >= 0 or die; \
         shmwrite($id, 'a' x (50 << 20), 0, 50 << 20) or die }} sleep 1000",
        libc::SYS_shmget
    );
    assert_over(&*sandbox, Command::new(["perl", "-e", &script])).await;
}

async fn shared(native: Native) {
    let sandbox = small(&native).await;
    let script = "$x = 'a' x (70 << 20); for (1..9) { next if fork; sleep 1000 } sleep 1000";
    let command = Command { limit_ms: 700, ..Command::new(["perl", "-e", script]) };
    assert_eq!(sandbox.exec(command).await.unwrap().status, ExitStatus::TimeLimit);
}

/// A new control group that can limit memory, where this user may make one.
fn control_group() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let folders = mounts.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let (kind, options) = kind.split_once(' ')?;
        let memory = kind == "cgroup2" || (kind == "cgroup" && options.ends_with("memory"));
        memory.then(|| Path::new(mount.split(' ').nth(4).unwrap_or_default()))
    });
    folders.into_iter().find_map(|folder| {
        let own = folder.join(format!("sandboxes-test-{}", std::process::id()));
        fs::create_dir(&own).ok()?;
        let limits = |name: &str| {
            fs::read_to_string(own.join(name)).is_ok_and(|text| text.contains("memory"))
        };
        let usable = own.join("memory.limit_in_bytes").exists() || limits("cgroup.controllers");
        if !usable {
            fs::remove_dir(&own).unwrap();
        }
        usable.then_some(own)
    })
}

async fn as_told(_native: Native) {
    // A harness of its own: with a control group if there is one to be had, and without one.
    let folder = control_group();
    let expected = folder.as_ref().map_or("watchdog", |_| "kernel");
    for (folder, expected) in [(None, "watchdog"), (folder.as_deref(), expected)] {
        let mut harness = HostCommand::new(std::env::current_exe().unwrap());
        harness.arg(FILL);
        harness.env("LAPWING_CGROUP", folder.unwrap_or(Path::new("none")));
        let output = harness.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("held by {expected}\n"));
    }
    if let Some(folder) = folder {
        let left = fs::read_dir(&folder).unwrap().flatten();
        let left: Vec<_> =
            left.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name()).collect();
        assert_eq!(left, [""; 0]);
        fs::remove_dir(folder).unwrap();
    }
}

/// Such a harness: finds out what holds the memory, tells it, and compares it with what it is told.
pub(crate) async fn fill(native: Native) -> ExitCode {
    let enforced = native.enforced().memory;
    let sandbox = small(&native).await;
    let groups = output(&*sandbox, "cut -d: -f3 /proc/self/cgroup | sort -u").await;
    assert_eq!(groups, "/", "the sandbox can see where its control group lies");
    let script = "for (1..10) { next if fork; $x = 'a' x (60 << 20); sleep 1000 } \
                  $k = 0; wait, $k |= $? == 9 for 1; print $k; kill 'KILL', -1";
    let found = match sandbox.exec(Command::new(["perl", "-e", script])).await {
        // One child was killed and the parent could tell.
        Ok(captured) if captured.stdout == b"1" => Enforcement::Kernel,
        Ok(captured) => unreachable!("{captured:?}"),
        Err(SandboxError::Lost { loss: Loss::Memory { .. }, .. }) => Enforcement::Watchdog,
        Err(error) => unreachable!("{error}"),
    };
    assert_eq!(found, enforced);
    if found == Enforcement::Kernel {
        assert_eq!(output(&*sandbox, "echo alive").await, "alive");
    }
    sandbox.destroy().await.unwrap();
    drop(sandbox);
    // The group of the first is used again, with another limit.
    let second = limited(&native, Limits { memory_bytes: 128 << 20, ..Limits::default() }).await;
    assert_eq!(output(&*second, "echo alive").await, "alive");
    second.destroy().await.unwrap();
    let name = if found == Enforcement::Kernel { "kernel" } else { "watchdog" };
    #[expect(clippy::print_stdout, reason = "the other process reads it")]
    {
        println!("held by {name}");
    }
    ExitCode::SUCCESS
}

async fn first_to_go(native: Native) {
    let sandbox = sandbox(&native).await;
    assert_eq!(
        output(&*sandbox, "cat /proc/self/oom_score_adj /proc/1/oom_score_adj").await,
        "1000\n1000"
    );
}
