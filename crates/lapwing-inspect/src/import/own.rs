//! A log that was exported here: its record is the run as it was.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lapwing_core::{Digest, Event, Finding, Planted, Recorder as _, SampleKey};
use lapwing_scenario::Folder;
use lapwing_store::{Ending, RunSpec, Runs};
use serde::Deserialize;
use serde_json::Value;

use super::log::{LogFile, Sample};
use super::pools::Pools;
use super::reading::{self, Piece, Sink};
use super::{IMPORTED, Making, Options, origin};
use crate::InspectError;
use crate::export::RECORD_FORMAT;

/// What the header says of the run.
#[derive(Deserialize)]
struct Header {
    run: String,
    spec: RunSpec,
    state: Ending,
    #[serde(default)]
    judge: String,
    planned: Vec<Planned>,
    folder: BTreeMap<String, Bytes>,
}

/// A sample before it is run.
#[derive(Deserialize)]
pub(crate) struct Planned {
    pub(crate) number: u64,
    pub(crate) key: SampleKey,
    pub(crate) planted: Option<Vec<Planted>>,
}

/// Bytes in a text.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bytes {
    Text(String),
    Base64(String),
}

/// A piece of the record of a sample.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Sample(Box<Begun>),
    Events(Vec<Event>),
    Kept(BTreeMap<Digest, Bytes>),
}

/// A sample that was begun.
#[derive(Deserialize)]
struct Begun {
    number: u64,
    key: SampleKey,
    planted: Option<Vec<Planted>>,
    state: State,
    findings: Vec<Finding>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum State {
    Begun,
    Done,
}

impl Bytes {
    fn decode(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => BASE64_STANDARD.decode(text).map_err(|error| error.to_string()),
        }
    }
}

/// Whether the log has a record.
pub(crate) fn is_own(header: &Value) -> bool {
    !record(header)["format"].is_null()
}

fn record(header: &Value) -> &Value {
    &header["eval"]["metadata"]["lapwing"]
}

/// Makes the run and returns its id and the number of its samples.
pub(crate) fn import(
    log: &mut LogFile,
    header: &Value,
    runs: &Runs,
    options: &Options<'_>,
) -> Result<(String, usize), InspectError> {
    let path = log.path().to_owned();
    let damaged = |cause: String| InspectError::damaged(&path, "header.json", cause);
    match record(header)["format"].as_u64() {
        Some(found) if found > RECORD_FORMAT => {
            return Err(InspectError::Newer { path, found, known: RECORD_FORMAT });
        }
        _ => {}
    }
    let Header { run, mut spec, state, judge, planned, folder } =
        Header::deserialize(record(header)).map_err(|error| damaged(error.to_string()))?;
    let folder = folder.into_iter().map(|(name, bytes)| Ok((name, bytes.decode()?)));
    let folder: BTreeMap<String, Vec<u8>> = folder.collect::<Result<_, _>>().map_err(damaged)?;
    if Folder::from_files(folder.clone()).digest() != spec.digest {
        return Err(damaged("the scenario folder is not the one of the run".to_owned()));
    }
    spec.models = header["eval"]["model"].as_str().map(str::to_owned).into_iter().collect();
    let from = format!("{}, exported from the run {run}", origin(log, header));
    spec.settings.insert(IMPORTED.to_owned(), from);
    if !judge.is_empty() {
        spec.settings.insert("judge".to_owned(), judge);
    }
    let making = Making::new(runs, options.tag, &spec, &folder)?;
    let mut n_samples = planned.len();
    for sample in &planned {
        making.add(sample)?;
    }
    let mut pools = Pools::new().map_err(|error| InspectError::temporary(&error))?;
    let samples = log.samples(&BTreeMap::new())?;
    for Sample { member, .. } in samples {
        let Some(member) = member else { continue };
        n_samples += 1;
        super::foreign::fill(log, &member, &mut pools)?;
        let mut sink =
            Replay { making: &making, pools: &mut pools, begun: None, member: &member, log: &path };
        let done = log.read(&member, |reader, meter| reading::read(reader, meter, &mut sink))?;
        let begun = sink.begun.take();
        done.map_err(|unread| unread.in_member(&path, &member))?;
        let Some(begun) = begun else {
            let cause = "it has no record, though the log says that lapwing wrote it";
            return Err(InspectError::damaged(&path, &member, cause));
        };
        if begun.state == State::Done {
            making.finish(begun.number, begun.findings)?;
        }
    }
    Ok((making.seal(state, options.now_ms)?, n_samples))
}

/// Writes the record of one sample as it comes.
struct Replay<'r> {
    making: &'r Making,
    pools: &'r mut Pools,
    begun: Option<Box<Begun>>,
    member: &'r str,
    log: &'r std::path::Path,
}

impl Sink for Replay<'_> {
    fn wants(&self, piece: Piece) -> bool {
        piece == Piece::Event
    }

    fn value(&mut self, _piece: Piece, mut event: Value) -> Result<(), InspectError> {
        if event["event"] != "info" || event["source"] != "lapwing" {
            return Ok(());
        }
        let record = event.pointer_mut("/data/record").map(Value::take);
        let Some(mut record) = record else { return Ok(()) };
        self.pools.resolve(&mut record).map_err(|error| InspectError::temporary(&error))?;
        let record = Record::deserialize(record).map_err(|error| self.damaged(error))?;
        let number = self.begun.as_ref().map(|begun| begun.number);
        match (record, number) {
            (Record::Sample(begun), None) => {
                let planned = Planned {
                    number: begun.number,
                    key: begun.key.clone(),
                    planted: begun.planted.clone(),
                };
                self.making.add(&planned)?;
                self.begun = Some(begun);
                Ok(())
            }
            (Record::Events(events), Some(number)) => self.making.record(number, events),
            (Record::Kept(kept), Some(number)) => {
                for (digest, bytes) in kept {
                    let bytes = bytes.decode().map_err(|error| self.damaged(error))?;
                    if self.making.writer.keep(bytes) != digest {
                        let cause = format!("the bytes of {} were changed", digest.short());
                        return Err(self.damaged(cause));
                    }
                }
                self.making.record(number, Vec::new())
            }
            (Record::Sample(_), Some(_)) | (Record::Events(_) | Record::Kept(_), None) => {
                Err(self.damaged("its record is out of order"))
            }
        }
    }

    fn text(&mut self, _key: String, _text: &str) -> Result<(), InspectError> {
        Ok(())
    }
}

impl Replay<'_> {
    fn damaged(&self, cause: impl std::fmt::Display) -> InspectError {
        InspectError::damaged(self.log, self.member, cause)
    }
}
