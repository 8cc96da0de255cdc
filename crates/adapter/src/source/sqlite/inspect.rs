//! This module asks the live database about a statement before it is served: its columns and parameters,
//! which table columns it reads, whether it runs under the authorizer of calls, and samples of a column. It
//! blocks the thread, so no call uses it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_model::Reason;
use parking_lot::Mutex;
use rusqlite::hooks::{AuthAction, AuthContext};
use rusqlite::{Connection, Error};

use super::connection::{authorize, failure_at_start, failure_of_run, open};
use super::worker::SqliteRow;
use crate::dialect::Dialect;
use crate::source::{Cell, Column, Described, Failure, Family, Parameter, Row as _, TableColumn, Tried};

/// Maximum time for trying out a statement or sampling a column.
const INSPECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Instructions of SQLite's virtual machine between two looks at the clock.
const LOOK_EVERY: i32 = 1_000;

/// Prepares `sql` and describes its result.
pub(super) fn describe(file: &Path, sql: &str) -> Result<Described, Failure> {
    let mut connection = open(file).map_err(|error| failure_at_start(&error))?;
    let reads = Arc::new(Mutex::new(BTreeSet::new()));
    let noted = Arc::clone(&reads);
    // The authorizer is asked for each column that a statement reads, so it also tells which ones those are.
    let note = move |context: AuthContext<'_>| {
        if let AuthAction::Read { table_name, column_name } = context.action {
            noted.lock().insert((table_name.to_owned(), column_name.to_owned()));
        }
        authorize(context)
    };
    connection.authorizer(Some(note)).map_err(|error| failure_at_start(&error))?;
    let statement = connection.prepare(sql).map_err(|error| failure_at_start(&error))?;
    // SQLite is asked as well, because the parser may not know the statement (decision 0014).
    if !statement.readonly() {
        return Err(Failure::new(Reason::SourceRefused, "the statement writes"));
    }
    let columns = statement.columns().enumerate().map(|(index, column)| {
        let metadata = statement.column_metadata(index).ok().flatten();
        let family = column.decl_type().map_or(Family::Unknown, family);
        let origin = metadata.as_ref().and_then(|(_, table, name, ..)| {
            Some(TableColumn {
                schema: None,
                table: table.to_str().ok()?.to_owned(),
                column: name.to_str().ok()?.to_owned(),
                family,
            })
        });
        Column {
            name: column.name().to_owned(),
            declared: column.decl_type().map(str::to_owned),
            family,
            nullable: metadata.map(|(.., not_null, primary_key, _)| !not_null && !primary_key),
            origin,
        }
    });
    let columns = columns.collect();
    let name = |index| statement.parameter_name(index).unwrap_or("?").trim_start_matches(':').to_owned();
    let parameters = Some((1..=statement.parameter_count()).map(name).collect());
    let reads = std::mem::take(&mut *reads.lock());
    let table_column = |(table, column): (String, String)| {
        // What has no type in the schema is a view's column: the table behind it is read too.
        let (declared, ..) = connection.column_metadata(None, table.as_str(), column.as_str()).ok()?;
        let declared = declared.map(|declared| declared.to_string_lossy().into_owned()).unwrap_or_default();
        Some(TableColumn { schema: None, family: family(&declared), table, column })
    };
    let reads = reads.into_iter().filter_map(table_column).collect();
    Ok(Described { columns, parameters, reads, aggregate: None })
}

/// Runs `sql` with `values` until its first row.
///
/// # Errors
/// What a call would fail with: in the database's own words if the statement cannot be prepared. While it
/// runs, those words may quote a value of a row, so its code must do.
pub(super) fn try_out(file: &Path, sql: &str, values: &[Parameter]) -> Result<Tried, Failure> {
    let mut connection = open(file).map_err(|error| failure_at_start(&error))?;
    bound_in_time(&mut connection)?;
    let run = |values: &mut dyn Iterator<Item = &Parameter>| -> Result<Tried, Failure> {
        let mut statement = connection.prepare(sql).map_err(|error| failure_at_start(&error))?;
        for (index, value) in values.enumerate() {
            statement.raw_bind_parameter(index + 1, value).map_err(|error| failure_of_run(&error))?;
        }
        // One row is enough: it proves that the statement runs, and a trial must not read a whole table.
        match statement.raw_query().next() {
            Ok(_) => Ok(Tried::Ran),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => {
                Ok(Tried::Slow)
            }
            Err(error) if is_denied(&error) => Err(denied(&error)),
            Err(error) => Err(failure_of_run(&error)),
        }
    };
    match run(&mut values.iter()) {
        Err(failure)
            if failure.reason == Reason::SourceRefused && !failure.detail.contains(NOT_AUTHORIZED) =>
        {
            // A function may refuse a made-up value and take a real one; none refuses NULL for what it is.
            let nulls = vec![Parameter::Null; values.len()];
            run(&mut nulls.iter()).map(|_| Tried::RefusesTheSample(failure.detail.into_owned()))
        }
        tried => tried,
    }
}

