//! A log of anybody's: its events translated, its scores as evidence of a scenario that is made for them.

use std::collections::BTreeMap;

use lapwing_core::{Act, Condition, Digest, Discard, Event, Recorder as _, SampleKey};
use lapwing_scenario::{Folder, Scenario};
use lapwing_store::{Ending, RunSpec, Runs};
use serde_json::{Map, Value};

use super::fold::{self, Fold, Folded};
use super::log::{LogFile, Sample};
use super::own::Planned;
use super::pools::{Pool, Pools};
use super::reading::{self, Piece, Sink, Unread};
use super::scenario::{self, About};
use super::scores::{Catalog, SCORER};
use super::{IMPORTED, Making, Options, origin};
use crate::InspectError;
use crate::names::at_ms;

/// Events that are written at a time.
const AT_ONCE: usize = 64;

/// Makes the run and returns its id and the number of its samples.
pub(crate) fn import(
    log: &mut LogFile,
    header: &Value,
    runs: &Runs,
    options: &Options<'_>,
) -> Result<(String, usize), InspectError> {
    let summaries = log.summaries()?;
    let samples = log.samples(&summaries)?;
    let mut catalog = Catalog::default();
    for sample in &samples {
        let head = match summaries.get(&(sample.id.clone(), sample.epoch)) {
            Some(summary) => summary.as_object().cloned().unwrap_or_default(),
            None => head(log, sample)?,
        };
        catalog.see(&head);
    }
    let eval = &header["eval"];
    let from = origin(log, header);
    let task = eval["task"].as_str().unwrap_or("task");
    let dataset = eval["dataset"]["name"].as_str().unwrap_or("a dataset without a name");
    let description = format!(
        "The task {task} on {dataset}, run by Inspect; its scorers' verdicts are evidence here."
    );
    let folder =
        scenario::folder(&About { task, description: &description, from: &from }, &catalog);
    let name = slug(task);
    let scenario = Scenario::load(&name, Folder::from_files(folder.clone()))
        .map_err(InspectError::Scenario)?;
    let spec = spec(header, name, scenario.digest(), &samples, from);
    let making = Making::new(runs, options.tag, &spec, &folder)?;
    let mut pools = Pools::new().map_err(|error| InspectError::temporary(&error))?;
    let seeds = seeds(&samples);
    for (number, sample) in (1..).zip(&samples) {
        let key = SampleKey {
            model: spec.models.concat(),
            condition: Condition::default(),
            seed: seeds[&sample.id],
            epoch: sample.epoch,
        };
        making.add(&Planned { number, key: key.clone(), planted: None })?;
        let summary = summaries.get(&(sample.id.clone(), sample.epoch));
        let translating = Translating { making: &making, scenario: &scenario, number, key: &key };
        translating.sample(log, sample, summary, &mut pools)?;
    }
    let ending = if header["status"] == "success" { Ending::Finished } else { Ending::Stopped };
    Ok((making.seal(ending, options.now_ms)?, samples.len()))
}

/// Seeds by id: in Inspect a sample of the dataset is what a seed is here.
fn seeds(samples: &[Sample]) -> BTreeMap<String, u64> {
    let mut seeds = BTreeMap::new();
    for sample in samples {
        let next = seeds.len() as u64;
        seeds.entry(sample.id.clone()).or_insert(next);
    }
    seeds
}

fn spec(header: &Value, name: String, digest: Digest, samples: &[Sample], from: String) -> RunSpec {
    let eval = &header["eval"];
    let mut settings = BTreeMap::from([(IMPORTED.to_owned(), from)]);
    let known = [
        ("task", &eval["task"]),
        ("dataset", &eval["dataset"]["name"]),
        ("solver", &eval["solver"]),
        ("created", &eval["created"]),
        ("status", &header["status"]),
    ];
    let sampled =
        eval["model_generate_config"].as_object().into_iter().chain(eval["config"].as_object());
    let sampled = sampled.flatten().map(|(name, value)| (name.as_str(), value));
    for (name, value) in known.into_iter().chain(sampled) {
        if let Some(text) = in_words(value) {
            settings.insert(name.to_owned(), text);
        }
    }
    RunSpec {
        scenario: name,
        digest,
        models: eval["model"].as_str().map(str::to_owned).into_iter().collect(),
        instrument_check: false,
        chosen: BTreeMap::new(),
        seeds: seeds(samples).len() as u64,
        epochs: samples.iter().map(|sample| sample.epoch).max().unwrap_or(1),
        settings,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: eval["created"].as_str().and_then(at_ms).unwrap_or_default(),
    }
}

/// A setting as a text, if it is a short one.
fn in_words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The name of a task as that of a scenario.
fn slug(task: &str) -> String {
    let last = task.rsplit('/').next().unwrap_or_default();
    let letters =
        last.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let slug: String = letters.take(60).collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "imported".to_owned() } else { slug.to_owned() }
}

/// What a sample's member says outside of its long parts.
fn head(log: &mut LogFile, sample: &Sample) -> Result<Map<String, Value>, InspectError> {
    let Some(member) = &sample.member else { return Ok(Map::new()) };
    let path = log.path().to_owned();
    let read = log.read(member, |reader, meter| reading::read(reader, meter, &mut Nothing))?;
    read.map_err(|unread| unread.in_member(&path, member))
}

