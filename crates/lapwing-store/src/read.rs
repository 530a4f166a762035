//! Reading a run, while it goes on or after.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lapwing_core::{Blobs, Digest, Event, Finding, Planted, Reserve, SampleKey};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use serde::de::DeserializeOwned;

use crate::spec::{Ending, RunSpec, RunState};
use crate::{Resumed, StoreError, runs, schema, write};

/// A run, open for reading.
pub struct Run {
    path: PathBuf,
    connection: Connection,
}

impl Blobs for Run {
    fn blob(&self, digest: Digest) -> Option<Vec<u8>> {
        Self::blob(self, digest).ok().flatten()
    }
}

/// Number, phase, time and act of an event, as the file holds them.
type EventRow = (i64, String, i64, String);

/// A planned, begun or finished sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRow {
    /// Its number in the run, from 1.
    pub number: u64,
    /// Which sample it is.
    pub key: SampleKey,
    /// What a policy planted in it.
    pub planted: Option<Vec<Planted>>,
    /// Whether it was run to its end.
    pub state: SampleState,
}

/// How far a sample came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleState {
    /// No event was recorded.
    Planned,
    /// Some events were recorded.
    Begun,
    /// It was run to its end and has findings.
    Done,
}

/// One scoring of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoringRow {
    /// Its id, from 1.
    pub id: i64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Digest of the scenario whose rules were used.
    pub scenario: Digest,
    /// The judge that was asked for it, if any was.
    pub judge: Option<String>,
}

/// A scoring to be kept.
#[derive(Clone, Debug)]
pub struct Scoring {
    /// When it was made, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Digest of the scenario whose rules were used.
    pub scenario: Digest,
    /// Findings by sample number.
    pub findings: Vec<(u64, Vec<Finding>)>,
    /// The judge that was asked for it, if any was.
    pub judge: Option<String>,
    /// What was said when it was asked, by sample number. The numbers of these events follow on those of the sample.
    pub judged: BTreeMap<u64, Vec<Event>>,
    /// Bytes that those events name.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Run {
    /// Opens the run file at `path`.
    ///
    /// # Errors
    /// It is missing, no run, damaged, or of a later format.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(|error| StoreError::sqlite(path, &error))?;
        schema::verify(&connection, path)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's id: the file's name without its suffix.
    pub fn id(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its settings.
    pub fn spec(&self) -> Result<RunSpec, StoreError> {
        let spec = self.meta("spec")?.ok_or_else(|| StoreError::Corrupt {
            path: self.path.clone(),
            cause: "it holds no settings".to_owned(),
        })?;
        self.parse("settings", &spec)
    }

    /// Whether it goes on, has ended, or was killed.
    pub fn state(&self) -> Result<RunState, StoreError> {
        if let Some(ending) = self.meta("ending")? {
            return Ok(RunState::Ended(self.parse::<Ending>("ending", &ending)?));
        }
        let owner = self.meta("owner")?.unwrap_or_default();
        Ok(if runs::is_alive(&owner) { RunState::Running } else { RunState::Killed })
    }

    /// When it ended, in milliseconds since the Unix epoch.
    pub fn ended_ms(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.meta("ended_ms")?.and_then(|text| text.parse().ok()))
    }

