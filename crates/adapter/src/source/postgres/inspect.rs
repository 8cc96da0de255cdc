//! This module asks the live server about a statement before it is served: its columns, their types and
//! nullability, and whether it calls a function that may do more than read. It also samples a column.

use std::pin::pin;
use std::time::Duration;

use chapar_model::Reason;
use futures_util::StreamExt as _;
use sqlparser::tokenizer::{Token, Tokenizer};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Client, Statement};

use super::cell::{CellReader, PgRow};
use super::connect::{Connection, Connector};
use super::failure;
use crate::dialect::Dialect;
use crate::source::server::Pooled;
use crate::source::{Column, Described, Failure, Family, Look, Row as _, TableColumn};

/// Maximum time for sampling a column.
const INSPECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// Volatile functions that only read a clock or a source of random numbers.
const HARMLESS: &[&str] =
    &["clock_timestamp", "gen_random_uuid", "random", "statement_timestamp", "timeofday"];

/// Functions that run a query or read a table which a text names.
const READS_BY_NAME: &[&str] = &[
    "connectby",
    "crosstab",
    "cursor_to_xml",
    "database_to_xml",
    "dblink",
    "query_to_xml",
    "schema_to_xml",
    "table_to_xml",
    "ts_stat",
    "xpath_table",
];
/// How many names of statements are tried behind a pooler.
const MOST_NAMES: usize = 100;

/// Names of tables and columns, and whether the columns take NULL.
const ORIGINS: &str =
    "SELECT c.oid, a.attnum, n.nspname::text, c.relname::text, a.attname::text, a.attnotnull
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attrelid = ANY ($1)";
/// Aggregates among functions of these names.
const AGGREGATES: &str =
    "SELECT DISTINCT proname::text FROM pg_proc WHERE proname::text = ANY ($1) AND prokind = 'a'";
/// Volatile functions among those of these names (PostgreSQL 15 documentation, §38.7).
const VOLATILE: &str = "SELECT DISTINCT proname::text FROM pg_proc
    WHERE proname::text = ANY ($1) AND provolatile = 'v' AND NOT proname::text = ANY ($2)";

/// Prepares `sql` and describes its result.
pub(super) async fn describe(pool: &Pooled<Connector>, sql: &str) -> Result<Described, Failure> {
    if let Some(place) = ["U&\"", "u&\""].iter().filter_map(|open| sql.find(open)).min() {
        let text =
            format!("a name in Unicode escapes (at byte {place}) hides what it names: write the name itself");
        return Err(Failure::new(Reason::SourceRefused, text));
    }
    let connection = pool.connection().await?;
    let described = in_transaction(pool, &connection, described(pool, &connection, sql)).await;
    pool.give_back(connection);
    described
}

/// Behind a pooler, settings hold within a transaction only.
async fn in_transaction<T>(
    pool: &Pooled<Connector>,
    connection: &Connection,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(begin) = &pool.engine.begin else { return work.await };
    let failed = |error: tokio_postgres::Error| failure::at_start(&error, &pool.engine.user);
    connection.client.batch_execute(begin).await.map_err(failed)?;
    let result = work.await;
    connection.client.batch_execute("ROLLBACK").await.map_err(failed)?;
    result
}

/// Prepares a statement. Behind a pooler another client may have left one of the same name on the server's
/// session (SQLSTATE 42P05); each attempt takes another name.
async fn prepare(client: &Client, sql: &str, user: &str) -> Result<Statement, Failure> {
    let mut attempts = 0;
    loop {
        match client.prepare(sql).await {
            Err(error) if attempts < MOST_NAMES && error.code() == Some(&SqlState::DUPLICATE_PSTATEMENT) => {
                attempts += 1;
            }
            other => return other.map_err(|error| failure::at_start(&error, user)),
        }
    }
}

