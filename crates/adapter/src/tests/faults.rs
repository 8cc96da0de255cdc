//! Faults of database servers: what a call is answered while they last, and that all is well by itself
//! afterwards.

use std::time::{Duration, Instant};

use chapar_telemetry::SourceFigures;

use super::bench::Bench;
use super::engines::{Database, Engine, Host, LIMITS, create, open, own_servers, shared_servers, signed_in};
use crate::config::Limits;

const PROTO: &str = r#"
syntax = "proto3";
package reg.v1;
import "chapar/contract/v1/options.proto";
service Register {
  rpc Get(Ask) returns (Told) {
    option (chapar.contract.v1.method) = { purposes: ["test"] timeout: { nanos: 400000000 } };
  }
  rpc Patient(Ask) returns (Told) {
    option (chapar.contract.v1.method) = { purposes: ["test"] timeout: { seconds: 20 } };
  }
  rpc Long(Ask) returns (Told) {
    option (chapar.contract.v1.method) = { purposes: ["test"] timeout: { seconds: 20 } };
  }
}
message Ask { int64 id = 1; }
message Told { string name = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }
"#;

const SCHEMA: &str =
    "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(30) NOT NULL); INSERT INTO t VALUES (1, 'one');";
const GET: &str = "SELECT name FROM t WHERE id = :id";

/// A statement that runs for minutes where `:id` is 2.
fn long(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            "SELECT CAST(max(g) AS text) AS name FROM generate_series(1, CASE WHEN :id = 2 THEN 100000000000 ELSE 1 END) AS g"
        }
        _ => {
            "SELECT CAST(max(a.seq + b.seq + c.seq) AS CHAR) AS name FROM seq_1_to_100000 a, seq_1_to_100000 b, \
             seq_1_to_100000 c WHERE :id = 2 OR a.seq + b.seq + c.seq = 3 AND a.seq = 1 AND b.seq = 1 AND c.seq = 1"
        }
    }
}

async fn bench(host: &dyn Host, limits: Limits) -> (Bench, String) {
    let database = Database::on(host, SCHEMA, limits).await;
    let name = database.name.clone();
    let bench = database.bench(PROTO, &[("Get", GET), ("Patient", GET), ("Long", long(host.engine()))]).await;
    (bench.unwrap_or_else(|findings| panic!("{findings}")), name)
}

