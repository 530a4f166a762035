//! Tables of a run file.

use std::path::Path;

use rusqlite::Connection;

use crate::StoreError;

/// "LPWG", so that `file` and we can tell a run from any other database.
const APPLICATION_ID: i64 = 0x4c50_5747;

/// Raised whenever an older lapwing could misread the file.
pub(crate) const FORMAT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE file (path TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE sample (
        number  INTEGER PRIMARY KEY,
        key     TEXT NOT NULL,
        planted TEXT,
        state   TEXT NOT NULL DEFAULT 'planned'
    );
    -- With row ids, so that commits append: rows are larger than what an index page holds without overflow.
    CREATE TABLE event (
        sample INTEGER NOT NULL REFERENCES sample,
        seq    INTEGER NOT NULL,
        phase  TEXT NOT NULL,
        at_ms  INTEGER NOT NULL,
        act    TEXT NOT NULL,
        PRIMARY KEY (sample, seq)
    );
    CREATE TABLE blob (digest TEXT PRIMARY KEY, zstd INTEGER NOT NULL, bytes BLOB NOT NULL);
    CREATE TABLE scoring (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, scenario TEXT NOT NULL);
    CREATE TABLE finding (
        scoring   INTEGER NOT NULL REFERENCES scoring,
        sample    INTEGER NOT NULL REFERENCES sample,
        place     INTEGER NOT NULL,
        finding   TEXT NOT NULL,
        PRIMARY KEY (scoring, sample, place)
    ) WITHOUT ROWID;
";

/// What judges said when a run was scored again. Scoring makes these tables where a run is older than they are: a reader that
/// does not know them reads everything else rightly, so the format stays as it is.
pub(crate) const JUDGE_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS judging (
        scoring INTEGER PRIMARY KEY REFERENCES scoring,
        judge   TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS judged (
        scoring INTEGER NOT NULL REFERENCES scoring,
        sample  INTEGER NOT NULL REFERENCES sample,
        seq     INTEGER NOT NULL,
        phase   TEXT NOT NULL,
        at_ms   INTEGER NOT NULL,
        act     TEXT NOT NULL,
        PRIMARY KEY (scoring, sample, seq)
    ) WITHOUT ROWID;
";

/// When a run was resumed, and what its samples had recorded before they were begun again. Resuming makes these tables: a reader
/// that does not know them reads everything else rightly, so the format stays as it is.
pub(crate) const RESUME_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS resume (id INTEGER PRIMARY KEY, resumed TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS abandoned (
        resume INTEGER NOT NULL REFERENCES resume,
        sample INTEGER NOT NULL REFERENCES sample,
        seq    INTEGER NOT NULL,
        phase  TEXT NOT NULL,
        at_ms  INTEGER NOT NULL,
        act    TEXT NOT NULL,
        PRIMARY KEY (resume, sample, seq)
    ) WITHOUT ROWID;
";

/// The most that calls may be billed for whose events are not on record: those under way, and those that a kill or a limit cut
/// off. Those of the time before a resumption carry its id, so that their numbers are free again. Resuming makes this table too.
pub(crate) const BOOKS_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS reserve (
        resume INTEGER NOT NULL DEFAULT 0,
        sample INTEGER NOT NULL REFERENCES sample,
        number INTEGER NOT NULL,
        model  TEXT NOT NULL,
        worst  TEXT NOT NULL,
        PRIMARY KEY (resume, sample, number)
    ) WITHOUT ROWID;
";

/// A commit that was acknowledged survives a power cut. The log is folded into the file at every 32 MiB, not at every 4.
pub(crate) fn set_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8192;",
    )
}

pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    set_durable(connection)?;
    connection.execute_batch(&format!(
        "BEGIN; {TABLES} {JUDGE_TABLES} {BOOKS_TABLE} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
    ))
}

/// Refuses what is not a run, or a run of a later format.
pub(crate) fn verify(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|error| StoreError::sqlite(path, &error))
    };
    if pragma("application_id")? != APPLICATION_ID {
        return Err(StoreError::NotARun { path: path.to_owned() });
    }
    let found = pragma("user_version")?;
    if found > FORMAT {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(())
}
