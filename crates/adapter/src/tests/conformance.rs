//! The conformance list: what every kind of database must do alike, on SQLite, PostgreSQL and MariaDB. What
//! a type of one database becomes is in `types`.

use serde_json::{Value, json};

use super::bench::{Answered, Bench, PROTO};
use super::engines::{ENGINES, Engine};

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
        // MariaDB ends a recursion after 1,000 rows unless its session says otherwise.
        let most = if engine == Engine::Mariadb { 900 } else { 50_000 };
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
