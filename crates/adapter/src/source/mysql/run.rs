//! This module runs a query on a session of MariaDB or MySQL, and hands its rows over as they arrive. A
//! statement is cancelled by KILL from another session.

use chapar_model::Reason;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Params, Value};

use super::cell::MysqlRow;
use super::connect::{Connection, Connector};
use super::failure;
use crate::source::output::Output;
use crate::source::server::{Engine, Trouble};
use crate::source::{Failure, Parameter, Query};

/// Rows that are read and thrown away after one that could not be used, so that the connection can be kept.
const MOST_DRAINED: usize = 1_000;

/// Names a session at its server.
pub(super) struct Session {
    id: u32,
    server: String,
}

impl Engine for Connector {
    type Connection = Connection;
    type Session = Session;

    async fn connect(&self) -> Result<Connection, Failure> {
        self.open_for_reading().await
    }

    fn is_open(&self, connection: &Connection) -> bool {
        !connection.conn.is_disconnected()
    }

    fn session(&self, connection: &Connection) -> Session {
        Session { id: connection.conn.id(), server: connection.server.clone() }
    }

    async fn cancel(&self, session: Session) {
        let killed = async {
            let Connection { mut conn, server } = self.open().await?;
            // On another server the number is another session's.
            if server != session.server {
                let text = "the way to the server leads to another one now";
                return Err(Failure::new(Reason::SourceDown, text));
            }
            // The session is not used again, and KILL QUERY would not end a statement that waits for its
            // reader.
            let killed = conn.query_drop(format!("KILL {}", session.id)).await;
            conn.disconnect().await.ok();
            killed.map_err(|error| failure::at_start(&error))
        };
        if let Err(failure) = killed.await {
            tracing::warn!(error = %failure.detail, "a statement could not be cancelled at the database");
        }
    }

    async fn execute(
        &self,
        connection: &mut Connection,
        query: &Query,
        output: &mut Output<'_>,
    ) -> Result<(), Trouble> {
        let failed = |error: mysql_async::Error| failure::of_run(&error);
        let parameters = bound(query).map_err(Trouble::Failed)?;
        let mut rows = connection.conn.exec_iter(&*query.sql, parameters).await.map_err(failed)?;
        while let Some(row) = rows.next().await.map_err(failed)? {
            match output.write(&MysqlRow::new(&row)) {
                Ok(false) => {}
                Ok(true) => output.send(false).await,
                Err(failure) => {
                    // The rest is read, so that the connection is free for the next query; not all of it, if
                    // it is much.
                    for _ in 0..MOST_DRAINED {
                        match rows.next().await {
                            Ok(Some(_)) => {}
                            Ok(None) => return Err(Trouble::Failed(failure)),
                            Err(_) => return Err(Trouble::Lost(failure)),
                        }
                    }
                    return Err(Trouble::Unfinished(failure));
                }
            }
        }
        drop(rows);
        output.send(true).await;
        Ok(())
    }
}

/// All values of a query, in binding order.
pub(super) fn bound(query: &Query) -> Result<Params, Failure> {
    let one = |(number, parameter): (usize, &Parameter)| {
        Ok(match parameter {
            Parameter::Null => Value::NULL,
            Parameter::Integer(value) => Value::Int(*value),
            Parameter::Real(value) => Value::Double(*value),
            Parameter::Text(text) => Value::Bytes(text.as_bytes().to_vec()),
            Parameter::Blob(bytes) => Value::Bytes(bytes.clone()),
            Parameter::Timestamp(time) => {
                // The session's zone is UTC.
                let time = jiff::tz::Offset::UTC.to_datetime(*time);
                let part = |part: i8| part.unsigned_abs();
                let year = u16::try_from(time.year())
                    .map_err(|_| query.misfit(number, "before the first year of the database's dates"))?;
                let microseconds = time.subsec_nanosecond().unsigned_abs() / 1_000;
                let month = part(time.month());
                let day = part(time.day());
                let hour = part(time.hour());
                let minute = part(time.minute());
                let second = part(time.second());
                Value::Date(year, month, day, hour, minute, second, microseconds)
            }
        })
    };
    let values: Result<Vec<Value>, Failure> = query.parameters.iter().enumerate().map(one).collect();
    let values = values?;
    Ok(if values.is_empty() { Params::Empty } else { Params::Positional(values) })
}
