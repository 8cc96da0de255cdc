//! `Source` is the interface between the adapter and one kind of database. A source describes a statement and
//! runs it. It hands each row to a `RowSink`, and sends the bytes of the sink in batches, in bounded memory
//! (backpressure), until the deadline or until the reader leaves. gRPC, grants, the meaning of columns and
//! the encoding of rows are left out.

pub(crate) mod catalogue;
pub(crate) mod connection_slots;
pub(crate) mod mysql;
pub(crate) mod outage;
pub(crate) mod output;
pub(crate) mod postgres;
mod row_buffer;
mod rows;
mod server;
pub(crate) mod sqlite;
pub(crate) mod tls;
pub(crate) mod trial;

#[cfg(test)]
pub(crate) use self::output::WAITING_BATCHES;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use chapar_model::Reason;
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp};

use self::catalogue::Catalogue;
pub(crate) use self::row_buffer::{Absent, RowBuffer};
pub(crate) use self::rows::{Batch, Rows};
use crate::dialect::Dialect;

/// One value of a row as the database holds it, borrowed for the time of the row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Real(f64),
    /// A number of exact decimal digits, as text: sign, digits, and a point with a fraction.
    Decimal(&'a str),
    /// Text in UTF-8, if the database keeps its promise.
    Text(&'a [u8]),
    Blob(&'a [u8]),
    Date(Date),
    /// A time of day without a day.
    Time(Time),
    /// Day and time without a time zone.
    DateTime(DateTime),
    /// A moment.
    Timestamp(Timestamp),
    /// A length of time.
    Duration(SignedDuration),
    /// A value that no field can hold, such as the date `infinity`; and what it is.
    Unreadable(&'static str),
}

/// One row of a result. Its columns are those of the statement that gives it.
pub(crate) trait Row {
    /// The value in column `index`, from 0; NULL past the last column.
    fn cell(&self, index: usize) -> Cell<'_>;
}

/// Turns rows into bytes, for one list of columns. A source hands its rows over and does not know the format.
pub(crate) trait RowSink: Send + Sync {
    /// Appends the row to `out`.
    ///
    /// # Errors
    /// If a value does not fit, or if the row is about another subject than `subject`.
    fn write(&self, row: &dyn Row, subject: Option<&str>, out: &mut RowBuffer) -> Result<(), Failure>;

    /// The rows so far are forgotten: the query begins again.
    fn restart(&self) {}
}

/// One bound value. Its `Debug` shows the type only: it may be a citizen's.
#[derive(Clone, PartialEq)]
pub(crate) enum Parameter {
    Null,
    Integer(i64),
    Real(f64),
    /// Also a date as `YYYY-MM-DD`.
    Text(String),
    Blob(Vec<u8>),
    /// A moment.
    Timestamp(Timestamp),
}

impl std::fmt::Debug for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Integer(_) => "integer",
            Self::Real(_) => "real",
            Self::Text(_) => "text",
            Self::Blob(_) => "blob",
            Self::Timestamp(_) => "timestamp",
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
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Described {
    /// The result's columns in order.
    pub(crate) columns: Vec<Column>,
    /// Names of the placeholders, without the colon, in binding order; `None` from a database whose
    /// placeholders have no names.
    pub(crate) parameters: Option<Vec<String>>,
    /// Columns of tables that it reads anywhere, as far as the database tells.
    pub(crate) reads: Vec<TableColumn>,
    /// A function that it calls and that the database knows as an aggregate, as far as it tells.
    pub(crate) aggregate: Option<String>,
}

/// A column of a table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TableColumn {
    /// The schema that holds the table, in databases that have several.
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
    pub(crate) column: String,
    /// What its declared type stores.
    pub(crate) family: Family,
}

impl TableColumn {
    /// A statement that reads at most `most` values, in the table's own order.
    fn sample_statement(&self, dialect: Dialect, most: u64) -> String {
        let schema = self.schema.as_deref().map(|name| format!("{}.", dialect.quoted(name)));
        let (column, table) = (dialect.quoted(&self.column), dialect.quoted(&self.table));
        format!("SELECT {column} FROM {}{table} LIMIT {most}", schema.unwrap_or_default())
    }
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

/// A large table that a statement reads as a whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FullScan {
    pub(crate) table: String,
    /// How many rows the database thinks that it has to read.
    pub(crate) rows: u64,
}

/// A table with fewer rows may as well be read as a whole.
pub(crate) const LARGE_TABLE: u64 = 10_000;

/// One column of a result.
#[derive(Clone, Debug, Eq, PartialEq)]
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
    Bool,
    Integer,
    Real,
    Decimal,
    Text,
    Blob,
    Date,
    Time,
    DateTime,
    Timestamp,
    Duration,
    /// Numbers if they look like numbers, else text (SQLite).
    Numeric,
    /// Known only row by row: an expression in SQLite.
    Unknown,
    /// An array, which a plan reads as JSON (PostgreSQL).
    Array,
    /// A type of which no field is made.
    Other,
}

/// One run of a prepared statement.
pub(crate) struct Query {
    /// The statement with its outer column list, shared by all calls under the same grant.
    pub(crate) sql: Arc<str>,
    /// In binding order.
    pub(crate) parameters: Vec<Parameter>,
    /// The request's field behind each of them; `None` for a value of a row scope.
    pub(crate) fields: Arc<[Option<Arc<str>>]>,
    pub(crate) reading: Reading,
}

/// What becomes of the rows of one call, wherever they come from.
pub(crate) struct Reading {
    /// Encodes the rows.
    pub(crate) sink: Arc<dyn RowSink>,
    /// The subject of the request, which every row must name; `None` if rows are not compared with a subject.
    pub(crate) subject: Option<Arc<str>>,
    /// Maximum number of rows; one more ends the query with `excess`.
    pub(crate) most: u64,
    /// The reason for more rows.
    pub(crate) excess: Reason,
    /// Whether the reader waits for each batch until the last. A reader that may stop reading, such as a slow
    /// client's, is not one.
    pub(crate) reader_waits: bool,
    /// When the source is interrupted.
    pub(crate) deadline: Instant,
    /// The reason for a passed deadline.
    pub(crate) late: Reason,
}

impl Reading {
    /// The failure of having passed the deadline.
    pub(crate) fn is_late(&self) -> Failure {
        Failure::new(self.late, "the source did not answer before the deadline and was interrupted")
    }
}

impl Query {
    /// Returns the failure for a bound value that the database cannot compare: the one at `number`.
    pub(crate) fn misfit(&self, number: usize, detail: &'static str) -> Failure {
        match self.fields.get(number) {
            Some(Some(field)) => Failure::of_field(Reason::FieldInvalid, Arc::clone(field), detail),
            _ => Failure::new(Reason::SourceRefused, "a row scope's value is none of its column's type"),
        }
    }
}

/// What a source has to wait for.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Is shown the values of a sampled column.
pub(crate) type Look<'a> = &'a mut (dyn FnMut(Cell<'_>) + Send);

/// One database.
pub(crate) trait Source: Send + Sync {
    /// The value of the span attribute `db.system.name` (OpenTelemetry's semantic conventions).
    fn system(&self) -> &'static str;

    /// How it writes SQL.
    fn dialect(&self) -> Dialect;

    /// Prepares `sql` on the live database. May block the thread for a bounded time, as may `try_out` and
    /// `sample`: no call uses them.
    fn describe<'a>(&'a self, sql: &'a str) -> Pending<'a, Described>;

    /// Runs `sql` once with made-up values, under the same restrictions as a call's, for a bounded time.
    fn try_out<'a>(&'a self, sql: &'a str, values: &'a [Parameter]) -> Pending<'a, Tried>;

    /// Asks how the database would run `sql` with made-up values, and gives the tables that it would read as
    /// a whole and that are large. Nothing is run.
    fn full_scans<'a>(&'a self, sql: &'a str, values: &'a [Parameter]) -> Pending<'a, Vec<FullScan>>;

    /// Shows `look` at most `most` values of one column, for a bounded time.
    fn sample<'a>(&'a self, column: &'a TableColumn, most: u64, look: Look<'a>) -> Pending<'a, ()>;

    /// Lists the tables and views that the role may read. May block the thread.
    fn catalogue(&self) -> Pending<'_, Catalogue>;

    /// Takes a connection and starts the query on it.
    fn run(&self, query: Query) -> Pending<'_, Rows>;
}
