//! A connection that can only read: the file opened read-only, `query_only`, an authorizer that allows reads and nothing
//! else, and no extensions, attached files or writable schema. Also what SQLite says about a statement, and what its errors
//! mean on the bus.

use std::path::Path;
use std::time::Duration;

use chapar_model::Reason;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use crate::source::{Column, Described, Failure, Family};

/// Prepared statements kept per connection; one per method and grant in use.
const PREPARED: usize = 256;
/// How long a statement waits for a writer's lock.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);

/// Opens `file` for reading only.
pub(super) fn open(file: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(LOCK_PATIENCE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.pragma_update(None, "query_only", true)?;
    // Reading the schema proves that the file is a database, and which kind of fault it has if it is not.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    connection.authorizer(Some(authorize))?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

fn authorize(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Read { table_name, .. } if !table_name.starts_with("sqlite_") => Authorization::Allow,
        AuthAction::Function { function_name } if !matches!(function_name, "load_extension" | "fts3_tokenizer") => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

/// Opens and closes `file`; the error is a sentence for the operator.
pub(super) fn probe(file: &Path) -> Result<(), String> {
    let name = file.display();
    match std::fs::metadata(file) {
        Err(error) => return Err(format!("database `{name}` cannot be read: {error}")),
        Ok(metadata) if !metadata.is_file() => return Err(format!("database `{name}` is not a file")),
        Ok(metadata) if metadata.len() == 0 => return Err(format!("database `{name}` is empty")),
        Ok(_) => {}
    }
    open(file).map(drop).map_err(|error| match code(&error) {
        Some(ErrorCode::NotADatabase) => format!("`{name}` is not an SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => format!("database `{name}` is corrupt: {error}"),
        _ => format!("database `{name}` cannot be opened: {error}"),
    })
}

/// Prepares `sql` and says what it would give.
pub(super) fn describe(file: &Path, sql: &str) -> Result<Described, Failure> {
    let connection = open(file).map_err(|error| failure_at_start(&error))?;
    let statement = connection.prepare(sql).map_err(|error| failure_at_start(&error))?;
    if !statement.readonly() {
        return Err(Failure::new(Reason::SourceRefused, "the statement writes"));
    }
    let columns = statement.columns().enumerate().map(|(index, column)| {
        let metadata = statement.column_metadata(index).ok().flatten();
        Column {
            name: column.name().to_owned(),
            declared: column.decl_type().map(str::to_owned),
            family: column.decl_type().map_or(Family::Unknown, family),
            nullable: metadata.map(|(.., not_null, primary_key, _)| !not_null && !primary_key),
        }
    });
    let columns = columns.collect();
    let name = |index| statement.parameter_name(index).unwrap_or("?").trim_start_matches(':').to_owned();
    let parameters = (1..=statement.parameter_count()).map(name).collect();
    Ok(Described { columns, parameters })
}

/// The affinity of a declared type (<https://sqlite.org/datatype3.html> §3.1).
fn family(declared: &str) -> Family {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    match () {
        () if has(&["INT"]) => Family::Integer,
        () if has(&["CHAR", "CLOB", "TEXT"]) => Family::Text,
        () if has(&["BLOB"]) || declared.is_empty() => Family::Blob,
        () if has(&["REAL", "FLOA", "DOUB"]) => Family::Real,
        () => Family::Numeric,
    }
}

fn code(error: &Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

/// Nothing is bound while a statement is prepared, so SQLite's own words can be shown to the operator.
pub(super) fn failure_at_start(error: &Error) -> Failure {
    let message = match error {
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    Failure::new(reason(error, Reason::SchemaDrift), message)
}

/// While a statement runs, SQLite's words may quote a value: only its code is kept.
pub(super) fn failure_of_run(error: &Error) -> Failure {
    let code = match error {
        Error::SqliteFailure(code, _) => code.extended_code,
        _ => 0,
    };
    Failure::new(reason(error, Reason::SourceRefused), format!("SQLite result code {code}"))
}

fn reason(error: &Error, otherwise: Reason) -> Reason {
    match code(error) {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            Reason::SourceBusy
        }
        Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            Reason::SourceRefused
        }
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::NotFound
            | ErrorCode::OutOfMemory
            | ErrorCode::SystemIoFailure,
        ) => Reason::SourceDown,
        Some(ErrorCode::SchemaChanged) => Reason::SchemaDrift,
        _ => otherwise,
    }
}

/// Whether the connection should be made anew after this error.
pub(super) fn is_broken(failure: &Failure) -> bool {
    failure.reason == Reason::SourceDown
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
    fn a_description_names_columns_types_nullability_and_parameters() {
        let (_folder, file) = database("CREATE TABLE p (id TEXT PRIMARY KEY, a INTEGER NOT NULL, b DATE)");
        let described = describe(&file, "SELECT id, a, b, a + 1 AS c FROM p WHERE id = :id AND a > :least").unwrap();
        let columns: Vec<_> = described.columns.iter().map(|c| (c.name.as_str(), c.family, c.nullable)).collect();
        assert_eq!(
            columns,
            [
                ("id", Family::Text, Some(false)),
                ("a", Family::Integer, Some(false)),
                ("b", Family::Numeric, Some(true)),
                ("c", Family::Unknown, None)
            ]
        );
        assert_eq!(described.parameters, ["id", "least"]);
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
