//! `open` makes a read-only SQLite connection: the file opened read-only, `query_only`, an authorizer that
//! allows reads only, and no extensions, attached files or writable schema. This module also maps SQLite's
//! errors to reasons. Describing a statement is in `inspect`.

use std::path::Path;
use std::time::Duration;

use chapar_model::Reason;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use crate::source::Failure;

/// Prepared statements kept per connection; one per method and grant in use.
const PREPARED: usize = 256;
/// How long a start or a check waits for a writer's lock.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);

/// Opens `file` for reading only.
pub(super) fn open(file: &Path) -> Result<Connection, Error> {
    open_within(file, LOCK_PATIENCE)
}

/// Opens `file` for reading only, and waits at most `patience` for a writer's lock.
pub(super) fn open_within(file: &Path, patience: Duration) -> Result<Connection, Error> {
    // No mutex: a connection stays on one thread.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(patience)?;
    // Defence in depth: the authorizer below would refuse these already, and a schema made by another program
    // may call any function.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.pragma_update(None, "query_only", true)?;
    // The adapter's root file system may be read-only: a large sort must not need a file there.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Reading the schema proves that the file is a database, and which kind of fault it has if it is not.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    // Set last, because the lines above use pragmas that it denies.
    connection.authorizer(Some(authorize))?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

/// Allows reading and nothing else.
pub(super) fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Read { table_name, .. } if !table_name.starts_with("sqlite_") => Authorization::Allow,
        // `load_extension` loads code into this process, and `fts3_tokenizer` takes addresses of functions
        // from SQL.
        AuthAction::Function { function_name }
            if !matches!(function_name, "load_extension" | "fts3_tokenizer") =>
        {
            Authorization::Allow
        }
        // FTS5 asks for this counter before it searches: it says whether another connection has written.
        AuthAction::Pragma { pragma_name: "data_version", pragma_value: None } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

/// Opens and closes `file`; the error is a sentence for the operator.
pub(super) fn probe(file: &Path) -> Result<(), String> {
    let name = file.display();
    match std::fs::metadata(file) {
        Err(error) => return Err(format!("database `{name}` cannot be read: {error}")),
        Ok(metadata) if !metadata.is_file() => return Err(format!("database `{name}` is not a file")),
        // SQLite takes an empty file for a new database, which would then lack every table.
        Ok(metadata) if metadata.len() == 0 => return Err(format!("database `{name}` is empty")),
        Ok(_) => {}
    }
    open(file).map(drop).map_err(|error| match code(&error) {
        Some(ErrorCode::NotADatabase) => format!("`{name}` is not an SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => format!("database `{name}` is corrupt: {error}"),
        _ => format!("database `{name}` cannot be opened: {}", failure_at_start(&error).detail),
    })
}

fn code(error: &Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

/// Nothing is bound while a statement is prepared, so SQLite's own words can be shown to the operator.
pub(super) fn failure_at_start(error: &Error) -> Failure {
    let message = match error {
        Error::SqliteFailure(code, _) if code.code == ErrorCode::ReadOnly => described(code),
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    Failure::new(reason(error, Reason::SchemaDrift), message)
}

/// While a statement runs, SQLite's words may quote a value. Kept are its code, what the code means, and, of
/// what the authorizer denied, the words: they name parts of the schema.
pub(super) fn failure_of_run(error: &Error) -> Failure {
    // Without a code of its own, a failure while running counts as the database's refusal and not as a
    // changed schema.
    let reason = reason(error, Reason::SourceRefused);
    match error {
        Error::SqliteFailure(code, Some(words))
            if code.code == ErrorCode::AuthorizationForStatementDenied =>
        {
            Failure::new(reason, words.clone())
        }
        Error::SqliteFailure(_, Some(words)) if SAFE_WORDS.iter().any(|safe| words.starts_with(safe)) => {
            Failure::new(reason, words.clone())
        }
        Error::SqliteFailure(code, _) => Failure::new(reason, described(code)),
        _ => Failure::new(reason, "the driver could not run the statement"),
    }
}

/// Beginnings of SQLite's messages that name functions and never a value (its source, `func.c`, `json.c`).
const SAFE_WORDS: &[&str] = &[
    "ESCAPE expression must be a single character",
    "LIKE or GLOB pattern too complex",
    "integer overflow",
    "malformed JSON",
    "string or blob too big",
    "unable to use function ",
    "wrong number of arguments to function ",
];

fn described(code: &rusqlite::ffi::Error) -> String {
    let meaning = match code.extended_code {
        rusqlite::ffi::SQLITE_READONLY_ROLLBACK => UNFINISHED,
        rusqlite::ffi::SQLITE_READONLY_RECOVERY
        | rusqlite::ffi::SQLITE_READONLY_CANTINIT
        | rusqlite::ffi::SQLITE_READONLY_DIRECTORY => WAL_IN_THE_WAY,
        _ => return format!("SQLite result code {}: {code}", code.extended_code),
    };
    meaning.to_owned()
}

/// A hot journal (<https://sqlite.org/lockingv3.html> §5.1).
const UNFINISHED: &str = "a program that wrote ended in the middle of a transaction and left its `-journal` file; it is rolled back \
                          when a program that may write opens the database";
/// A write-ahead log whose index cannot be made (<https://sqlite.org/wal.html> §5).
const WAL_IN_THE_WAY: &str = "the database is in WAL mode and its `-wal` and `-shm` files cannot be made or recovered here: the \
                              adapter's user needs to be able to write in the folder, or the agency switches the database with \
                              `PRAGMA journal_mode = DELETE`";

fn reason(error: &Error, otherwise: Reason) -> Reason {
    match code(error) {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            Reason::SourceBusy
        }
        Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::PermissionDenied) => {
            Reason::SourceRefused
        }
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::NotFound
            | ErrorCode::OutOfMemory
            // Nothing is ever written: what cannot be written is a journal that has to be rolled back, or a
            // WAL index.
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure,
        ) => Reason::SourceDown,
        Some(ErrorCode::SchemaChanged) => Reason::SchemaDrift,
        _ => otherwise,
    }
}

/// Returns whether the connection must be replaced after this error.
pub(super) fn is_broken(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::SourceDown | Reason::SchemaDrift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(schema: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.db");
        Connection::open(&file).unwrap().execute_batch(schema).unwrap();
        (folder, file)
    }

    #[test]
    fn a_connection_refuses_everything_but_reading() {
        let (_folder, file) = database("CREATE TABLE person (id TEXT NOT NULL)");
        let connection = open(&file).unwrap();
        for sql in [
            "INSERT INTO person VALUES ('1')",
            "DELETE FROM person",
            "DROP TABLE person",
            "CREATE TEMP TABLE x (a)",
            "ATTACH DATABASE ':memory:' AS x",
            "PRAGMA query_only = 0",
            "PRAGMA table_info(person)",
            "SELECT * FROM sqlite_schema",
            "SELECT load_extension('x')",
            "SELECT \"not_a_column\" FROM person",
            "BEGIN",
        ] {
            assert!(connection.prepare(sql).and_then(|mut s| s.raw_execute()).is_err(), "{sql}");
        }
        assert!(connection.prepare("SELECT id FROM person").is_ok());
    }

    #[test]
    fn a_connection_needs_no_file_for_a_large_sort() {
        let (_folder, file) = database("CREATE TABLE person (id TEXT NOT NULL)");
        let mut connection = open(&file).unwrap();
        connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).unwrap();
        let store: i64 = connection.query_row("PRAGMA temp_store", [], |row| row.get(0)).unwrap();
        assert_eq!(store, 2, "MEMORY");
    }

    #[test]
    fn files_that_are_no_database_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.db");
        assert!(probe(&file).unwrap_err().contains("x.db` cannot be read"));
        std::fs::write(&file, "").unwrap();
        assert!(probe(&file).unwrap_err().contains("is empty"));
        std::fs::write(&file, "not a database, but long enough to have a header".repeat(100)).unwrap();
        assert!(probe(&file).unwrap_err().contains("is not an SQLite database"));
        assert!(probe(folder.path()).unwrap_err().contains("is not a file"));
    }
}
