//! `Source` is the interface between the adapter and one kind of database. A source describes a statement and
//! runs it. It hands each row to a `RowSink`, and sends the bytes of the sink in batches, in bounded memory
//! (backpressure), until the deadline or until the reader leaves. gRPC, grants, the meaning of columns and
//! the encoding of rows are left out.

pub(crate) mod sqlite;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chapar_model::Reason;
use tokio::sync::mpsc;

/// One value of a row as the database holds it, borrowed for the time of the row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// One row of a result.
pub(crate) trait Row {
    /// The value in column `index`, from 0; NULL past the last column.
    fn cell(&self, index: usize) -> Cell<'_>;
}

/// Turns rows into bytes, for one list of columns. A source hands its rows over and does not know the format.
pub(crate) trait RowSink: Send + Sync {
    /// Appends the row to `out`. `scratch` is only there to be reused.
    ///
    /// # Errors
    /// If a value does not fit, or if the row is about another subject than `subject`.
    fn write(
        &self,
        row: &dyn Row,
        subject: Option<&str>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure>;
}

/// One bound value. Its `Debug` shows the type only: it may be a citizen's.
#[derive(Clone, PartialEq)]
pub(crate) enum Parameter {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl std::fmt::Debug for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Integer(_) => "integer",
            Self::Real(_) => "real",
            Self::Text(_) => "text",
            Self::Blob(_) => "blob",
        })
    }
}

/// Why a source did not answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The reason that the caller is told.
    pub(crate) reason: Reason,
    /// The contract's path of the field that it is about.
    pub(crate) field: Option<Arc<str>>,
    /// For the operator's log: never a value, never SQL with a value.
    pub(crate) detail: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, field: None, detail: detail.into() }
    }

    pub(crate) fn of_field(reason: Reason, field: Arc<str>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, field: Some(field), detail: detail.into() }
    }
}

/// A statement as the live database understands it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// The result's columns in order.
    pub(crate) columns: Vec<Column>,
    /// Names of the placeholders, without the colon, in binding order.
    pub(crate) parameters: Vec<String>,
    /// Columns of tables that it reads anywhere.
    pub(crate) reads: Vec<TableColumn>,
}

/// A column of a table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TableColumn {
    pub(crate) table: String,
    pub(crate) column: String,
    /// What its declared type stores.
    pub(crate) family: Family,
}

/// How a statement that was tried out behaved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Tried {
    /// It ran.
    Ran,
    /// It ran until it was interrupted: it reads much, even for a value that no record has.
    Slow,
    /// It runs with NULL, and fails with the made-up value in these words; a real value may do.
    RefusesTheSample(String),
}

/// One column of a result.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Its name in the result.
    pub(crate) name: String,
    /// The declared type of the table column behind it, if it is one.
    pub(crate) declared: Option<String>,
    /// What the declared type stores.
    pub(crate) family: Family,
    /// Whether the table column behind it takes NULL; `None` for an expression.
    pub(crate) nullable: Option<bool>,
    /// The table column behind it, if it is one.
    pub(crate) origin: Option<TableColumn>,
}

/// What a column stores, as far as its declaration says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    Integer,
    Real,
    Text,
    Blob,
    /// Numbers if they look like numbers, else text.
    Numeric,
    /// An expression: known only row by row.
    Unknown,
}

/// One run of a prepared statement.
pub(crate) struct Query {
    /// The statement with its outer column list, shared by all calls under the same grant.
    pub(crate) sql: Arc<str>,
    /// In binding order.
    pub(crate) parameters: Vec<Parameter>,
    /// Encodes the rows.
    pub(crate) sink: Arc<dyn RowSink>,
    /// The subject of the request, which every row must name; `None` if rows are not compared with a subject.
    pub(crate) subject: Option<Arc<str>>,
    /// Maximum number of rows; one more ends the query with `excess`.
    pub(crate) most: u64,
    /// The reason for more rows.
    pub(crate) excess: Reason,
    /// When the statement is interrupted.
    pub(crate) deadline: Instant,
    /// The reason for a passed deadline.
    pub(crate) late: Reason,
}

impl Query {
    /// The failure of having passed the deadline.
    pub(crate) fn is_late(&self) -> Failure {
        Failure::new(self.late, "the statement ran past its deadline and was interrupted")
    }
}

/// Rows as the sink wrote them.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The rows' bytes, one after the other.
    pub(crate) bytes: Bytes,
    /// How many rows.
    pub(crate) rows: u32,
    /// Whether the result ends here.
    pub(crate) last: bool,
}

/// A running query. Dropping it interrupts the statement.
pub(crate) struct Rows(mpsc::Receiver<Result<Batch, Failure>>);

impl Rows {
    /// The next batch; an error ends the result.
    pub(crate) async fn next(&mut self) -> Result<Batch, Failure> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Batches that wait to be read.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.0.len()
    }

    /// [`Rows::next`] as a poll function, for a response body.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<Batch, Failure>> {
        let ended = || Failure::new(Reason::SourceDown, "the source ended without its last batch");
        self.0.poll_recv(context).map(|batch| batch.unwrap_or_else(|| Err(ended())))
    }
}

/// One database.
pub(crate) trait Source: Send + Sync {
    /// The value of the span attribute `db.system.name`.
    fn system(&self) -> &'static str;

    /// Prepares `sql` on the live database. Blocks; used at start.
    fn describe(&self, sql: &str) -> Result<Described, Failure>;

    /// Runs `sql` once with made-up values, under the same restrictions as a call's. Blocks, for a bounded
    /// time.
    fn try_out(&self, sql: &str, values: &[Parameter]) -> Result<Tried, Failure>;

    /// Shows `look` at most `most` values of one column. Blocks, for a bounded time.
    fn sample(&self, column: &TableColumn, most: u64, look: &mut dyn FnMut(Cell<'_>)) -> Result<(), Failure>;

    /// Takes a connection and starts the query on it.
    fn run(&self, query: Query) -> Pin<Box<dyn Future<Output = Result<Rows, Failure>> + Send + '_>>;
}
