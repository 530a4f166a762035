//! What a sandbox costs, beside a plain child process and other tools in the same run; how many live at once; what is left
//! when they end. `docs/sandbox.md` has the figures of one machine.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

#[path = "sandbox/branches.rs"]
mod branches;
#[path = "sandbox/endings.rs"]
mod endings;
#[path = "sandbox/load.rs"]
mod load;
#[path = "sandbox/steps.rs"]
mod steps;
#[path = "sandbox/system.rs"]
mod system;

use std::time::Duration;

use lapwing_sandbox::Native;

fn main() {
    lapwing_sandbox::entry();
    let native = Native::start().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Some(count) = endings::asked_to_hold() {
        return runtime.block_on(endings::hold(&native, count));
    }
    // Names of parts as arguments; all of them without any.
    let asked: Vec<String> =
        std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|name| name == part);
    if wanted("steps") {
        steps::print(&runtime.block_on(steps::rounds(&native)));
        println!();
    }
    if wanted("branches") {
        runtime.block_on(branches::rounds(&native));
    }
    if wanted("load") {
        runtime.block_on(load::cycles(&native));
        runtime.block_on(load::live(&native));
        runtime.block_on(load::output(&native));
    }
    if wanted("killed") {
        for count in [1, 500] {
            endings::killed(count);
        }
    }
    if wanted("soak") {
        runtime.block_on(endings::soak(&native));
    }
}

/// A line of the second table.
fn report(name: &str, value: &str) {
    println!("{name:44} {value}");
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
