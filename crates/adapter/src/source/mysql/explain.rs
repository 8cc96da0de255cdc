//! This module asks MariaDB or MySQL how it would run a statement (`EXPLAIN`), and finds large tables that it
//! would read as a whole.

use mysql_async::Row;
use mysql_async::prelude::Queryable as _;

use super::connect::Connector;
use super::failure;
use super::run::bound;
use crate::source::server::Pooled;
use crate::source::{Failure, FullScan, LARGE_TABLE, Parameter, trial};

/// Large tables that the statement would read as a whole.
pub(super) async fn full_scans(
    pool: &Pooled<Connector>,
    sql: &str,
    values: &[Parameter],
) -> Result<Vec<FullScan>, Failure> {
    let mut connection = pool.connection().await?;
    let query = trial::query(sql, values.to_vec());
    let rows: Vec<Row> = connection
        .conn
        .exec(format!("EXPLAIN {sql}"), bound(&query)?)
        .await
        .map_err(|error| failure::at_start(&error))?;
    pool.give_back(connection);
    let scan = |row: &Row| {
        let text = |name: &str| row.get_opt::<String, _>(name).and_then(Result::ok);
        let rows = row.get_opt::<u64, _>("rows").and_then(Result::ok).unwrap_or_default();
        // A derived table, whose name is in angle brackets, is not one of the agency's.
        let table = text("table").filter(|table| !table.starts_with('<'))?;
        (text("type").as_deref() == Some("ALL") && rows >= LARGE_TABLE).then_some(FullScan { table, rows })
    };
    Ok(rows.iter().filter_map(scan).collect())
}
