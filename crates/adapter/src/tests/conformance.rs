//! The conformance list: what every kind of database must do alike, on SQLite, PostgreSQL and MariaDB. What
//! a type of one database becomes is in `types`.

use std::path::Path;

use serde_json::{Value, json};

use super::bench::{Answered, Bench, PROTO};
use super::engines::{ENGINES, Engine};
use crate::dialect::Dialect;
use crate::statement::Statement;

const SCHEMA: &str = "
CREATE TABLE person (id VARCHAR(10) NOT NULL PRIMARY KEY, given_name VARCHAR(50), nickname VARCHAR(50),
    birth_date DATE, life VARCHAR(10), children INTEGER, city VARCHAR(50), street VARCHAR(50), photo %BLOB%,
    province INTEGER NOT NULL);
CREATE TABLE child (parent VARCHAR(10) NOT NULL, name VARCHAR(50) NOT NULL, province VARCHAR(3) NOT NULL);
CREATE TABLE degree (person VARCHAR(10) NOT NULL, title VARCHAR(50) NOT NULL, mark DOUBLE PRECISION);
INSERT INTO person VALUES
    ('1', 'زهرا', NULL, '1991-08-03', 'ALIVE', 2, 'خرم‌آباد', 'Kargar', NULL, 15),
    ('2', 'Ali', 'Alu', '1950-01-02', 'DECEASED', 0, NULL, NULL, NULL, 16);
INSERT INTO child VALUES ('1', 'Amir', '15'), ('1', 'Zhila', '16'), ('1', 'Babak', '15 '), ('2', 'a', '15'),
    ('2', 'b', '15'), ('2', 'c', '15'), ('2', 'd', '15');
INSERT INTO degree VALUES ('1', 'BSc', 17.5), ('1', 'MSc', NULL), ('1', 'Art', 12), ('2', 'a', 1), ('2', 'b', 1),
    ('2', 'c', 1), ('2', 'd', 1);
";

impl Engine {
    fn schema(self) -> String {
        let blob = if self == Self::Postgres { "BYTEA" } else { "BLOB" };
        SCHEMA.replace("%BLOB%", blob)
    }

