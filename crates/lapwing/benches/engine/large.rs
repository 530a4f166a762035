//! A run with one sample of a gigabyte.

use std::collections::BTreeMap;
use std::path::Path;

use lapwing_core::{Act, Condition, Event, Recorder as _, SampleKey};
use lapwing_scenario::{Folder, Scenario};
use lapwing_store::{Ending, RunSpec, Runs};

const EVENTS: u64 = 300_000;
const EACH: usize = 3400;

/// Writes the run `large-1` into `dir/runs`, and tells the bytes of its texts.
pub(crate) fn write(dir: &Path) -> u64 {
    let folder = Folder::read(&dir.join("questions")).unwrap();
    let scenario = Scenario::load("large", folder).unwrap();
    let spec = RunSpec {
        scenario: "large".to_owned(),
        digest: scenario.digest(),
        models: vec!["bench".to_owned()],
        instrument_check: false,
        chosen: BTreeMap::new(),
        seeds: 1,
        epochs: 1,
        settings: BTreeMap::new(),
        version: String::new(),
        started_ms: 0,
    };
    let condition = Condition::default();
    let key = SampleKey { model: "bench".to_owned(), condition, seed: 0, epoch: 1 };
    let runs = Runs::new(dir.join("runs"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let files = scenario.folder().files();
        let writer = runs.create("1", &spec, files, &[(key, None)]).unwrap();
        for first in (1..=EVENTS).step_by(1000) {
            let events = (first..first + 1000).map(event).collect();
            writer.record(1, events).await.unwrap();
        }
        writer.finish(1, Vec::new()).await.unwrap();
        writer.seal(Ending::Finished, 0).await.unwrap();
    });
    EVENTS * EACH as u64
}

fn event(seq: u64) -> Event {
    let line = format!("{seq:08}: a line of what a command wrote about the weather\n");
    let text = line.repeat(EACH / line.len() + 1);
    let act = Act::ToolReturned {
        call_id: format!("call_{seq}"),
        text: text[..EACH].to_owned(),
        status: None,
        error: None,
        dropped_bytes: 0,
        millis: 1,
    };
    Event { seq, phase: "act".to_owned(), at_ms: seq, act }
}
