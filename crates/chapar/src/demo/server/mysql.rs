//! This module puts a register into a database of its own on MariaDB or MySQL, by INSERTs of many rows.

use std::fmt::Write as _;

use chapar_adapter::{Endpoint, Server};
use indicatif::ProgressBar;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};
use rusqlite::types::ValueRef;

use super::register::{Column, Kind, Register, Table};
use super::{Error, name};

/// Makes the database, its account, its tables and rows.
pub(super) async fn load(
    server: &Server,
    register: &Register,
    password: &str,
    progress: &ProgressBar,
) -> Result<(), Error> {
    let mut conn = connect(server).await?;
    let own = name(register.name);
    // The name and the password are our own: letters, digits and `_`. Texts are compared by their bytes, as
    // SQLite does.
    refuse_foreign(&mut conn, &own).await?;
    for sql in [
        format!("DROP DATABASE IF EXISTS {own}"),
        format!("CREATE DATABASE {own} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
        format!("USE {own}"),
        format!("CREATE TABLE {MARK} (made BOOLEAN)"),
    ] {
        run(&mut conn, sql).await?;
    }
    // Where there is an anonymous account at `localhost`, the one at `%` would not be taken for this machine.
    for host in ["%", "localhost"] {
        for sql in [
            format!("DROP USER IF EXISTS '{own}'@'{host}'"),
            format!("CREATE USER '{own}'@'{host}' IDENTIFIED BY '{password}'"),
            format!("GRANT SELECT ON {own}.* TO '{own}'@'{host}'"),
        ] {
            run(&mut conn, sql).await?;
        }
    }
    for table in &register.tables {
        run(&mut conn, create(table)).await?;
        let mut after = i64::MIN;
        while let Some(chunk) = register.chunk(table, after, row)? {
            let rows = chunk.text.trim_end_matches(',');
            run(&mut conn, format!("INSERT INTO {} VALUES {rows}", table.name)).await?;
            progress.inc(chunk.rows);
            after = chunk.last;
        }
    }
    for index in &register.indexes {
        // MariaDB has no index on a part of the rows.
        let whole = index.split(" WHERE ").next().unwrap_or(index);
        run(&mut conn, whole.to_owned()).await?;
    }
    Ok(())
}

/// The table by which a demo knows a database that a demo has made, and without which it drops nothing.
const MARK: &str = "made_by_chapar_demo";

/// Refuses a database or an account of this name that no demo has made.
async fn refuse_foreign(conn: &mut Conn, own: &str) -> Result<(), Error> {
    let marked = format!(
        "SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{own}' AND TABLE_NAME = '{MARK}'"
    );
    let there = format!(
        "SELECT (SELECT count(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{own}')
            + (SELECT count(*) FROM mysql.user WHERE User = '{own}')"
    );
    let marked: Option<i64> = conn.query_first(marked).await.map_err(|error| said(&error))?;
    let there: Option<i64> = conn.query_first(there).await.map_err(|error| said(&error))?;
    if marked == Some(0) && there.unwrap_or_default() > 0 {
        let text =
            format!("a database or account `{own}` is there and was not made by a demo: drop it yourself");
        return Err(Error::Server(text));
    }
    Ok(())
}

async fn run(conn: &mut Conn, sql: String) -> Result<(), Error> {
    conn.query_drop(sql).await.map_err(|error| said(&error))
}

async fn connect(server: &Server) -> Result<Conn, Error> {
    let options = OptsBuilder::default().user(Some(&server.user)).prefer_socket(false);
    let mut options = match &server.endpoint {
        Endpoint::Tcp(host, port) => options.ip_or_hostname(host).tcp_port(*port),
        Endpoint::Socket(file, _) => options.socket(file.to_str()),
    };
    if let Some(file) = &server.password_file {
        let password = chapar_files::read_secret(file).map_err(|error| Error::Server(error.to_string()))?;
        options = options.pass(Some(password.trim_end()));
    }
    Conn::new(options).await.map_err(|error| said(&error))
}

fn said(error: &mysql_async::Error) -> Error {
    Error::Server(match error {
        mysql_async::Error::Server(refusal) => refusal.message.clone(),
        other => other.to_string(),
    })
}

fn create(table: &Table) -> String {
    let column = |column: &Column| {
        let kind = match column.kind {
            Kind::Integer => "BIGINT",
            Kind::Real => "DOUBLE",
            // An index takes no column without a length; the longest text of a demo is a name.
            Kind::Text => "VARCHAR(190)",
        };
        format!("`{}` {kind}{}", column.name, if column.required { " NOT NULL" } else { "" })
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    format!("CREATE TABLE {} ({})", table.name, columns.join(", "))
}

/// `(…),`: texts as hexadecimal digits, so that no letter of one can end it.
fn row(out: &mut String, values: &[ValueRef<'_>]) {
    for (index, value) in values.iter().enumerate() {
        out.push(if index == 0 { '(' } else { ',' });
        match value {
            ValueRef::Null => out.push_str("NULL"),
            ValueRef::Integer(number) => out.push_str(&number.to_string()),
            ValueRef::Real(number) => out.push_str(&number.to_string()),
            ValueRef::Text([]) | ValueRef::Blob([]) => out.push_str("''"),
            ValueRef::Text(text) | ValueRef::Blob(text) => {
                out.push_str("_utf8mb4 x'");
                for byte in *text {
                    write!(out, "{byte:02x}").ok();
                }
                out.push('\'');
            }
        }
    }
    out.push_str("),");
}
