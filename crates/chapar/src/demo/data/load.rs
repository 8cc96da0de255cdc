//! This module makes one database file: schema, rows in one transaction, then indexes. The file is written
//! under another name and renamed when all five are complete, so that a failed run leaves no partial file.
//! Journal and syncing are off, because a lost file is made again.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::Connection;

use super::{Error, REGISTERS, Register, agriculture, banking, civil, education, health};
use crate::demo::people::People;

/// Writes a register's rows and counts them.
type Write = fn(&Connection, &People) -> rusqlite::Result<u64>;

fn partial(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!(".{name}.db.partial"))
}

/// Builds one register under its temporary name.
pub(super) fn register(dir: &Path, name: &'static str, people: &People) -> Result<Register, Error> {
    let started = Instant::now();
    let path = partial(dir, name);
    remove(&path)?;
    let rows = fill(&path, name, people).map_err(|source| Error::Database { path, source })?;
    Ok(Register { name, rows, took: started.elapsed() })
}

/// Gives all five their names.
pub(super) fn publish(dir: &Path) -> Result<(), Error> {
    for name in REGISTERS {
        let path = dir.join(format!("{name}.db"));
        std::fs::rename(partial(dir, name), &path).map_err(|source| Error::File { path, source })?;
    }
    Ok(())
}

/// Removes what was begun; what cannot be removed is overwritten by the next run.
pub(super) fn discard(dir: &Path) {
    for name in REGISTERS {
        remove(&partial(dir, name)).ok();
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::File { path: path.into(), source })
        }
        _ => Ok(()),
    }
}

fn fill(path: &Path, name: &str, people: &People) -> rusqlite::Result<u64> {
    let (schema, write): (&str, Write) = match name {
        "civil" => (include_str!("../../../../../proto/civil/v1/schema.sql"), civil::write),
        "health" => (include_str!("../../../../../proto/health/v1/schema.sql"), health::write),
        "education" => (include_str!("../../../../../proto/education/v1/schema.sql"), education::write),
        "agriculture" => (include_str!("../../../../../proto/agriculture/v1/schema.sql"), agriculture::write),
        _ => (include_str!("../../../../../proto/banking/v1/schema.sql"), banking::write),
    };
    let (tables, indexes) = split(schema);
    let database = Connection::open(path)?;
    database.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -32000;",
    )?;
    database.execute_batch(tables)?;
    database.execute_batch("BEGIN")?;
    // Indexes are made after the rows, because inserting into an index row by row takes longer.
    let rows = write(&database, people)?;
    database.execute_batch(indexes)?;
    database.execute_batch("COMMIT")?;
    database.close().map_err(|(_, error)| error)?;
    Ok(rows)
}

/// A schema's tables and its indexes, which the files keep in this order.
fn split(schema: &str) -> (&str, &str) {
    let first = ["\nCREATE INDEX", "\nCREATE UNIQUE INDEX"].iter().filter_map(|word| schema.find(word)).min();
    schema.split_at(first.unwrap_or(schema.len()))
}
