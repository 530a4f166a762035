//! Going on with a run that has ended, was stopped or was killed.

use std::path::Path;

use lapwing_core::{Planted, SampleKey};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use crate::spec::RunSpec;
use crate::write::{insert_sample, json, set_meta};
use crate::{StoreError, runs, schema};

/// What a run is to go on with.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Version of lapwing.
    pub version: String,
    /// Finished samples that are to be run again, by number; those that were begun and not finished are in any case.
    pub again: Vec<u64>,
    /// Samples that are added behind those that are planned.
    pub added: Vec<(SampleKey, Option<Vec<Planted>>)>,
    /// The settings of the run from now on.
    pub spec: Option<RunSpec>,
}

/// A time at which a run was resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Version of lapwing that went on with it.
    pub version: String,
    /// Samples that were begun before and are run again from their first phase, by number.
    pub again: Vec<u64>,
    /// Samples that were added.
    pub added: u64,
}

/// Opens the ended run at `path` for writing: its samples that were begun and not finished are planned again, and what they had
/// recorded is set aside. One transaction: a kill leaves the run as it was, or resumed.
///
/// # Errors
/// The run still goes on, or the file cannot be written.
pub(crate) fn reopen(path: &Path, resume: &Resume) -> Result<Connection, StoreError> {
    runs::set_read_only(path, false)?;
    match begin(path, resume) {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => Err(StoreError::Io {
            path: path.to_owned(),
            cause: "the run still goes on in another process".to_owned(),
        }),
        Err(error) => Err(StoreError::sqlite(path, &error)),
    }
}

fn begin(path: &Path, resume: &Resume) -> rusqlite::Result<Option<Connection>> {
    let mut connection = Connection::open(path)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (ending, owner) = (meta(&transaction, "ending")?, meta(&transaction, "owner")?);
    if ending.is_none() && owner.is_some_and(|owner| runs::is_alive(&owner)) {
        return Ok(None);
    }
    transaction.execute_batch(schema::RESUME_TABLES)?;
    transaction.execute_batch(schema::BOOKS_TABLE)?;
    for number in &resume.again {
        transaction.execute(
            "UPDATE sample SET state = 'planned' WHERE number = ?1",
            params![*number as i64],
        )?;
        transaction.execute("DELETE FROM finding WHERE sample = ?1", params![*number as i64])?;
    }
    let resumed = Resumed {
        at_ms: resume.at_ms,
        version: resume.version.clone(),
        again: unfinished(&transaction)?,
        added: resume.added.len() as u64,
    };
    set_aside(&transaction, &resumed)?;
    let planned: i64 =
        transaction
            .query_row("SELECT COALESCE(MAX(number), 0) FROM sample", [], |row| row.get(0))?;
    for (number, (key, planted)) in (planned + 1..).zip(&resume.added) {
        insert_sample(&transaction, number, key, planted.as_deref())?;
    }
    if let Some(spec) = &resume.spec {
        set_meta(&transaction, "spec", &json(spec)?)?;
    }
    set_meta(&transaction, "owner", &runs::this_process())?;
    transaction.execute("DELETE FROM meta WHERE key IN ('ending', 'ended_ms')", [])?;
    transaction.commit()?;
    schema::set_durable(&connection)?;
    Ok(Some(connection))
}

/// Samples with events that were not run to their end.
fn unfinished(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<u64>> {
    let mut begun = transaction.prepare(
        "SELECT number FROM sample WHERE state <> 'done' \
         AND EXISTS (SELECT 1 FROM event WHERE sample = number) ORDER BY number",
    )?;
    begun.query_map([], |row| row.get::<_, i64>(0).map(|number| number as u64))?.collect()
}

/// Moves the events of samples that are run again out of the way. They stay on record: their calls were paid. So do reserves that
/// nobody settled.
fn set_aside(transaction: &Transaction<'_>, resumed: &Resumed) -> rusqlite::Result<()> {
    transaction.execute("INSERT INTO resume (resumed) VALUES (?1)", params![json(resumed)?])?;
    let id = transaction.last_insert_rowid();
    transaction.execute("UPDATE reserve SET resume = ?1 WHERE resume = 0", params![id])?;
    for number in &resumed.again {
        transaction.execute(
            "INSERT INTO abandoned (resume, sample, seq, phase, at_ms, act) \
             SELECT ?1, sample, seq, phase, at_ms, act FROM event WHERE sample = ?2",
            params![id, *number as i64],
        )?;
        transaction.execute("DELETE FROM event WHERE sample = ?1", params![*number as i64])?;
    }
    Ok(())
}

fn meta(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<Option<String>> {
    transaction
        .query_row("SELECT value FROM meta WHERE key = ?1", params![key], |row| row.get(0))
        .optional()
}
