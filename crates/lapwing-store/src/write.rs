//! The writer of a run: one thread, one connection, commits in groups.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use lapwing_core::{
    Booking, BoxFuture, Digest, Event, Finding, Planted, RecordError, Recorder, Reserve, SampleKey,
};
use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::oneshot;
use zstd::bulk::Compressor;

use crate::resume::{Resume, reopen};
use crate::spec::{Ending, RunSpec};
use crate::{Scoring, StoreError, runs, schema};

/// The most jobs of one commit.
const GROUP: usize = 512;

/// How long a commit waits for others to join it, where several came the last time. Commits cost the processor more than what
/// they write, and next to the answer of a model this is nothing.
const GATHER: Duration = Duration::from_millis(1);

/// How hard blobs are compressed, and from how many bytes on.
const LEVEL: i32 = 3;
const WORTH_PACKING: usize = 512;

/// Writes one run. Events are durable when [`Recorder::record`] resolves.
pub struct RunWriter {
    id: String,
    jobs: Sender<Job>,
    kept: Mutex<HashSet<Digest>>,
    thread: Option<JoinHandle<()>>,
}

type Ack = oneshot::Sender<Result<(), RecordError>>;

struct Job {
    write: Write,
    ack: Option<Ack>,
}

enum Write {
    Blob { digest: Digest, bytes: Vec<u8> },
    Add { number: u64, key: SampleKey, planted: Option<Vec<Planted>> },
    Events { sample: u64, events: Vec<Event>, bookings: Vec<Booking> },
    Finish { sample: u64, findings: Vec<Finding> },
    End { ending: Ending, at_ms: u64 },
}

impl RunWriter {
    /// Fills the new, empty run file at `path` with its settings, scenario folder and planned samples, in one transaction.
    pub(crate) fn create(
        id: String,
        path: &Path,
        spec: &RunSpec,
        folder: &BTreeMap<String, Vec<u8>>,
        samples: &[(SampleKey, Option<Vec<Planted>>)],
    ) -> Result<Self, StoreError> {
        let begun = Connection::open(path).and_then(|connection| {
            begin(&connection, spec, folder, samples)?;
            Ok(connection)
        });
        let connection = begun.map_err(|error| {
            runs::remove(path);
            StoreError::sqlite(path, &error)
        })?;
        Self::start(id, path, connection)
    }

    /// Goes on with the run at `path`.
    pub(crate) fn resume(id: String, path: &Path, resume: &Resume) -> Result<Self, StoreError> {
        Self::start(id, path, reopen(path, resume)?)
    }

    fn start(id: String, path: &Path, connection: Connection) -> Result<Self, StoreError> {
        let (jobs, queue) = channel();
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("run-writer".to_owned())
            .spawn({
                let path = path.clone();
                move || write(connection, &path, &queue)
            })
            .map_err(|error| StoreError::io(&path, &error))?;
        Ok(Self { id, jobs, kept: Mutex::default(), thread: Some(thread) })
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Adds a sample to those that were planned when the run was created; nobody else may have its number.
    pub async fn add(
        &self,
        number: u64,
        key: &SampleKey,
        planted: Option<&[Planted]>,
    ) -> Result<(), RecordError> {
        let (key, planted) = (key.clone(), planted.map(<[Planted]>::to_vec));
        self.ask(Write::Add { number, key, planted }).await
    }

    /// Marks a sample as done, with its findings under the first scoring.
    pub async fn finish(&self, sample: u64, findings: Vec<Finding>) -> Result<(), RecordError> {
        self.ask(Write::Finish { sample, findings }).await
    }

    /// Ends the run and leaves a plain read-only file, unless someone reads it just now.
    pub async fn seal(mut self, ending: Ending, at_ms: u64) -> Result<(), RecordError> {
        let sealed = self.ask(Write::End { ending, at_ms }).await;
        if let Some(thread) = self.thread.take() {
            drop(std::mem::replace(&mut self.jobs, channel().0));
            let _ = thread.join();
        }
        sealed
    }

    /// Queues `write` now; what is returned resolves when it is durable.
    fn ask(&self, write: Write) -> BoxFuture<'static, Result<(), RecordError>> {
        let (ack, answer) = oneshot::channel();
        // Where the writer is gone the job is dropped, and with it the sender of the answer.
        let _ = self.jobs.send(Job { write, ack: Some(ack) });
        Box::pin(async {
            answer.await.unwrap_or_else(|_| Err(RecordError("the writer is gone".to_owned())))
        })
    }
}

impl Recorder for RunWriter {
    fn record_booked(
        &self,
        sample: u64,
        events: Vec<Event>,
        bookings: Vec<Booking>,
    ) -> BoxFuture<'_, Result<(), RecordError>> {
        self.ask(Write::Events { sample, events, bookings })
    }

    fn keep(&self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.insert(digest) {
            // A writer that is gone is reported by the `record` that follows.
            let _ = self.jobs.send(Job { write: Write::Blob { digest, bytes }, ack: None });
        }
        digest
    }
}

