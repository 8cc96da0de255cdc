//! `stream` measures long streams of rows: time, rows a second, CPU of the adapter for each row, and its
//! memory while and after a million rows went out, beside a tenth of them and beside the driver alone. A
//! reader that takes 1 MiB a second shows whether rows gather in memory. `docs/performance.md` keeps a table.
//!
//! `cargo run --release -p chapar-tests --bin stream -- [--rows N] [--slow-seconds N]
//! [--engine sqlite|postgres|mariadb]`

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chapar_test_servers::{Mariadb, Postgres};
use chapar_tests::long_stream::LongStream;
use chapar_tests::measure::{Error, Process, demo, free_port};
use futures_util::TryStreamExt as _;

const PROTO: &str = r#"syntax = "proto3";
package wide.v1;
import "chapar/contract/v1/options.proto";
import "google/type/date.proto";
service Wide {
  rpc All(Ask) returns (stream Row) {
    option (chapar.contract.v1.method) = { purposes: ["test"] timeout: { seconds: 300 } max_rows: 10000000 };
  }
}
message Ask { int64 most = 1; }
message Row {
  int64 id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  string name = 2 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  google.type.Date day = 3 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
}
"#;
const SELECT: &str = "SELECT id, name, day FROM wide WHERE id <= :most";
/// Bytes a second that the slow reader takes.
const SLOW: usize = 1024 * 1024;

struct Options {
    rows: u64,
    slow: Duration,
    engines: Vec<String>,
}

