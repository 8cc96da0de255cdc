//! The type map of PostgreSQL and MariaDB: what a value of each type becomes in which field. The page
//! `docs/reference/types.md` is made from the same tables that the tests run. SQLite's types belong to values
//! and are in `types`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::bench::Bench;
use super::engines::Engine::{self, Mariadb, Postgres};

/// Column type, value in SQL, field type, and what the field holds; or the reason why it holds nothing.
type Case = (&'static str, &'static str, &'static str, Result<Value, &'static str>);

fn of_postgres() -> Vec<Case> {
    let day = || json!({"year": 1991, "month": 8, "day": 3});
    let unreadable = || Err("VALUE_UNREADABLE");
    vec![
        ("boolean", "true", "bool", Ok(json!(true))),
        ("smallint", "-32768", "int32", Ok(json!(-32768))),
        ("integer", "2147483647", "int32", Ok(json!(2_147_483_647))),
        ("integer", "-1", "uint32", unreadable()),
        ("bigint", "9223372036854775807", "int64", Ok(json!("9223372036854775807"))),
        ("bigint", "1", "bool", Ok(json!(true))),
        ("bigint", "2", "bool", unreadable()),
        ("numeric(20,4)", "12345678901234.5600", "string", Ok(json!("12345678901234.5600"))),
        ("numeric", "0.00000001", "google.type.Decimal", Ok(json!({"value": "0.00000001"}))),
        ("numeric(12,2)", "1500000.00", "int64", Ok(json!("1500000"))),
        ("numeric", "18446744073709551615", "uint64", Ok(json!("18446744073709551615"))),
        ("numeric(12,2)", "0.50", "int64", unreadable()),
        ("numeric", "17.25", "double", Ok(json!(17.25))),
        ("numeric", "0.12345678901234567", "double", unreadable()),
        ("numeric", "'NaN'", "string", unreadable()),
        ("real", "0.1", "double", Ok(json!(0.1))),
        ("real", "0.1", "float", Ok(json!(f64::from(0.1_f32)))),
        ("double precision", "0.1", "double", Ok(json!(0.1))),
        ("text", "'متن'", "string", Ok(json!("متن"))),
        ("text", "'1.50'", "google.type.Decimal", Ok(json!({"value": "1.50"}))),
        ("varchar(10)", "'a '", "string", Ok(json!("a "))),
        ("char(5)", "'ab'", "string", Ok(json!("ab"))),
        ("text", "'ALIVE'", "Life", Ok(json!("LIFE_ALIVE"))),
        ("text", "'NOBODY'", "Life", unreadable()),
        ("life", "'DEAD'", "Life", Ok(json!("LIFE_DEAD"))),
        ("life", "'DEAD'", "string", Ok(json!("DEAD"))),
        ("smallint", "1", "Life", Ok(json!("LIFE_ALIVE"))),
        ("citext", "'Ab'", "string", Ok(json!("Ab"))),
        ("national_id", "'0499370899'", "string", Ok(json!("0499370899"))),
        ("bytea", "'\\x00ff'", "bytes", Ok(json!("AP8="))),
        (
            "uuid",
            "'0190163D-8694-739B-AEA5-966C26F8AD91'",
            "string",
            Ok(json!("0190163d-8694-739b-aea5-966c26f8ad91")),
        ),
        ("date", "'1991-08-03'", "google.type.Date", Ok(day())),
        ("date", "'infinity'", "google.type.Date", unreadable()),
        ("date", "'0044-03-15 BC'", "google.type.Date", unreadable()),
        ("date", "'1392-04-02'", "google.type.Date", unreadable()),
        ("text", "'1991-08-03'", "google.type.Date", Ok(day())),
        (
            "time",
            "'23:59:58.5'",
            "google.type.TimeOfDay",
            Ok(json!({"hours": 23, "minutes": 59, "seconds": 58, "nanos": 500_000_000})),
        ),
        ("time", "'24:00'", "google.type.TimeOfDay", unreadable()),
        (
            "timestamptz",
            "'2026-11-23 12:00:00.5+03:30'",
            "google.protobuf.Timestamp",
            Ok(json!("2026-11-23T08:30:00.500Z")),
        ),
        (
            "timestamptz",
            "'1969-12-31 23:59:59.5Z'",
            "google.protobuf.Timestamp",
            Ok(json!("1969-12-31T23:59:59.500Z")),
        ),
        ("timestamptz", "'-infinity'", "google.protobuf.Timestamp", unreadable()),
        ("interval", "'1 day 00:00:01.5'", "google.protobuf.Duration", Ok(json!("86401.500s"))),
        ("interval", "'-1 second'", "google.protobuf.Duration", Ok(json!("-1s"))),
        ("interval", "'1 month'", "google.protobuf.Duration", unreadable()),
        ("text[]", "ARRAY['a', 'b']", "repeated string", Ok(json!(["a", "b"]))),
        ("integer[]", "'{}'", "repeated int32", Ok(Value::Null)),
        ("bigint[]", "ARRAY[9007199254740993]", "repeated int64", Ok(json!(["9007199254740993"]))),
        ("text[]", "NULL", "repeated string", Ok(Value::Null)),
        ("jsonb", "'[{\"city\": \"X\"}]'", "repeated Place", Ok(json!([{"city": "X"}]))),
        ("jsonb", "'{\"city\": \"X\", \"zip\": 1}'", "Place", unreadable()),
        ("json", "'{\"a\": \"1\"}'", "map<string, string>", Ok(json!({"a": "1"}))),
        ("jsonb", "'{\"city\": \"X\"}'", "Place", Ok(json!({"city": "X"}))),
        (
            "jsonb",
            "'{\"currencyCode\": \"IRR\", \"units\": \"5\"}'",
            "google.type.Money",
            Ok(json!({"currencyCode": "IRR", "units": "5"})),
        ),
        ("bigint", "0", "google.protobuf.Int64Value", Ok(json!("0"))),
        ("bigint", "NULL", "google.protobuf.Int64Value", Ok(Value::Null)),
        ("text", "NULL", "string", Err("NULL_IN_REQUIRED")),
        ("text", "NULL", "optional string", Ok(Value::Null)),
    ]
}

