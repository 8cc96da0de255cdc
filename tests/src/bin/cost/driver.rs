//! The query with the driver alone: as the server by hand runs it, and as the floor of both.

use std::path::Path;
use std::sync::Arc;

use chapar_tests::load::closed;
use chapar_tests::measure::Error;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Connections, as many as the adapter's.
const CONNECTIONS: usize = 4;
const COLUMNS: &str = "SELECT national_id, given_name, family_name, birth_date FROM";

/// A row.
pub(crate) struct Found {
    pub(crate) national_id: String,
    pub(crate) given_name: String,
    pub(crate) family_name: String,
    pub(crate) birth_date: String,
}

/// A pool of connections.
pub(crate) struct Database {
    permits: Semaphore,
    idle: Idle,
}

enum Idle {
    Sqlite(Arc<Mutex<Vec<rusqlite::Connection>>>),
    Postgres(Mutex<Vec<(tokio_postgres::Client, tokio_postgres::Statement)>>),
}

impl Database {
    /// `PATH` of an SQLite file, or `FOLDER:PORT` of PostgreSQL's socket.
    pub(crate) async fn open(database: &str, dir: &Path) -> Result<Self, Error> {
        let idle = match database.rsplit_once(':') {
            None => {
                let open = || {
                    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
                    rusqlite::Connection::open_with_flags(database, flags)
                };
                let connections: Result<Vec<_>, _> = (0..CONNECTIONS).map(|_| open()).collect();
                Idle::Sqlite(Arc::new(Mutex::new(connections?)))
            }
            Some((folder, port)) => {
                let password = std::fs::read_to_string(dir.join("databases/civil.password"))?;
                let mut config = tokio_postgres::Config::new();
                config
                    .host_path(folder)
                    .port(port.parse()?)
                    .user("chapar_demo_civil")
                    .password(password)
                    .dbname("postgres");
                let mut connections = Vec::new();
                for _ in 0..CONNECTIONS {
                    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
                    tokio::spawn(async move { drop(connection.await) });
                    let sql = format!(
                        "{COLUMNS} chapar_demo_civil.person WHERE national_id = $1 AND province IN ($2) LIMIT 2"
                    );
                    let statement = client.prepare(&sql).await?;
                    connections.push((client, statement));
                }
                Idle::Postgres(Mutex::new(connections))
            }
        };
        Ok(Self { permits: Semaphore::new(CONNECTIONS), idle })
    }

    /// The person of this national id in Lorestan.
    pub(crate) async fn person(&self, national_id: String) -> Result<Option<Found>, Error> {
        let _permit = self.permits.acquire().await?;
        match &self.idle {
            Idle::Sqlite(idle) => {
                let idle = Arc::clone(idle);
                tokio::task::spawn_blocking(move || {
                    let connection = idle.lock().pop().ok_or("no connection")?;
                    let found = query(&connection, &national_id);
                    idle.lock().push(connection);
                    Ok(found?)
                })
                .await?
            }
            Idle::Postgres(idle) => {
                let connection = idle.lock().pop().ok_or("no connection")?;
                let found = connection.0.query_opt(&connection.1, &[&national_id, &"15"]).await;
                idle.lock().push(connection);
                Ok(found?.map(|row| Found {
                    national_id: row.get(0),
                    given_name: row.get(1),
                    family_name: row.get(2),
                    birth_date: row.get(3),
                }))
            }
        }
    }
}

fn query(connection: &rusqlite::Connection, national_id: &str) -> Result<Option<Found>, rusqlite::Error> {
    use rusqlite::OptionalExtension as _;
    let sql = format!("{COLUMNS} person WHERE national_id = ?1 AND province IN (?2) LIMIT 2");
    let found = connection.prepare_cached(&sql)?.query_row([national_id, "15"], |row| {
        Ok(Found {
            national_id: row.get(0)?,
            given_name: row.get(1)?,
            family_name: row.get(2)?,
            birth_date: row.get(3)?,
        })
    });
    found.optional()
}

/// Calls a second of the driver alone, in this process.
pub(crate) async fn rate(
    database: &str,
    dir: &Path,
    ids: &Arc<Vec<String>>,
    callers: usize,
    calls: u64,
) -> Result<f64, Error> {
    let database = Arc::new(Database::open(database, dir).await?);
    let ids = Arc::clone(ids);
    let call = move |number: u64| {
        let (database, ids) = (Arc::clone(&database), Arc::clone(&ids));
        async move {
            let index = usize::try_from(number % ids.len() as u64).unwrap_or_default();
            matches!(database.person(ids[index].clone()).await, Ok(Some(_)))
        }
    };
    let report = closed(callers, calls, call).await;
    if report.failed > 0 { Err("the driver failed".into()) } else { Ok(report.rate()) }
}