    fn statements(self) -> [(&'static str, String); 4] {
        let quote = if self == Self::Mariadb { '`' } else { '"' };
        let person = format!(
            "SELECT id, given_name, nickname, birth_date, life AS life_status, children, city AS {quote}address.city{quote}, \
             street AS {quote}address.street{quote}, photo, province\nFROM person WHERE id = :id -- the key\n;\n"
        );
        let count = "WITH RECURSIVE counter(number) AS (SELECT %CAST% UNION ALL SELECT number + 1 FROM counter \
                     WHERE number < :most)\nSELECT number FROM counter";
        let one = if self == Self::Postgres { "CAST(1 AS bigint)" } else { "1" };
        [
            ("GetPerson", person),
            (
                "ListChildren",
                "SELECT parent, name, province FROM child WHERE parent = :id ORDER BY name DESC".to_owned(),
            ),
            (
                "ListDegrees",
                "SELECT title, mark FROM degree WHERE person = :id ORDER BY title DESC".to_owned(),
            ),
            ("Count", count.replace("%CAST%", one)),
        ]
    }

    async fn usual(self) -> Bench {
        let database = self.database(&self.schema()).await;
        let statements = self.statements();
        let statements = statements.each_ref().map(|(method, sql)| (*method, sql.as_str()));
        database.bench(PROTO, &statements).await.unwrap_or_else(|findings| panic!("{self:?}: {findings}"))
    }
}

const ALL: &str = "id,given_name,nickname,birth_date,life_status,children,address,photo";

#[tokio::test]
async fn a_record_is_answered_alike() {
    for engine in ENGINES {
        let bench = engine.usual().await;
        let answered = bench.call("GetPerson", ALL, "", r#"{"id": "1"}"#).await;
        let expected = json!({
            "id": "1", "givenName": "زهرا", "birthDate": {"year": 1991, "month": 8, "day": 3},
            "lifeStatus": "LIFE_STATUS_ALIVE", "children": 2,
            "address": {"city": "خرم‌آباد", "street": "Kargar"},
        });
        // A NULL photo has no presence to leave it unset.
        assert_eq!(answered.reason(), "NULL_IN_REQUIRED", "{engine:?}");
        let granted = ALL.replace(",photo", "");
        let answered = bench.call("GetPerson", &granted, "", r#"{"id": "1"}"#).await;
        assert_eq!(answered.messages, [expected], "{engine:?}: {}", answered.reason());
    }
}

#[tokio::test]
async fn only_granted_columns_leave_the_database() {
    for engine in ENGINES {
        let bench = engine.usual().await;
        let answered = bench.call("GetPerson", "given_name", "", r#"{"id": "1"}"#).await;
        assert_eq!(answered.messages, [json!({"id": "1", "givenName": "زهرا"})], "{engine:?}");
    }
}

#[tokio::test]
async fn row_scopes_hold_and_compare_exactly() {
    let names = |answered: &Answered| -> Vec<Value> {
        answered.messages.iter().map(|message| message["name"].clone()).collect()
    };
    for engine in ENGINES {
        let bench = engine.usual().await;
        let one = r#"{"id": "1"}"#;
        // The column is a number, and the grant's values are texts.
        for (rows, reason) in [
            ("province=15", "OK"),
            ("province=16,15", "OK"),
            ("province=16", "RECORD_NOT_FOUND"),
            ("province=x", "RECORD_NOT_FOUND"),
            ("province=15x", "RECORD_NOT_FOUND"),
        ] {
            let answered = bench.call("GetPerson", "given_name", rows, one).await;
            assert_eq!(answered.reason(), reason, "{engine:?} {rows}");
        }
        // The column is a text, and `15 ` is another one.
        let answered = bench.call("ListChildren", "name", "province=15", one).await;
        assert_eq!(names(&answered), ["Amir"], "{engine:?}");
        let answered = bench.call("ListChildren", "name", "", one).await;
        assert_eq!(names(&answered), ["Zhila", "Babak", "Amir"], "{engine:?}: in the statement's order");
    }
}

#[tokio::test]
async fn a_list_keeps_its_order_and_is_never_cut() {
    for engine in ENGINES {
        let bench = engine.usual().await;
        let answered = bench.call("ListDegrees", "degrees", "", r#"{"id": "1"}"#).await;
        let expected = json!({"degrees": [
            {"title": "MSc"}, {"title": "BSc", "mark": 17.5}, {"title": "Art", "mark": 12.0},
        ]});
        assert_eq!(answered.messages, [expected], "{engine:?}: {}", answered.reason());
        let two = r#"{"id": "2"}"#;
        for method in ["ListDegrees", "ListChildren"] {
            let fields = if method == "ListDegrees" { "degrees" } else { "name" };
            assert_eq!(
                bench.call(method, fields, "", two).await.reason(),
                "TOO_MANY_ROWS",
                "{engine:?} {method}"
            );
        }
    }
}

#[tokio::test]
async fn a_long_answer_streams() {
    for engine in ENGINES {
        let bench = engine.usual().await;
        let most = 50_000;
        let answered = bench.call("Count", "number", "", &format!(r#"{{"most": "{most}"}}"#)).await;
        assert_eq!((answered.reason(), answered.messages.len()), ("OK", most), "{engine:?}");
        assert_eq!(answered.messages[most - 1], json!({"number": most.to_string()}), "{engine:?}");
    }
}

const HOMES: &str = r#"
syntax = "proto3";
package reg.v1;
import "chapar/contract/v1/options.proto";
service Register {
  rpc GetPerson(Ask) returns (Person) { option (chapar.contract.v1.method) = { purposes: ["test"] }; }
}
message Ask { string id = 1; }
message Person {
  string name = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  repeated Home homes = 2;
  Origin origin = 3;
}
message Home {
  string city = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  string street = 2 [(chapar.contract.v1.field).class = CLASS_SENSITIVE];
  Place place = 3;
}
message Origin {
  string village = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  repeated Place places = 2;
}
message Place {
  int64 number = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  string secret = 2 [(chapar.contract.v1.field).class = CLASS_SECRET];
}
"#;

#[tokio::test]
async fn what_a_grant_leaves_out_is_taken_out_of_a_column_of_json() {
    let homes = r#"[{"city": "A", "street": "s", "place": {"number": 7, "secret": "x"}}, {"city": "B", "street": "t"}]"#;
    let origin = r#"{"village": "V", "places": [{"number": 1, "secret": "x"}]}"#;
    for engine in ENGINES {
        let json = if engine == Engine::Postgres { "JSONB" } else { "TEXT" };
        let schema = format!(
            "CREATE TABLE person (name VARCHAR(9), homes {json}, origin {json});
             INSERT INTO person VALUES ('N', '{homes}', '{origin}');"
        );
        let statement = "-- unused: id\nSELECT name, homes, origin FROM person";
        let bench = engine.database(&schema).await.bench(HOMES, &[("GetPerson", statement)]).await.unwrap();
        for (granted, expected) in [
            ("homes.city", json!({"homes": [{"city": "A"}, {"city": "B"}]})),
            ("homes.place.number", json!({"homes": [{"place": {"number": "7"}}, {}]})),
            ("homes.place", json!({"homes": [{"place": {"number": "7", "secret": "x"}}, {}]})),
            ("origin.village", json!({"origin": {"village": "V"}})),
            ("origin.places.number", json!({"origin": {"places": [{"number": "1"}]}})),
            (
                "name,origin",
                json!({"name": "N", "origin": {"village": "V", "places": [{"number": "1", "secret": "x"}]}}),
            ),
        ] {
            let answered = bench.call("GetPerson", granted, "", "{}").await;
            assert_eq!(answered.messages, [expected], "{engine:?} {granted}: {}", answered.reason());
        }
        let unknown = bench.call("GetPerson", "homes.cit", "", "{}").await;
        assert_eq!(unknown.reason(), "SCHEMA_DRIFT", "{engine:?}");
    }
}

#[tokio::test]
async fn a_scope_that_is_placed_holds_for_every_part_of_the_statement() {
    let statement = |text: &'static str| {
        move |engine: Engine| {
            let mut statements = engine.statements();
            statements[1].1 = text.to_owned();
            statements
        }
    };
    let placed = statement(
        "SELECT parent, name FROM child WHERE parent = :id AND chapar_rows(province, province) ORDER BY name DESC LIMIT 2",
    );
    for engine in ENGINES {
        let statements = placed(engine);
        let statements = statements.each_ref().map(|(method, sql)| (*method, sql.as_str()));
        let bench = engine.database(&engine.schema()).await.bench(PROTO, &statements).await.unwrap();
        let answered = bench.call("ListChildren", "name", "province=15,16", r#"{"id": "1"}"#).await;
        let names: Vec<&str> =
            answered.messages.iter().filter_map(|message| message["name"].as_str()).collect();
        assert_eq!(names, ["Zhila", "Amir"], "{engine:?}: {}", answered.reason());
    }
    // Each is narrowed for a careless reader only.
    for (engine, text) in [
        (
            Engine::Mariadb,
            "SELECT parent, name FROM child WHERE chapar_rows(province, province) AND parent = :id || name = 'x'",
        ),
        (
            Engine::Mariadb,
            "SELECT parent, name FROM child WHERE chapar_rows(province, province) AND parent = :id XOR name = 'x'",
        ),
        (
            Engine::Mariadb,
            "SELECT parent, name FROM (SELECT * FROM child WHERE parent = :id AND chapar_rows(province, province)) AS q STRAIGHT_JOIN degree",
        ),
        (
            Engine::Mariadb,
            "SELECT 'x' AS parent, std(1) AS name, '15' AS province FROM child WHERE parent = :id",
        ),
        (
            Engine::Postgres,
            "SELECT parent, array_to_string(array(TABLE secret), ',') AS name, province FROM child WHERE parent = :id",
        ),
        (
            Engine::Postgres,
            "SELECT parent, name FROM child WHERE chapar_rows(province, province) AND parent = :id AND name IN (TABLE secret)",
        ),
        (
            Engine::Postgres,
            "SELECT min(parent) AS parent, own_sum(name) AS name, min(province) AS province FROM child WHERE parent = :id",
        ),
    ] {
        let mut schema = engine.schema();
        if engine == Engine::Postgres {
            schema.push_str("CREATE AGGREGATE own_sum(text) (SFUNC = textcat, STYPE = text); CREATE TABLE secret (word text);");
        }
        let statements = statement(text)(engine);
        let statements = statements.each_ref().map(|(method, sql)| (*method, sql.as_str()));
        let findings = engine.database(&schema).await.bench(PROTO, &statements).await.err();
        let findings = findings.unwrap_or_else(|| panic!("{text}")).to_string();
        let is_refused = findings.contains("does not narrow every SELECT")
            || findings.contains("cannot be told from outside");
        assert!(is_refused, "{text}: {findings}");
    }
}

#[tokio::test]
async fn a_write_that_the_parser_cannot_read_is_refused_by_the_database() {
    for (engine, dialect, more, text) in [
        (
            Engine::Postgres,
            Dialect::Postgres,
            "",
            "WITH gone AS (DELETE FROM child RETURNING 1)
             SELECT count(*) AS number FROM gone, ROWS FROM (generate_series(1, 1)) AS g WHERE 1 <= :most",
        ),
        (
            Engine::Mariadb,
            Dialect::Mysql,
            "CREATE SEQUENCE counter;",
            "SELECT NEXT VALUE FOR counter AS number FROM person WHERE children <= :most",
        ),
    ] {
        let mut statements = engine.statements();
        statements[3].1 = text.to_owned();
        let parsed = Statement::parse(Path::new("m.sql"), text.to_owned(), dialect).unwrap();
        assert!(parsed.unknown_to_parser().is_some(), "{text}");
        let statements = statements.each_ref().map(|(method, sql)| (*method, sql.as_str()));
        let database = engine.database(&format!("{}{more}", engine.schema())).await;
        let findings = database.bench(PROTO, &statements).await.err().map(|error| error.to_string());
        let findings = findings.unwrap_or_else(|| panic!("{text}"));
        assert!(findings.contains("does not take this statement"), "{text}: {findings}");
    }
}

#[tokio::test]
async fn a_text_is_never_read_as_a_number_that_it_only_begins_with() {
    let proto = PROTO.replace("message Upto { int64 most = 1; }", "message Upto { string most = 1; }");
    for compared in ["children", "coalesce(children, 0)"] {
        let mut statements = Engine::Mariadb.statements();
        statements[3].1 = format!("SELECT children AS number FROM person WHERE {compared} = :most");
        let statements = statements.each_ref().map(|(method, sql)| (*method, sql.as_str()));
        let database = Engine::Mariadb.database(&Engine::Mariadb.schema()).await;
        let findings = database.bench(&proto, &statements).await.err().unwrap().to_string();
        assert!(findings.contains("the database would read `1x` as 1"), "{findings}");
    }
    // PostgreSQL reads the text as the column's type, or not at all.
    let mut statements = Engine::Postgres.statements();
    statements[3].1 =
        "SELECT CAST(children AS bigint) AS number FROM person WHERE children = :most".to_owned();
    let statements = statements.each_ref().map(|(method, sql)| (*method, sql.as_str()));
    let database = Engine::Postgres.database(&Engine::Postgres.schema()).await;
    let bench = database.bench(&proto, &statements).await.unwrap();
    for (value, reason, rows) in
        [("2", "OK", 1), ("02", "OK", 1), ("2x", "FIELD_INVALID", 0), ("", "FIELD_INVALID", 0)]
    {
        let answered = bench.call("Count", "number", "", &format!(r#"{{"most": "{value}"}}"#)).await;
        assert_eq!((answered.reason(), answered.messages.len()), (reason, rows), "{value}");
    }
}

#[tokio::test]
async fn a_new_value_of_an_enum_is_known_at_once() {
    let schema = "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE person (id mood PRIMARY KEY, name text); \
                  INSERT INTO person VALUES ('good', 'one');";
    let proto = PROTO.split("service Register").next().unwrap().to_owned()
        + r#"service Register { rpc Get(Ask) returns (Told) { option (chapar.contract.v1.method) = { purposes: ["test"] row_scopes: ["province"] }; } }
        message Ask { string id = 1; }
        message Told { string name = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }"#;
    let database = Engine::Postgres.database(schema).await;
    let name = database.name.clone();
    let statement = "SELECT name FROM person WHERE id = :id AND chapar_rows(province, id)";
    let bench = database.bench(&proto, &[("Get", statement)]).await.unwrap();
    let ask = |id: &'static str, rows: &'static str| {
        let bench = &bench;
        async move { bench.call("Get", "name", rows, &format!(r#"{{"id": "{id}"}}"#)).await.reason().to_owned() }
    };
    assert_eq!(ask("good", "").await, "OK");
    assert_eq!(ask("bad", "").await, "FIELD_INVALID");
    assert_eq!(ask("good", "province=bad").await, "RECORD_NOT_FOUND");
    let server = chapar_test_servers::Postgres::shared();
    server.sql(&name, "ALTER TYPE mood ADD VALUE 'bad'");
    server.sql(&name, "INSERT INTO person VALUES ('bad', 'two')");
    assert_eq!(ask("bad", "").await, "OK");
    assert_eq!(ask("bad", "province=bad").await, "OK");
}
