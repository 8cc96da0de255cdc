//! Tests that all errors in a contract folder are found before the first call, together, each with its place.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chapar_contract::Contract;
use chapar_telemetry::SourceFigures;
use futures_util::FutureExt as _;

use super::bench::{Bench, PROTO, SCHEMA, STATEMENTS, one_connection, prepared};
use crate::backend::Opened;
use crate::served_method::Look;
use crate::source::Source;
use crate::source::sqlite::Sqlite;
use crate::{Adapter, Config};

/// The findings after `changed` replaced the statements of the same name.
fn findings(changed: &[(&'static str, &'static str)]) -> Vec<String> {
    let statement = |(method, sql)| {
        (method, changed.iter().find(|(name, _)| *name == method).map_or(sql, |(_, sql)| *sql))
    };
    let mut statements: Vec<_> = STATEMENTS.into_iter().map(statement).collect();
    statements
        .extend(changed.iter().filter(|(method, _)| !STATEMENTS.iter().any(|(known, _)| known == method)));
    let Err(findings) = Bench::with(PROTO, &statements, SCHEMA, "") else { return Vec::new() };
    let tail = |text: String| text.rsplit_once("Register/").map(|(_, tail)| tail.to_owned()).unwrap();
    findings.iter().map(|finding| tail(finding.to_string())).collect()
}

#[test]
fn a_good_folder_has_no_findings() {
    assert!(findings(&[]).is_empty());
}

#[test]
fn every_fault_of_every_statement_is_found_at_once() {
    let found = findings(&[
        ("ListChildren", "SELECT parent, name, province\nFROM child\nWHERE parent = :idd"),
        ("ListDegrees", "SELECT titel, mark\nFROM degree WHERE person = :id"),
        ("Count", "SELECT 1 AS number;\nDROP TABLE sentinel"),
        ("Cuont", "SELECT 1"),
    ]);
    let expected = [
        // What is wrong with a file by itself comes before what the database says.
        "Count.sql:2:1: a second statement",
        "Cuont.sql:1:1: reg.v1.Register has no method `Cuont`",
        "ListChildren.sql:3:16: `:idd` is no field of reg.v1.Ask",
        "ListChildren.sql:1:1: the request field `id` is not used",
        "ListDegrees.sql:1:1: the database does not take this statement: no such column: titel",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nis not {expected}");
    }
}

#[test]
fn columns_and_fields_must_be_the_same() {
    let found = findings(&[("ListDegrees", "SELECT title AS titel,\n  mark FROM degree WHERE person = :id")]);
    assert!(
        found[0].starts_with("ListDegrees.sql:1:17: column `titel` is no field of reg.v1.Degrees"),
        "{found:#?}"
    );
    assert!(
        found[1].contains("no column is named `title`, so the field `degrees.title` has no source"),
        "{found:#?}"
    );
}

#[test]
fn declared_types_must_fit_the_contract() {
    let found =
        findings(&[("ListDegrees", "SELECT person AS title, title AS mark FROM degree WHERE person = :id")]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("column `mark` is declared TEXT, the field needs a number"), "{found:#?}");
}

#[test]
fn a_text_behind_a_number_is_to_be_converted_and_not_cast() {
    let statement = "SELECT given_name AS number FROM person WHERE children <= :most";
    let statements =
        STATEMENTS.map(|(method, sql)| (method, if method == "Count" { statement } else { sql }));
    let findings = Bench::with(PROTO, &statements, SCHEMA, "").err().unwrap();
    let text = format!("{findings:?}");
    assert!(text.contains("column `number` is declared TEXT, the field needs an integer"), "{text}");
    assert!(text.contains("`-- column number: integer`") && !text.contains("AS INTEGER"), "{text}");
}

#[test]
fn a_row_scope_must_be_a_column() {
    let found = findings(&[("ListChildren", "SELECT parent, name FROM child WHERE parent = :id")]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("the row scope `province` is no column of the statement"), "{found:#?}");
}

