//! The memory of a whole sandbox.

use lapwing_core::{Command, ExitStatus, Limits, Sandbox, SandboxError};
use lapwing_sandbox::Native;

use crate::{Suite, bash, limited, output, run, sandbox};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("one_process_cannot_take_more_memory_than_the_limit", one_process);
    suite.test("processes_that_take_too_much_together_end_their_sandbox_alone", many_processes);
    suite.test("files_count_as_memory", files);
    suite.test("segments_that_no_process_has_mapped_count_as_memory", segments);
    suite.test("what_processes_share_counts_once", shared);
    suite.test("a_host_without_memory_ends_commands_first", first_to_go);
}

const MEMORY_BYTES: u64 = 256 << 20;

async fn small(native: &Native) -> Box<dyn Sandbox> {
    limited(native, Limits { memory_bytes: MEMORY_BYTES, ..Limits::default() }).await
}

/// Checks that `command` loses its sandbox to the limit on memory.
async fn assert_over(sandbox: &dyn Sandbox, command: Command) {
    let Err(SandboxError::Lost(reason)) = sandbox.exec(command).await else {
        unreachable!("the sandbox lives on")
    };
    let expected = "its processes and files took ";
    assert!(
        reason.starts_with(expected) && reason.ends_with("more than its limit: 256 MiB"),
        "{reason}"
    );
    let Err(SandboxError::Lost(again)) = sandbox.manifest().await else {
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

async fn first_to_go(native: Native) {
    let sandbox = sandbox(&native).await;
    assert_eq!(
        output(&*sandbox, "cat /proc/self/oom_score_adj /proc/1/oom_score_adj").await,
        "1000\n1000"
    );
}
