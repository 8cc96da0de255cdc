//! This module reads SQLite's schema. It blocks the thread, so no call uses it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::connection::failure_at_start;
use crate::source::Failure;
use crate::source::catalogue::{Catalogue, Field, Kind, Reference, Relation, grouped};

const RELATIONS: &str =
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'view')
    AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
const COLUMNS: &str =
    "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
const PRIMARY: &str = "SELECT name FROM pragma_table_xinfo(?1) WHERE pk > 0 ORDER BY pk";
const KEYS: &str = "SELECT i.name, x.name FROM pragma_index_list(?1) AS i JOIN pragma_index_info(i.name) AS x
    WHERE i.\"unique\" AND NOT i.partial AND i.origin <> 'pk' AND x.name IS NOT NULL ORDER BY i.name, x.seqno";
const REFERENCES: &str =
    "SELECT \"table\", CAST(id AS TEXT), \"from\" FROM pragma_foreign_key_list(?1) ORDER BY id, seq";

/// Reads the schema of `file`.
pub(super) fn read(file: &Path) -> Result<Catalogue, Failure> {
    // The authorizer of calls denies these pragmas; nothing of a request comes here.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = || -> rusqlite::Result<Catalogue> {
        let connection = Connection::open_with_flags(file, flags)?;
        let names: Vec<String> = rows(&connection, RELATIONS, [], |row| row.get(0))?;
        let relations = names.into_iter().map(|name| relation(&connection, name));
        Ok(Catalogue { relations: relations.collect::<rusqlite::Result<_>>()? })
    };
    read().map_err(|error| failure_at_start(&error))
}

fn relation(connection: &Connection, name: String) -> rusqlite::Result<Relation> {
    let own = [name.as_str()];
    let columns = rows(connection, COLUMNS, own, |row| {
        let declared: String = row.get(1)?;
        let (required, key): (bool, i64) = (row.get(2)?, row.get(3)?);
        // SQLite lets NULL into a primary key; only that of the rowid takes none.
        let is_rowid = key > 0 && declared.eq_ignore_ascii_case("INTEGER");
        Ok(Field {
            name: row.get(0)?,
            kind: kind(&declared),
            declared,
            nullable: !required && !is_rowid,
            comment: None,
        })
    })?;
    let primary: Vec<String> = rows(connection, PRIMARY, own, |row| row.get(0))?;
    let mut keys = if primary.is_empty() { Vec::new() } else { vec![primary] };
    let unique = rows(connection, KEYS, own, |row| Ok((name.clone(), row.get(0)?, row.get(1)?)))?;
    keys.extend(grouped(unique.into_iter()).into_iter().map(|(.., columns)| columns));
    let references = rows(connection, REFERENCES, own, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let references =
        grouped(references.into_iter()).into_iter().map(|(table, _, columns)| Reference { columns, table });
    Ok(Relation { references: references.collect(), columns, keys, name, ..Relation::default() })
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(sql)?.query_map(parameters, read)?.collect()
}

/// By the declared type, whose affinity alone binds SQLite (<https://sqlite.org/datatype3.html> §3.1).
fn kind(declared: &str) -> Kind {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    match () {
        () if has(&["BOOL"]) => Kind::Bool,
        () if has(&["INT"]) => Kind::Int64,
        () if has(&["CHAR", "CLOB", "TEXT"]) => Kind::Text,
        () if has(&["BLOB"]) => Kind::Blob,
        () if has(&["REAL", "FLOA", "DOUB", "DEC", "NUM"]) => Kind::Double,
        () if declared == "DATE" => Kind::Date,
        () => Kind::Other,
    }
}