/// A database with the table.
enum Database {
    Sqlite(std::path::PathBuf),
    Postgres(Postgres),
    Mariadb(Mariadb),
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            say(&format!("stream: {error}"));
            return ExitCode::FAILURE;
        }
    };
    for engine in &options.engines {
        if let Err(error) = one_engine(engine, &options).await {
            say(&format!("stream: {engine}: {error}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn say(line: &str) {
    println!("{line}");
}

fn options() -> Result<Options, Error> {
    let mut options = Options {
        rows: 1_000_000,
        slow: Duration::from_secs(10),
        engines: ["sqlite", "postgres", "mariadb"].map(str::to_owned).to_vec(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option needs a value")?;
        match name.as_str() {
            "--rows" => options.rows = value.parse()?,
            "--slow-seconds" => options.slow = Duration::from_secs(value.parse()?),
            "--engine" => options.engines = vec![value],
            _ => return Err(format!("no option `{name}`").into()),
        }
    }
    Ok(options)
}

async fn one_engine(engine: &str, options: &Options) -> Result<(), Error> {
    let rows = options.rows;
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("demo");
    // The demo's certificates; its databases are not used.
    demo(&dir, &["--people", "200"])?;
    let database = Database::make(engine, folder.path(), rows)?;
    let port = free_port()?;
    let settings = dir.join("adapters/wide.toml");
    let contract = folder.path().join("wide");
    std::fs::create_dir_all(contract.join("v1/Wide"))?;
    std::fs::write(contract.join("v1/wide.proto"), PROTO)?;
    std::fs::write(contract.join("v1/Wide/All.sql"), SELECT)?;
    std::fs::write(&settings, database.settings(folder.path(), &contract, port)?)?;
    let adapter = Process::chapar("adapter", &settings)?;
    let stream = LongStream::direct(&dir, port, "/wide.v1.Wide/All", "id,name,day")?;
    stream.ready().await?;
    say(&format!("{engine}: memory at rest {} MiB", mebibytes(adapter.resident()?)));
    for (name, most, pace) in [
        ("a tenth", rows / 10, None),
        ("all", rows, None),
        ("all again", rows, None),
        ("slow reader", rows, Some(SLOW)),
    ] {
        let (before, began) = (adapter.cpu()?, Instant::now());
        // The slow reader is watched for a while, and leaves.
        let length = pace.map_or(Duration::from_secs(300), |_| options.slow);
        let read = stream.read(most, pace, length).await?;
        let took = began.elapsed().as_secs_f64();
        if pace.is_none() && read.messages != most {
            return Err(format!("{} rows came and not {most}", read.messages).into());
        }
        say(&format!(
            "{engine}: {name:<12} {:>8} rows in {took:>6.2} s, {:>8.0} rows/s, {:>5.2} µs of CPU for each, {:>6.1} MiB out, \
             memory {} MiB, at most {} MiB",
            read.messages,
            read.messages as f64 / took,
            (adapter.cpu()? - before) * 1e6 / read.messages as f64,
            read.bytes as f64 / f64::from(1 << 20),
            mebibytes(adapter.resident()?),
            mebibytes(adapter.most_resident()?),
        ));
    }
    let (began, read) = (Instant::now(), database.drained(folder.path(), rows).await?);
    let took = began.elapsed().as_secs_f64();
    // The tests have no driver of MariaDB.
    if let Some(read) = read {
        say(&format!(
            "{engine}: driver alone {read:>8} rows in {took:>6.2} s, {:>8.0} rows/s",
            read as f64 / took
        ));
    }
    Ok(())
}

fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

impl Database {
    fn make(engine: &str, folder: &Path, rows: u64) -> Result<Self, Error> {
        const PASSWORD: &str = "read-only-password";
        let table = "CREATE TABLE wide (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(60) NOT NULL, day DATE NOT NULL);";
        let password = folder.join("password");
        std::fs::write(&password, PASSWORD)?;
        std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        match engine {
            "sqlite" => {
                let file = folder.join("wide.db");
                let database = rusqlite::Connection::open(&file)?;
                database.execute_batch(&format!(
                    "{table} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                     INSERT INTO wide SELECT i, 'زهرا کریمی ' || i, '1991-08-03' FROM n;"
                ))?;
                Ok(Self::Sqlite(file))
            }
            "postgres" => {
                let server = Postgres::start();
                server.sql("postgres", &format!(
                    "{table} INSERT INTO wide SELECT i, 'زهرا کریمی ' || i, '1991-08-03' FROM generate_series(1, {rows}) AS i;
                     CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON wide TO reader; ANALYZE wide;"
                ));
                Ok(Self::Postgres(server))
            }
            "mariadb" => {
                let server = Mariadb::start();
                server.sql("mysql", &format!(
                    "CREATE DATABASE wide CHARACTER SET utf8mb4; USE wide; {table}
                     INSERT INTO wide SELECT seq, CONCAT('زهرا کریمی ', seq), '1991-08-03' FROM seq_1_to_{rows};
                     CREATE USER 'reader'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON wide.* TO 'reader'@'%';"
                ));
                Ok(Self::Mariadb(server))
            }
            other => Err(format!("no engine `{other}`").into()),
        }
    }

    /// `adapter.toml` of an adapter that listens.
    fn settings(&self, folder: &Path, contract: &Path, port: u16) -> Result<String, Error> {
        let url = match self {
            Self::Sqlite(file) => format!("sqlite:{}", file.display()),
            Self::Postgres(server) => {
                let socket = server.socket_folder().display().to_string().replace('/', "%2F");
                format!("postgres://reader@{socket}:{}/postgres", server.port())
            }
            Self::Mariadb(server) => {
                let socket = server.socket().display().to_string().replace('/', "%2F");
                format!("mysql://reader@{socket}/wide")
            }
        };
        let password = match self {
            Self::Sqlite(_) => String::new(),
            _ => format!("password_file = \"{}\"", folder.join("password").display()),
        };
        Ok(format!(
            r#"[adapter]
identity  = {{ cert = "../pki/civil.crt", key = "../pki/civil.key", trust = "../pki/ca.crt" }}
contracts = ["{}"]
listen    = "127.0.0.1:{port}"
gateways  = ["spiffe://lorestan.example/bus/lorestan/gateway"]
[source.wide]
url = "{url}"
{password}
statement_timeout = "30s"
"#,
            contract.display()
        ))
    }

    /// Reads all rows by the driver alone, and counts them.
    async fn drained(&self, folder: &Path, rows: u64) -> Result<Option<u64>, Error> {
        let most = i64::try_from(rows)?;
        match self {
            Self::Sqlite(file) => {
                let database = rusqlite::Connection::open(file)?;
                let mut statement = database.prepare("SELECT id, name, day FROM wide WHERE id <= ?1")?;
                let mut found = statement.query([most])?;
                let mut count = 0;
                while let Some(row) = found.next()? {
                    let (_id, _name, _day): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    count += 1;
                }
                Ok(Some(count))
            }
            Self::Postgres(server) => {
                let mut config = tokio_postgres::Config::new();
                let password = std::fs::read_to_string(folder.join("password"))?;
                config.host_path(server.socket_folder()).port(server.port()).user("reader");
                config.password(password).dbname("postgres");
                let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
                tokio::spawn(async move { drop(connection.await) });
                let found =
                    client.query_raw("SELECT id, name, day::text FROM wide WHERE id <= $1", [most]).await?;
                let mut found = std::pin::pin!(found);
                let mut count = 0;
                while let Some(row) = found.try_next().await? {
                    let (_id, _name, _day): (i64, &str, &str) = (row.get(0), row.get(1), row.get(2));
                    count += 1;
                }
                Ok(Some(count))
            }
            Self::Mariadb(_) => Ok(None),
        }
    }
}
