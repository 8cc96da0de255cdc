//! Lists that are answered page by page, on every engine: each row comes once and in order, whatever its key
//! holds, and a token is good for the one who got it and for the question that it answers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::bench::{Answered, Bench, GATEWAY, SCHEMA, framed};
use super::engines::{ENGINES, Engine};
use crate::finding::Findings;

const PROTO: &str = r#"
syntax = "proto3";
package reg.v1;
import "chapar/contract/v1/options.proto";
import "google/type/date.proto";
service Register {
  rpc List(Ask) returns (Page) {
    option (chapar.contract.v1.method) = { subject: "owner" purposes: ["test"] max_rows: 5 row_scopes: ["province"] };
  }
}
message Ask { string owner = 1; int32 page_size = 2; string page_token = 3; string but = 4; }
message Page {
  repeated Item items = 1;
  string next_page_token = 2 [(chapar.contract.v1.field).page_token = true];
}
message Item {
  int64 id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  google.type.Date day = 2 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
  string name = 3 [(chapar.contract.v1.field).class = CLASS_PUBLIC];
}
"#;

const TABLE: &str = "CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, owner VARCHAR(10) NOT NULL, day DATE, \
                     name VARCHAR(60) NOT NULL, province VARCHAR(2) NOT NULL);";
const SELECT: &str = "SELECT id, day, name, province FROM item WHERE owner = :owner AND name <> :but";
/// What the gateway says of a right to everything.
const ALL: &str = "items.id,items.day,items.name,next_page_token";

/// A statement with this order.
fn by(keys: &str) -> String {
    format!("-- page by: {keys}\n{SELECT}")
}

async fn bench(engine: Engine, keys: &str, rows: &str) -> Bench {
    let table = match engine {
        // The others compare by a collation of their own accord, or byte for byte in any case.
        Engine::Sqlite => TABLE.replace("name VARCHAR(60)", "name VARCHAR(60) COLLATE NOCASE"),
        _ => TABLE.to_owned(),
    };
    let database = engine.database(&format!("{table}{rows}")).await;
    let bench = database.bench(PROTO, &[("List", &by(keys))]).await;
    bench.unwrap_or_else(|findings| panic!("{engine:?}: {findings}"))
}

async fn page(bench: &Bench, size: i32, token: &str) -> Answered {
    let request = json!({ "owner": "1", "pageSize": size, "pageToken": token, "but": "-" });
    bench.call("List", ALL, "", &request.to_string()).await
}

fn token(answered: &Answered) -> String {
    answered.messages[0]["nextPageToken"].as_str().unwrap_or_default().to_owned()
}