fn begin(
    connection: &Connection,
    spec: &RunSpec,
    folder: &BTreeMap<String, Vec<u8>>,
    samples: &[(SampleKey, Option<Vec<Planted>>)],
) -> rusqlite::Result<()> {
    schema::create(connection)?;
    let transaction = connection.unchecked_transaction()?;
    set_meta(&transaction, "spec", &json(spec)?)?;
    set_meta(&transaction, "owner", &runs::this_process())?;
    for (path, bytes) in folder {
        let digest = Digest::of(bytes);
        insert_blob(&transaction, digest, bytes)?;
        transaction.execute(
            "INSERT INTO file (path, digest) VALUES (?1, ?2)",
            params![path, digest.to_string()],
        )?;
    }
    for (number, (key, planted)) in (1_i64..).zip(samples) {
        insert_sample(&transaction, number, key, planted.as_deref())?;
    }
    transaction.execute(
        "INSERT INTO scoring (id, at_ms, scenario) VALUES (1, ?1, ?2)",
        params![spec.started_ms as i64, spec.digest.to_string()],
    )?;
    if let Some(judge) = spec.settings.get("judge") {
        insert_judge(&transaction, 1, judge)?;
    }
    transaction.commit()
}

/// The writer thread: takes what has queued up, commits it at once, and tells everyone who waits.
/// After a failed commit nothing more is written: what follows would be a record with a hole.
fn write(mut connection: Connection, path: &Path, queue: &Receiver<Job>) {
    let mut broken: Option<RecordError> = None;
    let mut n_waited = 0;
    while let Ok(first) = queue.recv() {
        if n_waited > 1 {
            std::thread::sleep(GATHER);
        }
        let group = std::iter::once(first).chain(queue.try_iter().take(GROUP));
        let (writes, acks): (Vec<_>, Vec<_>) = group.map(|job| (job.write, job.ack)).unzip();
        n_waited = acks.iter().flatten().count();
        let ends = writes.iter().any(|write| matches!(write, Write::End { .. }));
        let mut result = match &broken {
            Some(error) => Err(error.clone()),
            None => commit(&mut connection, writes).map_err(|error| record_error(path, &error)),
        };
        if ends && result.is_ok() {
            result = close(connection, path).map_err(|error| RecordError(error.to_string()));
            answer(acks, &result);
            return;
        }
        answer(acks, &result);
        broken = result.err();
    }
}

fn answer(acks: Vec<Option<Ack>>, result: &Result<(), RecordError>) {
    for ack in acks.into_iter().flatten() {
        // Whoever no longer waits was cancelled.
        let _ = ack.send(result.clone());
    }
}

fn record_error(path: &Path, error: &rusqlite::Error) -> RecordError {
    RecordError(StoreError::sqlite(path, error).to_string())
}

fn commit(connection: &mut Connection, writes: Vec<Write>) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for write in writes {
        write.apply(&transaction)?;
    }
    transaction.commit()
}

impl Write {
    fn apply(self, transaction: &Connection) -> rusqlite::Result<()> {
        match self {
            Self::Blob { digest, bytes } => insert_blob(transaction, digest, &bytes),
            Self::Add { number, key, planted } => {
                insert_sample(transaction, number as i64, &key, planted.as_deref())
            }
            Self::Events { sample, events, bookings } => {
                insert_events(transaction, sample, &events)?;
                bookings.iter().try_for_each(|booking| book(transaction, sample, booking))
            }
            Self::Finish { sample, findings } => {
                insert_findings(transaction, 1, sample, &findings)?;
                let mut done = transaction
                    .prepare_cached("UPDATE sample SET state = 'done' WHERE number = ?1")?;
                done.execute(params![sample as i64])?;
                Ok(())
            }
            Self::End { ending, at_ms } => {
                set_meta(transaction, "ending", &json(&ending)?)?;
                set_meta(transaction, "ended_ms", &at_ms.to_string())
            }
        }
    }
}

fn insert_events(connection: &Connection, sample: u64, events: &[Event]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO event (sample, seq, phase, at_ms, act) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for event in events {
        let act = json(&event.act)?;
        insert.execute(params![
            sample as i64,
            event.seq as i64,
            event.phase,
            event.at_ms as i64,
            act
        ])?;
    }
    Ok(())
}

fn book(connection: &Connection, sample: u64, booking: &Booking) -> rusqlite::Result<()> {
    match booking {
        Booking::Reserved(Reserve { number, model, worst }) => {
            let mut insert = connection.prepare_cached(
                "INSERT INTO reserve (sample, number, model, worst) VALUES (?1, ?2, ?3, ?4)",
            )?;
            insert.execute(params![sample as i64, *number as i64, model, json(worst)?])?;
        }
        Booking::Settled(number) => {
            let mut delete = connection.prepare_cached(
                "DELETE FROM reserve WHERE resume = 0 AND sample = ?1 AND number = ?2",
            )?;
            delete.execute(params![sample as i64, *number as i64])?;
        }
    }
    Ok(())
}