impl Unread {
    pub(crate) fn in_member(self, path: &std::path::Path, member: &str) -> InspectError {
        match self {
            Self::Json(error) => InspectError::damaged(path, member, error),
            Self::Sink(error) => error,
        }
    }
}

/// Reads the texts and messages that the events of a sample name, and returns what else is said of it.
pub(crate) fn fill(
    log: &mut LogFile,
    member: &str,
    pools: &mut Pools,
) -> Result<Map<String, Value>, InspectError> {
    let path = log.path().to_owned();
    pools.clear().map_err(|error| InspectError::temporary(&error))?;
    let read =
        log.read(member, |reader, meter| reading::read(reader, meter, &mut Fill { pools }))?;
    read.map_err(|unread| unread.in_member(&path, member))
}

/// Takes nothing.
struct Nothing;

impl Sink for Nothing {
    fn wants(&self, _piece: Piece) -> bool {
        false
    }

    fn value(&mut self, _piece: Piece, _value: Value) -> Result<(), InspectError> {
        Ok(())
    }

    fn text(&mut self, _key: String, _text: &str) -> Result<(), InspectError> {
        Ok(())
    }
}

struct Fill<'p> {
    pools: &'p mut Pools,
}

impl Sink for Fill<'_> {
    fn wants(&self, piece: Piece) -> bool {
        match piece {
            Piece::Pooled(_) | Piece::Text => true,
            Piece::Event | Piece::Message => false,
        }
    }

    fn value(&mut self, piece: Piece, value: Value) -> Result<(), InspectError> {
        let pool = match piece {
            Piece::Pooled(pool) => pool,
            Piece::Event | Piece::Message | Piece::Text => Pool::Messages,
        };
        self.pools.push(pool, &value).map_err(|error| InspectError::temporary(&error))
    }

    fn text(&mut self, key: String, text: &str) -> Result<(), InspectError> {
        self.pools.keep_text(key, text).map_err(|error| InspectError::temporary(&error))
    }
}

/// One sample that is written as it is read.
struct Translating<'m> {
    making: &'m Making,
    scenario: &'m Scenario,
    number: u64,
    key: &'m SampleKey,
}

impl Translating<'_> {
    fn sample(
        &self,
        log: &mut LogFile,
        sample: &Sample,
        summary: Option<&Value>,
        pools: &mut Pools,
    ) -> Result<(), InspectError> {
        let path = log.path().to_owned();
        let head = match &sample.member {
            Some(member) => {
                let mut head = fill(log, member, pools)?;
                for value in head.values_mut() {
                    pools.resolve(value).map_err(|error| InspectError::temporary(&error))?;
                }
                head
            }
            None => summary.and_then(Value::as_object).cloned().unwrap_or_default(),
        };
        let mut writer = Writer {
            translating: self,
            fold: Fold::new(pools, &self.key.model),
            deciding: Vec::new(),
            piece: Piece::Event,
        };
        writer.fold.begin(self.scenario.digest(), self.key.seed, self.key.epoch, &head);
        if let Some(member) = &sample.member {
            let read =
                log.read(member, |reader, meter| reading::read(reader, meter, &mut writer))?;
            read.map_err(|unread| unread.in_member(&path, member))?;
            if writer.fold.is_empty() {
                writer.piece = Piece::Message;
                let read =
                    log.read(member, |reader, meter| reading::read(reader, meter, &mut writer))?;
                read.map_err(|unread| unread.in_member(&path, member))?;
            }
        }
        writer.fold.end(&head);
        writer.flush()?;
        let findings = self.scenario.findings(&writer.deciding, &Discard);
        self.making.finish(self.number, findings)
    }
}

/// Writes what the fold makes, some events at a time.
struct Writer<'m> {
    translating: &'m Translating<'m>,
    fold: Fold<'m>,
    /// The events that the rules of a generated scenario can ask for.
    deciding: Vec<Event>,
    /// What is translated: events, or messages of a log that has none.
    piece: Piece,
}

impl Writer<'_> {
    fn flush(&mut self) -> Result<(), InspectError> {
        let Folded { events, blobs } = self.fold.take();
        for bytes in blobs {
            self.translating.making.writer.keep(bytes);
        }
        let decides = |event: &&Event| match &event.act {
            Act::Emitted { program, name, .. } => program == SCORER || name == fold::IMPORTED,
            Act::LimitReached { .. }
            | Act::Failed { .. }
            | Act::PhaseEnded { .. }
            | Act::SampleEnded => true,
            _ => false,
        };
        self.deciding.extend(events.iter().filter(decides).cloned());
        self.translating.making.record(self.translating.number, events)
    }
}

impl Sink for Writer<'_> {
    fn wants(&self, piece: Piece) -> bool {
        piece == self.piece
    }

    fn value(&mut self, piece: Piece, value: Value) -> Result<(), InspectError> {
        match piece {
            Piece::Message => self.fold.message(value)?,
            Piece::Event | Piece::Pooled(_) | Piece::Text => self.fold.event(value)?,
        }
        if self.fold.pending() >= AT_ONCE { self.flush() } else { Ok(()) }
    }

    fn text(&mut self, _key: String, _text: &str) -> Result<(), InspectError> {
        Ok(())
    }
}