fn of_mariadb() -> Vec<Case> {
    let day = || json!({"year": 1991, "month": 8, "day": 3});
    let unreadable = || Err("VALUE_UNREADABLE");
    vec![
        ("TINYINT(1)", "1", "bool", Ok(json!(true))),
        ("TINYINT(1)", "2", "bool", unreadable()),
        ("TINYINT(1)", "7", "int32", Ok(json!(7))),
        ("BIT(1)", "b'1'", "bool", Ok(json!(true))),
        ("BIT(12)", "b'100000000001'", "int32", Ok(json!(2049))),
        ("SMALLINT", "-32768", "int32", Ok(json!(-32768))),
        ("MEDIUMINT UNSIGNED", "16777215", "uint32", Ok(json!(16_777_215))),
        ("INT", "-1", "uint32", unreadable()),
        ("INT UNSIGNED", "4294967295", "uint32", Ok(json!(4_294_967_295_u32))),
        ("BIGINT UNSIGNED", "18446744073709551615", "uint64", Ok(json!("18446744073709551615"))),
        ("BIGINT UNSIGNED", "18446744073709551615", "int64", unreadable()),
        ("BIGINT", "-9223372036854775808", "int64", Ok(json!("-9223372036854775808"))),
        ("YEAR", "2026", "int32", Ok(json!(2026))),
        ("DECIMAL(20,4)", "12345678901234.56", "string", Ok(json!("12345678901234.5600"))),
        ("DECIMAL(20,8)", "0.00000001", "google.type.Decimal", Ok(json!({"value": "0.00000001"}))),
        ("DECIMAL(12,2)", "1500000", "int64", Ok(json!("1500000"))),
        ("DECIMAL(12,2)", "0.5", "int64", unreadable()),
        ("DECIMAL(12,2)", "17.25", "double", Ok(json!(17.25))),
        ("FLOAT", "0.1", "double", Ok(json!(0.1))),
        ("FLOAT", "0.1", "float", Ok(json!(f64::from(0.1_f32)))),
        ("DOUBLE", "0.1", "double", Ok(json!(0.1))),
        ("VARCHAR(10)", "'متن'", "string", Ok(json!("متن"))),
        ("CHAR(5)", "'ab'", "string", Ok(json!("ab"))),
        ("VARCHAR(10) CHARACTER SET latin1", "'é'", "string", Ok(json!("é"))),
        ("TEXT", "'1.50'", "google.type.Decimal", Ok(json!({"value": "1.50"}))),
        ("LONGTEXT", "'a'", "string", Ok(json!("a"))),
        ("ENUM('ALIVE','DEAD')", "'DEAD'", "Life", Ok(json!("LIFE_DEAD"))),
        ("ENUM('ALIVE','DEAD')", "'DEAD'", "string", Ok(json!("DEAD"))),
        ("SET('a','b')", "'a,b'", "string", Ok(json!("a,b"))),
        ("TINYINT", "1", "Life", Ok(json!("LIFE_ALIVE"))),
        ("VARBINARY(4)", "x'00ff'", "bytes", Ok(json!("AP8="))),
        ("BINARY(2)", "x'00ff'", "bytes", Ok(json!("AP8="))),
        ("LONGBLOB", "x'00ff'", "bytes", Ok(json!("AP8="))),
        (
            "UUID",
            "'0190163D-8694-739B-AEA5-966C26F8AD91'",
            "string",
            Ok(json!("0190163d-8694-739b-aea5-966c26f8ad91")),
        ),
        ("DATE", "'1991-08-03'", "google.type.Date", Ok(day())),
        ("DATE", "'0000-00-00'", "google.type.Date", unreadable()),
        ("DATE", "'2000-05-00'", "google.type.Date", unreadable()),
        ("DATE", "'1392-04-02'", "google.type.Date", unreadable()),
        ("VARCHAR(10)", "'1991-08-03'", "google.type.Date", Ok(day())),
        (
            "TIME(1)",
            "'23:59:58.5'",
            "google.type.TimeOfDay",
            Ok(json!({"hours": 23, "minutes": 59, "seconds": 58, "nanos": 500_000_000})),
        ),
        ("TIME", "'100:00:00'", "google.type.TimeOfDay", unreadable()),
        (
            "TIMESTAMP(1)",
            "'2026-11-23 08:30:00.5'",
            "google.protobuf.Timestamp",
            Ok(json!("2026-11-23T08:30:00.500Z")),
        ),
        ("TIMESTAMP NULL", "'0000-00-00 00:00:00'", "google.protobuf.Timestamp", unreadable()),
        ("JSON", "'[\"a\", \"b\"]'", "repeated string", Ok(json!(["a", "b"]))),
        ("JSON", "NULL", "repeated string", Ok(Value::Null)),
        ("JSON", "'[{\"city\": \"X\"}]'", "repeated Place", Ok(json!([{"city": "X"}]))),
        ("JSON", "'{\"city\": \"X\", \"zip\": 1}'", "Place", unreadable()),
        ("JSON", "'{\"a\": \"1\"}'", "map<string, string>", Ok(json!({"a": "1"}))),
        ("BIGINT", "0", "google.protobuf.Int64Value", Ok(json!("0"))),
        ("BIGINT", "NULL", "google.protobuf.Int64Value", Ok(Value::Null)),
        ("TEXT", "NULL", "string", Err("NULL_IN_REQUIRED")),
        ("TEXT", "NULL", "optional string", Ok(Value::Null)),
    ]
}

