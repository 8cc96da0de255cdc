//! Injection: 500 payloads as every field of a request that can hold text, on every kind of database. Each is
//! a value and nothing else: it is found again where it is stored, comes back as it is, and the server never
//! sees another statement.

use std::collections::BTreeSet;

use serde_json::json;

use super::bench::{Bench, PROTO};
use super::engines::{Database, ENGINES, Engine, Host, LIMITS};
use chapar_test_servers::{Mariadb, Postgres};

/// One JSON string a line.
const PAYLOADS: &str = include_str!("payloads.txt");

const SERVICE: &str = r#"service Register {
  rpc Find(Ask) returns (stream Told) { option (chapar.contract.v1.method) = { purposes: ["test"] row_scopes: ["province"] max_rows: 9 }; }
}
message Ask { optional string text = 1; optional bytes blob = 2; optional string mood = 3; optional int64 number = 4; google.type.Date day = 5; }
message Told {
  string text = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  int64 number = 2 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
}"#;

/// A row of its own for each payload.
fn schema(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            "CREATE TYPE mood AS ENUM ('good', 'bad');
             CREATE TABLE t (number BIGINT, text TEXT, blob BYTEA, province TEXT, mood mood, day DATE);
             CREATE TABLE sentinel (word TEXT); INSERT INTO sentinel VALUES ('untouched');"
        }
        Engine::Mariadb => {
            "CREATE TABLE t (number BIGINT, text TEXT COLLATE utf8mb4_nopad_bin, blob_ BLOB, province TEXT COLLATE utf8mb4_nopad_bin,
                 mood ENUM('good', 'bad'), day DATE);
             CREATE TABLE sentinel (word TEXT); INSERT INTO sentinel VALUES ('untouched');"
        }
        Engine::Sqlite => {
            "CREATE TABLE t (number INTEGER, text TEXT, blob BLOB, province TEXT, mood TEXT, day TEXT);
             CREATE TABLE sentinel (word TEXT); INSERT INTO sentinel VALUES ('untouched');"
        }
    }
}

fn statement(engine: Engine) -> &'static str {
    match engine {
        Engine::Mariadb => {
            "SELECT text, number FROM t WHERE (text = :text OR blob_ = :blob OR mood = :mood OR number = :number OR day = :day) \
             AND chapar_rows(province, province)"
        }
        _ => {
            "SELECT text, number FROM t WHERE (text = :text OR blob = :blob OR mood = :mood OR number = :number OR day = :day) \
             AND chapar_rows(province, province)"
        }
    }
}

