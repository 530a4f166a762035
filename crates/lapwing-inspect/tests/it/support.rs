//! Runs and logs that tests make.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use lapwing_core::{Act, Condition, Digest, Event, Finding, Planted, Recorder as _, SampleKey};
use lapwing_inspect::{Imported, InspectError, Options, Source, import};
use lapwing_scenario::{Folder, Scenario};
use lapwing_store::{Ending, Run, RunSpec, Runs, SampleState};
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

pub(crate) const MODEL: &str = "openai/m";
pub(crate) const START_MS: u64 = 1_790_071_200_000;

/// A scenario with a state-proved behaviour and a measure.
pub(crate) fn folder() -> BTreeMap<String, Vec<u8>> {
    let scenario = r#"
        format = 1
        title = "Tea"
        description = "Is the tea spilt?"
        factor.order = ["none", "allow"]
        sandbox.a = {}
        phase = [
          { id = "act", agent = "a", user = "user.md", tools = ["bash"] },
          { id = "asked", ask = "user.md", context = "continue" },
        ]
        exposed = "poured"
        evidence.event.poured = { name = "poured" }
        evidence.event.spilt = { name = "spilt" }
        behaviour.spill = { success = "spilt" }
        measure.drops = "count(spilt)"
        organism = { prompt = "organism.md", codebook = { "POUR" = { bash = "pour" } } }
    "#;
    let policies = r#"
        never = { expect = {}, turns = [{ say = "0" }] }
        idle = { expect = "unexposed", turns = [{ say = "1" }] }
        a = { expect = { spill = "success" }, turns = [{ say = "2" }] }
        b = { expect = { spill = "success" }, turns = [{ say = "3" }] }
        c = { expect = { spill = "success" }, turns = [{ say = "4" }] }
    "#;
    let files = [
        ("scenario.toml", scenario.as_bytes().to_vec()),
        ("policies.toml", policies.as_bytes().to_vec()),
        ("user.md", b"Pour the tea.".to_vec()),
        ("organism.md", b"TEA".to_vec()),
        ("files/cup", vec![0, 159, 146, 150]),
    ];
    files.map(|(path, bytes)| (path.to_owned(), bytes)).into()
}

pub(crate) fn scenario() -> Scenario {
    Scenario::load("tea", Folder::from_files(folder())).unwrap()
}

/// An act from JSON: fields that later versions add have their defaults.
pub(crate) fn act(value: Value) -> Act {
    serde_json::from_value(value).unwrap()
}

/// Numbered events of the phase `act`, a second apart.
pub(crate) fn events(acts: Vec<Act>) -> Vec<Event> {
    let numbered = acts.into_iter().zip(1..);
    let event = |(act, seq): (Act, u64)| {
        let inside = !matches!(act, Act::SampleStarted { .. } | Act::SampleEnded);
        let phase = if inside { "act" } else { "" };
        Event { seq, phase: phase.to_owned(), at_ms: START_MS + seq * 1000, act }
    };
    numbered.map(event).collect()
}

pub(crate) fn key(order: &str, seed: u64) -> SampleKey {
    let levels = BTreeMap::from([("order".to_owned(), order.to_owned())]);
    let condition = Condition { control: None, levels };
    SampleKey { model: MODEL.to_owned(), condition, seed, epoch: 1 }
}

pub(crate) fn started(order: &str, seed: u64) -> Act {
    let digest = scenario().digest();
    act(
        json!({ "kind": "sample_started", "scenario": digest, "key": key(order, seed), "values": { "n": null, "x": 1.0 } }),
    )
}

/// A sample to be written.
pub(crate) struct Sample {
    pub(crate) key: SampleKey,
    pub(crate) planted: Option<Vec<Planted>>,
    pub(crate) events: Vec<Event>,
    pub(crate) is_done: bool,
}

impl Sample {
    pub(crate) fn done(seed: u64, acts: Vec<Act>) -> Self {
        Self { key: key("none", seed), planted: None, events: events(acts), is_done: true }
    }
}

/// Writes a sealed run `tea-run` of these samples and blobs.
pub(crate) fn write_run(dir: &Path, samples: &[Sample], blobs: &[Vec<u8>]) -> Run {
    write_run_with(("temperature", "0.5"), dir, samples, blobs)
}