async fn get(bench: &Bench) -> String {
    bench.call("Get", "name", "", r#"{"id": "1"}"#).await.reason().to_owned()
}

/// Calls until the answer is this one, for at most ten seconds.
async fn becomes(bench: &Bench, reason: &str) {
    let started = Instant::now();
    loop {
        let told = get(bench).await;
        if told == reason {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{told} and not {reason}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Statements of the role that the server is running now.
fn running(host: &dyn Host, name: &str) -> String {
    match host.engine() {
        Engine::Postgres => host.ask(
            "postgres",
            &format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{name}' AND state = 'active' AND query LIKE '%generate_series%'"),
        ),
        _ => host.ask(
            "mysql",
            &format!(
                "SELECT count(*) FROM information_schema.processlist WHERE user = '{name}' AND info LIKE '%seq_1_to_%'"
            ),
        ),
    }
}

async fn until_running(host: &dyn Host, name: &str, count: &str) {
    let started = Instant::now();
    while running(host, name) != count {
        assert!(
            started.elapsed() < Duration::from_secs(8),
            "{:?}: {} run and not {count}",
            host.engine(),
            running(host, name)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_statement_ends_at_the_server_when_its_caller_leaves_and_its_connection_serves_again() {
    for host in shared_servers() {
        let (bench, name) = bench(host, Limits { max_connections: 1, ..LIMITS }).await;
        let long = bench.call("Long", "name", "", r#"{"id": "2"}"#);
        // The call is dropped after a while, as the gateway's cancellation drops it.
        tokio::select! {
            answered = long => panic!("{:?} is no long statement", answered.reason()),
            () = until_running(host, &name, "1") => {}
        }
        let left = Instant::now();
        until_running(host, &name, "0").await;
        assert!(left.elapsed() < Duration::from_secs(5), "{:?}", host.engine());
        becomes(&bench, "OK").await;
        assert_eq!(bench.figures.cancellations.get(), 1, "{:?}", host.engine());
        assert_eq!(bench.figures.idle.get(), 1, "{:?}", host.engine());
        assert_eq!(bench.figures.used.get(), 0, "{:?}", host.engine());
    }
}

#[tokio::test]
async fn a_statement_that_is_late_ends_at_the_server() {
    for host in shared_servers() {
        let limits = Limits { statement_timeout: Duration::from_millis(500), ..LIMITS };
        let database = Database::on(host, SCHEMA, limits).await;
        let name = database.name.clone();
        let bench = database
            .bench(PROTO, &[("Get", GET), ("Patient", GET), ("Long", long(host.engine()))])
            .await
            .unwrap();
        // The bench gives ten seconds, so the end is the server's own here.
        let answered = bench.call("Long", "name", "", r#"{"id": "2"}"#).await;
        assert_eq!(answered.reason(), "SOURCE_TIMEOUT", "{:?}", host.engine());
        until_running(host, &name, "0").await;
        assert_eq!(get(&bench).await, "OK", "{:?}", host.engine());
    }
}

#[tokio::test]
async fn a_server_that_stands_still_is_a_timeout_and_then_all_is_well() {
    for host in own_servers() {
        let (bench, _) = bench(&*host, LIMITS).await;
        assert_eq!(get(&bench).await, "OK");
        host.freeze();
        let started = Instant::now();
        assert_eq!(get(&bench).await, "SOURCE_TIMEOUT", "{:?}", host.engine());
        assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
        host.thaw();
        becomes(&bench, "OK").await;
    }
}

#[tokio::test]
async fn a_server_that_is_killed_is_down_and_comes_back() {
    for host in own_servers() {
        let (bench, _) = bench(&*host, LIMITS).await;
        assert_eq!(get(&bench).await, "OK");
        host.kill();
        for _ in 0..3 {
            assert_eq!(get(&bench).await, "SOURCE_DOWN", "{:?}", host.engine());
        }
        host.restart();
        becomes(&bench, "OK").await;
        // Connections that the restart ended behind the adapter's back cost no call.
        host.kill();
        host.restart();
        let retries = bench.figures.retries.get();
        assert_eq!(get(&bench).await, "OK", "{:?}", host.engine());
        assert_eq!(bench.figures.retries.get(), retries + 1, "{:?}", host.engine());
        assert!(bench.figures.unopened.get() > 0, "{:?}", host.engine());
    }
}

#[tokio::test]
async fn a_pool_without_a_free_connection_is_busy() {
    for host in shared_servers() {
        let limits = Limits { max_connections: 1, acquire_timeout: Duration::from_millis(50), ..LIMITS };
        let (bench, name) = bench(host, limits).await;
        let long = bench.call("Long", "name", "", r#"{"id": "2"}"#);
        let other = async {
            until_running(host, &name, "1").await;
            get(&bench).await
        };
        tokio::select! {
            answered = long => panic!("{:?} is no long statement", answered.reason()),
            reason = other => assert_eq!(reason, "SOURCE_BUSY", "{:?}", host.engine()),
        }
        assert_eq!(bench.figures.timeouts.get(), 1, "{:?}", host.engine());
        assert_eq!(bench.figures.waiting.get(), 0, "{:?}", host.engine());
    }
}

#[tokio::test]
async fn a_changed_schema_is_drift_until_it_fits_again() {
    for host in shared_servers() {
        let (bench, name) = bench(host, LIMITS).await;
        assert_eq!(get(&bench).await, "OK");
        host.sql(&name, "ALTER TABLE t RENAME COLUMN name TO title");
        assert_eq!(get(&bench).await, "SCHEMA_DRIFT", "{:?}", host.engine());
        host.sql(&name, "ALTER TABLE t RENAME COLUMN title TO name");
        assert_eq!(get(&bench).await, "OK", "{:?}", host.engine());
        // A prepared statement whose result has another type by now is prepared again at once.
        let change = match host.engine() {
            Engine::Postgres => "ALTER TABLE t ALTER COLUMN name TYPE text",
            _ => "ALTER TABLE t MODIFY COLUMN name TEXT NOT NULL",
        };
        host.sql(&name, change);
        assert_eq!(get(&bench).await, "OK", "{:?}", host.engine());
        let number = match host.engine() {
            Engine::Postgres => "ALTER TABLE t ALTER COLUMN name TYPE int USING 1",
            _ => "UPDATE t SET name = '1'; ALTER TABLE t MODIFY COLUMN name INT NOT NULL",
        };
        host.sql(&name, number);
        assert_eq!(get(&bench).await, "VALUE_UNREADABLE", "{:?}", host.engine());
    }
}

#[tokio::test]
async fn a_locked_table_is_a_timeout_and_holds_no_connection_afterwards() {
    let host = chapar_test_servers::Postgres::shared();
    let (bench, name) = bench(host, LIMITS).await;
    let lock = "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.5); COMMIT".to_string();
    let locked = name.clone();
    let locking = tokio::task::spawn_blocking(move || host.sql(&locked, &lock));
    until_running_lock(host, &name).await;
    assert_eq!(get(&bench).await, "SOURCE_TIMEOUT");
    locking.await.unwrap();
    becomes(&bench, "OK").await;
}

async fn until_running_lock(host: &dyn Host, name: &str) {
    let query = format!(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
         WHERE d.datname = '{name}' AND mode = 'AccessExclusiveLock' AND granted"
    );
    while host.ask("postgres", &query) != "1" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_missing_right_is_found_at_the_start_with_the_grant_that_gives_it() {
    for host in shared_servers() {
        let folder = tempfile::tempdir().unwrap();
        let name = create(host, SCHEMA);
        let (revoke, grant) = match host.engine() {
            Engine::Postgres => {
                (format!("REVOKE SELECT ON t FROM {name}"), format!("GRANT SELECT ON t TO {name};"))
            }
            _ => (
                format!(
                    "REVOKE SELECT ON {name}.* FROM '{name}'@'%'; CREATE TABLE u (a INT); GRANT SELECT ON {name}.u TO '{name}'@'%'"
                ),
                format!("GRANT SELECT ON `{name}`.`t` TO '{name}'@"),
            ),
        };
        host.sql(&name, &revoke);
        let source = open(host.engine(), &signed_in(host, &folder, &name), LIMITS).await.unwrap();
        let database = Database { folder, source, name, figures: SourceFigures::default() };
        let findings = database
            .bench(PROTO, &[("Get", GET), ("Patient", GET), ("Long", long(host.engine()))])
            .await
            .err()
            .unwrap();
        assert!(findings.to_string().contains(&grant), "{findings}");
    }
}

/// A row in the middle of a long result that its field cannot hold.
#[tokio::test]
async fn a_row_that_cannot_be_used_ends_the_statement_at_the_server() {
    let proto = PROTO.replace("returns (Told) {\n    option (chapar.contract.v1.method) = { purposes: [\"test\"] timeout: { seconds: 20 } };", 
        "returns (stream Told) {\n    option (chapar.contract.v1.method) = { purposes: [\"test\"] timeout: { seconds: 20 } max_rows: 100000 };");
    for host in shared_servers() {
        let database = Database::on(host, SCHEMA, Limits { max_connections: 1, ..LIMITS }).await;
        let name = database.name.clone();
        // The first row is NULL, and the rest would take minutes.
        let long = match host.engine() {
            Engine::Postgres => {
                "SELECT CAST(CASE WHEN a = 1 OR :id <> 2 THEN NULL ELSE md5(CAST(a + b AS text)) END AS text) AS name \
                 FROM generate_series(1, 100000) AS a, generate_series(1, 3000) AS b"
            }
            _ => {
                "SELECT CASE WHEN a.seq = 1 OR :id <> 2 THEN NULL ELSE SHA2(REPEAT('x', 100000), 512) END AS name \
                 FROM seq_1_to_100000 AS a, seq_1_to_100000 AS b"
            }
        };
        let bench = database.bench(&proto, &[("Get", GET), ("Patient", GET), ("Long", long)]).await;
        let bench = bench.unwrap_or_else(|findings| panic!("{findings}"));
        let answered = bench.call("Long", "name", "", r#"{"id": "2"}"#).await;
        assert_eq!(answered.reason(), "NULL_IN_REQUIRED", "{:?}", host.engine());
        until_running(host, &name, "0").await;
        becomes(&bench, "OK").await;
    }
}

#[tokio::test]
async fn a_deadline_under_load_ends_no_other_calls_statement() {
    for host in shared_servers() {
        let limits = Limits {
            max_connections: 2,
            statement_timeout: Duration::from_millis(300),
            acquire_timeout: Duration::from_secs(20),
        };
        let (bench, _) = bench(host, limits).await;
        // Calls leave just about when others take the connections.
        let late = async {
            for _ in 0..10 {
                let long = bench.call("Long", "name", "", r#"{"id": "2"}"#);
                tokio::time::timeout(Duration::from_millis(50), long).await.ok();
            }
        };
        let others = async {
            for _ in 0..200 {
                let answered = bench.call("Patient", "name", "", r#"{"id": "1"}"#).await;
                assert_eq!(answered.reason(), "OK", "{:?}", host.engine());
            }
        };
        tokio::join!(late, others);
    }
}

/// Calls in all of each engine; 50,000 in docs/performance.md.
fn crossing_calls() -> usize {
    std::env::var("CHAPAR_CROSSING").ok().and_then(|calls| calls.parse().ok()).unwrap_or(1_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_reaches_another_asker_whoever_leaves_or_is_late() {
    const AT_ONCE: usize = 100;
    for host in shared_servers() {
        let limits = Limits { acquire_timeout: Duration::from_secs(20), ..LIMITS };
        let mut schema = String::from("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(30) NOT NULL);");
        for chunk in 0..10 {
            let rows: Vec<String> =
                (1..=200).map(|row| format!("({0}, 'person {0}')", chunk * 200 + row)).collect();
            schema.push_str(&format!("INSERT INTO t VALUES {};", rows.join(", ")));
        }
        let database = Database::on(host, &schema, limits).await;
        // The answer is not compared with a subject here: nothing but the connection's order keeps it apart.
        let statements = [("Get", GET), ("Patient", GET), ("Long", long(host.engine()))];
        let bench = database.bench(PROTO, &statements).await.unwrap();
        let bench = std::sync::Arc::new(bench);
        let (mut answered, mut left) = (0, 0);
        for round in 0..crossing_calls() / AT_ONCE {
            let mut calls = tokio::task::JoinSet::new();
            for place in 0..AT_ONCE {
                let bench = std::sync::Arc::clone(&bench);
                let id = (round * AT_ONCE + place) % 2_000 + 1;
                // Some leave at once, some in the middle, most stay.
                let patience = match place % 4 {
                    0 => Duration::from_micros(u64::try_from(place).unwrap() * 37),
                    _ => Duration::from_secs(30),
                };
                calls.spawn(async move {
                    let request = format!(r#"{{"id": "{id}"}}"#);
                    let call = bench.call("Patient", "name", "", &request);
                    (id, tokio::time::timeout(patience, call).await)
                });
            }
            while let Some(call) = calls.join_next().await {
                match call.unwrap() {
                    (id, Ok(told)) => {
                        let name = format!("person {id}");
                        assert_eq!(told.messages, [serde_json::json!({"name": name})], "{}", told.reason());
                        answered += 1;
                    }
                    (_, Err(_)) => left += 1,
                }
            }
        }
        assert!(answered > 0 && left > 0, "{:?}: {answered} answered, {left} left", host.engine());
    }
}

#[tokio::test]
async fn a_server_that_answers_no_connection_is_left_alone_though_nobody_waits_for_one() {
    for host in own_servers() {
        let database = Database::on(&*host, SCHEMA, Limits { max_connections: 1, ..LIMITS }).await;
        let figures = database.figures.clone();
        let statements = [("Get", GET), ("Patient", GET), ("Long", GET)];
        let bench = database.bench(PROTO, &statements).await.unwrap_or_else(|findings| panic!("{findings}"));
        host.freeze();
        // The first loses its connection, the next one tries to open another.
        assert_eq!(get(&bench).await, "SOURCE_TIMEOUT", "{:?}", host.engine());
        let began = Instant::now();
        while figures.unopened.get() == 0 {
            get(&bench).await;
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", host.engine());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        host.thaw();
        becomes(&bench, "OK").await;
    }
}
