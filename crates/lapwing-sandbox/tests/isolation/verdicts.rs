//! Why a sandbox is gone: whatever shows it first, everybody is told the same reason.

use std::sync::Arc;

use lapwing_core::{Command, Limits, Loss, Sandbox, SandboxError};
use lapwing_sandbox::Native;
use tokio::task::JoinSet;

use crate::{Suite, bash, limited, output};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("processor_time_is_that_of_all_processes_together", together);
    suite.test("processor_time_of_processes_that_have_ended_counts", ended);
    suite.test("without_a_limit_on_processor_time_there_is_none", unlimited);
    suite.test_grouped("with_control_groups_processor_time_is_held_too", together);
    suite.test("all_who_wait_for_a_sandbox_over_its_processor_time_are_told_so", everybody_time);
    suite.test("all_who_wait_for_a_sandbox_over_its_memory_are_told_so", everybody_memory);
}

const SECONDS: u64 = 1;
const MEMORY_BYTES: u64 = 64 << 20;
/// Sandboxes that end at the same time, each with all that can be asked of one.
const SANDBOXES: usize = 8;

const SPIN: &str = "for i in 1 2 3; do (while :; do :; done) & done; wait";

async fn hurried(native: &Native) -> Box<dyn Sandbox> {
    limited(native, Limits { cpu_seconds: Some(SECONDS), ..Limits::default() }).await
}

fn assert_over(error: &SandboxError, asked: &str) {
    let SandboxError::Lost { loss, cause } = error else { unreachable!("{asked}: {error}") };
    assert_eq!(*loss, Loss::ProcessorTime { limit_seconds: SECONDS }, "{asked}: {cause}");
    assert!(
        cause.starts_with("its processes took ")
            && cause.ends_with("s of processor time, more than its limit: 1 s"),
        "{asked}: {cause}"
    );
}

async fn together(native: Native) {
    let sandbox = hurried(&native).await;
    assert_eq!(output(&*sandbox, "echo alive").await, "alive");
    assert_over(&sandbox.exec(bash(SPIN)).await.unwrap_err(), "exec");
    assert_over(&sandbox.manifest().await.unwrap_err(), "manifest");
    sandbox.destroy().await.unwrap();
    assert_over(&sandbox.exec(bash("true")).await.unwrap_err(), "after the end");
}

async fn ended(native: Native) {
    let sandbox = hurried(&native).await;
    // No process lives long; each is waited for.
    let script = "while :; do (for i in {1..2000}; do :; done); done";
    assert_over(&sandbox.exec(bash(script)).await.unwrap_err(), "exec");
}

async fn unlimited(native: Native) {
    let sandbox = limited(&native, Limits::default()).await;
    let script = "perl -e '1 while (times)[0] < 1.3; print \"done\"'";
    assert_eq!(output(&*sandbox, script).await, "done");
}

/// Asks everything of `sandbox` until it is gone, and returns what each was told then.
async fn ask_all(sandbox: Arc<dyn Sandbox>, burden: Command) -> Vec<(&'static str, SandboxError)> {
    /// Asks again and again.
    macro_rules! until_gone {
        ($asking:ident, $name:literal, |$sandbox:ident| $ask:expr) => {{
            let $sandbox = Arc::clone(&sandbox);
            $asking.spawn(async move {
                loop {
                    if let Err(error) = $ask.await {
                        return ($name, error);
                    }
                }
            });
        }};
    }
    sandbox.start("idle", Command::new(["sleep", "1000"])).await.unwrap();
    let background = sandbox.background().unwrap();
    let sleeper = background.spawn(Command::new(["sleep", "1000"])).await.unwrap();
    let mut session = sandbox.open(Command::new(["cat"])).await.unwrap();
    let mut asking = JoinSet::new();
    until_gone!(asking, "exec", |sandbox| sandbox.exec(bash("exit 3")));
    until_gone!(asking, "burden", |sandbox| sandbox.exec(burden.clone()));
    until_gone!(asking, "wait", |sandbox| sandbox.wait("idle", 100_000));
    until_gone!(asking, "services", |sandbox| sandbox.services());
    until_gone!(asking, "manifest", |sandbox| sandbox.manifest());
    until_gone!(asking, "processes", |sandbox| sandbox.processes());
    until_gone!(asking, "get", |sandbox| sandbox.get("/etc/passwd", 10_000));
    until_gone!(asking, "checkpoint", |sandbox| sandbox.checkpoint());
    until_gone!(asking, "observed", |sandbox| sandbox.observed());
    let polled = Arc::clone(&sandbox);
    asking.spawn(async move {
        loop {
            if let Err(error) = polled.background().unwrap().poll(sleeper, 100_000).await {
                return ("poll", error);
            }
        }
    });
    asking.spawn(async move {
        while !session.receive().await.unwrap().is_empty() {}
        ("session", session.finish().await.unwrap_err())
    });
    asking.join_all().await
}

/// Ends many sandboxes at a time by `burden`, and hands on what was told of each.
async fn end_many(
    native: &Native,
    limits: &Limits,
    burden: &Command,
) -> Vec<(&'static str, SandboxError)> {
    let mut all = JoinSet::new();
    for _ in 0..SANDBOXES {
        let sandbox: Arc<dyn Sandbox> = Arc::from(limited(native, limits.clone()).await);
        all.spawn(ask_all(sandbox, burden.clone()));
    }
    all.join_all().await.into_iter().flatten().collect()
}

async fn everybody_time(native: Native) {
    let limits = Limits { cpu_seconds: Some(SECONDS), ..Limits::default() };
    let told = end_many(&native, &limits, &bash(SPIN)).await;
    assert_eq!(told.len(), SANDBOXES * 11);
    for (asked, error) in told {
        assert_over(&error, asked);
    }
}

async fn everybody_memory(native: Native) {
    let limits = Limits { memory_bytes: MEMORY_BYTES, ..Limits::default() };
    let script = "for (1..5) { next if fork; $x = 'a' x (20 << 20); sleep 1000 } sleep 1000";
    let told = end_many(&native, &limits, &Command::new(["perl", "-e", script])).await;
    assert_eq!(told.len(), SANDBOXES * 11);
    for (asked, error) in told {
        let SandboxError::Lost { loss, cause } = &error else { unreachable!("{asked}: {error}") };
        assert_eq!(*loss, Loss::Memory { limit_bytes: MEMORY_BYTES }, "{asked}: {cause}");
    }
}
