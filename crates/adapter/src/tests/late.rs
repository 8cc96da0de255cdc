//! Who is late at a deadline: the database, the caller who gave it too little time, or the reader of a
//! stream.

use std::time::Duration;

use http_body_util::BodyExt as _;

use super::bench::{Bench, GATEWAY, framed};
use super::engines::{ENGINES, Engine};

const PROTO: &str = r#"
syntax = "proto3";
package reg.v1;
import "chapar/contract/v1/options.proto";
service Register {
  rpc All(Ask) returns (stream Row) {
    option (chapar.contract.v1.method) = { purposes: ["test"] timeout: { nanos: 400000000 } max_rows: 100000 };
  }
  rpc Slow(Ask) returns (Row) {
    option (chapar.contract.v1.method) = { purposes: ["test"] timeout: { nanos: 400000000 } };
  }
}
message Ask { int64 id = 1; }
message Row { string name = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }
"#;
const SCHEMA: &str = "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR(200) NOT NULL);";
/// 20,000 rows of 100 characters, which are more than may wait for a reader.
const ROWS: &str = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
                    SELECT i, 'ten chars ten chars ten chars ten chars ten chars ten chars ten chars ten chars ten chars ten chars ' FROM n;";
/// A statement that runs for minutes.
const SLOW: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000)\n\
                    SELECT CAST(max(i) + :id AS text) AS name FROM n";

async fn bench(engine: Engine) -> Bench {
    let rows = match engine {
        Engine::Mariadb => format!("SET max_recursive_iterations = 1000000; {ROWS}"),
        _ => ROWS.to_owned(),
    };
    let slow = match engine {
        Engine::Mariadb => SLOW.replace("AS text", "AS char"),
        _ => SLOW.to_owned(),
    };
    let database = engine.database(&format!("{SCHEMA}{rows}")).await;
    let all = "SELECT name FROM t WHERE id >= :id";
    let bench = database.bench(PROTO, &[("All", all), ("Slow", &slow)]).await;
    bench.unwrap_or_else(|findings| panic!("{engine:?}: {findings}"))
}

fn failed(bench: &Bench, method: &str) -> u64 {
    let name =
        format!("chapar_answers_total{{method=\"reg.v1.Register/{method}\",completeness=\"failed\"}} ");
    let metrics = bench.observer.encode();
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_slow_until_the_deadline_is_late_itself() {
    for engine in ENGINES {
        let bench = bench(engine).await;
        let body = bench.begin("All", "name", &[]).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        let read = body.collect().await.unwrap();
        assert_eq!(read.trailers().unwrap()["chapar-reason"], "DEADLINE_EXCEEDED", "{engine:?}");
        assert_eq!(failed(&bench, "All"), 0, "{engine:?}");
    }
}

#[tokio::test]
async fn a_database_that_takes_nearly_all_of_the_contracts_time_is_late_and_has_failed() {
    for engine in ENGINES {
        let bench = bench(engine).await;
        // What a gateway passes on of 400 ms, and what an impatient caller gives.
        for (timeout, reason, so_far) in [("370m", "SOURCE_TIMEOUT", 1), ("300m", "DEADLINE_EXCEEDED", 1)] {
            let metadata = [("chapar-fields", "name"), ("grpc-timeout", timeout)];
            let answered = bench.send("Slow", &metadata, framed(&[]), GATEWAY).await;
            assert_eq!(answered.reason(), reason, "{engine:?}");
            assert_eq!(failed(&bench, "Slow"), so_far, "{engine:?} {timeout}");
        }
    }
}