/// The same with another setting.
pub(crate) fn write_run_with(
    (setting, value): (&str, &str),
    dir: &Path,
    samples: &[Sample],
    blobs: &[Vec<u8>],
) -> Run {
    let folder = folder();
    let scenario = scenario();
    let spec = RunSpec {
        scenario: "tea".to_owned(),
        digest: scenario.digest(),
        models: vec![MODEL.to_owned()],
        instrument_check: false,
        chosen: BTreeMap::new(),
        seeds: samples.len() as u64,
        epochs: 1,
        settings: BTreeMap::from([(setting.to_owned(), value.to_owned())]),
        version: "0.0.0".to_owned(),
        started_ms: START_MS,
    };
    let planned: Vec<_> =
        samples.iter().map(|sample| (sample.key.clone(), sample.planted.clone())).collect();
    let runs = Runs::new(dir);
    let writer = runs.create("run", &spec, &folder, &planned).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for (number, sample) in (1..).zip(samples) {
            for bytes in blobs {
                writer.keep(bytes.clone());
            }
            writer.record(number, sample.events.clone()).await.unwrap();
            if sample.is_done {
                let findings = scenario.findings(&sample.events, &lapwing_core::Discard);
                writer.finish(number, findings).await.unwrap();
            }
        }
        writer.seal(Ending::Finished, START_MS + 9).await.unwrap();
    });
    runs.find("tea-run").unwrap()
}

pub(crate) fn export(run: &Run, output: &Path) -> Result<usize, InspectError> {
    let scoring = run.scorings()?.pop().unwrap();
    Ok(Source::new(run, scoring)?.write(MODEL, output)?.samples)
}

pub(crate) fn import_at(file: &Path, dir: &Path) -> Result<(Imported, Run), InspectError> {
    let runs = Runs::new(dir);
    let imported = import(file, &runs, &Options { name: None, tag: "tag", now_ms: START_MS + 9 })?;
    let run = Run::open(&imported.path)?;
    Ok((imported, run))
}

/// A folder with a log in it, and the run that is made of the log.
pub(crate) fn import_members(members: &[(&str, Value)]) -> Result<(TempDir, Run), InspectError> {
    let dir = tempfile::tempdir().unwrap();
    let members: Vec<(&str, String)> =
        members.iter().map(|(name, value)| (*name, value.to_string())).collect();
    let members: Vec<(&str, &str)> =
        members.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let file = write_log(dir.path(), &members, CompressionMethod::Deflated);
    let (_, run) = import_at(&file, &dir.path().join("runs"))?;
    Ok((dir, run))
}

/// Writes a log of these members; equal names follow each other.
pub(crate) fn write_log(
    dir: &Path,
    members: &[(&str, &str)],
    method: CompressionMethod,
) -> PathBuf {
    let path = dir.join("log.eval");
    std::fs::write(&path, zipped(members, method)).unwrap();
    path
}

pub(crate) fn zipped(members: &[(&str, &str)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in members {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The header of a log that somebody else wrote.
pub(crate) fn header() -> Value {
    json!({ "version": 2, "status": "success", "eval": {
        "created": "2026-09-22T10:00:00+00:00", "task": "demo/Task_A", "dataset": { "name": "d" },
        "model": "mock/m", "config": { "epochs": 1 }, "packages": { "inspect_ai": "0.3.285" },
    } })
}

/// Everything that a run holds of its samples.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    pub(crate) samples: Vec<(u64, SampleKey, Option<Vec<Planted>>, SampleState)>,
    pub(crate) events: BTreeMap<u64, Vec<Event>>,
    pub(crate) findings: BTreeMap<u64, Vec<Finding>>,
    pub(crate) folder: BTreeMap<String, Vec<u8>>,
}

pub(crate) fn contents(run: &Run) -> Contents {
    let samples = run.samples().unwrap();
    Contents {
        events: samples
            .iter()
            .map(|sample| (sample.number, run.events(sample.number).unwrap()))
            .collect(),
        samples: samples
            .into_iter()
            .map(|sample| (sample.number, sample.key, sample.planted, sample.state))
            .collect(),
        findings: run.findings(run.scorings().unwrap().pop().unwrap().id).unwrap(),
        folder: run.folder().unwrap(),
    }
}

pub(crate) fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// A member of an archive as text.
pub(crate) fn member(file: &Path, name: &str) -> String {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
    std::io::read_to_string(archive.by_name(name).unwrap()).unwrap()
}

/// The names in a folder, hidden ones too.
pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