async fn described(
    pool: &Pooled<Connector>,
    connection: &Connection,
    sql: &str,
) -> Result<Described, Failure> {
    let client = &connection.client;
    let user = pool.engine.user.as_str();
    let failed = |error: tokio_postgres::Error| failure::at_start(&error, user);
    let statement = prepare(client, sql, user).await?;
    if pool.engine.begin.is_some() {
        no_own_types(&statement)?;
    }
    let called = called(sql);
    if let Some(name) = called.iter().find(|name| READS_BY_NAME.iter().any(|other| name.starts_with(other))) {
        let text = format!("it calls `{name}`, which reads what its text names: write the query itself");
        return Err(Failure::new(Reason::SourceRefused, text));
    }
    let volatile = client
        .query_typed(VOLATILE, &[(&called, Type::TEXT_ARRAY), (&HARMLESS, Type::TEXT_ARRAY)])
        .await
        .map_err(failed)?;
    if let Some(row) = volatile.first() {
        let text = format!(
            "it calls `{}`, which PostgreSQL calls volatile: such a function may do more than read",
            row.get::<_, &str>(0)
        );
        return Err(Failure::new(Reason::SourceRefused, text));
    }
    let aggregates = client.query_typed(AGGREGATES, &[(&called, Type::TEXT_ARRAY)]).await.map_err(failed)?;
    let tables: Vec<u32> = statement.columns().iter().filter_map(tokio_postgres::Column::table_oid).collect();
    let rows = client.query_typed(ORIGINS, &[(&tables, Type::OID_ARRAY)]).await.map_err(failed)?;
    let columns = statement.columns().iter().map(|column| {
        let family = match column.type_().kind() {
            // Bytes have another form in PostgreSQL's JSON than in protobuf's.
            Kind::Array(element) if *element != Type::BYTEA => Family::Array,
            _ => CellReader::of(column.type_()).family(),
        };
        let own = rows.iter().find(|row| {
            Some(row.get::<_, u32>(0)) == column.table_oid()
                && Some(row.get::<_, i16>(1)) == column.column_id()
        });
        Column {
            name: column.name().to_owned(),
            declared: Some(declared(column.type_())),
            family,
            nullable: own.map(|row| !row.get::<_, bool>(5)),
            origin: own.map(|row| TableColumn {
                schema: Some(row.get(2)),
                table: row.get(3),
                column: row.get(4),
                family,
            }),
        }
    });
    let columns: Vec<Column> = columns.collect();
    let reads = columns.iter().filter_map(|column| column.origin.clone()).collect();
    let aggregate = aggregates.first().map(|row| row.get(0));
    Ok(Described { columns, parameters: None, reads, aggregate })
}

/// The driver asks for types of the database's own by statements that stay on the pooler's session, and would
/// be another client's there.
fn no_own_types(statement: &Statement) -> Result<(), Failure> {
    let columns = statement.columns().iter().map(tokio_postgres::Column::type_);
    let own = columns.chain(statement.params()).find(|kind| Type::from_oid(kind.oid()).is_none());
    own.map_or(Ok(()), |kind| {
        let text = format!(
            "through a pooler no type of the database's own can be used: cast `{}` to text",
            kind.name()
        );
        Err(Failure::new(Reason::SourceRefused, text))
    })
}

/// A type's name as SQL writes it.
fn declared(kind: &Type) -> String {
    match kind.kind() {
        Kind::Array(element) => format!("{}[]", element.name()),
        _ => kind.name().to_owned(),
    }
}

/// Names of functions that the statement calls, as far as its tokens show.
fn called(sql: &str) -> Vec<String> {
    // A statement that cannot be read as tokens has been refused before.
    let tokens = Tokenizer::new(Dialect::Postgres.parser(), sql).tokenize().unwrap_or_default();
    let told: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let name = |pair: &[&Token]| match pair {
        [Token::Word(word), Token::LParen] if word.quote_style.is_some() => Some(word.value.clone()),
        [Token::Word(word), Token::LParen] => Some(word.value.to_lowercase()),
        _ => None,
    };
    told.windows(2).filter_map(name).collect()
}

/// Shows `look` the values of one column, in the table's own order, at most `most` of them. Fewer if that
/// takes too long.
pub(super) async fn sample(
    pool: &Pooled<Connector>,
    column: &TableColumn,
    most: u64,
    look: Look<'_>,
) -> Result<(), Failure> {
    let sql = column.sample_statement(Dialect::Postgres, most);
    let connection = pool.connection().await?;
    let failed = |error: tokio_postgres::Error| failure::at_start(&error, &pool.engine.user);
    let reading = in_transaction(pool, &connection, async {
        let rows = connection.client.query_typed_raw(&sql, none()).await.map_err(failed)?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.next().await {
            let row = row.map_err(failed)?;
            look(PgRow::new(&row, &CellReader::of_all(row.columns())).cell(0));
        }
        Ok(())
    });
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

/// No parameters.
fn none() -> std::iter::Empty<(i32, Type)> {
    std::iter::empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_by_the_bracket_after_their_name() {
        let sql = "SELECT Lower(a), pg_catalog.set_config('a','b',false), \"Own\"(x) -- no(t)\nFROM t WHERE b IN ('z(')";
        // A keyword before a bracket is looked up too, and is the name of no function.
        assert_eq!(called(sql), ["lower", "set_config", "Own", "in"]);
    }
}