#[test]
fn an_unused_field_is_declared() {
    let statement = "SELECT title, mark FROM degree";
    assert!(findings(&[("ListDegrees", statement)])[0].contains("the request field `id` is not used"));
    assert!(findings(&[("ListDegrees", "-- unused: id\nSELECT title, mark FROM degree")]).is_empty());
    let found =
        findings(&[("ListDegrees", "-- unused: idd\nSELECT title, mark FROM degree WHERE person = :id")]);
    assert!(found[0].starts_with("ListDegrees.sql:1:1: `unused: idd` is no field"), "{found:#?}");
}

#[test]
fn a_statement_that_is_missing_is_named() {
    let statements: Vec<_> = STATEMENTS.into_iter().filter(|(method, _)| *method != "Count").collect();
    let findings = Bench::with(PROTO, &statements, SCHEMA, "").err().unwrap();
    let text = findings.to_string();
    assert!(
        text.contains("Register/Count.sql:1:1: there is no statement for reg.v1.Register/Count"),
        "{text}"
    );
}

#[test]
fn sql_that_only_the_database_knows_is_taken_and_what_fails_at_the_call_is_not() {
    for statement in [
        "SELECT title, mark FROM degree WHERE title NOT GLOB 'x*' AND person = :id",
        "SELECT title, mark FROM degree WHERE person = :id AND mark ISNULL",
        "WITH x AS MATERIALIZED (SELECT * FROM degree) SELECT title, mark FROM x WHERE person = :id",
        "SELECT title, mark FROM degree CROSS JOIN child ON parent = person WHERE person = :id",
        "SELECT title, sqrt(mark) AS mark FROM degree WHERE person = :id",
    ] {
        assert!(
            findings(&[("ListDegrees", statement)]).is_empty(),
            "{statement}: {:#?}",
            findings(&[("ListDegrees", statement)])
        );
    }
    for (statement, told) in [
        (
            "SELECT title, mark FROM degree WHERE (person = :id",
            "the database does not take this statement: incomplete input",
        ),
        (
            "SELECT title, mark FROM degree WHERE person = :id) AS q --",
            "the database does not take this statement: near \")\"",
        ),
        (
            "SELECT name AS title, 1.0 AS mark FROM pragma_table_info('degree') WHERE name <> :id",
            "the database does not take this statement: not authorized",
        ),
        (
            "SELECT title, mark FROM degree WHERE person = :id COLLATE persian",
            "the database does not take this statement: no such collation sequence: persian",
        ),
    ] {
        let found = findings(&[("ListDegrees", statement)]);
        assert_eq!(found.len(), 1, "{statement}: {found:#?}");
        assert!(found[0].contains(told), "{found:#?}");
    }
}

#[test]
fn a_write_that_the_parser_cannot_read_is_refused_by_the_database() {
    let write = "WITH x AS (SELECT 1 WHERE 'a' NOT GLOB 'b') DELETE FROM sentinel";
    let found = findings(&[(
        "ListDegrees",
        "-- unused: id\nWITH x AS (SELECT 1 WHERE 'a' NOT GLOB 'b') DELETE FROM sentinel",
    )]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("the database does not take this statement: not authorized"), "{found:#?}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reg.db");
    let database = rusqlite::Connection::open(&file).unwrap();
    database.execute_batch(SCHEMA).unwrap();
    let source =
        Sqlite::open(&file, one_connection(Duration::from_secs(1)), SourceFigures::default()).unwrap();
    let described = source.describe(write).now_or_never().unwrap().map(drop);
    let tried = source.try_out(write, &[]).now_or_never().unwrap().map(drop);
    for failure in [described.unwrap_err(), tried.unwrap_err()] {
        assert!(failure.detail.contains("not authorized"), "{failure:?}");
    }
    let words: i64 = database.query_row("SELECT count(*) FROM sentinel", [], |row| row.get(0)).unwrap();
    assert_eq!(words, 1);
}