fn payloads() -> Vec<String> {
    PAYLOADS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// SQL that stores a text as it is.
fn literal(engine: Engine, text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    match engine {
        Engine::Postgres => format!("convert_from('\\x{digits}', 'UTF8')"),
        Engine::Mariadb => format!("CONVERT(x'{digits}' USING utf8mb4)"),
        Engine::Sqlite => format!("CAST(x'{digits}' AS TEXT)"),
    }
}

fn insertion(engine: Engine, payloads: &[String]) -> String {
    let mut sql = String::new();
    for (number, payload) in payloads.iter().enumerate() {
        // PostgreSQL's text cannot hold U+0000.
        if engine == Engine::Postgres && payload.contains('\0') {
            continue;
        }
        let text = literal(engine, payload);
        sql.push_str(&format!("INSERT INTO t VALUES ({number}, {text}, NULL, {text}, NULL, NULL);\n"));
    }
    sql
}

/// Sends every payload as a text, as a row scope, as bytes, and as a value of an enum.
async fn attack(engine: Engine, bench: &Bench) {
    use base64::Engine as _;
    for (number, payload) in payloads().iter().enumerate() {
        let has_nul = engine == Engine::Postgres && payload.contains('\0');
        let text = json!({"text": payload}).to_string();
        let found = bench.call("Find", "text,number", "", &text).await;
        if has_nul {
            assert_eq!(found.reason(), "FIELD_INVALID", "{engine:?} {number}");
            continue;
        }
        let mut expected = json!({"text": payload, "number": number.to_string()});
        // A default value is left out of protobuf's JSON.
        let fields = expected.as_object_mut().unwrap();
        if payload.is_empty() {
            fields.remove("text");
        }
        if number == 0 {
            fields.remove("number");
        }
        assert_eq!(found.messages, [expected.clone()], "{engine:?} {number}: {}", found.reason());

        let rows = chapar_model::RowScopes::new([("province".to_owned(), vec![payload.clone()])].into());
        // A scope's value is never empty and never long; those are refused before they come here.
        if let Ok(rows) = rows {
            let ask = json!({"number": number.to_string()}).to_string();
            let found = bench.call("Find", "text,number", &rows.to_header(), &ask).await;
            assert_eq!(found.messages, [expected], "{engine:?} {number} as a scope: {}", found.reason());
        }
        let blob = base64::engine::general_purpose::STANDARD.encode(payload);
        let found = bench.call("Find", "text", "", &json!({"blob": blob}).to_string()).await;
        assert!(
            found.messages.is_empty() && found.reason() == "OK",
            "{engine:?} {number} as bytes: {found:?}"
        );
        let found = bench.call("Find", "text", "", &json!({"mood": payload}).to_string()).await;
        let is_refused = found.reason() == "FIELD_INVALID" && engine == Engine::Postgres;
        assert!(
            found.messages.is_empty() && (found.reason() == "OK" || is_refused),
            "{engine:?} {number} as an enum: {found:?}"
        );
    }
}

/// The distinct texts of statements on the table in a server's own log.
fn statements_in(log: &str, begin: &str) -> BTreeSet<String> {
    let texts = log.split(begin).skip(1).filter_map(|rest| rest.split_once("LIMIT 10").map(|(text, _)| text));
    texts.filter(|text| text.contains("FROM t WHERE")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_payload_is_a_value_and_nothing_else() {
    let payloads = payloads();
    assert_eq!(payloads.len(), 500);
    let proto = PROTO.split("service Register").next().unwrap().to_owned() + SERVICE;
    let postgres = Postgres::with(&["log_statement=all"]);
    let mariadb = Mariadb::with(&["general_log=1", "log_output=FILE"]);
    for engine in ENGINES {
        let schema = format!("{}{}", schema(engine), insertion(engine, &payloads));
        let host: Option<&dyn Host> = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(&postgres),
            Engine::Mariadb => Some(&mariadb),
        };
        let database = match host {
            Some(host) => Database::on(host, &schema, LIMITS).await,
            None => engine.database(&schema).await,
        };
        let name = database.name.clone();
        let bench = database.bench(&proto, &[("Find", statement(engine))]).await;
        let bench = bench.unwrap_or_else(|findings| panic!("{engine:?}: {findings}"));
        attack(engine, &bench).await;
        let words = match host {
            Some(host) => host.ask(&name, "SELECT word FROM sentinel"),
            None => rusqlite::Connection::open(bench.folder().join("reg.db"))
                .unwrap()
                .query_row("SELECT word FROM sentinel", [], |row| row.get(0))
                .unwrap(),
        };
        assert_eq!(words, "untouched", "{engine:?}");
        // Without a scope, with one scope value, and once with all fields: whatever the payload, the server
        // was sent one of these texts.
        let texts = match engine {
            Engine::Sqlite => continue,
            Engine::Postgres => statements_in(&postgres.log(), "execute s"),
            Engine::Mariadb => statements_in(&general_log(&mariadb), "Prepare\t"),
        };
        let texts: BTreeSet<String> =
            texts.iter().map(|text| text.split_once("SELECT").unwrap().1.to_owned()).collect();
        assert!((1..=6).contains(&texts.len()), "{engine:?}: {texts:#?}");
        assert!(texts.iter().all(|text| text.is_ascii()), "{engine:?}: {texts:#?}");
    }
    let canaries = std::fs::read_dir("/tmp").unwrap().flatten();
    let canaries: Vec<_> = canaries
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().contains("inj_canary"))
        .collect();
    assert!(canaries.is_empty(), "{canaries:?}");
}

fn general_log(mariadb: &Mariadb) -> String {
    let file = mariadb.ask("mysql", "SELECT CONCAT(@@datadir, @@general_log_file)");
    String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned()
}