    /// The scenario folder as it was when the run began.
    pub fn folder(&self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let files: Vec<(String, String)> =
            self.rows("SELECT path, digest FROM file ORDER BY path", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let mut folder = BTreeMap::new();
        for (path, digest) in files {
            let digest = self.digest(&digest)?;
            let bytes = self.blob(digest)?.ok_or_else(|| StoreError::Corrupt {
                path: self.path.clone(),
                cause: format!("the scenario file {path} is missing"),
            })?;
            folder.insert(path, bytes);
        }
        Ok(folder)
    }

    /// All samples by number.
    pub fn samples(&self) -> Result<Vec<SampleRow>, StoreError> {
        let rows: Vec<(i64, String, Option<String>, String, bool)> = self.rows(
            "SELECT number, key, planted, state, EXISTS (SELECT 1 FROM event WHERE sample = number) \
             FROM sample ORDER BY number",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )?;
        rows.into_iter()
            .map(|(number, key, planted, state, begun)| {
                Ok(SampleRow {
                    number: number as u64,
                    key: self.parse("sample key", &key)?,
                    planted: planted.map(|text| self.parse("planted acts", &text)).transpose()?,
                    state: match (state.as_str(), begun) {
                        ("done", _) => SampleState::Done,
                        (_, true) => SampleState::Begun,
                        (_, false) => SampleState::Planned,
                    },
                })
            })
            .collect()
    }

    /// The events of one sample in order.
    pub fn events(&self, sample: u64) -> Result<Vec<Event>, StoreError> {
        let of_sample = "SELECT seq, phase, at_ms, act FROM event WHERE sample = ?1 ORDER BY seq";
        self.read_events(of_sample, sample, params![sample as i64])
    }

    /// The events of one sample from number `from` to `to`, both included, in order. What lies outside is not read.
    pub fn events_between(
        &self,
        sample: u64,
        from: u64,
        to: u64,
    ) -> Result<Vec<Event>, StoreError> {
        let some = "SELECT seq, phase, at_ms, act FROM event \
                    WHERE sample = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq";
        let end = i64::try_from(to).unwrap_or(i64::MAX);
        self.read_events(some, sample, params![sample as i64, from as i64, end])
    }

    /// The number of the last event of one sample; 0 if it has none.
    pub fn last_event(&self, sample: u64) -> Result<u64, StoreError> {
        let last = "SELECT seq FROM event WHERE sample = ?1 ORDER BY seq DESC LIMIT 1";
        let found: Vec<i64> = self.rows(last, params![sample as i64], |row| row.get(0))?;
        Ok(found.first().map_or(0, |seq| *seq as u64))
    }

    /// Shows the events of one sample in order, one at a time: a long sample is never in memory as a whole.
    ///
    /// # Errors
    /// The file cannot be read, or what `see` makes of an event.
    pub fn each_event<E: From<StoreError>>(
        &self,
        sample: u64,
        mut see: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |error: rusqlite::Error| StoreError::sqlite(&self.path, &error);
        let of_sample = "SELECT seq, phase, at_ms, act FROM event WHERE sample = ?1 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(of_sample).map_err(failed)?;
        let mut rows = statement.query(params![sample as i64]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let read = || -> rusqlite::Result<EventRow> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            };
            see(self.event(sample, read().map_err(failed)?)?)?;
        }
        Ok(())
    }

    /// What a judge said of one sample when the run was scored again, in order; it stands behind [`Self::events`].
    pub fn judged(&self, scoring: i64, sample: u64) -> Result<Vec<Event>, StoreError> {
        if !self.has_table("judged")? {
            return Ok(Vec::new());
        }
        let of_scoring = "SELECT seq, phase, at_ms, act FROM judged \
                          WHERE scoring = ?1 AND sample = ?2 ORDER BY seq";
        self.read_events(of_scoring, sample, params![scoring, sample as i64])
    }

    /// When this run was resumed, oldest first.
    pub fn resumed(&self) -> Result<Vec<Resumed>, StoreError> {
        if !self.has_table("resume")? {
            return Ok(Vec::new());
        }
        let all = "SELECT resumed FROM resume ORDER BY id";
        let rows: Vec<String> = self.rows(all, [], |row| row.get(0))?;
        rows.iter().map(|text| self.parse("a resumption", text)).collect()
    }

    /// What one sample had recorded before the run was resumed and it was begun again, oldest first.
    pub fn abandoned(&self, sample: u64) -> Result<Vec<Event>, StoreError> {
        if !self.has_table("abandoned")? {
            return Ok(Vec::new());
        }
        let of_sample = "SELECT seq, phase, at_ms, act FROM abandoned WHERE sample = ?1 \
                         ORDER BY resume, seq";
        self.read_events(of_sample, sample, params![sample as i64])
    }