#[test]
fn rows_of_a_statement_that_the_parser_cannot_read_are_narrowed_inside_or_not_at_all() {
    let outside = "SELECT parent, name, province FROM child WHERE parent = :id AND name NOT GLOB 'x' LIMIT 2";
    let found = findings(&[("ListChildren", outside)]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("rows by `province` cannot be told from outside of this statement: it has LIMIT"),
        "{found:#?}"
    );
    let inside = "SELECT parent, name FROM child WHERE parent = :id AND chapar_rows(province, province) \
                  AND name NOT GLOB 'x' LIMIT 2";
    assert!(findings(&[("ListChildren", inside)]).is_empty(), "{:#?}", findings(&[("ListChildren", inside)]));
}

#[test]
fn a_statement_with_a_byte_order_mark_loads() {
    let found = findings(&[("ListDegrees", "\u{FEFF}-- unused: id\nSELECT title, mark FROM degree")]);
    assert!(found.is_empty(), "{found:#?}");
}

/// What the check says of the usual statements, each changed, over the usual tables after `change`.
fn checked(change: &str, statement: impl Fn(&str, &str) -> String) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reg.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch(&format!("{SCHEMA}{change}")).unwrap();
    let contract = folder.path().join("reg");
    std::fs::create_dir_all(contract.join("v1/Register")).unwrap();
    std::fs::write(contract.join("v1/reg.proto"), PROTO).unwrap();
    for (method, sql) in STATEMENTS {
        std::fs::write(contract.join(format!("v1/Register/{method}.sql")), statement(method, sql)).unwrap();
    }
    let source: Arc<dyn Source> = Arc::new(
        Sqlite::open(&file, one_connection(Duration::from_secs(1)), SourceFigures::default()).unwrap(),
    );
    let compiled = Contract::load(&contract).unwrap();
    let methods =
        prepared(&contract, &compiled, &Opened::Database(source), Look::AtValues).now_or_never().unwrap();
    match methods {
        Err(findings) => Err(findings.iter().next().unwrap().to_string()),
        Ok(methods) => {
            Ok(methods.iter().flat_map(|(_, served)| &served.remarks).map(ToString::to_string).collect())
        }
    }
}

#[test]
fn a_look_at_the_tables_counts_what_callers_would_not_expect() {
    let change = "UPDATE person SET birth_date = '1370-05-12' WHERE id = '1';
        CREATE TABLE untyped (person, title TEXT, mark REAL); INSERT INTO untyped VALUES (1, '۱۲', 1.0), ('2', 'a', NULL);";
    let told = checked(change, |_, sql| sql.replace("degree", "untyped")).unwrap();
    for expected in [
        "reg.v1.Register/GetPerson: person.birth_date: 1 of 2 values: a year of the Jalali calendar",
        "reg.v1.Register/ListDegrees: untyped.title: 1 of 2 values: digits that are not ASCII",
        "reg.v1.Register/ListDegrees: untyped.person: 1 of 2 values: numbers, and `:id` is text: they are never equal",
    ] {
        assert!(told.iter().any(|told| told.starts_with(expected)), "{expected}: {told:#?}");
    }
}

#[test]
fn a_text_beside_an_expression_over_integers_is_told_to_find_nothing() {
    let change =
        "CREATE TABLE sold (person INTEGER, title TEXT, mark REAL); INSERT INTO sold VALUES (1, 'a', 1.0);";
    let of = |condition: &'static str| {
        let told =
            checked(change, move |_, sql| sql.replace("degree", "sold").replace("person = :id", condition));
        told.unwrap().into_iter().find(|told| told.contains("sold.person")).unwrap_or_default()
    };
    let nothing = "1 of 1 values: numbers, and `:id` is text: they are never equal";
    assert!(of("coalesce(person, 0) = :id").contains(nothing));
    assert!(of("person + 0 = :id").contains(nothing));
    // SQLite turns the text into a number for the column itself.
    assert!(of("person = :id").contains("leading zeros do not count"));
    assert_eq!(of("CAST(person AS TEXT) = :id"), "");
}

