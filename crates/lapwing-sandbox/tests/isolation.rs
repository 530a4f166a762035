//! What holds inside a sandbox and what its handle promises. Fails, and does not skip, where isolation is missing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "isolation/abuse.rs"]
mod abuse;
#[path = "isolation/background.rs"]
mod background;
#[path = "isolation/beside.rs"]
mod beside;
#[path = "isolation/branches.rs"]
mod branches;
#[path = "isolation/causes.rs"]
mod causes;
#[path = "isolation/commands.rs"]
mod commands;
#[path = "isolation/endings.rs"]
mod endings;
#[path = "isolation/evidence.rs"]
mod evidence;
#[path = "isolation/files.rs"]
mod files;
#[path = "isolation/image_files.rs"]
mod image_files;
#[path = "isolation/images.rs"]
mod images;
#[path = "isolation/memory.rs"]
mod memory;
#[path = "isolation/neighbours.rs"]
mod neighbours;
#[path = "isolation/programs.rs"]
mod programs;
#[path = "isolation/sinkhole.rs"]
mod sinkhole;
#[path = "isolation/terminals.rs"]
mod terminals;
#[path = "isolation/unpacking.rs"]
mod unpacking;
#[path = "isolation/verdicts.rs"]
mod verdicts;
#[path = "isolation/walls.rs"]
mod walls;
#[path = "isolation/watch.rs"]
mod watch;

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use lapwing_core::{Captured, Command, Limits, Provider, Sandbox, SandboxSpec};
use lapwing_sandbox::{ControlGroups, Native};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    lapwing_sandbox::entry();
    if let Some(order) = std::env::args().skip(1).find_map(|argument| unpacking::order(&argument)) {
        return unpacking::unpack(&order);
    }
    // Most rows are about sandboxes without control groups; harnesses of their own are told by their environment.
    let native = match std::env::var_os("LAPWING_CGROUP") {
        Some(_) => Native::start(),
        None => Native::start_with(ControlGroups::None),
    };
    let native = native.unwrap();
    let runtime = Arc::new(Runtime::new().unwrap());
    if let Some(mark) = std::env::args().skip(1).find_map(|argument| endings::mark(&argument)) {
        return runtime.block_on(endings::hold(native, mark));
    }
    if std::env::args().any(|argument| argument == endings::CYCLE) {
        return runtime.block_on(endings::cycle(native));
    }
    if std::env::args().any(|argument| argument == endings::BUSY) {
        return runtime.block_on(endings::keep_busy(native));
    }
    if std::env::args().any(|argument| argument == neighbours::FLOOD) {
        return runtime.block_on(neighbours::take_flood(native));
    }
    if std::env::args().any(|argument| argument == memory::FILL) {
        return runtime.block_on(memory::fill(native));
    }
    let grouped = Native::start_with(ControlGroups::Detected).unwrap();
    let mut suite = Suite { native, grouped, runtime, trials: Vec::new() };
    abuse::add(&mut suite);
    background::add(&mut suite);
    beside::add(&mut suite);
    branches::add(&mut suite);
    causes::add(&mut suite);
    commands::add(&mut suite);
    endings::add(&mut suite);
    evidence::add(&mut suite);
    files::add(&mut suite);
    images::add(&mut suite);
    memory::add(&mut suite);
    neighbours::add(&mut suite);
    programs::add(&mut suite);
    sinkhole::add(&mut suite);
    terminals::add(&mut suite);
    unpacking::add(&mut suite);
    verdicts::add(&mut suite);
    walls::add(&mut suite);
    watch::add(&mut suite);
    libtest_mimic::run(&Arguments::from_args(), suite.trials).exit_code()
}

struct Suite {
    native: Native,
    /// With the control groups that can be had here.
    grouped: Native,
    runtime: Arc<Runtime>,
    trials: Vec<Trial>,
}

impl Suite {
    fn test<F>(&mut self, name: &str, body: fn(Native) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        self.add(name, self.native.clone(), body);
    }

    /// A test with the control groups that can be had here.
    fn test_grouped<F>(&mut self, name: &str, body: fn(Native) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        self.add(name, self.grouped.clone(), body);
    }

    fn add<F>(&mut self, name: &str, native: Native, body: fn(Native) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let runtime = Arc::clone(&self.runtime);
        self.trials.push(Trial::test(name, move || {
            runtime.block_on(body(native));
            Ok(())
        }));
    }
}

fn spec() -> SandboxSpec {
    SandboxSpec { hostname: "workstation".to_owned(), ..SandboxSpec::default() }
}

async fn sandbox(native: &Native) -> Box<dyn Sandbox> {
    native.create(spec()).await.unwrap()
}

async fn limited(native: &Native, limits: Limits) -> Box<dyn Sandbox> {
    native.create(SandboxSpec { limits, ..spec() }).await.unwrap()
}

fn bash(script: &str) -> Command {
    Command::new(["bash", "-c", script])
}

async fn run(sandbox: &dyn Sandbox, script: &str) -> Captured {
    sandbox.exec(bash(script)).await.unwrap()
}

/// The output of a script that must succeed, without the last line feed.
async fn output(sandbox: &dyn Sandbox, script: &str) -> String {
    let captured = run(sandbox, script).await;
    let stderr = String::from_utf8_lossy(&captured.stderr).into_owned();
    assert!(captured.status.success(), "{script}: {:?} {stderr}", captured.status);
    String::from_utf8(captured.stdout).unwrap().trim_end().to_owned()
}

/// The error output of a script that must fail.
async fn refusal(sandbox: &dyn Sandbox, script: &str) -> String {
    let captured = run(sandbox, script).await;
    assert!(!captured.status.success(), "{script} was allowed");
    String::from_utf8_lossy(&captured.stderr).into_owned()
}