/// Leaves one plain read-only file. While someone reads it SQLite keeps its log: everything is in the file all the same,
/// and the next scoring makes it plain.
fn close(connection: Connection, path: &Path) -> Result<(), StoreError> {
    let plain = connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;")
        .map_or_else(
            |error| match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy) => Ok(false),
                _ => Err(error),
            },
            |()| Ok(true),
        );
    let closed = connection.close().map_err(|(_, error)| error);
    let plain = plain
        .and_then(|plain| closed.map(|()| plain))
        .map_err(|error| StoreError::sqlite(path, &error))?;
    if plain { runs::set_read_only(path, true) } else { Ok(()) }
}

pub(crate) fn insert_sample(
    connection: &Connection,
    number: i64,
    key: &SampleKey,
    planted: Option<&[Planted]>,
) -> rusqlite::Result<()> {
    let planted = planted.map(|planted| json(&planted)).transpose()?;
    connection.execute(
        "INSERT INTO sample (number, key, planted) VALUES (?1, ?2, ?3)",
        params![number, json(key)?, planted],
    )?;
    Ok(())
}

pub(crate) fn insert_findings(
    connection: &Connection,
    scoring: i64,
    sample: u64,
    findings: &[Finding],
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO finding (scoring, sample, place, finding) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (place, finding) in findings.iter().enumerate() {
        insert.execute(params![scoring, sample as i64, place as i64, json(finding)?])?;
    }
    Ok(())
}

fn insert_blob(connection: &Connection, digest: Digest, bytes: &[u8]) -> rusqlite::Result<()> {
    let packed = pack(bytes).filter(|packed| packed.len() < bytes.len());
    let mut insert = connection
        .prepare_cached("INSERT OR IGNORE INTO blob (digest, zstd, bytes) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![
        digest.to_string(),
        packed.is_some(),
        packed.as_deref().unwrap_or(bytes)
    ])?;
    Ok(())
}

/// `bytes` compressed; `None` where they are so few that it would not pay.
fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    thread_local! {
        // Making a compressor costs more than compressing a message.
        static PACKER: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
    }
    if bytes.len() < WORTH_PACKING {
        return None;
    }
    PACKER.with_borrow_mut(|packer| packer.as_mut()?.compress(bytes).ok())
}

pub(crate) fn set_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", params![key, value])?;
    Ok(())
}

pub(crate) fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Adds a scoring to a run that has ended, and returns its id.
pub(crate) fn add_scoring(path: &Path, scoring: &Scoring) -> Result<i64, StoreError> {
    runs::set_read_only(path, false)?;
    match append(path, scoring) {
        Ok((connection, id)) => close(connection, path).map(|()| id),
        Err(error) => {
            runs::set_read_only(path, true)?;
            Err(StoreError::sqlite(path, &error))
        }
    }
}

fn append(path: &Path, scoring: &Scoring) -> rusqlite::Result<(Connection, i64)> {
    let mut connection = Connection::open(path)?;
    let transaction = connection.transaction()?;
    transaction.execute(
        "INSERT INTO scoring (at_ms, scenario) VALUES (?1, ?2)",
        params![scoring.at_ms as i64, scoring.scenario.to_string()],
    )?;
    let id = transaction.last_insert_rowid();
    for (sample, findings) in &scoring.findings {
        insert_findings(&transaction, id, *sample, findings)?;
    }
    if let Some(judge) = &scoring.judge {
        transaction.execute_batch(schema::JUDGE_TABLES)?;
        insert_judge(&transaction, id, judge)?;
        for (digest, bytes) in &scoring.blobs {
            insert_blob(&transaction, *digest, bytes)?;
        }
        for (sample, events) in &scoring.judged {
            insert_judged(&transaction, id, *sample, events)?;
        }
    }
    transaction.commit()?;
    Ok((connection, id))
}

fn insert_judge(connection: &Connection, scoring: i64, judge: &str) -> rusqlite::Result<()> {
    connection
        .execute("INSERT INTO judging (scoring, judge) VALUES (?1, ?2)", params![scoring, judge])?;
    Ok(())
}

fn insert_judged(
    connection: &Connection,
    scoring: i64,
    sample: u64,
    events: &[Event],
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO judged (scoring, sample, seq, phase, at_ms, act) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for event in events {
        insert.execute(params![
            scoring,
            sample as i64,
            event.seq as i64,
            event.phase,
            event.at_ms as i64,
            json(&event.act)?
        ])?;
    }
    Ok(())
}
