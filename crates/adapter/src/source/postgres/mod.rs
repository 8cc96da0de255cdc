//! `Postgres` is a source on a PostgreSQL server. Opening a session that can only read is in `connect`, what
//! the role may do in `privileges`, describing a statement in `inspect`, running a query in `run`, values in
//! `bind` and `cell`, errors in `failure`. The pool is `source::server`.

mod bind;
mod catalogue;
mod cell;
mod connect;
mod explain;
mod failure;
mod inspect;
mod privileges;
mod run;

use std::sync::Arc;

use chapar_telemetry::SourceFigures;

use self::connect::Connector;
use super::catalogue::Catalogue;
use super::server::Pooled;
use super::{Described, FullScan, Look, Parameter, Pending, Query, Rows, Source, TableColumn, Tried, trial};
use crate::config::{Limits, Server};
use crate::dialect::Dialect;

/// A pool on one PostgreSQL database.
pub(crate) struct Postgres {
    pool: Arc<Pooled<Connector>>,
}

impl Postgres {
    /// Signs in, and proves that the role can only read.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the server, the role or a file.
    pub(crate) async fn open(
        server: &Server,
        limits: Limits,
        figures: SourceFigures,
    ) -> Result<Self, String> {
        let connector = Connector::new(server, limits.statement_timeout)?;
        let pool = Arc::new(Pooled::new(connector, limits, figures));
        let connection = pool.first_connection(server).await?;
        privileges::check(&connection.client, &server.user).await?;
        pool.give_back(connection);
        Ok(Self { pool })
    }
}

impl Source for Postgres {
    fn system(&self) -> &'static str {
        "postgresql"
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn describe<'a>(&'a self, sql: &'a str) -> Pending<'a, Described> {
        Box::pin(inspect::describe(&self.pool, sql))
    }

    fn try_out<'a>(&'a self, sql: &'a str, values: &'a [Parameter]) -> Pending<'a, Tried> {
        Box::pin(trial::try_out(self, sql, values))
    }

    fn full_scans<'a>(&'a self, sql: &'a str, values: &'a [Parameter]) -> Pending<'a, Vec<FullScan>> {
        Box::pin(explain::full_scans(&self.pool, sql, values))
    }

    fn sample<'a>(&'a self, column: &'a TableColumn, most: u64, look: Look<'a>) -> Pending<'a, ()> {
        Box::pin(inspect::sample(&self.pool, column, most, look))
    }

    fn catalogue(&self) -> Pending<'_, Catalogue> {
        Box::pin(async {
            let connection = self.pool.connection().await?;
            catalogue::read(&connection.client, &self.pool.engine.user).await
        })
    }

    fn run(&self, query: Query) -> Pending<'_, Rows> {
        Box::pin(self.pool.run(query))
    }
}
