//! The same calls by Inspect, where it is installed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::CALLS;
use crate::endpoint::Endpoint;
use crate::process::measure;

const TASK: &str = r#"
import sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser
from inspect_ai.solver import Generate, TaskState, solver

@solver
def six():
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state = await generate(state)
        for _ in range(5):
            state.messages.append(ChatMessageUser(content=state.input_text))
            state = await generate(state)
        return state
    return solve

samples = [Sample(id=n, input="What do you make of this? " * 10) for n in range(int(sys.argv[1]))]
[log] = eval(
    Task(dataset=samples, solver=six()), model="openai/bench", model_args=dict(responses_api=False),
    max_connections=16, display="none", log_dir="inspect-logs",
)
assert log.status == "success" and not any(sample.error for sample in log.samples), log.error
"#;

/// Processor time of a call by the Inspect that the python named in `LAPWING_INSPECT` has.
pub(crate) fn cpu_a_call(dir: &Path, endpoint: &Endpoint) -> Option<Duration> {
    const SAMPLES: u64 = 100;
    let python = std::env::var_os("LAPWING_INSPECT")?;
    let script = dir.join("six_calls.py");
    std::fs::write(&script, TASK).unwrap();
    let run = |n_samples: u64| {
        let mut command = Command::new(&python);
        command.arg(&script).arg(n_samples.to_string()).current_dir(dir);
        command.env("OPENAI_BASE_URL", endpoint.url()).env("OPENAI_API_KEY", "none");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        measure(&mut command).cpu
    };
    let start = run(1);
    let all = run(SAMPLES + 1);
    Some(all.saturating_sub(start) / (SAMPLES * CALLS) as u32)
}