/// Pairs that no value can fill, which a start finds: column type, field type, and what it says.
const MISFITS: &[(Engine, &str, &str, &str)] = &[
    (Postgres, "timestamp", "google.protobuf.Timestamp", "`-- column v: zone \"Asia/Tehran\"`"),
    (Postgres, "integer", "string", "the field needs text"),
    (Postgres, "text", "int64", "`-- column v: integer`"),
    (Postgres, "inet", "string", "column `v` is declared inet"),
    (Postgres, "bytea[]", "repeated bytes", "column `v` is declared bytea[]"),
    (Postgres, "timetz", "google.type.TimeOfDay", "column `v` is declared timetz"),
    (Mariadb, "DATETIME", "google.protobuf.Timestamp", "`-- column v: zone \"Asia/Tehran\"`"),
    (Mariadb, "INT", "string", "the field needs text"),
    (Mariadb, "TEXT", "bytes", "the field needs a blob"),
    (Mariadb, "BLOB", "string", "the field needs text"),
];

const TYPES: &str = "
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TYPE life AS ENUM ('ALIVE', 'DEAD');
CREATE DOMAIN national_id AS char(10);
";

impl Engine {
    fn before(self) -> &'static str {
        match self {
            Postgres => TYPES,
            // Zero dates are kept out by the server's default mode, and stand in old tables.
            _ => "SET SESSION sql_mode = '';\n",
        }
    }
}

fn proto(fields: &[&str]) -> String {
    let mut proto =
        String::from("syntax = \"proto3\";\npackage reg.v1;\nimport \"chapar/contract/v1/options.proto\";\n");
    for file in [
        "google/protobuf/duration.proto",
        "google/protobuf/timestamp.proto",
        "google/protobuf/wrappers.proto",
        "google/type/date.proto",
        "google/type/decimal.proto",
        "google/type/money.proto",
        "google/type/timeofday.proto",
    ] {
        writeln!(proto, "import \"{file}\";").unwrap();
    }
    proto.push_str(
        "enum Life { LIFE_UNSPECIFIED = 0; LIFE_ALIVE = 1; LIFE_DEAD = 2; }\nmessage Ask { string v = 1; }\n",
    );
    let class = "[(chapar.contract.v1.field).class = CLASS_PUBLIC]";
    writeln!(proto, "message Place {{ string city = 1 {class}; }}").unwrap();
    for (number, field) in fields.iter().enumerate() {
        // A message of the contract's own has its classes inside.
        let class = if field.ends_with("Place") { "" } else { class };
        writeln!(proto, "message T{number} {{ {field} v = 1 {class}; string other = 2 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }}").unwrap();
    }
    proto.push_str("service Register {\n");
    for number in 0..fields.len() {
        writeln!(
            proto,
            "rpc G{number}(Ask) returns (T{number}) {{ option (chapar.contract.v1.method) = {{ purposes: [\"test\"] }}; }}"
        )
        .unwrap();
    }
    proto.push_str("}\n");
    proto
}

