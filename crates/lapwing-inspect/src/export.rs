//! A run as an Inspect log: one file a model.
//!
//! What Inspect knows is written as Inspect writes it, for its viewer and its readers. Beside it stands the *record* ([`record`]):
//! every event as it is, and the bytes that events name, so that an import gives back what was exported.

mod conversation;
mod event;
mod message;
mod record;
mod sample;
mod score;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lapwing_core::{Finding, Usage};
use lapwing_eval::{Table, measured};
use lapwing_scenario::{Folder, Measured, Scenario};
use lapwing_store::{Ending, Run, RunSpec, RunState, SampleRow, SampleState, ScoringRow};
use serde_json::{Map, Value, json};

use crate::InspectError;
use crate::archive::Archive;
use crate::names::{file_name, short_id, time};
use crate::stream::{Stream, write_bare};
use sample::Outcome;

/// The version of the record in a log.
pub(crate) const RECORD_FORMAT: u64 = 1;

/// A run that is read for export.
pub struct Source<'a> {
    run: &'a Run,
    spec: RunSpec,
    state: RunState,
    scenario: Scenario,
    folder: BTreeMap<String, Vec<u8>>,
    scoring: ScoringRow,
    samples: Vec<SampleRow>,
    findings: BTreeMap<u64, Vec<Finding>>,
    measured: BTreeMap<u64, Vec<Measured>>,
}

impl<'a> Source<'a> {
    /// Reads what all logs of a run share. `scoring` is the one whose findings become scores.
    ///
    /// # Errors
    /// The run still goes on or cannot be read, its scenario cannot be loaded, or the scoring used another one.
    pub fn new(run: &'a Run, scoring: ScoringRow) -> Result<Self, InspectError> {
        let state = run.state()?;
        if state == RunState::Running {
            return Err(InspectError::Running(run.id()));
        }
        let (spec, folder) = (run.spec()?, run.folder()?);
        if scoring.scenario != spec.digest {
            return Err(InspectError::Scoring(scoring.id));
        }
        let scenario = Scenario::load(&spec.scenario, Folder::from_files(folder.clone()))
            .map_err(InspectError::Scenario)?;
        let (samples, findings) = (run.samples()?, run.findings(scoring.id)?);
        let measured = measured(&scenario, run, &samples)?;
        Ok(Self { run, spec, state, scenario, folder, scoring, samples, findings, measured })
    }

    /// The models of which there is something to export.
    pub fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.state != SampleState::Planned) {
            if !models.contains(&sample.key.model.as_str()) {
                models.push(&sample.key.model);
            }
        }
        models
    }

    /// The name that Inspect would give to the log of `model`.
    pub fn file_name(&self, model: &str) -> String {
        file_name(self.spec.started_ms, &self.spec.scenario, &self.task_id(model))
    }

    /// Writes the log of `model` to a new file.
    ///
    /// # Errors
    /// There is such a file, or nothing of the model; the run cannot be read or the file not be written.
    pub fn write(&self, model: &str, output: &Path) -> Result<Exported, InspectError> {
        let wanted = |sample: &&SampleRow| sample.key.model == model;
        let samples: Vec<SampleRow> = self.samples.iter().filter(wanted).cloned().collect();
        if samples.iter().all(|sample| sample.state == SampleState::Planned) {
            let (run, model) = (self.run.id(), model.to_owned());
            return Err(InspectError::Nothing { run, model });
        }
        if output.exists() {
            return Err(InspectError::Exists(output.to_owned()));
        }
        let dir = output.parent().filter(|dir| !dir.as_os_str().is_empty());
        let failed = |error: std::io::Error| InspectError::io(output, &error);
        let file = tempfile::Builder::new()
            .prefix(".lapwing-")
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(dir.unwrap_or(Path::new(".")))
            .map_err(failed)?;
        let mut archive = Archive::new(BufWriter::new(file));
        let log = Log { source: self, model, samples };
        let n_samples = log.write(&mut archive).map_err(|error| match error {
            Broken::Inspect(error) => error,
            Broken::Io(error) => failed(error),
        })?;
        let file = archive.finish().map_err(failed)?;
        let mut file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.flush().and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist_noclobber(output).map_err(|error| failed(error.error))?;
        Ok(Exported { path: output.to_owned(), model: model.to_owned(), samples: n_samples })
    }

    fn task_id(&self, model: &str) -> String {
        short_id(&format!("task {} {model}", self.run.id()))
    }
}

