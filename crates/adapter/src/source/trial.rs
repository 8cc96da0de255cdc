//! This module tries a statement out on a database server: it runs as a call would, with made-up values, and
//! its rows are thrown away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_model::Reason;

use super::row_buffer::BATCH_BYTES;
use super::{Failure, Parameter, Query, Reading, Row, RowBuffer, RowSink, Source, Tried};

/// Maximum time for trying out a statement.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes a whole batch of every row, so that the first one ends the trial.
struct Discard;

impl RowSink for Discard {
    fn write(&self, _: &dyn Row, _: Option<&str>, out: &mut RowBuffer) -> Result<(), Failure> {
        out.bytes.resize(BATCH_BYTES, 0);
        Ok(())
    }
}

/// Runs `sql` with `values` until its first rows.
///
/// # Errors
/// What a call would fail with.
pub(super) async fn try_out(source: &dyn Source, sql: &str, values: &[Parameter]) -> Result<Tried, Failure> {
    match run(source, sql, values.to_vec()).await {
        Ok(()) => Ok(Tried::Ran),
        Err(failure) if failure.reason == Reason::SourceTimeout => Ok(Tried::Slow),
        // A function or a type may refuse a made-up value and take a real one; none refuses NULL for what it
        // is.
        Err(failure) if matches!(failure.reason, Reason::FieldInvalid | Reason::SourceRefused) => {
            let nulls = vec![Parameter::Null; values.len()];
            match run(source, sql, nulls).await {
                Ok(()) => Ok(Tried::RefusesTheSample(failure.detail.into_owned())),
                Err(late) if late.reason == Reason::SourceTimeout => Ok(Tried::Slow),
                Err(other) => Err(other),
            }
        }
        Err(failure) => Err(failure),
    }
}

async fn run(source: &dyn Source, sql: &str, parameters: Vec<Parameter>) -> Result<(), Failure> {
    // One batch is enough: it proves that the statement runs, and a trial must not read a whole table.
    source.run(query(sql, parameters)).await?.next().await.map(drop)
}

/// A query that throws its rows away.
pub(super) fn query(sql: &str, parameters: Vec<Parameter>) -> Query {
    // Every value counts as a field's here: a row scope's value would be bound as NULL where it does not fit.
    let fields = parameters.iter().map(|_| Some(Arc::from("value"))).collect();
    Query { sql: sql.into(), parameters, fields, reading: reading() }
}

/// The reading of a trial: it throws the rows away.
pub(crate) fn reading() -> Reading {
    Reading {
        sink: Arc::new(Discard),
        subject: None,
        most: u64::MAX,
        excess: Reason::TooManyRows,
        reader_waits: true,
        deadline: Instant::now() + TRIAL_TIMEOUT,
        late: Reason::SourceTimeout,
    }
}
