//! This module puts a register into a schema of its own on PostgreSQL, by COPY.

use bytes::Bytes;
use chapar_adapter::{Endpoint, Server};
use futures_util::SinkExt as _;
use indicatif::ProgressBar;
use rusqlite::types::ValueRef;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, NoTls};

use super::register::{Column, Kind, Register, Table};
use super::{Error, name};

/// Makes the schema, its role, its tables and rows.
pub(super) async fn load(
    server: &Server,
    register: &Register,
    password: &str,
    progress: &ProgressBar,
) -> Result<(), Error> {
    let client = connect(server).await?;
    let own = name(register.name);
    let run = async |sql: String| client.batch_execute(&sql).await.map_err(|error| said(&error));
    refuse_foreign(&client, &own).await?;
    // The name and the password are our own: letters, digits and `_`.
    run(format!(
        "DROP SCHEMA IF EXISTS {own} CASCADE; CREATE SCHEMA {own}; SET search_path = {own};
         DO $$ BEGIN CREATE ROLE {own}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         ALTER ROLE {own} LOGIN PASSWORD '{password}'; GRANT USAGE ON SCHEMA {own} TO {own};
         COMMENT ON SCHEMA {own} IS '{MARK}'; COMMENT ON ROLE {own} IS '{MARK}';"
    ))
    .await?;
    for table in &register.tables {
        run(create(table)).await?;
        let sink = client.copy_in(&format!("COPY {} FROM STDIN", table.name)).await;
        let mut sink = std::pin::pin!(sink.map_err(|error| said(&error))?);
        let mut after = i64::MIN;
        while let Some(chunk) = register.chunk(table, after, line)? {
            sink.send(Bytes::from(chunk.text)).await.map_err(|error| said(&error))?;
            progress.inc(chunk.rows);
            after = chunk.last;
        }
        sink.finish().await.map_err(|error| said(&error))?;
    }
    for index in &register.indexes {
        run(index.clone()).await?;
    }
    run(format!("GRANT SELECT ON ALL TABLES IN SCHEMA {own} TO {own}; ANALYZE;")).await
}

/// What the demo says of what it has made, and without which it drops nothing.
const MARK: &str = "made by chapar demo";

/// Refuses a schema or role of this name that no demo has made.
async fn refuse_foreign(client: &Client, own: &str) -> Result<(), Error> {
    let sql = "SELECT 'the schema' FROM pg_namespace WHERE nspname = $1
            AND obj_description(oid, 'pg_namespace') IS DISTINCT FROM $2
        UNION ALL SELECT 'the role' FROM pg_roles WHERE rolname = $1
            AND shobj_description(oid, 'pg_authid') IS DISTINCT FROM $2";
    let foreign = client.query_typed(sql, &[(&own, Type::TEXT), (&MARK, Type::TEXT)]).await;
    match foreign.map_err(|error| said(&error))?.first() {
        Some(row) => {
            let what: &str = row.get(0);
            Err(Error::Server(format!(
                "{what} `{own}` is there and was not made by a demo: rename or drop it yourself"
            )))
        }
        None => Ok(()),
    }
}

async fn connect(server: &Server) -> Result<Client, Error> {
    let mut config = Config::new();
    match &server.endpoint {
        Endpoint::Tcp(host, port) => config.host(host).port(*port),
        Endpoint::Socket(folder, port) => config.host_path(folder).port(*port),
    };
    config.user(&server.user).dbname(&server.database).application_name("chapar-demo");
    if let Some(file) = &server.password_file {
        let password = chapar_files::read_secret(file).map_err(|error| Error::Server(error.to_string()))?;
        config.password(password.trim_end());
    }
    let (client, connection) = config.connect(NoTls).await.map_err(|error| said(&error))?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

fn said(error: &tokio_postgres::Error) -> Error {
    Error::Server(match error.as_db_error() {
        Some(refusal) => refusal.message().to_owned(),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    })
}

fn create(table: &Table) -> String {
    let column = |column: &Column| {
        let kind = match column.kind {
            Kind::Integer => "BIGINT",
            Kind::Real => "DOUBLE PRECISION",
            Kind::Text => "TEXT",
        };
        format!("\"{}\" {kind}{}", column.name, if column.required { " NOT NULL" } else { "" })
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    format!("CREATE TABLE {} ({})", table.name, columns.join(", "))
}

/// A line of COPY's text format (PostgreSQL 15 documentation, COPY).
fn line(out: &mut String, values: &[ValueRef<'_>]) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push('\t');
        }
        match value {
            ValueRef::Null => out.push_str("\\N"),
            ValueRef::Integer(number) => out.push_str(&number.to_string()),
            ValueRef::Real(number) => out.push_str(&number.to_string()),
            ValueRef::Text(text) | ValueRef::Blob(text) => {
                for letter in String::from_utf8_lossy(text).chars() {
                    match letter {
                        '\\' => out.push_str("\\\\"),
                        '\t' => out.push_str("\\t"),
                        '\n' => out.push_str("\\n"),
                        '\r' => out.push_str("\\r"),
                        other => out.push(other),
                    }
                }
            }
        }
    }
    out.push('\n');
}
