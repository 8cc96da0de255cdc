//! This module asks PostgreSQL for the plan of a statement (`EXPLAIN (FORMAT JSON)`), and finds large tables
//! that it would read as a whole.

use std::pin::pin;

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio_postgres::types::Json;

use super::bind::bound;
use super::connect::Connector;
use super::failure;
use crate::source::server::Pooled;
use crate::source::{Failure, FullScan, LARGE_TABLE, Parameter, trial};

/// Large tables that the statement would read as a whole.
pub(super) async fn full_scans(
    pool: &Pooled<Connector>,
    sql: &str,
    values: &[Parameter],
) -> Result<Vec<FullScan>, Failure> {
    // Behind a pooler the types of placeholders are not known, and a plan without them would be another one.
    if pool.engine.begin.is_some() {
        return Ok(Vec::new());
    }
    let connection = pool.connection().await?;
    let failed = |error: tokio_postgres::Error| failure::at_start(&error, &pool.engine.user);
    let statement =
        connection.client.prepare(&format!("EXPLAIN (FORMAT JSON) {sql}")).await.map_err(failed)?;
    let query = trial::query(sql, values.to_vec());
    let parameters = bound(&query, statement.params(), true).map_err(super::bind::Misfit::failure)?;
    let rows = connection.client.query_raw(&statement, parameters).await.map_err(failed)?;
    let mut rows = pin!(rows);
    let mut scans = Vec::new();
    while let Some(row) = rows.next().await {
        let Json(plan): Json<Value> = row.map_err(failed)?.try_get(0).map_err(failed)?;
        find(&plan, &mut scans);
    }
    pool.give_back(connection);
    Ok(scans)
}

/// Sequential scans anywhere in a plan.
fn find(plan: &Value, scans: &mut Vec<FullScan>) {
    match plan {
        Value::Array(plans) => plans.iter().for_each(|plan| find(plan, scans)),
        Value::Object(node) => {
            let text = |name: &str| node.get(name).and_then(Value::as_str);
            // The rows that are read are those before the filter, and the plan tells only those after it; its
            // cost counts each page and row that is read (PostgreSQL 15 documentation, §14.1).
            let cost = node.get("Total Cost").and_then(Value::as_f64).unwrap_or_default();
            if text("Node Type") == Some("Seq Scan")
                && let Some(table) = text("Relation Name")
                && cost >= COST_OF_A_LARGE_TABLE
            {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
                let rows = (cost / COST_OF_A_LARGE_TABLE * LARGE_TABLE as f64) as u64;
                scans.push(FullScan { table: table.to_owned(), rows });
            }
            node.values().for_each(|inner| find(inner, scans));
        }
        _ => {}
    }
}

/// What a plan says a sequential scan of `LARGE_TABLE` rows of 100 bytes costs, with one condition: 130 pages
/// at `seq_page_cost` 1, and `cpu_tuple_cost` 0.01 and `cpu_operator_cost` 0.0025 a row.
const COST_OF_A_LARGE_TABLE: f64 = 255.0;
