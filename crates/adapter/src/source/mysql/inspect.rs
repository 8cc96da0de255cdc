//! This module asks the live server about a statement before it is served: its columns, their types and
//! nullability, and whether it calls a function that does more than read. It also samples a column.

use std::time::Duration;

use chapar_model::Reason;
use mysql_async::Params;
use mysql_async::consts::ColumnFlags;
use mysql_async::prelude::Queryable as _;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::cell::{CellReader, MysqlRow};
use super::connect::{Connection, Connector};
use super::failure;
use crate::dialect::Dialect;
use crate::source::server::Pooled;
use crate::source::{Column, Described, Failure, Look, Row as _, TableColumn};

/// Maximum time for sampling a column.
const INSPECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// Functions that hold a session up, lock, read files, change a sequence, or tell or set what an earlier call
/// left on the session, in a SELECT that needs no right for it.
const HARMFUL: &[&str] = &[
    "benchmark",
    "found_rows",
    "get_lock",
    "is_free_lock",
    "last_insert_id",
    "lastval",
    "load_file",
    "master_gtid_wait",
    "master_pos_wait",
    "nextval",
    "release_all_locks",
    "release_lock",
    "row_count",
    "setval",
    "sleep",
    "source_pos_wait",
    "sys_eval",
    "sys_exec",
];

/// Prepares `sql` and describes its result.
pub(super) async fn describe(pool: &Pooled<Connector>, sql: &str) -> Result<Described, Failure> {
    if let Some(name) = harmful(sql) {
        let text = format!("it calls `{name}`, which does more than read");
        return Err(Failure::new(Reason::SourceRefused, text));
    }
    let mut connection = pool.connection().await?;
    let described = described(&mut connection, sql).await;
    pool.give_back(connection);
    described
}

async fn described(connection: &mut Connection, sql: &str) -> Result<Described, Failure> {
    let statement = connection.conn.prep(sql).await.map_err(|error| failure::at_start(&error))?;
    let columns = statement.columns();
    let columns = columns.iter().map(|column| {
        let reader = CellReader::of(column);
        let family = reader.family();
        // A column of a view or a derived table also names the table behind it, if there is one.
        let is_of_table = !column.org_table_ref().is_empty() && !column.org_name_ref().is_empty();
        Column {
            name: column.name_str().into_owned(),
            declared: Some(reader.declared().to_owned()),
            family,
            nullable: is_of_table.then(|| !column.flags().contains(ColumnFlags::NOT_NULL_FLAG)),
            origin: is_of_table.then(|| TableColumn {
                schema: Some(column.schema_str().into_owned()).filter(|schema| !schema.is_empty()),
                table: column.org_table_str().into_owned(),
                column: column.org_name_str().into_owned(),
                family,
            }),
        }
    });
    let columns: Vec<Column> = columns.collect();
    connection.conn.close(statement).await.map_err(|error| failure::at_start(&error))?;
    let reads = columns.iter().filter_map(|column| column.origin.clone()).collect();
    Ok(Described { columns, parameters: None, reads, aggregate: None })
}

/// A function of the list that the statement calls.
fn harmful(sql: &str) -> Option<String> {
    // A statement that cannot be read as tokens has been refused before.
    let tokens = Tokenizer::new(Dialect::Mysql.parser(), sql).tokenize().unwrap_or_default();
    let told: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    told.windows(2).find_map(|pair| match pair {
        [Token::Word(word), Token::LParen] => {
            let name = word.value.to_lowercase();
            HARMFUL.contains(&name.as_str()).then_some(name)
        }
        _ => None,
    })
}

/// Shows `look` the values of one column, in the table's own order, at most `most` of them. Fewer if that
/// takes too long.
pub(super) async fn sample(
    pool: &Pooled<Connector>,
    column: &TableColumn,
    most: u64,
    look: Look<'_>,
) -> Result<(), Failure> {
    let sql = column.sample_statement(Dialect::Mysql, most);
    let mut connection = pool.connection().await?;
    let failed = |error: mysql_async::Error| failure::at_start(&error);
    let reading = async {
        let mut rows = connection.conn.exec_iter(sql, Params::Empty).await.map_err(failed)?;
        while let Some(row) = rows.next().await.map_err(failed)? {
            look(MysqlRow::new(&row).cell(0));
        }
        Ok(())
    };
    match tokio::time::timeout(INSPECTION_TIMEOUT, reading).await {
        Ok(read) => {
            pool.give_back(connection);
            read
        }
        // Running out of time is not an error here: what was seen until then is still a sample. The
        // connection is dropped with its statement.
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_does_more_than_read_is_found_by_its_name() {
        assert_eq!(harmful("SELECT a FROM t WHERE Sleep (5) = 0").as_deref(), Some("sleep"));
        assert_eq!(harmful("SELECT `GET_LOCK`('a', 1)").as_deref(), Some("get_lock"));
        assert_eq!(harmful("SELECT sleep, 'sleep(1)' FROM t -- sleep(1)"), None);
    }
}
