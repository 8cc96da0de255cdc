//! From a live database to a first call: the draft compiles once a person has decided, its statements fit,
//! and a second draft keeps what the person did.

use std::path::Path;
use std::sync::Arc;

use chapar_contract::Contract;
use chapar_telemetry::SourceFigures;
use serde_json::json;

use super::bench::{Answered, Bench, prepared};
use super::engines::{ENGINES, Engine, Host, LIMITS, create, signed_in};
use crate::config::{SourceConfig, SourceKind as Which};
use crate::introspect::{Introspection, Written, introspect};
use crate::served_method::Look;
use chapar_test_servers::{Mariadb, Postgres};

const SCHEMA: &str = "
CREATE TABLE person (
    national_id CHAR(10) NOT NULL PRIMARY KEY, family_name VARCHAR(60) NOT NULL, birth_date VARCHAR(10) NOT NULL,
    sex VARCHAR(6) NOT NULL CHECK (sex IN ('female', 'male')), weight DECIMAL(6,2), photo %BLOB%, alive %BOOL% NOT NULL,
    registered %TIME%, %QUOTE%Old code%QUOTE% BIGINT UNIQUE);
CREATE TABLE address (
    number BIGINT NOT NULL, national_id CHAR(10) NOT NULL REFERENCES person (national_id), city VARCHAR(40),
    PRIMARY KEY (number, national_id)%FK%);
CREATE TABLE card (national_id CHAR(10) NOT NULL PRIMARY KEY, number BIGINT);
CREATE TABLE notes (text VARCHAR(40));
CREATE VIEW everyone AS SELECT national_id FROM person;
";
const IDS: [&str; 5] = ["0499370899", "0790419904", "0084575948", "0963695398", "0684159414"];

impl Engine {
    fn registers(self) -> String {
        let (blob, boolean, time, quote) = match self {
            Self::Postgres => ("BYTEA", "BOOLEAN", "TIMESTAMPTZ", "\""),
            Self::Mariadb => ("BLOB", "TINYINT(1)", "DATETIME", "`"),
            Self::Sqlite => ("BLOB", "BOOLEAN", "TEXT", "\""),
        };
        let mut schema = SCHEMA
            .replace("%BLOB%", blob)
            .replace("%BOOL%", boolean)
            .replace("%TIME%", time)
            .replace("%QUOTE%", quote)
            // MariaDB passes over a reference that stands beside its column.
            .replace(
                "%FK%",
                if self == Self::Mariadb {
                    ", FOREIGN KEY (national_id) REFERENCES person (national_id)"
                } else {
                    ""
                },
            );
        for (number, id) in IDS.iter().enumerate() {
            let alive = if self == Self::Postgres { "true" } else { "1" };
            schema.push_str(&format!(
                "INSERT INTO person VALUES ('{id}', 'F{number}', '137{number}/02/03', 'female', 3.50, NULL, {alive}, NULL, {number});
                 INSERT INTO address VALUES (1, '{id}', 'C{number}'), (2, '{id}', NULL);
                 INSERT INTO card VALUES ('{id}', 1);\n"
            ));
        }
        schema
    }

    /// A source on a database with this schema, and how to change the database.
    async fn introspected(self, folder: &tempfile::TempDir) -> (SourceConfig, Box<dyn Fn(&str)>) {
        let schema = self.registers();
        let host: &'static dyn Host = match self {
            Self::Sqlite => {
                let file = folder.path().join("reg.db");
                let change = move |sql: &str, file: &Path| {
                    rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
                };
                change(&schema, &file);
                let kind = Which::Sqlite(file.clone());
                return (SourceConfig { kind, limits: LIMITS }, Box::new(move |sql| change(sql, &file)));
            }
            Self::Postgres => Postgres::shared(),
            Self::Mariadb => Mariadb::shared(),
        };
        let name = create(host, &schema);
        let server = signed_in(host, folder, &name);
        let kind = if self == Self::Postgres { Which::Postgres(server) } else { Which::Mysql(server) };
        (SourceConfig { kind, limits: LIMITS }, Box::new(move |sql| host.sql(&name, sql)))
    }
}

/// Decides what a person has to decide.
fn decide(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replace("CLASS_SECRET", "CLASS_PERSONAL").replace("purposes: []", "purposes: [\"test\"]");
    std::fs::write(file, text).unwrap();
}

async fn bench(folder: &Path, source: &SourceConfig) -> Bench {
    let contract = Contract::load(folder).unwrap_or_else(|error| panic!("{error}"));
    let source = crate::load::open(source, SourceFigures::default()).await.unwrap();
    let methods = prepared(folder, &contract, &source, Look::AtValues).await;
    let methods = methods.unwrap_or_else(|findings| panic!("{findings}"));
    Bench::of(contract, methods)
}

async fn call(bench: &Bench, method: &str, fields: &str, request: serde_json::Value) -> Answered {
    bench.call(&format!("civil.v1.Civil/{method}"), fields, "", &request.to_string()).await
}

