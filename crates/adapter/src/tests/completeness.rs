//! How completely a database answers is counted by method and field, and kept by day.

use std::sync::Arc;
use std::time::Duration;

use chapar_model::Clock;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, GATEWAY, PROTO, SCHEMA, STATEMENTS, framed};
use crate::completeness::{Completeness, completeness};
use crate::source::Absent;

const GET: &str = "reg.v1.Register/GetPerson";
const EVERY: &str = "given_name,nickname,address";

/// Lines of the metrics about completeness that are not 0.
fn counted(bench: &Bench) -> Vec<String> {
    let metrics = bench.observer.encode();
    let is_meant = |line: &&str| {
        ["chapar_answers_total{", "chapar_field_records_total{", "chapar_field_absent_total{"]
            .iter()
            .any(|name| line.starts_with(name))
            && !line.ends_with(" 0")
    };
    let mut lines: Vec<String> = metrics.lines().filter(is_meant).map(str::to_owned).collect();
    lines.sort();
    lines
}

fn answers(completeness: &str, count: u64) -> String {
    format!("chapar_answers_total{{method=\"{GET}\",completeness=\"{completeness}\"}} {count}")
}

fn field(what: &str, field: &str, count: u64) -> String {
    format!("chapar_field_{what}_total{{method=\"{GET}\",field=\"{field}\"}} {count}")
}

