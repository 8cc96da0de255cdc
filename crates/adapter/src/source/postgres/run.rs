//! This module runs a query on a session of PostgreSQL, and hands its rows over as they arrive.

use std::pin::pin;

use futures_util::StreamExt as _;
use tokio_postgres::CancelToken;

use super::bind::bound;
use super::cell::PgRow;
use super::connect::{Connection, Connector};
use super::failure;
use crate::source::output::Output;
use crate::source::server::{Engine, Trouble};
use crate::source::{Failure, Query};

/// Rows that are read and thrown away after one that could not be used, so that the connection can be kept.
const MOST_DRAINED: usize = 1_000;

impl Engine for Connector {
    type Connection = Connection;
    type Session = CancelToken;

    async fn connect(&self) -> Result<Connection, Failure> {
        self.open().await
    }

    fn is_open(&self, connection: &Connection) -> bool {
        !connection.client.is_closed()
    }

    fn session(&self, connection: &Connection) -> CancelToken {
        connection.client.cancel_token()
    }

    async fn cancel(&self, session: CancelToken) {
        self.cancel_query(session).await;
    }

    async fn execute(
        &self,
        connection: &mut Connection,
        query: &Query,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        let Some(begin) = &self.begin else { return self.rows(connection, query, output).await };
        // Behind a pooler a transaction has one server connection, and what is set in it ends with it.
        let begun = connection.client.batch_execute(begin).await;
        begun.map_err(|error| failure::of_run(&error, &self.user))?;
        let result = self.rows(connection, query, output).await;
        let ended = connection.client.batch_execute("ROLLBACK").await;
        // Nothing was changed, so a failed ROLLBACK only means that the connection cannot be used again.
        ended.map_err(|error| Trouble::Lost(failure::of_connecting(&error))).and(result)
    }
}

impl Connector {
    async fn rows(
        &self,
        connection: &mut Connection,
        query: &Query,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        let mut failed = |error: tokio_postgres::Error| failure::of_run(&error, &self.user);
        let statement = connection.prepared(&query.sql).await.map_err(&mut failed)?;
        let parameters = bound(query, statement.params()).map_err(Trouble::Failed)?;
        let rows = match connection.client.query_raw(&statement, parameters).await {
            Ok(rows) => rows,
            Err(error) => return Err(self.stale(connection, query, failed(error))),
        };
        let mut rows = pin!(rows);
        while let Some(row) = rows.next().await {
            let row = match row {
                Ok(row) => row,
                Err(error) => return Err(self.stale(connection, query, failed(error))),
            };
            match output.write(&PgRow::new(&row)) {
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
                    return Err(Trouble::Lost(failure));
                }
            }
        }
        output.send(true).await;
        Ok(())
    }

    /// What is prepared is forgotten after an error that says that it no longer fits.
    fn stale(&self, connection: &mut Connection, query: &Query, trouble: Trouble) -> Trouble {
        if matches!(trouble, Trouble::Stale(_)) {
            connection.forget(&query.sql);
        }
        trouble
    }
}