#[tokio::test]
async fn a_database_becomes_a_contract_that_answers_once_a_person_has_decided() {
    for engine in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let (source, change) = engine.introspected(&folder).await;
        let contract = folder.path().join("civil");
        let wanted = Introspection {
            package: "civil.v1".to_owned(),
            service: "Civil".to_owned(),
            relations: Vec::new(),
            folder: contract.clone(),
        };
        let done = introspect(&source, &wanted).await.unwrap_or_else(|error| panic!("{engine:?}: {error}"));
        assert!(done.files.iter().all(|(_, written)| *written == Written::New), "{:?}", done.files);
        let no_key = |name: &str| {
            done.remarks.iter().any(|remark| remark.starts_with(&format!("`{name}` has no key")))
        };
        assert!(no_key("notes") && no_key("everyone"), "{engine:?}: {:?}", done.remarks);

        let file = contract.join("v1/civil.proto");
        let proto = std::fs::read_to_string(&file).unwrap();
        for line in [
            "string national_id = 1 [\n    (chapar.contract.v1.field) = { class: CLASS_SECRET key: true }\n  ];",
            "google.type.Date birth_date = 3 [\n    (chapar.contract.v1.field).class = CLASS_SECRET\n  ];",
            "subject: \"national_id\"",
            "string national_id = 1 [(chapar.contract.v1.field).format = FORMAT_IR_NATIONAL_ID];",
            "rpc ListAddressByNationalId(ListAddressByNationalIdRequest) returns (stream Address) {",
            "rpc GetPersonByOldCode(GetPersonByOldCodeRequest) returns (Person) {",
            "rpc GetAddress(GetAddressRequest) returns (Address) {",
        ] {
            assert!(proto.contains(line), "{engine:?}: {line}\n{proto}");
        }
        // Nothing can be published before someone has decided.
        let undecided = Contract::load(&contract).err().map(|error| error.to_string());
        assert!(undecided.is_some_and(|error| error.contains("purpose")), "{engine:?}");

        decide(&file);
        let answering = bench(&contract, &source).await;
        let fields = "national_id,family_name,birth_date,sex,weight,old_code";
        let answered = call(&answering, "GetPerson", fields, json!({"national_id": IDS[1]})).await;
        assert_eq!(answered.reason(), "OK", "{engine:?}");
        let person = &answered.messages[0];
        assert_eq!(person["birthDate"], json!({"year": 1992, "month": 4, "day": 23}), "{engine:?}");
        assert_eq!(person["oldCode"], "1", "{engine:?}");
        let has_enum = engine != Engine::Sqlite;
        assert_eq!(person["sex"], if has_enum { "PERSON_SEX_FEMALE" } else { "female" }, "{engine:?}");
        let listed =
            call(&answering, "ListAddressByNationalId", "city", json!({"national_id": IDS[1]})).await;
        assert_eq!(listed.messages.len(), 2, "{engine:?}: {}", listed.reason());

        // The same draft again changes nothing; a new column is merged into what the person decided.
        let again = introspect(&source, &wanted).await.unwrap();
        assert!(again.files.iter().all(|(_, written)| *written == Written::Unchanged), "{:?}", again.files);
        change("ALTER TABLE person ADD COLUMN born_in VARCHAR(40)");
        let again = introspect(&source, &wanted).await.unwrap();
        let done = |name: &str| again.files.iter().find(|(path, _)| path.ends_with(name)).unwrap().1;
        assert_eq!(done("civil.proto"), Written::Merged, "{engine:?}");
        assert_eq!(done("GetPerson.sql"), Written::Replaced, "{engine:?}");
        let merged = std::fs::read_to_string(&file).unwrap();
        assert!(merged.contains("optional string born_in = 10"), "{engine:?}: {merged}");
        // What was decided stays, and the new column waits for a decision; then all of it answers again.
        assert_eq!(merged.matches("CLASS_SECRET").count(), 1, "{engine:?}: {merged}");
        decide(&file);
        let answering = bench(&contract, &source).await;
        let answered = call(&answering, "GetPerson", "born_in", json!({"national_id": IDS[1]})).await;
        assert_eq!(answered.reason(), "OK", "{engine:?}");

        // A column that is gone takes lines along that the person changed: both are shown, and nothing is
        // written.
        change("ALTER TABLE person DROP COLUMN weight");
        let before = std::fs::read_to_string(&file).unwrap();
        let again = introspect(&source, &wanted).await.unwrap();
        let done = |name: &str| again.files.iter().find(|(path, _)| path.ends_with(name)).unwrap().1;
        assert_eq!(
            (done("civil.proto"), done("GetPerson.sql")),
            (Written::Conflict, Written::Left),
            "{engine:?}"
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), before, "{engine:?}");
        let both = std::fs::read_to_string(contract.join("v1/civil.proto.conflict")).unwrap();
        assert!(both.contains("reserved 5;"), "{engine:?}: {both}");
    }
}

#[tokio::test]
async fn what_cannot_be_drafted_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (source, _) = Engine::Sqlite.introspected(&folder).await;
    let wanted = |package: &str, name: &str, relations: &[&str]| Introspection {
        package: package.to_owned(),
        service: "Civil".to_owned(),
        relations: relations.iter().map(|name| (*name).to_owned()).collect(),
        folder: folder.path().join(name),
    };
    for (wanted, told) in [
        (wanted("civil", "civil", &[]), "no package with a version"),
        (wanted("civil.v1", "other", &[]), "must be named `civil`"),
        (wanted("civil.v1", "civil", &["persn"]), "did you mean `person`?"),
    ] {
        let error = introspect(&source, &wanted).await.unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    assert!(!Arc::new(folder).path().join("other").exists());
}
