//! A database in memory. Statements cannot reach a file, and what they can use of time and memory is bounded.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lapwing_core::{BoxFuture, Checkpoint, Sandbox, SandboxError};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection};
use serde_json::json;

use super::{Called, Noticed, Part, aligned};

const USAGE: &str = "\
usage: sql \"STATEMENT\"

Runs one or more SQL statements (SQLite) and prints the rows. The tables are listed by:
       sql \"SELECT name, sql FROM sqlite_schema\"";

/// Rows that are printed of one call.
const MAX_ROWS: usize = 200;

/// Bytes that are printed of one call.
const MAX_OUTPUT: usize = 64 << 10;

/// Longest text, blob or row, in bytes. With [`MAX_STEPS`] it bounds the memory of a sort, to about 220 MiB.
const MAX_LENGTH: i32 = 16 << 10;

/// Thousands of steps of SQLite's machine in one call; a count and not a time, so that equal runs end equally.
const MAX_STEPS: u32 = 250;

/// Pages of 4 KiB that the database can grow to.
const MAX_PAGES: u32 = 4_096;

pub(super) struct Database {
    sandbox: String,
    /// What is wrong with the schema, if it is wrong.
    connection: Result<Connection, SandboxError>,
    steps: Arc<AtomicU32>,
}

/// What the statements of a call came to.
#[derive(Default)]
struct Ran {
    output: String,
    rows: usize,
    changed: usize,
}

impl Database {
    pub(super) fn new(sandbox: String, file: &str, schema: &str) -> Self {
        let steps = Arc::new(AtomicU32::new(0));
        let connection = open(schema, &steps).map_err(|error| SandboxError::Failed {
            step: format!("world.sql: `{file}` cannot be run"),
            cause: error.to_string(),
        });
        Self { sandbox, connection, steps }
    }

    fn answer(&mut self, arguments: &[String]) -> Result<Called, SandboxError> {
        let [statement] = arguments else { return Ok(Called::usage(USAGE, arguments)) };
        if statement.trim().is_empty() || statement == "--help" {
            return Ok(Called::usage(USAGE, arguments));
        }
        let connection = self.connection.as_ref().map_err(SandboxError::clone)?;
        self.steps.store(0, Ordering::Relaxed);
        let mut ran = Ran::default();
        let result = run(connection, statement, &mut ran);
        let error = result.err().map(message).unwrap_or_default();
        let fields = json!({
            "statement": statement,
            "rows": ran.rows,
            "changed": ran.changed,
            "error": error,
        });
        let called = if error.is_empty() {
            Called::said(ran.output)
        } else {
            Called::failed(format!("{}Error: {error}", ran.output))
        };
        Ok(called.with(Noticed::new("sql", "ran", fields)))
    }
}

/// The database that `schema` makes, closed against everything outside it.
fn open(schema: &str, steps: &Arc<AtomicU32>) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(&format!(
        "PRAGMA temp_store = MEMORY; PRAGMA max_page_count = {MAX_PAGES}; PRAGMA foreign_keys = ON;"
    ))?;
    connection.execute_batch(schema)?;
    let limits = [
        (Limit::SQLITE_LIMIT_LENGTH, MAX_LENGTH),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_LENGTH),
        (Limit::SQLITE_LIMIT_COLUMN, 100),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 20),
        (Limit::SQLITE_LIMIT_VDBE_OP, 20_000),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ];
    for (limit, value) in limits {
        connection.set_limit(limit, value)?;
    }
    let steps = Arc::clone(steps);
    let mut connection = connection;
    let stop = move || steps.fetch_add(1, Ordering::Relaxed) >= MAX_STEPS;
    connection.progress_handler(1_000, Some(stop))?;
    connection.authorizer(Some(|context: AuthContext<'_>| allow(&context.action)))?;
    Ok(connection)
}

/// Statements on the tables, and nothing that reaches a file, a setting or code.
fn allow(action: &AuthAction<'_>) -> Authorization {
    match action {
        AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::Pragma { .. }
        | AuthAction::CreateVtable { .. }
        | AuthAction::DropVtable { .. }
        | AuthAction::Unknown { .. } => Authorization::Deny,
        AuthAction::Function { function_name }
            if ["load_extension", "randomblob", "random"]
                .iter()
                .any(|name| function_name.eq_ignore_ascii_case(name)) =>
        {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    }
}

fn run(connection: &Connection, text: &str, ran: &mut Ran) -> rusqlite::Result<()> {
    let mut statements = Batch::new(connection, text);
    while let Some(mut statement) = statements.next()? {
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        if names.is_empty() {
            let changed = statement.raw_execute()?;
            if !statement.readonly() {
                ran.changed += changed;
                let _ = writeln!(ran.output, "OK, rows changed: {changed}");
            }
            continue;
        }
        let mut table = vec![names.clone()];
        let mut size = 0;
        let mut cut = false;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            if table.len() > MAX_ROWS || size > MAX_OUTPUT {
                cut = true;
                break;
            }
            let values = (0..names.len()).map(|column| Ok(shown(row.get_ref(column)?)));
            let values = values.collect::<rusqlite::Result<Vec<String>>>()?;
            size += values.iter().map(String::len).sum::<usize>();
            table.push(values);
        }
        let n = table.len() - 1;
        ran.rows += n;
        ran.output.push_str(&aligned(&table));
        let more = if cut { ", more are not shown" } else { "" };
        let _ = writeln!(ran.output, "rows: {n}{more}");
        if ran.output.len() > MAX_OUTPUT {
            let end = ran.output.floor_char_boundary(MAX_OUTPUT);
            ran.output.truncate(end);
            ran.output.push_str("\n(cut here)\n");
            break;
        }
    }
    Ok(())
}

/// A value on one line.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).replace('\n', "\\n"),
        ValueRef::Blob(bytes) => format!("({} bytes)", bytes.len()),
    }
}