#[test]
fn the_check_looks_records_up_and_tells_of_statements_that_fail_once_there_is_one() {
    let with = |condition: &'static str| {
        move |method: &str, sql: &str| match method {
            "GetPerson" => sql.replace("id = :id", &format!("id = :id AND {condition}")),
            _ => sql.to_owned(),
        }
    };
    let found = checked("", with("given_name MATCH 'x'")).unwrap_err();
    let words =
        "fails for every record that was looked up: unable to use function MATCH in the requested context";
    assert!(found.contains(words), "{found}");
    let bad =
        "UPDATE person SET nickname = '{' WHERE id = '1'; UPDATE person SET nickname = '{}' WHERE id = '2';";
    let told = checked(bad, with("json_extract(nickname, '$.a') IS NULL")).unwrap();
    let remark = "reg.v1.Register/GetPerson: person.id: 1 of 2 values: the statement fails for their records: malformed JSON";
    assert!(told.iter().any(|told| told == remark), "{told:#?}");
}

#[test]
fn what_sqlite_would_refuse_while_reading_is_refused_at_load() {
    let found =
        findings(&[("ListDegrees", "SELECT name AS title, 1.0 AS mark FROM sqlite_schema WHERE name = :id")]);
    assert!(found[0].contains("the database does not take this statement"), "{found:#?}");
}

#[test]
fn a_request_that_contains_itself_has_findings_with_an_end() {
    let proto = PROTO.replace(
        "message Ask { string id = 1; }",
        "message Ask { string id = 1; Ask left = 2; Ask right = 3; }",
    );
    let error = Bench::with(&proto, &STATEMENTS, SCHEMA, "").err().unwrap().to_string();
    assert!(error.contains("the request field `left` is not used") && error.len() < 4_000, "{error}");
}

#[test]
fn a_folder_of_contracts_is_no_contract_of_an_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let text = format!(
        "[adapter]\nidentity = {{ cert = 'c', key = 'k', trust = 't' }}\ncontracts = ['{}']\nlisten = '127.0.0.1:0'\n\
         gateways = ['spiffe://lorestan.example/bus/lorestan/gateway']\n[source.proto]\nurl = 'sqlite:civil.db'\n",
        proto.display()
    );
    let config = Config::parse(&folder.path().join("adapter.toml"), &text).unwrap();
    let error = Adapter::check(&config).now_or_never().unwrap().unwrap_err().to_string();
    assert!(error.contains("holds contracts of its own (agriculture, banking, civil"), "{error}");
}

#[test]
fn a_database_that_cannot_be_used_is_named_with_its_place_in_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/civil");
    let text = format!(
        "[adapter]\nidentity = {{ cert = 'c', key = 'k', trust = 't' }}\ncontracts = ['{}']\nlisten = '127.0.0.1:0'\n\
         gateways = ['spiffe://lorestan.example/bus/lorestan/gateway']\n[source.civil]\nurl = 'sqlite:civil.db'\n",
        proto.display()
    );
    let config = Config::parse(&folder.path().join("adapter.toml"), &text).unwrap();
    let error = || Adapter::check(&config).now_or_never().unwrap().unwrap_err().to_string();
    for part in ["adapter.toml: [source.civil]: database", "civil.db` cannot be read"] {
        assert!(error().contains(part), "{}", error());
    }
    std::fs::write(folder.path().join("civil.db"), "x".repeat(10_000)).unwrap();
    assert!(error().contains("civil.db` is not an SQLite database"), "{}", error());
}

#[test]
fn the_reference_contracts_fit_their_own_schemas() {
    for name in ["agriculture", "banking", "civil", "education", "health"] {
        let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto").join(name);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("reference.db");
        let schema = std::fs::read_to_string(contract.join("v1/schema.sql")).unwrap();
        rusqlite::Connection::open(&file).unwrap().execute_batch(&schema).unwrap();
        let source: Arc<dyn Source> = Arc::new(
            Sqlite::open(&file, one_connection(Duration::from_secs(1)), SourceFigures::default()).unwrap(),
        );
        let compiled = Contract::load(&contract).unwrap();
        let methods =
            prepared(&contract, &compiled, &Opened::Database(source), Look::AtValues).now_or_never().unwrap();
        assert!(methods.unwrap_or_else(|findings| panic!("{findings}")).len() >= 2, "{name}");
    }
}
