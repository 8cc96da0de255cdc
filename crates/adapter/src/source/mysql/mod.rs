//! `Mysql` is a source on a MariaDB or MySQL server. Opening a session that can only read is in `connect`,
//! what the account may do in `privileges`, describing a statement in `inspect`, running a query in `run`,
//! values in `cell`, errors in `failure`. The pool is `source::server`.

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

/// A pool on one MariaDB or MySQL database.
pub(crate) struct Mysql {
    pool: Arc<Pooled<Connector>>,
}

impl Mysql {
    /// Signs in, and proves that the account can only read.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the server, the account or a file.
    pub(crate) async fn open(
        server: &Server,
        limits: Limits,
        figures: SourceFigures,
    ) -> Result<Self, String> {
        let connector = Connector::new(server, limits.statement_timeout)?;
        let pool = Arc::new(Pooled::new(connector, limits, figures));
        let mut connection = pool.first_connection(server).await?;
        privileges::check(&mut connection.conn, &server.user).await?;
        pool.give_back(connection);
        Ok(Self { pool })
    }
}

impl Source for Mysql {
    fn system(&self) -> &'static str {
        self.pool.engine.system()
    }

    fn dialect(&self) -> Dialect {
        Dialect::Mysql
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
            let mut connection = self.pool.connection().await?;
            catalogue::read(&mut connection.conn).await
        })
    }

    fn run(&self, query: Query) -> Pending<'_, Rows> {
        Box::pin(self.pool.run(query))
    }
}
