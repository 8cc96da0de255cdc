//! Tests a grant's rows in statements of every shape: the answer has the same rows as if the scope stood in
//! the statement, or the statement is refused before the first call.

use serde_json::Value;

use super::bench::{Bench, PROTO, SCHEMA, STATEMENTS};

/// A bench whose `ListChildren` is this statement, over a table of visits with provinces as integers.
fn bench(statement: &'static str) -> Result<Bench, crate::Findings> {
    let statements =
        STATEMENTS.map(|(method, sql)| (method, if method == "ListChildren" { statement } else { sql }));
    let schema = format!(
        "{SCHEMA}
        CREATE TABLE visit (parent TEXT NOT NULL, name TEXT NOT NULL, day TEXT NOT NULL, prov INTEGER, area REAL AS (prov * 1.0));
        INSERT INTO visit VALUES ('1', 'old', '2026-01-01', 15), ('1', 'new', '2026-03-01', 16), ('1', 'newer', '2026-04-01', 16),
            ('1', 'newest', '2026-05-01', 99), ('1', 'nowhere', '2026-06-01', NULL);"
    );
    Bench::with(PROTO, &statements, &schema, "")
}

async fn names(bench: &Bench, rows: &str) -> Vec<Value> {
    let answered = bench.call("ListChildren", "parent,name", rows, r#"{"id": "1"}"#).await;
    assert_eq!(answered.reason(), "OK");
    answered.messages.iter().map(|message| message["name"].clone()).collect()
}

#[tokio::test]
async fn the_newest_two_of_the_granted_rows_are_not_the_granted_ones_of_the_newest_two() {
    let placed = "SELECT parent, name FROM visit WHERE parent = :id AND chapar_rows(province, prov) ORDER BY day DESC LIMIT 2";
    let bench = bench(placed).unwrap();
    assert_eq!(names(&bench, "province=15").await, ["old"]);
    assert_eq!(names(&bench, "province=15,16").await, ["newer", "new"]);
    assert_eq!(names(&bench, "").await, ["nowhere", "newest"]);
}

#[tokio::test]
async fn a_count_counts_no_row_outside_of_the_grant() {
    let placed = "SELECT :id AS parent, CAST(count(*) AS TEXT) AS name FROM visit WHERE parent = :id AND chapar_rows(province, prov)";
    let bench = bench(placed).unwrap();
    for (rows, counted) in [("province=15", "1"), ("province=15,16", "3"), ("province=17", "0"), ("", "5")] {
        assert_eq!(names(&bench, rows).await, [counted], "{rows}");
    }
}

#[tokio::test]
async fn a_scope_is_compared_as_text_whatever_the_columns_type() {
    for statement in [
        "SELECT parent, name, coalesce(prov, 0) AS province FROM visit WHERE parent = :id",
        "SELECT parent, name, prov AS province FROM visit WHERE parent = :id",
        "SELECT parent, name FROM visit WHERE parent = :id AND chapar_rows(province, coalesce(prov, 0))",
        "SELECT parent, name, area AS province FROM visit WHERE parent = :id",
        "SELECT parent, name FROM visit WHERE parent = :id AND chapar_rows(province, area)",
    ] {
        let bench = bench(statement).unwrap();
        assert_eq!(names(&bench, "province=15").await, ["old"], "{statement}");
        assert_eq!(names(&bench, "province=15,99").await, ["old", "newest"], "{statement}");
    }
}

#[test]
fn a_statement_whose_rows_cannot_be_told_from_outside_is_refused_with_what_to_write() {
    for statement in [
        "SELECT parent, name, prov AS province FROM visit WHERE parent = :id ORDER BY day DESC LIMIT 2",
        "SELECT :id AS parent, CAST(count(*) AS TEXT) AS name, prov AS province FROM visit WHERE parent = :id",
        "SELECT parent, name, province FROM (SELECT parent, name, prov AS province FROM visit WHERE parent = :id)",
        "SELECT parent, name, prov AS province FROM visit WHERE parent = :id UNION SELECT '', '', 0",
    ] {
        let findings = bench(statement).err().expect(statement);
        let text = format!("{findings:?}");
        assert!(text.contains("rows by `province` cannot be told from outside of this statement"), "{text}");
        assert!(text.contains("chapar_rows(province, COLUMN)"), "{text}");
    }
    let findings = bench("SELECT parent, name FROM visit WHERE parent = :id AND chapar_rows(provinz, prov)")
        .err()
        .unwrap();
    assert!(format!("{findings:?}").contains("the contract has no such row scope"), "{findings:?}");
    let findings = bench("SELECT parent, name FROM visit WHERE parent = :id AND chapar_rows(province, nope)")
        .err()
        .unwrap();
    assert!(format!("{findings:?}").contains("no such column: nope"), "{findings:?}");
}