/// Shows `look` the values of one column, in the table's own order, at most `most` of them. Fewer if that
/// takes too long.
pub(super) fn sample(
    file: &Path,
    column: &TableColumn,
    most: u64,
    look: &mut dyn FnMut(Cell<'_>),
) -> Result<(), Failure> {
    let mut connection = open(file).map_err(|error| failure_at_start(&error))?;
    bound_in_time(&mut connection)?;
    let sql = column.sample_statement(Dialect::Sqlite, most);
    let mut statement = connection.prepare(&sql).map_err(|error| failure_at_start(&error))?;
    let mut rows = statement.raw_query();
    loop {
        match rows.next() {
            Ok(Some(row)) => look(SqliteRow(row).cell(0)),
            Ok(None) => return Ok(()),
            // Running out of time is not an error here. What was seen until then is still a sample.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => {
                return Ok(());
            }
            Err(error) => return Err(failure_of_run(&error)),
        }
    }
}

fn bound_in_time(connection: &mut Connection) -> Result<(), Failure> {
    let end = Instant::now() + INSPECTION_TIMEOUT;
    let is_over = move || Instant::now() >= end;
    connection.progress_handler(LOOK_EVERY, Some(is_over)).map_err(|error| failure_at_start(&error))
}

/// SQLite's words for what its authorizer denied, also to a virtual table's own statements; they name no
/// value.
const NOT_AUTHORIZED: &str = "not authorized";

fn is_denied(error: &Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::AuthorizationForStatementDenied)
        || error.to_string().contains(NOT_AUTHORIZED)
}

fn denied(error: &Error) -> Failure {
    Failure { detail: NOT_AUTHORIZED.into(), ..failure_of_run(error) }
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
    fn a_description_names_columns_types_nullability_and_parameters() {
        let (_folder, file) = database("CREATE TABLE p (id TEXT PRIMARY KEY, a INTEGER NOT NULL, b DATE)");
        let described =
            describe(&file, "SELECT id, a, b, a + 1 AS c FROM p WHERE id = :id AND a > :least").unwrap();
        let columns: Vec<_> =
            described.columns.iter().map(|c| (c.name.as_str(), c.family, c.nullable)).collect();
        assert_eq!(
            columns,
            [
                ("id", Family::Text, Some(false)),
                ("a", Family::Integer, Some(false)),
                ("b", Family::Numeric, Some(true)),
                ("c", Family::Unknown, None)
            ]
        );
        assert_eq!(described.parameters.unwrap(), ["id", "least"]);
    }

    #[test]
    fn a_statement_that_fails_only_when_it_runs_is_found_by_running_it() {
        let (_folder, file) = database(
            "CREATE TABLE p (id TEXT, name TEXT); INSERT INTO p VALUES ('1', '{}');
             CREATE VIRTUAL TABLE words USING fts5(text); INSERT INTO words VALUES ('a b');",
        );
        let text = [Parameter::Text("chapar0check".to_owned())];
        for (sql, ran) in [
            ("SELECT id FROM p WHERE id = :id", true),
            ("SELECT text FROM words WHERE words MATCH :id", true),
            ("SELECT name FROM pragma_table_info('p') WHERE name <> :id", false),
            ("SELECT id FROM p WHERE name <> :id AND abs(-9223372036854775807 - 1) > 0", false),
        ] {
            assert!(describe(&file, sql).is_ok() || !ran, "{sql}");
            assert_eq!(try_out(&file, sql, &text).is_ok(), ran, "{sql}");
        }
        let picky = try_out(&file, "SELECT json_extract(:id, '$.a') AS a FROM p", &text).unwrap();
        assert!(
            matches!(picky, Tried::RefusesTheSample(ref words) if words == "malformed JSON"),
            "{picky:?}"
        );
    }

    #[test]
    fn what_a_row_holds_is_in_no_finding_and_no_log_line() {
        let (_folder, file) = database(
            "CREATE TABLE p (id TEXT, name TEXT, doc TEXT); INSERT INTO p VALUES ('1', 'Zahra-Ahmadi', '{}');",
        );
        let text = [Parameter::Text("chapar0check".to_owned())];
        let sql = "SELECT json_extract(doc, name) AS a FROM p WHERE id <> :id OR :id IS NULL";
        let told = format!("{:?}", try_out(&file, sql, &text));
        assert!(!told.contains("Zahra"), "{told}");
    }

    #[test]
    fn a_look_at_a_column_is_bounded() {
        let (_folder, file) = database("CREATE TABLE p (a); INSERT INTO p VALUES (1), ('2'), (NULL)");
        let mut seen = 0;
        let column =
            TableColumn { schema: None, table: "p".to_owned(), column: "a".to_owned(), family: Family::Blob };
        sample(&file, &column, 2, &mut |_| seen += 1).unwrap();
        assert_eq!(seen, 2);
    }
}