/// A log that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// Whose samples are in it.
    pub model: String,
    /// How many.
    pub samples: usize,
}

/// Why a log could not be written: the run, or the file.
pub(crate) enum Broken {
    Inspect(InspectError),
    Io(std::io::Error),
}

impl<E: Into<InspectError>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Inspect(error.into())
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// The log of one model.
pub(crate) struct Log<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) model: &'a str,
    samples: Vec<SampleRow>,
}

impl Log<'_> {
    fn write(&self, archive: &mut Archive<impl std::io::Write>) -> Result<usize, Broken> {
        let start = self.spec();
        archive.add("_journal/start.json", |out| -> Result<(), Broken> {
            let start = json!({ "version": 2, "eval": start, "plan": plan() });
            Ok(serde_json::to_writer(out, &start).map_err(std::io::Error::from)?)
        })?;
        let mut outcomes: Vec<Outcome> = Vec::new();
        let begun = self.samples.iter().filter(|sample| sample.state != SampleState::Planned);
        for sample in begun {
            let name = format!("samples/{}_epoch_{}.json", self.id(sample), sample.key.epoch);
            archive.add(&name, |out| -> Result<(), Broken> {
                outcomes.push(sample::write(self, sample, out)?);
                Ok(())
            })?;
        }
        let summaries: Vec<&Value> = outcomes.iter().map(|outcome| &outcome.summary).collect();
        archive.add("summaries.json", |out| write_bare(out, &summaries))?;
        let reductions = score::reductions(self, &self.samples);
        archive.add("reductions.json", |out| write_bare(out, &reductions))?;
        archive.add("header.json", |out| self.header(&start, &outcomes, &mut Stream::new(out)))?;
        Ok(outcomes.len())
    }

    fn header(
        &self,
        spec: &Value,
        outcomes: &[Outcome],
        out: &mut Stream<'_>,
    ) -> std::io::Result<()> {
        let source = self.source;
        out.object()?;
        out.field("version", &2)?;
        let (status, error) = match source.state {
            RunState::Running => ("started", None),
            RunState::Ended(Ending::Finished) => ("success", None),
            RunState::Ended(Ending::Stopped) => ("cancelled", None),
            RunState::Killed => ("error", Some("the process that ran the samples died")),
        };
        out.field("status", &status)?;
        out.field("eval", spec)?;
        out.field("plan", &plan())?;
        let findings = self.samples.iter().filter_map(|sample| {
            Some((sample.number, source.findings.get(&sample.number)?.clone()))
        });
        let table = Table::new(&source.scenario, &source.spec, &self.samples, &findings.collect());
        let completed = outcomes.iter().filter(|outcome| outcome.completed).count();
        let scores = score::results(self, &table, &self.samples);
        let results = json!({
            "total_samples": self.samples.len(),
            "completed_samples": completed,
            "scores": scores,
        });
        out.bare_field("results", &results)?;
        let ended_ms = outcomes.iter().map(|outcome| outcome.ended_ms).max();
        out.field(
            "stats",
            &json!({
                "started_at": time(source.spec.started_ms),
                "completed_at": time(ended_ms.unwrap_or(source.spec.started_ms)),
                "model_usage": message::usages(sum(outcomes.iter().map(|outcome| &outcome.usage))),
                "role_usage": message::usages(sum(outcomes.iter().map(|outcome| &outcome.roles))),
            }),
        )?;
        if let Some(error) = error {
            out.field("error", &failure(error))?;
        }
        out.end_object()
    }

    /// What Inspect calls the spec of an eval: task, model, settings, and everything of ours that belongs to the run.
    fn spec(&self) -> Value {
        let Source { run, spec, scenario, .. } = self.source;
        let id = |what: &str| short_id(&format!("{what} {} {}", run.id(), self.model));
        let epochs = spec.epochs.max(1);
        let mut ids: Vec<String> = Vec::new();
        for sample in &self.samples {
            let id = self.id(sample);
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let scorers: Vec<Value> =
            score::names(scenario).into_iter().map(|name| json!({ "name": name })).collect();
        json!({
            "eval_id": id("eval"),
            "run_id": short_id(&run.id()),
            "created": time(spec.started_ms),
            "task": spec.scenario,
            "task_id": self.source.task_id(self.model),
            "task_version": 0,
            "task_display_name": scenario.title(),
            "task_attribs": {},
            "task_args": spec.chosen,
            "task_args_passed": spec.chosen,
            "solver": "lapwing",
            "dataset": {
                "name": spec.scenario,
                "samples": ids.len(),
                "sample_ids": ids,
                "shuffled": false,
            },
            "model": self.model,
            "model_generate_config": self.config(),
            "model_args": {},
            "config": { "epochs": epochs, "epochs_reducer": ["mean"] },
            "packages": { "lapwing": spec.version },
            "scorers": scorers,
            "metadata": {
                "description": scenario.description(),
                "lapwing": {
                    "format": RECORD_FORMAT,
                    "run": run.id(),
                    "spec": spec,
                    "state": match self.source.state {
                        RunState::Running | RunState::Ended(Ending::Finished) => "finished",
                        RunState::Ended(Ending::Stopped) | RunState::Killed => "stopped",
                    },
                    "judge": self.source.scoring.judge.clone().unwrap_or_default(),
                    "planned": self.planned(),
                    "folder": self.folder(),
                },
            },
        })
    }

    /// Samples that were never begun: they are no samples of the log, and still belong to the run.
    fn planned(&self) -> Vec<Value> {
        let planned = self.samples.iter().filter(|sample| sample.state == SampleState::Planned);
        planned
            .map(|sample| {
                json!({ "number": sample.number, "key": sample.key, "planted": sample.planted })
            })
            .collect()
    }

    /// The scenario folder: text as text, other files in base64.
    fn folder(&self) -> Map<String, Value> {
        let files = self.source.folder.iter().map(|(path, bytes)| {
            let file = match std::str::from_utf8(bytes) {
                Ok(text) => json!({ "text": text }),
                Err(_) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
            };
            (path.clone(), file)
        });
        files.collect()
    }

    /// How the model was sampled, as far as the run says.
    pub(crate) fn config(&self) -> Map<String, Value> {
        let settings = &self.source.spec.settings;
        let known = ["temperature", "top_p", "max_tokens"].into_iter();
        let known = known.filter_map(|name| {
            let value = serde_json::from_str(settings.get(name)?).ok()?;
            Some((name.to_owned(), value))
        });
        known.collect()
    }

    /// `slot=system seed 3`: unique with the epoch.
    pub(crate) fn id(&self, sample: &SampleRow) -> String {
        let condition = self.source.scenario.describe(&sample.key.condition);
        format!("{condition} seed {}", sample.key.seed)
    }

    pub(crate) fn measured(&self, sample: u64) -> &[Measured] {
        self.source.measured.get(&sample).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn findings(&self, sample: u64) -> &[Finding] {
        self.source.findings.get(&sample).map_or(&[], Vec::as_slice)
    }
}

fn plan() -> Value {
    json!({ "name": "plan", "steps": [{ "solver": "lapwing", "params": {} }], "config": {} })
}

/// An error as Inspect has it; a harness in another language has no trace to show.
pub(crate) fn failure(message: &str) -> Value {
    json!({ "message": message, "traceback": "", "traceback_ansi": "" })
}

fn sum<'u>(all: impl Iterator<Item = &'u BTreeMap<String, Usage>>) -> BTreeMap<String, Usage> {
    let mut sum: BTreeMap<String, Usage> = BTreeMap::new();
    for (name, usage) in all.flatten() {
        let entry = sum.entry(name.clone()).or_default();
        *entry = *entry + *usage;
    }
    sum
}
