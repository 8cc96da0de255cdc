//! This module runs a query on a session of PostgreSQL, and hands its rows over as they arrive.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio_postgres::types::Type;
use tokio_postgres::{CancelToken, RowStream};

use super::bind::{Misfit, bound};
use super::cell::{CellReader, PgRow};
use super::connect::{Connection, Connector};
use super::failure;
use crate::source::output::Output;
use crate::source::server::{Engine, Trouble};
use crate::source::{Failure, Query};

/// Rows that are read and thrown away after one that could not be used, so that the connection can be kept.
const MOST_DRAINED: usize = 1_000;

impl Engine for Connector {
    type Connection = Connection;
    type Session = Arc<CancelToken>;

    async fn connect(&self) -> Result<Connection, Failure> {
        self.open().await
    }

    fn is_open(&self, connection: &Connection) -> bool {
        !connection.client.is_closed()
    }

    fn session(&self, connection: &Connection) -> Arc<CancelToken> {
        Arc::clone(&connection.session)
    }

    async fn cancel(&self, session: Arc<CancelToken>) {
        self.cancel_query(&session).await;
    }

    async fn execute(
        &self,
        connection: &mut Connection,
        query: &Query,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        let Some(begin) = &self.begin else { return self.prepared(connection, query, output).await };
        // Behind a pooler a transaction has one server connection, and what is set in it ends with it.
        let lost = |error: tokio_postgres::Error| Trouble::Lost(failure::of_connecting(&error));
        connection.client.batch_execute(begin).await.map_err(lost)?;
        let result = self.unprepared(connection, query, output).await;
        if matches!(result, Err(Trouble::Unfinished(_))) {
            return result;
        }
        // Nothing was changed, so a failed ROLLBACK only means that the connection cannot be used again.
        connection.client.batch_execute("ROLLBACK").await.map_err(lost).and(result)
    }
}

impl Connector {
    /// Runs the query as a statement that stays prepared on the session.
    async fn prepared(
        &self,
        connection: &mut Connection,
        query: &Query,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        let prepared = connection.prepared(&query.sql).await;
        let (prepared, is_new) = prepared.map_err(|error| failure::of_preparing(&error, &self.user))?;
        let parameters = match bound(query, prepared.statement.params(), is_new) {
            Ok(parameters) => parameters,
            Err(Misfit::MayBeNew(failure)) => {
                connection.forget(&query.sql);
                return Err(Trouble::Stale(failure));
            }
            Err(Misfit::Wrong(failure)) => return Err(Trouble::Failed(failure)),
        };
        let ended = match connection.client.query_raw(&prepared.statement, parameters).await {
            Ok(rows) => self.rows(rows, Some(&prepared.readers), output).await,
            Err(error) => Err(failure::of_run(&error, &self.user)),
        };
        if matches!(ended, Err(Trouble::Stale(_))) {
            connection.forget(&query.sql);
        }
        ended
    }

    /// Runs the query without a name for its statement, which the pooler's other clients could have taken.
    async fn unprepared(
        &self,
        connection: &Connection,
        query: &Query,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        let types = vec![Type::UNKNOWN; query.parameters.len()];
        let parameters = bound(query, &types, true).map_err(|misfit| Trouble::Failed(misfit.failure()))?;
        let typed = parameters.into_iter().map(|parameter| (parameter, Type::UNKNOWN));
        let rows = connection.client.query_typed_raw(&query.sql, typed).await;
        self.rows(rows.map_err(|error| failure::of_run(&error, &self.user))?, None, output).await
    }

    /// `readers`: how the columns are read, if it is known before the first row.
    async fn rows(
        &self,
        rows: RowStream,
        readers: Option<&Arc<[CellReader]>>,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        let failed = |error: tokio_postgres::Error| failure::of_run(&error, &self.user);
        let mut readers = readers.map(Arc::clone);
        let mut rows = pin!(rows);
        while let Some(row) = rows.next().await {
            let row = row.map_err(failed)?;
            let readers = readers.get_or_insert_with(|| CellReader::of_all(row.columns()));
            match output.write(&PgRow::new(&row, readers)) {
                Ok(false) => {}
                Ok(true) => output.send(false).await,
                Err(failure) => {
                    // The rest is read, so that the connection is free for the next query; not all of it, if
                    // it is much.
                    for _ in 0..MOST_DRAINED {
                        match rows.next().await {
                            Some(Ok(_)) => {}
                            Some(Err(_)) => return Err(Trouble::Lost(failure)),
                            None => return Err(Trouble::Failed(failure)),
                        }
                    }
                    return Err(Trouble::Unfinished(failure));
                }
            }
        }
        output.send(true).await;
        Ok(())
    }
}
