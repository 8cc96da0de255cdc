//! This crate starts real database servers for tests: PostgreSQL, MariaDB, PgBouncer and Redis from Debian's
//! packages, each in a temporary folder of its own, on a free port of 127.0.0.1 and on a Unix socket. A
//! server and its folder go when its value is dropped, and also when the test's process ends without dropping
//! it.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a harness that cannot set a test up ends the test"
)]

mod client;
mod fresh;
mod mariadb;
mod pgbouncer;
mod postgres;
mod redis;
mod supervised;

use std::path::PathBuf;

pub use mariadb::Mariadb;
pub use pgbouncer::Pgbouncer;
pub use postgres::Postgres;
pub use redis::Redis;

/// The program of this path. A missing one ends the test with the remedy.
fn installed(path: impl Into<PathBuf>) -> PathBuf {
    let path = path.into();
    assert!(
        path.exists(),
        "{} is not installed: run tests/run.sh once, or apt-get install postgresql mariadb-server pgbouncer redis-server",
        path.display()
    );
    path
}
