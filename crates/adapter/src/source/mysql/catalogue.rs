//! This module reads the `information_schema` of MariaDB and MySQL. Of its tables only those are asked that
//! show a role which only reads what it may read; names are compared here, because theirs ignores case.

use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use super::failure;
use crate::source::Failure;
use crate::source::catalogue::{Catalogue, Field, Kind, Reference, Relation, grouped, values_of_check};

const RELATIONS: &str = "SELECT TABLE_NAME, CASE WHEN TABLE_TYPE <> 'VIEW' THEN NULLIF(TABLE_COMMENT, '') END
    FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME";
const COLUMNS: &str =
    "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, IS_NULLABLE = 'YES', NULLIF(COLUMN_COMMENT, '')
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND FIND_IN_SET('select', PRIVILEGES) > 0
    ORDER BY TABLE_NAME, ORDINAL_POSITION";
/// Unique keys; an index on a part of a column identifies no row.
const KEYS: &str =
    "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART IS NOT NULL FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = DATABASE() AND NON_UNIQUE = 0
    ORDER BY TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX";
const REFERENCES: &str = "SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME
    FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL
    ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION";
/// Empty for a role that may not read the whole database; then no enum is guessed from a condition.
const CHECKS: &str = "SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
    WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY TABLE_NAME, CONSTRAINT_NAME";

/// Reads everything that the role may read.
pub(super) async fn read(conn: &mut Conn) -> Result<Catalogue, Failure> {
    let failed = |error: mysql_async::Error| failure::at_start(&error);
    let rows: Vec<(String, Option<String>)> = conn.query(RELATIONS).await.map_err(failed)?;
    let relation = |(name, comment)| Relation { name, comment, ..Relation::default() };
    let mut relations: Vec<Relation> = rows.into_iter().map(relation).collect();
    let rows: Vec<(String, String, String, String, bool, Option<String>)> =
        conn.query(COLUMNS).await.map_err(failed)?;
    for (table, name, declared, word, nullable, comment) in rows {
        if let Some(relation) = relations.iter_mut().find(|relation| relation.name == table) {
            let kind = kind(&declared, &word);
            relation.columns.push(Field { name, declared, kind, nullable, comment });
        }
    }
    let rows: Vec<(String, String, String, bool)> = conn.query(KEYS).await.map_err(failed)?;
    let partial: Vec<(String, String)> = rows
        .iter()
        .filter(|(.., is_part)| *is_part)
        .map(|(table, index, ..)| (table.clone(), index.clone()))
        .collect();
    for (table, index, columns) in
        grouped(rows.into_iter().map(|(table, index, column, _)| (table, index, column)))
    {
        if let Some(relation) = relations.iter_mut().find(|relation| relation.name == table)
            && !partial.contains(&(table, index))
        {
            relation.keys.push(columns);
        }
    }
    let rows: Vec<(String, String, String, String)> = conn.query(REFERENCES).await.map_err(failed)?;
    for relation in &mut relations {
        let own = rows.iter().filter(|(table, ..)| *table == relation.name);
        let own = own.map(|(_, name, column, other)| (other.clone(), name.clone(), column.clone()));
        relation.references =
            grouped(own).into_iter().map(|(table, _, columns)| Reference { columns, table }).collect();
    }
    // MySQL's own table of conditions has no name of the table: then none is read.
    let rows: Vec<(String, String)> = conn.query(CHECKS).await.unwrap_or_default();
    for (table, expression) in rows {
        let Some(values) = values_of_check(&expression) else { continue };
        let relation = relations.iter_mut().find(|relation| relation.name == table);
        // The condition is on the column whose name it begins with.
        let column = relation.and_then(|relation| {
            let is_meant = |column: &&mut Field| {
                column.kind == Kind::Text && expression.contains(&format!("`{}`", column.name))
            };
            relation.columns.iter_mut().find(is_meant)
        });
        if let Some(column) = column {
            column.kind = Kind::Enum(values);
        }
    }
    relations.retain(|relation| !relation.columns.is_empty());
    Ok(Catalogue { relations })
}

fn kind(declared: &str, word: &str) -> Kind {
    let is_unsigned = declared.contains("unsigned");
    match word {
        "tinyint" if declared.starts_with("tinyint(1)") => Kind::Bool,
        "bit" if declared == "bit(1)" => Kind::Bool,
        "int" if is_unsigned => Kind::Uint32,
        "tinyint" | "smallint" | "mediumint" | "int" | "year" => Kind::Int32,
        "bigint" if is_unsigned => Kind::Uint64,
        "bigint" | "bit" => Kind::Int64,
        "float" | "double" => Kind::Double,
        "decimal" => Kind::Decimal,
        "enum" => enum_of(declared).map_or(Kind::Text, Kind::Enum),
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "set" | "uuid" | "inet4"
        | "inet6" | "json" => Kind::Text,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Blob,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "datetime" => Kind::DateTime,
        "timestamp" => Kind::Timestamp,
        _ => Kind::Other,
    }
}

/// The names of `enum('a','b')`, in which quotes are doubled.
fn enum_of(declared: &str) -> Option<Vec<String>> {
    let inside = declared.strip_prefix("enum(")?.strip_suffix(')')?;
    let inside = inside.strip_prefix('\'')?.strip_suffix('\'')?;
    Some(inside.split("','").map(|name| name.replace("''", "'")).collect())
}
