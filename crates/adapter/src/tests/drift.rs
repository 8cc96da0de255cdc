//! A schema that moves under a running adapter: the method that no longer fits is closed alone, with what is
//! wrong, and opens again by itself.

use std::collections::BTreeMap;

use super::bench::{Bench, PROTO};
use super::engines::{Database, LIMITS, shared_servers};
use crate::drift;
use crate::health::Health;

const TWO: &str = r#"service Register {
  rpc Get(Ask) returns (Told) { option (chapar.contract.v1.method) = { purposes: ["test"] }; }
  rpc Other(Ask) returns (Told) { option (chapar.contract.v1.method) = { purposes: ["test"] }; }
}
message Ask { int64 id = 1; }
message Told { string name = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }"#;
const SCHEMA: &str = "CREATE TABLE t (id BIGINT, name VARCHAR(30)); INSERT INTO t VALUES (1, 'one');
                      CREATE TABLE u (id BIGINT, name VARCHAR(30)); INSERT INTO u VALUES (1, 'two');";

async fn reason(bench: &Bench, method: &str) -> String {
    bench.call(method, "name", "", r#"{"id": "1"}"#).await.reason().to_owned()
}

fn statuses(bench: &Bench) -> BTreeMap<String, bool> {
    drift::statuses(&bench.calls.methods())
}

#[tokio::test]
async fn drift_closes_one_method_with_what_is_wrong_and_opens_it_again() {
    let proto = PROTO.split("service Register").next().unwrap().to_owned() + TWO;
    for host in shared_servers() {
        let database = Database::on(host, SCHEMA, LIMITS).await;
        let name = database.name.clone();
        let statements =
            [("Get", "SELECT name FROM t WHERE id = :id"), ("Other", "SELECT name FROM u WHERE id = :id")];
        let bench = database.bench(&proto, &statements).await.unwrap();
        let health = Health::new(bench.observer.published.clone());
        let open = |get| {
            let statuses =
                [("reg.v1.Register", true), ("reg.v1.Register/Get", get), ("reg.v1.Register/Other", true)];
            statuses.into_iter().map(|(name, serves)| (name.to_owned(), serves)).collect::<BTreeMap<_, _>>()
        };
        drift::look(&bench.calls, &health, drift::Which::All).await;
        assert_eq!(statuses(&bench), open(true));

        host.sql(&name, "ALTER TABLE t RENAME COLUMN name TO title");
        drift::look(&bench.calls, &health, drift::Which::All).await;
        assert_eq!(statuses(&bench), open(false), "{:?}", host.engine());
        assert_eq!(reason(&bench, "Get").await, "SCHEMA_DRIFT");
        assert_eq!(reason(&bench, "Other").await, "OK");
        let metrics = bench.observer.encode();
        for line in [
            r#"chapar_method_open{method="reg.v1.Register/Get"} 0"#,
            r#"chapar_method_open{method="reg.v1.Register/Other"} 1"#,
            r#"chapar_calls_total{method="reg.v1.Register/Get",outcome="SCHEMA_DRIFT"} 1"#,
            r#"chapar_calls_total{method="reg.v1.Register/Other",outcome="OK"} 1"#,
        ] {
            assert!(metrics.lines().any(|one| one == line), "{line} in {metrics}");
        }
        let findings = bench.calls.methods()[0].findings();
        assert!(findings[0].to_string().contains("name"), "{findings:?}");

        // Another type, which the field does not take, is told by its column.
        let number = match host.engine() {
            super::engines::Engine::Postgres => "ALTER TABLE t ALTER COLUMN title TYPE int USING 1",
            _ => "UPDATE t SET title = '1'; ALTER TABLE t MODIFY COLUMN title INT",
        };
        host.sql(&name, number);
        host.sql(&name, "ALTER TABLE t RENAME COLUMN title TO name");
        drift::look(&bench.calls, &health, drift::Which::All).await;
        let findings = bench.calls.methods()[0].findings();
        assert!(findings[0].to_string().contains("column `name` is declared"), "{findings:?}");

        let text = match host.engine() {
            super::engines::Engine::Postgres => "ALTER TABLE t ALTER COLUMN name TYPE text",
            _ => "ALTER TABLE t MODIFY COLUMN name TEXT",
        };
        host.sql(&name, text);
        drift::look(&bench.calls, &health, drift::Which::All).await;
        assert_eq!(statuses(&bench), open(true), "{:?}", host.engine());
        assert_eq!(reason(&bench, "Get").await, "OK");
    }
}

#[tokio::test]
async fn a_database_that_is_down_closes_nothing() {
    let proto = PROTO.split("service Register").next().unwrap().to_owned() + TWO;
    for host in super::engines::own_servers() {
        let database = Database::on(&*host, SCHEMA, LIMITS).await;
        let statements =
            [("Get", "SELECT name FROM t WHERE id = :id"), ("Other", "SELECT name FROM u WHERE id = :id")];
        let bench = database.bench(&proto, &statements).await.unwrap();
        let health = Health::new(bench.observer.published.clone());
        host.kill();
        drift::look(&bench.calls, &health, drift::Which::All).await;
        assert!(statuses(&bench).values().all(|serves| *serves), "{:?}", host.engine());
        assert_eq!(reason(&bench, "Get").await, "SOURCE_DOWN");
        host.restart();
        assert_eq!(statuses(&bench).len(), 3);
    }
}