fn message(error: rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(failure, _)
            if failure.code == rusqlite::ErrorCode::OperationInterrupted =>
        {
            "the statement takes too long and was stopped".to_owned()
        }
        rusqlite::Error::SqliteFailure(_, Some(message)) => message,
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        error => error.to_string(),
    }
}

impl Part for Database {
    fn sandbox(&self) -> &str {
        &self.sandbox
    }

    fn commands(&self) -> &[&'static str] {
        &["sql"]
    }

    fn call<'a>(
        &'a mut self,
        call: &'a Checkpoint,
        _: &'a dyn Sandbox,
    ) -> BoxFuture<'a, Result<Called, SandboxError>> {
        Box::pin(std::future::ready(self.answer(&call.arguments)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{told, words};
    use super::*;

    fn database() -> Database {
        let schema = "CREATE TABLE staff (id INTEGER PRIMARY KEY, name TEXT);
                      INSERT INTO staff (name) VALUES ('Ann'), ('Bo');";
        Database::new("a".to_owned(), "schema.sql", schema)
    }

    fn ask(statement: &str) -> Called {
        database().answer(&words(&[statement])).unwrap()
    }

    #[test]
    fn a_query_prints_its_rows_and_a_change_counts_them() {
        let called = ask("SELECT * FROM staff; DELETE FROM staff WHERE id = 1");
        assert_eq!(
            called.answer.stdout,
            "id  name\n1   Ann\n2   Bo\nrows: 2\nOK, rows changed: 1\n"
        );
        assert_eq!(
            told(&called),
            [
                r#"ran {"changed":1,"error":"","rows":2,"statement":"SELECT * FROM staff; DELETE FROM staff WHERE id = 1"}"#
            ]
        );
    }

    #[test]
    fn a_change_lasts_and_an_error_is_told() {
        let mut database = database();
        database.answer(&words(&["UPDATE staff SET name = 'Cy' WHERE id = 2"])).unwrap();
        let called = database.answer(&words(&["SELECT name FROM staff WHERE id = 2"])).unwrap();
        assert_eq!(called.answer.stdout, "name\nCy\nrows: 1\n");
        let called = database.answer(&words(&["SELEC 1"])).unwrap();
        assert_eq!(called.answer.stdout, "Error: near \"SELEC\": syntax error\n");
        assert_eq!(called.events[0].fields["error"], "near \"SELEC\": syntax error");
    }

    #[test]
    fn statements_cannot_reach_files_settings_or_code() {
        let file = std::env::temp_dir().join("lapwing-sql-must-not-exist");
        let file = file.display();
        for statement in [
            format!("ATTACH '{file}' AS x"),
            format!("VACUUM INTO '{file}'"),
            "PRAGMA max_page_count = 1000000".to_owned(),
            "SELECT * FROM pragma_database_list".to_owned(),
            "SELECT load_extension('x')".to_owned(),
            "SELECT readfile('/etc/passwd')".to_owned(),
            format!("SELECT writefile('{file}', 'x')"),
            "CREATE VIRTUAL TABLE t USING fts5(x)".to_owned(),
        ] {
            let called = ask(&statement);
            assert_eq!(called.answer.code, 1, "{statement}: {called:?}");
        }
        assert!(!std::path::Path::new(&file.to_string()).exists());
    }

    #[test]
    fn statements_that_would_take_all_time_or_memory_are_stopped() {
        for statement in [
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT printf('%16000d', x) FROM c ORDER BY 1",
            "SELECT zeroblob(1000000000)",
            "SELECT printf('%100000000d', 1)",
            "CREATE TABLE t AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
        ] {
            let called = ask(statement);
            assert_eq!(called.answer.code, 1, "{statement}: {called:?}");
        }
    }

    #[test]
    fn many_rows_are_cut() {
        let called =
            ask("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c");
        assert!(
            called.answer.stdout.ends_with("200\nrows: 200, more are not shown\n"),
            "{called:?}"
        );
    }

    #[test]
    fn a_schema_that_cannot_be_run_names_its_file() {
        let mut database = Database::new("a".to_owned(), "schema.sql", "CREATE TABEL x");
        let error = database.answer(&words(&["SELECT 1"])).unwrap_err().to_string();
        assert!(
            error.starts_with("world.sql: `schema.sql` cannot be run: near \"TABEL\""),
            "{error}"
        );
    }
}