#[tokio::test]
async fn answers_are_full_partial_missing_or_failed() {
    let bench = Bench::after("INSERT INTO person (id, province) VALUES ('3', '15')");
    // The first has no nickname, the second no address, and the third not even a name.
    for id in ["1", "2", "3", "9"] {
        bench.call("GetPerson", EVERY, "", &format!(r#"{{"id": "{id}"}}"#)).await;
    }
    bench.call("GetPerson", "given_name", "", r#"{"id": "1"}"#).await;

    let lines = counted(&bench);
    for line in [
        answers("full", 1),
        answers("partial", 2),
        answers("missing", 1),
        answers("failed", 1),
        field("records", "given_name", 3),
        field("records", "nickname", 2),
        field("absent", "nickname", 1),
        field("records", "address.city", 2),
        field("absent", "address.city", 1),
        field("absent", "address.street", 1),
    ] {
        assert!(lines.contains(&line), "{line} in {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("absent") && line.contains("given_name")), "{lines:#?}");
    // A field that no grant of these calls has is not counted.
    assert!(!lines.iter().any(|line| line.contains("photo")), "{lines:#?}");
}

#[tokio::test]
async fn null_in_a_sparse_column_is_counted_and_the_answer_is_whole() {
    let statement = format!("-- sparse: nickname\n{}", STATEMENTS[0].1);
    let statements = [("GetPerson", statement.as_str()), STATEMENTS[1], STATEMENTS[2], STATEMENTS[3]];
    let bench = Bench::with(PROTO, &statements, SCHEMA, "").unwrap();
    bench.call("GetPerson", "given_name,nickname", "", r#"{"id": "1"}"#).await;
    let lines = counted(&bench);
    for line in [answers("full", 1), field("absent", "nickname", 1)] {
        assert!(lines.contains(&line), "{line} in {lines:#?}");
    }
}

#[tokio::test]
async fn a_list_and_a_stream_are_one_answer_of_many_records() {
    let bench = Bench::new();
    bench.call("ListDegrees", "degrees", "", r#"{"id": "1"}"#).await;
    bench.call("ListChildren", "name", "", r#"{"id": "1"}"#).await;
    bench.call("ListChildren", "name", "", r#"{"id": "9"}"#).await;
    // More rows than the method allows: what had been sent is no answer.
    bench.call("ListChildren", "name", "", r#"{"id": "2"}"#).await;
    let lines = counted(&bench);
    for line in [
        r#"chapar_answers_total{method="reg.v1.Register/ListDegrees",completeness="partial"} 1"#,
        r#"chapar_field_absent_total{method="reg.v1.Register/ListDegrees",field="degrees.mark"} 1"#,
        r#"chapar_field_records_total{method="reg.v1.Register/ListDegrees",field="degrees.mark"} 2"#,
        r#"chapar_answers_total{method="reg.v1.Register/ListChildren",completeness="full"} 1"#,
        r#"chapar_answers_total{method="reg.v1.Register/ListChildren",completeness="missing"} 1"#,
        r#"chapar_answers_total{method="reg.v1.Register/ListChildren",completeness="failed"} 1"#,
        r#"chapar_field_records_total{method="reg.v1.Register/ListChildren",field="name"} 2"#,
    ] {
        assert!(lines.iter().any(|one| one == line), "{line} in {lines:#?}");
    }
}

#[tokio::test]
async fn what_a_caller_brought_about_says_nothing_about_the_data() {
    let bench = Bench::new();
    let fields = ("chapar-fields", "given_name");
    for (metadata, body) in
        [(vec![fields, ("grpc-timeout", "soon")], framed(b"\x0a\x011")), (vec![fields], framed(b"\xff"))]
    {
        let answered = bench.send("GetPerson", &metadata, body, GATEWAY).await;
        assert_ne!(answered.reason(), "OK");
    }
    // A caller that leaves in the middle.
    drop(bench.begin("Count", "number", b"\x08\xa0\x8d\x06").await);
    assert!(counted(&bench).is_empty(), "{:#?}", counted(&bench));
}

#[test]
fn a_sparse_column_fills_a_field_that_can_be_unset() {
    for (name, told) in [
        ("nicknam", "`sparse: nicknam` is no column that fills a field (did you mean `nickname`?)"),
        (
            "given_name",
            "`sparse: given_name`: NULL in it is an error, as the field `given_name` has no presence",
        ),
    ] {
        let statement = format!("-- sparse: {name}\n{}", STATEMENTS[0].1);
        let statements = [("GetPerson", statement.as_str()), STATEMENTS[1], STATEMENTS[2], STATEMENTS[3]];
        let findings = Bench::with(PROTO, &statements, SCHEMA, "").err().unwrap().to_string();
        assert!(findings.contains(told), "{findings}");
    }
}

#[tokio::test]
async fn counts_are_kept_by_the_day_in_tehran_over_restarts() {
    let state = tempfile::tempdir().unwrap();
    let between = |since: &str, until: &str| {
        let found = completeness(state.path(), since.parse().unwrap(), until.parse().unwrap()).unwrap();
        found.get(GET).map_or(0, |counts| counts.full)
    };
    // Two processes, one after the other; in the second it is the next day.
    for (now, answers) in [("2026-11-27T20:29:59Z", 2), ("2026-11-27T20:30:00Z", 3)] {
        let counts = Arc::new(Completeness::new(Clock::manual(now.parse().unwrap())));
        let ended = CancellationToken::new();
        let keeping = tokio::spawn(Arc::clone(&counts).keep(state.path().to_owned(), ended.clone()));
        let tally = counts.method(GET);
        for _ in 0..answers {
            tally.answered(&["given_name".into()].into(), 1, &Absent::default());
        }
        ended.cancel();
        keeping.await.unwrap();
    }
    assert_eq!(between("2026-11-27", "2026-11-27"), 2);
    assert_eq!(between("2026-11-27", "2026-11-28"), 5);
}

#[tokio::test(start_paused = true)]
async fn counts_are_written_every_minute_and_wait_in_memory_for_a_folder_that_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let full = || {
        let day = |text: &str| text.parse().unwrap();
        let found = completeness(&state, day("2026-11-01"), day("2026-11-30")).unwrap();
        found.get(GET).map_or(0, |counts| counts.full)
    };
    let counts = Arc::new(Completeness::new(Clock::manual("2026-11-27T12:00:00Z".parse().unwrap())));
    let ended = CancellationToken::new();
    let keeping = tokio::spawn(Arc::clone(&counts).keep(state.clone(), ended.clone()));
    let answer = || counts.method(GET).answered(&["given_name".into()].into(), 1, &Absent::default());

    answer();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(full(), 1);

    // A file is in the way of the folder.
    std::fs::rename(state.join("completeness"), folder.path().join("kept")).unwrap();
    std::fs::write(state.join("completeness"), "").unwrap();
    answer();
    tokio::time::sleep(Duration::from_secs(60)).await;
    std::fs::remove_file(state.join("completeness")).unwrap();
    std::fs::rename(folder.path().join("kept"), state.join("completeness")).unwrap();
    assert_eq!(full(), 1);

    answer();
    ended.cancel();
    keeping.await.unwrap();
    assert_eq!(full(), 3);
}

#[tokio::test]
async fn a_disk_that_hangs_keeps_no_adapter_from_its_end() {
    let state = tempfile::tempdir().unwrap();
    let counts = Arc::new(Completeness::new(Clock::system()));
    counts.method(GET).answered(&["given_name".into()].into(), 1, &Absent::default());
    let ended = CancellationToken::new();
    // As good as a disk that hangs: another process that does not let go of the folder.
    let held = state.path().join("completeness");
    std::fs::create_dir(&held).unwrap();
    let held = chapar_files::lock(&held).unwrap();
    let keeping = tokio::spawn(Arc::clone(&counts).keep(state.path().to_owned(), ended.clone()));
    ended.cancel();
    let began = std::time::Instant::now();
    let waited = tokio::time::timeout(Duration::from_secs(60), keeping).await;
    drop(held);
    waited.expect("it ends").unwrap();
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn counts_of_plans_that_come_and_go_do_not_gather_in_memory() {
    let counts = Completeness::new(Clock::system());
    let tally = counts.method(GET);
    for _ in 0..10_000 {
        // Each plan has columns of its own.
        tally.answered(&["given_name".into()].into(), 1, &Absent::default());
        assert!(tally.plans() <= 1024);
    }
    let sums = counts.since_the_start();
    assert_eq!((sums[GET].full, sums[GET].fields["given_name"].records), (10_000, 10_000));
}
