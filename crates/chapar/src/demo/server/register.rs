//! `Register` reads one of the demo's SQLite files table by table, to copy it to a server.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::Error;

/// One register's file.
pub(super) struct Register {
    pub(super) name: &'static str,
    path: PathBuf,
    connection: Connection,
    pub(super) tables: Vec<Table>,
    /// `CREATE INDEX` statements, as SQLite has them.
    pub(super) indexes: Vec<String>,
}

/// One table.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: u64,
}

/// One column.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) required: bool,
}

/// What a column stores.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Integer,
    Real,
    Text,
}

impl Register {
    pub(super) fn open(name: &'static str, path: &Path) -> Result<Self, Error> {
        let read = || -> rusqlite::Result<Self> {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let of = |sql: &str| -> rusqlite::Result<Vec<String>> {
                connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
            };
            let names = of("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")?;
            let indexes = of("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")?;
            let tables = names.into_iter().map(|name| table(&connection, name)).collect::<Result<_, _>>()?;
            Ok(Self { name, path: path.to_owned(), connection, tables, indexes })
        };
        read().map_err(|source| Error::Rows { path: path.to_owned(), source })
    }

    pub(super) fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// The rows after the one with this rowid, each written by `write`: at most 2,000, and the last one's
    /// rowid. Nothing if there are none.
    pub(super) fn chunk(
        &self,
        table: &Table,
        after: i64,
        write: impl Fn(&mut String, &[ValueRef<'_>]),
    ) -> Result<Option<Chunk>, Error> {
        let read = || -> rusqlite::Result<Option<Chunk>> {
            let sql =
                format!("SELECT rowid, * FROM \"{}\" WHERE rowid > ?1 ORDER BY rowid LIMIT 2000", table.name);
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query([after])?;
            let mut chunk = Chunk { text: String::new(), rows: 0, last: after };
            while let Some(row) = rows.next()? {
                let values: Result<Vec<ValueRef<'_>>, _> =
                    (1..=table.columns.len()).map(|index| row.get_ref(index)).collect();
                write(&mut chunk.text, &values?);
                chunk.rows += 1;
                chunk.last = row.get(0)?;
            }
            Ok((chunk.rows > 0).then_some(chunk))
        };
        read().map_err(|source| Error::Rows { path: self.path.clone(), source })
    }
}

/// Some rows as text.
pub(super) struct Chunk {
    pub(super) text: String,
    pub(super) rows: u64,
    /// The last row's rowid.
    pub(super) last: i64,
}

fn table(connection: &Connection, name: String) -> rusqlite::Result<Table> {
    let mut statement =
        connection.prepare("SELECT name, type, \"notnull\" FROM pragma_table_info(?1) ORDER BY cid")?;
    let columns = statement.query_map([&name], |row| {
        let declared: String = row.get(1)?;
        let kind = match declared.as_str() {
            "INTEGER" => Kind::Integer,
            "REAL" => Kind::Real,
            _ => Kind::Text,
        };
        Ok(Column { name: row.get(0)?, kind, required: row.get(2)? })
    })?;
    let columns = columns.collect::<rusqlite::Result<_>>()?;
    let count = format!("SELECT count(*) FROM \"{name}\"");
    let rows: i64 = connection.query_row(&count, [], |row| row.get(0))?;
    Ok(Table { name, columns, rows: rows.unsigned_abs() })
}
