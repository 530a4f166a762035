//! What a long sample costs in time and memory on its way to a log and back, beside a sample a tenth as long: memory that grows
//! with the sample would show.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use lapwing_core::{Act, Condition, Event, Recorder as _, SampleKey};
use lapwing_inspect::{Options, Source, import};
use lapwing_scenario::{Folder, Scenario};
use lapwing_store::{Ending, Run, RunSpec, Runs};
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const MEGABYTE: usize = 1 << 20;
/// Characters of one text.
const TEXT: usize = 20_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    println!("{:<28}{:>10}{:>10}{:>12}", "", "MB", "seconds", "peak MB");
    for megabytes in [30, 300] {
        let place = dir.path().join(megabytes.to_string());
        fs::create_dir(&place).unwrap();
        let log = place.join("theirs.eval");
        write_log(&log, megabytes);
        measure("import, Inspect's own log", megabytes, || {
            import_as(&log, &place, "theirs");
        });
        write_run(&place, megabytes);
        let ours = place.join("ours.eval");
        measure("export", megabytes, || {
            let run = Run::open(&place.join("long-run.lapwing")).unwrap();
            let scoring = run.scorings().unwrap().pop().unwrap();
            Source::new(&run, scoring).unwrap().write("m", &ours).unwrap();
        });
        measure("import, what was exported", megabytes, || {
            import_as(&ours, &place, "ours");
        });
    }
}

/// Prints how long it takes, and how much memory the process had at most meanwhile.
fn measure(what: &str, megabytes: usize, work: impl FnOnce()) {
    // 5 resets the peak; see proc(5).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let start = Instant::now();
    work();
    let seconds = start.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{what:<28}{megabytes:>10}{seconds:>10.1}{:>12.0}", kilobytes / 1024.0);
}

fn import_as(log: &Path, dir: &Path, name: &str) {
    let options = Options { name: Some(name), tag: "tag", now_ms: 0 };
    import(log, &Runs::new(dir), &options).unwrap();
}

/// A text that no other one equals and that does not pack to nothing.
fn text(number: usize) -> String {
    let mut state = number as u64 + 1;
    let letters = (0..TEXT).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + (state >> 59) as u8 % 26)
    });
    letters.collect()
}

/// A log with one sample: a question and an answer in every turn, each text an attachment.
fn write_log(path: &Path, megabytes: usize) {
    let n_texts = megabytes * MEGABYTE / TEXT;
    let mut zip = ZipWriter::new(BufWriter::new(File::create(path).unwrap()));
    let options = SimpleFileOptions::default();
    zip.start_file("header.json", options).unwrap();
    let header = json!({ "status": "success", "eval": { "created": "2026-09-22T10:00:00+00:00", "task": "t", "model": "m" } });
    write!(zip, "{header}").unwrap();
    zip.start_file("samples/s_epoch_1.json", options).unwrap();
    write!(zip, "{{\"id\":\"s\",\"epoch\":1,\"scores\":{{\"x\":{{\"value\":\"C\"}}}},\"events\":[")
        .unwrap();
    for turn in 0..n_texts / 2 {
        let comma = if turn == 0 { "" } else { "," };
        let message =
            json!({ "role": "assistant", "content": format!("attachment://{}", 2 * turn + 1) });
        let event = json!({ "event": "model", "model": "m", "input": [], "input_refs": [[turn, turn + 1]],
            "output": { "choices": [{ "message": message, "stop_reason": "stop" }] } });
        write!(zip, "{comma}{event}").unwrap();
    }
    write!(zip, "],\"attachments\":{{\"none\":\"\"").unwrap();
    for number in 0..n_texts {
        write!(zip, ",\"{number}\":{}", Value::from(text(number))).unwrap();
    }
    write!(zip, "}},\"events_data\":{{\"calls\":[],\"messages\":[").unwrap();
    for turn in 0..n_texts / 2 {
        let comma = if turn == 0 { "" } else { "," };
        write!(
            zip,
            "{comma}{}",
            json!({ "role": "user", "content": format!("attachment://{}", 2 * turn) })
        )
        .unwrap();
    }
    write!(zip, "]}}}}").unwrap();
    zip.finish().unwrap().flush().unwrap();
}

/// A run with one sample of as many texts: every other one a result of a tool, the rest of blobs.
fn write_run(dir: &Path, megabytes: usize) {
    let scenario = r#"
        format = 1
        title = "t"
        description = "d"
        imported = "a benchmark"
        phase = [{ id = "act", ask = "ask.md" }]
        exposed = "seen"
        evidence.event.seen = { name = "seen" }
    "#;
    let folder = BTreeMap::from([
        ("scenario.toml".to_owned(), scenario.as_bytes().to_vec()),
        ("ask.md".to_owned(), Vec::new()),
    ]);
    let scenario = Scenario::load("long", Folder::from_files(folder.clone())).unwrap();
    let spec = RunSpec {
        scenario: "long".to_owned(),
        digest: scenario.digest(),
        models: vec!["m".to_owned()],
        instrument_check: false,
        chosen: BTreeMap::new(),
        seeds: 1,
        epochs: 1,
        settings: BTreeMap::new(),
        version: String::new(),
        started_ms: 1,
    };
    let key =
        SampleKey { model: "m".to_owned(), condition: Condition::default(), seed: 0, epoch: 1 };
    let writer = Runs::new(dir).create("run", &spec, &folder, &[(key, None)]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for number in 0..megabytes * MEGABYTE / TEXT {
            let seq = number as u64 + 1;
            let act = if number % 2 == 0 {
                json!({ "kind": "tool_returned", "call_id": "c", "text": text(number), "status": null, "error": null,
                    "dropped_bytes": 0, "millis": 0 })
            } else {
                let sent = writer.keep(text(number).into_bytes());
                json!({ "kind": "connected", "sandbox": "a", "host": "h", "port": 1, "sent_bytes": TEXT, "sent": sent })
            };
            let act: Act = serde_json::from_value(act).unwrap();
            let event = Event { seq, phase: "act".to_owned(), at_ms: seq, act };
            writer.record(1, vec![event]).await.unwrap();
        }
        writer.finish(1, Vec::new()).await.unwrap();
        writer.seal(Ending::Finished, 1).await.unwrap();
    });
}
