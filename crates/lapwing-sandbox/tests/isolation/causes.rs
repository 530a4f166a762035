//! Why commands, services and sandboxes end: each cause is told apart.

use lapwing_core::{
    Command, Enforcement, ExitStatus, Limits, Loss, Provider as _, Sandbox, SandboxError,
};
use lapwing_sandbox::Native;

use crate::{Suite, bash, limited, output, run, sandbox};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("a_command_that_fails_on_a_full_disk_is_told_so", full_disk);
    suite.test("a_command_that_fails_out_of_files_is_told_so", no_more_files);
    suite.test("a_sandbox_that_the_harness_ended_is_destroyed_and_not_lost_to_others", destroyed);
    suite.test_grouped("memory_that_runs_out_is_no_kill", out_of_memory);
    suite.test_grouped("a_kill_is_no_want_of_memory", killed);
    suite.test_grouped("a_service_that_the_kernel_ends_for_memory_was_not_killed", service);
}

const MEMORY_BYTES: u64 = 128 << 20;

async fn small(native: &Native) -> Box<dyn Sandbox> {
    limited(native, Limits { memory_bytes: MEMORY_BYTES, ..Limits::default() }).await
}

async fn full_disk(native: Native) {
    let sandbox = limited(&native, Limits { disk_bytes: 8 << 20, ..Limits::default() }).await;
    let status = run(&*sandbox, "exec head -c 20M /dev/zero > big").await.status;
    assert_eq!(status, ExitStatus::DiskFull { code: 1 });
    assert_eq!(run(&*sandbox, "true").await.status, ExitStatus::Exit { code: 0 });
    assert_eq!(run(&*sandbox, "rm big; exit 3").await.status, ExitStatus::Exit { code: 3 });
}

async fn no_more_files(native: Native) {
    let sandbox = limited(&native, Limits { files: 200, ..Limits::default() }).await;
    let status = run(&*sandbox, "for i in $(seq 500); do : > $i || exit 4; done").await.status;
    assert_eq!(status, ExitStatus::DiskFull { code: 4 });
}

async fn destroyed(native: Native) {
    let sandbox = sandbox(&native).await;
    sandbox.destroy().await.unwrap();
    let Err(SandboxError::Lost { loss, .. }) = sandbox.exec(bash("true")).await else {
        unreachable!("it answers")
    };
    assert_eq!(loss, Loss::Destroyed);
}

async fn out_of_memory(native: Native) {
    let sandbox = small(&native).await;
    // Together too much, each below the limit on its address space.
    let script =
        "for i in $(seq 8); do perl -e '$x = \"a\" x (20 << 20); sleep 1000' & done; wait -n";
    let ended = sandbox.exec(bash(script)).await;
    if native.enforced().memory == Enforcement::Kernel {
        assert_eq!(ended.unwrap().status, ExitStatus::OutOfMemory);
        assert_eq!(output(&*sandbox, "echo alive").await, "alive");
    } else {
        let Err(SandboxError::Lost { loss, .. }) = ended else { unreachable!("it lives on") };
        assert_eq!(loss, Loss::Memory { limit_bytes: MEMORY_BYTES });
    }
}

async fn killed(native: Native) {
    let sandbox = small(&native).await;
    let status = run(&*sandbox, "kill -9 $$").await.status;
    assert_eq!(status, ExitStatus::Signal { signal: 9 });
    let status = run(&*sandbox, "bash -c 'kill -9 $$'; exit $?").await.status;
    assert_eq!(status, ExitStatus::Exit { code: 137 });
}

async fn service(native: Native) {
    let sandbox = small(&native).await;
    let script = "$x = 'a' x (20 << 20); sleep 1000";
    sandbox.start("fat", Command::new(["perl", "-e", script])).await.unwrap();
    let fill = "head -c 120M /dev/zero > fill; sleep 1";
    let filled = sandbox.exec(bash(fill)).await;
    if native.enforced().memory == Enforcement::Kernel {
        let status = sandbox.wait("fat", 10_000).await.unwrap();
        let filled = filled.unwrap().status;
        // The kernel takes the largest process, which is the service.
        assert_eq!(status, Some(ExitStatus::OutOfMemory), "{filled:?}");
    } else {
        let Err(SandboxError::Lost { loss, .. }) = filled else { unreachable!("it lives on") };
        assert_eq!(loss, Loss::Memory { limit_bytes: MEMORY_BYTES });
    }
}
