//! `Engine` is one kind of database in the conformance tests: it makes a fresh database with a schema, and a
//! source on it that signs in as a role which can only read.

use std::sync::Arc;
use std::time::Duration;

use chapar_test_servers::{Mariadb, Postgres};
use tempfile::TempDir;

use super::bench::Bench;
use crate::config::{Endpoint, Limits, Server};
use crate::finding::Findings;
use crate::source::Source;
use crate::source::mysql::Mysql;
use crate::source::postgres;
use crate::source::sqlite::Sqlite;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Engine {
    Mariadb,
    Postgres,
    Sqlite,
}

pub(super) const ENGINES: [Engine; 3] = [Engine::Sqlite, Engine::Postgres, Engine::Mariadb];

pub(super) const LIMITS: Limits = Limits {
    max_connections: 4,
    statement_timeout: Duration::from_secs(10),
    acquire_timeout: Duration::from_millis(500),
};

/// The password of the role that reads.
const PASSWORD: &str = "read only";

/// A database of one test.
pub(super) struct Database {
    pub(super) folder: TempDir,
    pub(super) source: Arc<dyn Source>,
    pub(super) name: String,
}

impl Engine {
    /// A database with this schema.
    pub(super) async fn database(self, schema: &str) -> Database {
        let folder = tempfile::tempdir().unwrap();
        let (source, name): (Arc<dyn Source>, _) = match self {
            Self::Sqlite => {
                let file = folder.path().join("reg.db");
                let database = rusqlite::Connection::open(&file).unwrap();
                database.execute_batch(schema).unwrap();
                (Arc::new(Sqlite::open(&file, 4, LIMITS.acquire_timeout).unwrap()), String::new())
            }
            Self::Postgres | Self::Mariadb => {
                let name = self.create(schema);
                let server = self.server(&folder, &name);
                let source: Arc<dyn Source> = if self == Self::Postgres {
                    Arc::new(postgres::Postgres::open(&server, LIMITS).await.unwrap())
                } else {
                    Arc::new(Mysql::open(&server, LIMITS).await.unwrap())
                };
                (source, name)
            }
        };
        Database { folder, source, name }
    }

    /// Makes a database with this schema, and a role of the same name that reads it.
    pub(super) fn create(self, schema: &str) -> String {
        match self {
            Self::Postgres => {
                let server = Postgres::shared();
                let name = server.create_database("reg");
                let role = format!(
                    "CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}';
                     ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {name};"
                );
                server.sql(&name, &format!("{role}\n{schema}"));
                name
            }
            Self::Mariadb => {
                let server = Mariadb::shared();
                let name = server.create_database("reg");
                let account = format!(
                    "CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON {name}.* TO '{name}'@'%';"
                );
                server.sql(&name, &format!("{account}\n{schema}"));
                name
            }
            Self::Sqlite => unreachable!("SQLite has no server"),
        }
    }

    /// How the role that reads is signed in.
    pub(super) fn server(self, folder: &TempDir, name: &str) -> Server {
        let password_file = folder.path().join("password");
        write_secret(&password_file, PASSWORD);
        let port = match self {
            Self::Postgres => Postgres::shared().port(),
            _ => Mariadb::shared().port(),
        };
        Server {
            endpoint: Endpoint::Tcp("127.0.0.1".to_owned(), port),
            user: name.to_owned(),
            password_file: Some(password_file),
            database: name.to_owned(),
            search_path: None,
            pooler: false,
            tls: None,
        }
    }

    /// Changes the schema or the rows of a database.
    pub(super) fn change(self, database: &Database, sql: &str) {
        match self {
            Self::Sqlite => {
                let file = database.folder.path().join("reg.db");
                rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
            }
            Self::Postgres => Postgres::shared().sql(&database.name, sql),
            Self::Mariadb => Mariadb::shared().sql(&database.name, sql),
        }
    }
}

impl Database {
    /// An adapter on this database.
    pub(super) async fn bench(self, proto: &str, statements: &[(&str, &str)]) -> Result<Bench, Findings> {
        Bench::on(self.folder, proto, statements, self.source).await
    }
}

/// Writes a file that nobody else may read.
pub(super) fn write_secret(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
