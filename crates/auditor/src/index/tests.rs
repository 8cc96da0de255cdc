//! What an index keeps over restarts, forgets, and answers.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use chapar_evidence::{Kind, RECORD_VERSION, Record};
use jiff::Timestamp;
use prost::Message as _;

use super::*;

const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ORIGIN: &str = "log.example/a";

/// A call of a clerk about a citizen, numbered so that each has a pseudonym.
fn record(clerk: &str, subject: u8, time_ms: u64) -> Record {
    Record {
        version: RECORD_VERSION,
        kind: Kind::Unary.into(),
        caller: "office/a/counter".to_owned(),
        clerk: clerk.to_owned(),
        time_unix_ms: time_ms,
        subject_pseudonym: vec![subject; 32],
        outcome: "OK".to_owned(),
        ..Record::default()
    }
}

/// Adds records as the next entries of a log, and says that they are verified, if so.
pub(crate) fn add(index: &Index, records: Vec<Record>, is_verified: bool) -> KnownLog {
    let mut log = index.log(ORIGIN, KEY).unwrap();
    let entries: Vec<Entry> = records
        .into_iter()
        .map(|record| {
            let (index, bytes) = (log.read.size(), record.encode_to_vec());
            log.read.push(&bytes).unwrap();
            Entry { index, bytes, record }
        })
        .collect();
    index.append(&log, &entries, &log.read, &[]).unwrap();
    if is_verified {
        log.verified = log.read.clone();
        let checkpoint =
            Checkpoint { origin: ORIGIN.to_owned(), size: log.read.size(), root: log.read.root() };
        index.verified(&log, &checkpoint, "note").unwrap();
    }
    log
}

fn found(index: &Index, query: &Query) -> Vec<u64> {
    let mut found = Vec::new();
    let mut visit = |entry: Found| {
        found.push(entry.index);
        ControlFlow::Continue(())
    };
    index.search(query, &mut visit).unwrap();
    found
}

fn new() -> (tempfile::TempDir, Index) {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path()).unwrap();
    (folder, index)
}

#[test]
fn entries_are_found_newest_first_by_citizen_clerk_and_time_and_only_verified_ones() {
    let (_folder, index) = new();
    let records = vec![record("a", 1, 100), record("b", 2, 300), record("b", 1, 200), record("", 1, 250)];
    add(&index, records, true);
    add(&index, vec![record("a", 1, 400)], false);
    let query = Query::default();
    assert_eq!(found(&index, &query), [1, 3, 2, 0]);
    let about = Query { subjects: Some(vec![[1; 32]]), ..query.clone() };
    assert_eq!(found(&index, &about), [3, 2, 0]);
    // Another pseudonym with the same beginning is another citizen's.
    let mut near = [1; 32];
    near[31] = 0;
    assert!(found(&index, &Query { subjects: Some(vec![near]), ..query.clone() }).is_empty());
    assert_eq!(found(&index, &Query { clerk: Some("b".to_owned()), ..query.clone() }), [1, 2]);
    let times = Query { since_ms: Some(200), until_ms: Some(300), ..query };
    assert_eq!(found(&index, &times), [3, 2]);
    assert_eq!(found(&index, &Query { clerk: Some("a".to_owned()), ..about }), [0]);
}

#[test]
fn what_was_read_and_not_verified_is_there_after_a_restart_and_can_be_taken_back() {
    let (folder, index) = new();
    add(&index, vec![record("a", 1, 100)], true);
    add(&index, vec![record("a", 2, 200)], false);
    drop(index);
    let index = Index::open(folder.path()).unwrap();
    let log = index.log(ORIGIN, KEY).unwrap();
    assert_eq!((log.verified.size(), log.read.size(), log.note.as_str()), (1, 2, "note"));
    index.discard(&log).unwrap();
    let log = add(&index, vec![record("a", 3, 300)], true);
    assert_eq!(log.verified.size(), 2);
    assert!(found(&index, &Query { subjects: Some(vec![[2; 32]]), ..Query::default() }).is_empty());
    assert_eq!(index.progress().unwrap()[0].unfindable_from, Some(0), "no key was given");
    assert_eq!(index.unfindable(&[[7; 8]]).unwrap(), [(ORIGIN.to_owned(), 0)]);
    assert!(index.forget(ORIGIN).unwrap() && !index.forget("another").unwrap());
    assert_eq!(index.log(ORIGIN, KEY).unwrap().read.size(), 0);
    assert!(found(&index, &Query::default()).is_empty());
}

#[test]
fn a_log_is_of_one_key_and_a_file_of_one_version() {
    let (folder, index) = new();
    index.log(ORIGIN, KEY).unwrap();
    assert!(matches!(index.log(ORIGIN, "another"), Err(IndexError::OtherKey { .. })));
    index.with(|db| db.pragma_update(None, "user_version", 7)).unwrap();
    drop(index);
    assert!(matches!(Index::open(folder.path()), Err(IndexError::Version(_))));
    let text = "this is no database, and long enough to be looked at as one".repeat(20);
    std::fs::write(index_path(folder.path()), text).unwrap();
    assert!(matches!(Index::open(folder.path()), Err(IndexError::Damaged(_))));
    assert!(Index::open_existing(&folder.path().join("absent")).is_err());
}

#[test]
fn one_alarm_of_a_kind_is_open_at_a_time_and_ends_by_itself_or_by_a_person() {
    let (_folder, index) = new();
    let at = |second| Timestamp::from_second(second).unwrap();
    let raise = |kind, second| index.raise(ORIGIN, kind, "a sentence", "a note", at(second)).unwrap();
    assert!(raise(AlarmKind::Forked, 10) && !raise(AlarmKind::Forked, 20) && raise(AlarmKind::Late, 20));
    let open = index.alarms(false).unwrap();
    assert_eq!(open.len(), 2);
    let forked = open.iter().find(|alarm| alarm.kind == "forked").unwrap();
    assert_eq!((forked.since, forked.last, forked.proof.as_str()), (at(10), at(20), "a note"));
    assert!(!index.clear(ORIGIN, AlarmKind::Late, at(19), at(30)).unwrap(), "it was found since");
    assert!(index.clear(ORIGIN, AlarmKind::Late, at(20), at(30)).unwrap());
    assert!(!index.clear(ORIGIN, AlarmKind::Late, at(30), at(30)).unwrap());
    assert_eq!(index.acknowledge(ORIGIN, "m.rezaei", "looked at it", at(40)).unwrap(), 1);
    assert!(index.alarms(false).unwrap().is_empty());
    let all = index.alarms(true).unwrap();
    let who: BTreeSet<_> = all.iter().map(|alarm| alarm.ended_by.clone()).collect();
    assert_eq!(who, BTreeSet::from([None, Some("m.rezaei".to_owned())]));
    assert!(raise(AlarmKind::Forked, 50), "it is so again");
}