fn ids(answered: &Answered) -> Vec<String> {
    let items = answered.messages[0]["items"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// Every page from the first to the last.
async fn walk(bench: &Bench, size: i32) -> Vec<Vec<String>> {
    let (mut pages, mut at) = (Vec::new(), String::new());
    loop {
        let answered = page(bench, size, &at).await;
        assert_eq!(answered.reason(), "OK");
        pages.push(ids(&answered));
        at = token(&answered);
        if at.is_empty() {
            return pages;
        }
    }
}

#[tokio::test]
async fn every_row_comes_once_and_in_order() {
    let rows = "INSERT INTO item VALUES (1, '1', '2020-01-01', 'a', '15'), (2, '1', '2021-01-01', 'b', '15'),
        (3, '1', '2020-01-01', 'c', '15'), (4, '1', NULL, 'd', '15'), (5, '1', '2020-01-01', 'e', '15'),
        (6, '1', NULL, 'f', '15'), (7, '2', '2020-01-01', 'g', '15'), (8, '1', '2019-12-31', 'h', '16');";
    for engine in ENGINES {
        let bench = bench(engine, "day DESC, id", rows).await;
        assert_eq!(
            walk(&bench, 2).await,
            [["2", "1"], ["3", "5"], ["8", "4"], ["6", ""]].map(|page| {
                page.into_iter().filter(|id| !id.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            }),
            "{engine:?}"
        );
        assert_eq!(walk(&bench, 1).await.concat(), ["2", "1", "3", "5", "8", "4", "6"], "{engine:?}");
        // A page that ends with the last row has no token, and the maximum holds.
        assert_eq!(walk(&bench, 7).await, [vec!["2", "1", "3", "5", "8"], vec!["4", "6"]], "{engine:?}");
        assert_eq!(walk(&bench, 0).await.concat().len(), 7, "{engine:?}");
        let scoped = bench.call("List", ALL, "province=16", r#"{"owner": "1", "pageSize": 1}"#).await;
        assert_eq!((ids(&scoped), token(&scoped)), (vec!["8".to_owned()], String::new()), "{engine:?}");
    }
}

#[tokio::test]
async fn texts_that_a_collation_takes_for_equal_are_told_apart() {
    let names =
        ["a", "A", "a ", "á", "b", "1", "۱", "١", "", "'; DROP TABLE item; --", "\\", "ی", "ي", "\u{200c}ی"];
    let quoted = |name: &str, engine: Engine| {
        let name = name.replace('\'', "''");
        if engine == Engine::Mariadb { name.replace('\\', "\\\\") } else { name }
    };
    for engine in ENGINES {
        let rows = names.iter().zip(1..).map(|(name, id)| {
            format!("INSERT INTO item VALUES ({id}, '1', NULL, '{}', '15');", quoted(name, engine))
        });
        let bench = bench(engine, "name", &rows.collect::<String>()).await;
        let mut found = BTreeSet::new();
        let mut at = String::new();
        for _ in 0..names.len() {
            let answered = page(&bench, 1, &at).await;
            assert_eq!(answered.reason(), "OK", "{engine:?}");
            let name =
                answered.messages[0]["items"][0].get("name").and_then(Value::as_str).unwrap_or_default();
            assert!(found.insert(name.to_owned()), "{engine:?}: {name} came twice");
            at = token(&answered);
        }
        assert_eq!(found, names.map(str::to_owned).into(), "{engine:?}");
        assert_eq!(at, "", "{engine:?}");
    }
}

#[tokio::test]
async fn rows_that_come_and_go_move_no_other_row_over_a_border() {
    let rows = "INSERT INTO item VALUES (10, '1', NULL, 'a', '15'), (20, '1', NULL, 'b', '15'), (30, '1', NULL, 'c', '15');";
    let bench = Bench::with(PROTO, &[("List", &by("id"))], &format!("{TABLE}{rows}"), "").unwrap();
    let first = page(&bench, 2, "").await;
    let database = rusqlite::Connection::open(bench.folder().join("reg.db")).unwrap();
    database
        .execute_batch(
            "DELETE FROM item WHERE id IN (10, 20); INSERT INTO item VALUES (5, '1', NULL, 'z', '15');",
        )
        .unwrap();
    assert_eq!(ids(&page(&bench, 2, &token(&first)).await), ["30"]);
}

#[tokio::test]
async fn two_rows_of_one_place_at_a_border_are_an_error_and_not_a_lost_row() {
    let rows =
        "INSERT INTO item VALUES (1, '1', '2020-01-01', 'a', '15'), (2, '1', '2020-01-01', 'b', '15');";
    for engine in ENGINES {
        let bench = bench(engine, "day", rows).await;
        assert_eq!(page(&bench, 1, "").await.reason(), "RECORD_NOT_UNIQUE", "{engine:?}");
        assert_eq!(page(&bench, 2, "").await.reason(), "OK", "{engine:?}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_question_only() {
    let rows = "INSERT INTO item VALUES (1, '1', NULL, 'a', '15'), (2, '1', NULL, 'b', '15'), (3, '2', NULL, 'c', '15');";
    let bench = Bench::with(PROTO, &[("List", &by("id"))], &format!("{TABLE}{rows}"), "").unwrap();
    let ask = async |owner: &str, but: &[u8], token: &str, metadata: &[(&str, &str)]| {
        let mut message = vec![0x0a, owner.len() as u8];
        message.extend_from_slice(owner.as_bytes());
        message.extend_from_slice(&[0x10, 1, 0x1a]);
        prost::encoding::encode_varint(token.len() as u64, &mut message);
        message.extend_from_slice(token.as_bytes());
        message.extend_from_slice(&[0x22, but.len() as u8]);
        message.extend_from_slice(but);
        bench.send("List", metadata, framed(&message), GATEWAY).await
    };
    let fields = ("chapar-fields", ALL);
    let own = [fields, ("chapar-caller", "gov/welfare/benefits"), ("chapar-purpose", "test")];
    let first = ask("1", b"-", "", &own).await;
    let good = token(&first);
    assert_eq!(ids(&ask("1", b"-", &good, &own).await), ["2"]);
    // The same page may be asked for again: an answer can be lost on the way.
    assert_eq!(ids(&ask("1", b"-", &good, &own).await), ["2"]);

    for (owner, metadata) in [
        ("2", own.to_vec()),
        ("1", vec![fields, ("chapar-caller", "bank/melli/loans"), own[2]]),
        ("1", vec![fields, own[1], ("chapar-purpose", "other")]),
        ("1", vec![("chapar-fields", "items.id,next_page_token"), own[1], own[2]]),
        ("1", vec![fields, own[1], own[2], ("chapar-rows", "province=15")]),
    ] {
        assert_eq!(
            ask(owner, b"-", &good, &metadata).await.reason(),
            "PAGE_TOKEN_INVALID",
            "{owner} {metadata:?}"
        );
    }
    assert_eq!(ask("1", b"+", &good, &own).await.reason(), "PAGE_TOKEN_INVALID");
    assert_eq!(ask("1", b"-", "made up", &own).await.reason(), "PAGE_TOKEN_INVALID");
    let negative = bench.call("List", ALL, "", r#"{"owner": "1", "pageSize": -1}"#).await;
    assert_eq!(negative.reason(), "FIELD_INVALID");
}

#[test]
fn a_statement_says_by_what_its_pages_are_ordered() {
    let findings = |statement: &str| -> Result<(), Findings> {
        Bench::with(PROTO, &[("List", statement)], TABLE, "").map(drop)
    };
    findings(&by("day DESC, id")).unwrap();
    for (statement, told) in [
        (SELECT.to_owned(), "does not say by what they are ordered (begin the file with `-- page by: COLUMN"),
        (by("idd"), "`page by: idd` is no column of the statement"),
        (by("id DOWN"), "is none of `COLUMN`, `COLUMN ASC`, `COLUMN DESC`"),
        (by("id,"), "is none of `COLUMN`"),
        (by("id, id"), "a second declaration about `id`"),
        (format!("{} ORDER BY id", by("id")), "leave the statement's own ORDER BY out"),
        (format!("{} AND name > :page_token", by("id")), "is not for the statement"),
    ] {
        let found = findings(&statement).expect_err(&statement).to_string();
        assert!(found.contains(told), "{told} in {found}");
    }
    let found = Bench::with(
        super::bench::PROTO,
        &[
            ("GetPerson", &format!("-- page by: id\n{}", super::bench::STATEMENTS[0].1)),
            super::bench::STATEMENTS[1],
            super::bench::STATEMENTS[2],
            super::bench::STATEMENTS[3],
        ],
        SCHEMA,
        "",
    );
    let found = found.err().unwrap().to_string();
    assert!(found.contains("the contract's response has no `page_token`"), "{found}");
}