fn statements(count: usize) -> Vec<(String, String)> {
    let one = |number| (format!("G{number}"), format!("-- unused: v\nSELECT v, 'x' AS other FROM t{number}"));
    (0..count).map(one).collect()
}

async fn bench(
    engine: Engine,
    tables: &[(&str, &str)],
    fields: &[&str],
) -> Result<Bench, crate::finding::Findings> {
    let mut schema = engine.before().to_owned();
    for (number, (declared, value)) in tables.iter().enumerate() {
        writeln!(schema, "CREATE TABLE t{number} (v {declared}); INSERT INTO t{number} VALUES ({value});")
            .unwrap();
    }
    let statements = statements(fields.len());
    let statements: Vec<(&str, &str)> =
        statements.iter().map(|(method, sql)| (method.as_str(), sql.as_str())).collect();
    engine.database(&schema).await.bench(&proto(fields), &statements).await
}

async fn every_case_holds(engine: Engine, cases: Vec<Case>) {
    let tables: Vec<_> = cases.iter().map(|(declared, value, ..)| (*declared, *value)).collect();
    let fields: Vec<_> = cases.iter().map(|(_, _, field, _)| *field).collect();
    let bench = bench(engine, &tables, &fields).await.unwrap_or_else(|findings| panic!("{findings}"));
    for (number, (declared, value, field, expected)) in cases.into_iter().enumerate() {
        let answered = bench.call(&format!("G{number}"), "v", "", "{}").await;
        let told = match answered.messages.first() {
            Some(message) => Ok(message.get("v").cloned().unwrap_or(Value::Null)),
            None => Err(answered.reason()),
        };
        assert_eq!(told, expected, "{engine:?}: {value} of {declared} as {field}");
    }
}

#[tokio::test]
async fn values_of_postgresql_become_fields() {
    every_case_holds(Postgres, of_postgres()).await;
}

#[tokio::test]
async fn values_of_mariadb_become_fields() {
    every_case_holds(Mariadb, of_mariadb()).await;
}

#[tokio::test]
async fn a_type_that_can_never_fill_its_field_is_found_at_the_start() {
    for (engine, declared, field, said) in MISFITS {
        let findings = bench(*engine, &[(declared, "NULL")], &[field]).await.err();
        let findings = findings.unwrap_or_else(|| panic!("{engine:?}: {declared} as {field}")).to_string();
        assert!(findings.contains(said), "{engine:?}: {declared} as {field}: {findings}");
    }
}

/// The page's table of one database.
fn table(cases: &[Case]) -> String {
    let mut text = String::from("| column | value | field | becomes |\n|---|---|---|---|\n");
    for (declared, value, field, expected) in cases {
        let becomes = match expected {
            Ok(Value::Null) => "unset".to_owned(),
            Ok(value) => format!("`{value}`"),
            Err(reason) => format!("[{reason}](../errors/{reason}.md)"),
        };
        let value = value.replace('|', "\\|");
        writeln!(text, "| `{declared}` | `{value}` | `{field}` | {becomes} |").unwrap();
    }
    text
}

#[test]
fn the_page_shows_the_tables_that_are_tested() {
    let mut misfits = String::from("| database | column | field |\n|---|---|---|\n");
    for (engine, declared, field, _) in MISFITS {
        let name = if *engine == Postgres { "PostgreSQL" } else { "MariaDB, MySQL" };
        writeln!(misfits, "| {name} | `{declared}` | `{field}` |").unwrap();
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/types.md");
    let mut page = std::fs::read_to_string(&file).unwrap();
    for (name, table) in
        [("postgresql", table(&of_postgres())), ("mariadb", table(&of_mariadb())), ("misfits", misfits)]
    {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let start = page.find(&begin).unwrap() + begin.len();
        let stop = page.find(&end).unwrap();
        page.replace_range(start..stop, &table);
    }
    // With this set, the page is written; else it must be as the tables are.
    if std::env::var_os("CHAPAR_WRITE_PAGES").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), page, "write it with CHAPAR_WRITE_PAGES=1");
}