    /// The most that calls may be billed for whose events are not on record: they are under way, or something cut them off.
    pub fn unsettled(&self) -> Result<Vec<Reserve>, StoreError> {
        if !self.has_table("reserve")? {
            return Ok(Vec::new());
        }
        let all = "SELECT number, model, worst FROM reserve ORDER BY resume, sample, number";
        let rows: Vec<(i64, String, String)> =
            self.rows(all, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let parsed = rows.into_iter().map(|(number, model, worst)| {
            let worst = self.parse("a reserve", &worst)?;
            Ok(Reserve { number: number as u64, model, worst })
        });
        parsed.collect()
    }

    fn has_table(&self, name: &str) -> Result<bool, StoreError> {
        let named = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
        Ok(!self.rows(named, params![name], |_| Ok(()))?.is_empty())
    }

    fn read_events(
        &self,
        sql: &str,
        sample: u64,
        params: impl rusqlite::Params,
    ) -> Result<Vec<Event>, StoreError> {
        let rows: Vec<EventRow> =
            self.rows(sql, params, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        rows.into_iter().map(|row| self.event(sample, row)).collect()
    }

    fn event(&self, sample: u64, (seq, phase, at_ms, act): EventRow) -> Result<Event, StoreError> {
        let act = self.parse(&format!("event {seq} of sample {sample}"), &act)?;
        Ok(Event { seq: seq as u64, phase, at_ms: at_ms as u64, act })
    }

    /// The bytes kept under `digest`.
    pub fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(bool, Vec<u8>)> = self
            .connection
            .query_row(
                "SELECT zstd, bytes FROM blob WHERE digest = ?1",
                params![digest.to_string()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(|error| StoreError::sqlite(&self.path, &error))?;
        let Some((packed, bytes)) = row else { return Ok(None) };
        let bytes = if packed {
            zstd::decode_all(bytes.as_slice()).map_err(|error| StoreError::Corrupt {
                path: self.path.clone(),
                cause: format!("blob {}: {error}", digest.short()),
            })?
        } else {
            bytes
        };
        if Digest::of(&bytes) != digest {
            return Err(StoreError::Corrupt {
                path: self.path.clone(),
                cause: format!("blob {} does not have its digest", digest.short()),
            });
        }
        Ok(Some(bytes))
    }

    /// All scorings, oldest first.
    pub fn scorings(&self) -> Result<Vec<ScoringRow>, StoreError> {
        let rows: Vec<(i64, i64, String)> =
            self.rows("SELECT id, at_ms, scenario FROM scoring ORDER BY id", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let judges: BTreeMap<i64, String> = if self.has_table("judged")? {
            let named = "SELECT scoring, judge FROM judging";
            let judges = self.rows(named, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            judges.into_iter().collect()
        } else {
            BTreeMap::new()
        };
        rows.into_iter()
            .map(|(id, at_ms, scenario)| {
                let judge = judges.get(&id).cloned();
                let scenario = self.digest(&scenario)?;
                Ok(ScoringRow { id, at_ms: at_ms as u64, scenario, judge })
            })
            .collect()
    }

    /// Findings of one scoring, by sample number.
    pub fn findings(&self, scoring: i64) -> Result<BTreeMap<u64, Vec<Finding>>, StoreError> {
        let rows: Vec<(i64, String)> = self.rows(
            "SELECT sample, finding FROM finding WHERE scoring = ?1 ORDER BY sample, place",
            params![scoring],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let mut findings: BTreeMap<u64, Vec<Finding>> = BTreeMap::new();
        for (sample, finding) in rows {
            let finding = self.parse("finding", &finding)?;
            findings.entry(sample as u64).or_default().push(finding);
        }
        Ok(findings)
    }

    /// Keeps a new scoring and returns its id. Earlier scorings stay.
    ///
    /// # Errors
    /// The run still goes on, or the file cannot be written.
    pub fn add_scoring(self, scoring: &Scoring) -> Result<i64, StoreError> {
        if self.state()? == RunState::Running {
            return Err(StoreError::Io {
                path: self.path,
                cause: "the run still goes on; score it when it has ended".to_owned(),
            });
        }
        drop(self.connection);
        write::add_scoring(&self.path, scoring)
    }

    fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.connection
            .query_row("SELECT value FROM meta WHERE key = ?1", params![key], |row| row.get(0))
            .optional()
            .map_err(|error| StoreError::sqlite(&self.path, &error))
    }

    fn rows<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let query = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(params, read)?.collect()
        };
        query().map_err(|error| StoreError::sqlite(&self.path, &error))
    }

    fn parse<T: DeserializeOwned>(&self, what: &str, text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|error| StoreError::json(&self.path, what, &error))
    }

    fn digest(&self, text: &str) -> Result<Digest, StoreError> {
        text.parse().map_err(|error: lapwing_core::DigestError| StoreError::Corrupt {
            path: self.path.clone(),
            cause: error.to_string(),
        })
    }
}
