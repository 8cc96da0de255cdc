//! What each rule finds, and what it does not.

use chapar_evidence::{Kind, RECORD_VERSION, Record};
use jiff::SignedDuration;

use super::*;
use crate::index::tests::add;

/// 10:00 in Iran on a Saturday.
const MORNING: &str = "2026-11-28T06:30:00Z";

fn ms(text: &str) -> u64 {
    text.parse::<Timestamp>().unwrap().as_millisecond().unsigned_abs()
}

/// A call of clerk `a` about a citizen, so many minutes after the morning.
fn call(subject: u8, minutes: i64) -> Record {
    let time = MORNING.parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes);
    Record {
        version: RECORD_VERSION,
        kind: Kind::Unary.into(),
        caller: "office/a/counter".to_owned(),
        clerk: "a".to_owned(),
        time_unix_ms: time.as_millisecond().unsigned_abs(),
        subject_pseudonym: vec![subject; 32],
        ..Record::default()
    }
}

/// What these rules find in a log of these records, with how many each counted.
fn findings(rules: &Rules, records: Vec<Record>, protected: &[u8]) -> Vec<(String, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path()).unwrap();
    let mut log = add(&index, records, true);
    let protected = protected.iter().map(|subject| vec![*subject; 16]).collect();
    while log.looked < log.verified.size() {
        log.looked = look(&index, &log, "log.example/a", rules, &protected).unwrap().until;
    }
    let found = index.findings(Timestamp::UNIX_EPOCH).unwrap();
    let mut found: Vec<_> = found.into_iter().map(|finding| (finding.rule, finding.count)).collect();
    found.sort();
    found
}

fn hour(most: u32) -> Option<Limit> {
    Some(Limit { most, within: std::time::Duration::from_secs(3600) })
}

#[test]
fn many_citizens_within_the_time_are_found_and_as_many_over_a_longer_time_are_not() {
    let rules = Rules { many_subjects: hour(5), ..Rules::default() };
    let many = |minutes: i64| (0..6).map(|number| call(number, i64::from(number) * minutes)).collect();
    assert_eq!(findings(&rules, many(5), &[]), [("many-subjects".to_owned(), 6)]);
    assert_eq!(findings(&rules, many(15), &[]), []);
    // One citizen often, two clerks, and a system without a clerk are something else.
    assert_eq!(findings(&rules, (0..20).map(|minute| call(1, minute)).collect(), &[]), []);
    let two = |number: u8| Record { clerk: format!("clerk-{}", number % 2), ..call(number, 1) };
    assert_eq!(findings(&rules, (0..10).map(two).collect(), &[]), []);
    let system = |number: u8| Record { clerk: String::new(), ..call(number, 1) };
    assert_eq!(findings(&rules, (0..20).map(system).collect(), &[]), []);
}

#[test]
fn many_citizens_are_found_in_a_log_of_many_parts_too() {
    let rules = Rules { many_subjects: hour(5), ..Rules::default() };
    let quiet = |number: u32| Record { clerk: format!("clerk-{number}"), ..call(1, 0) };
    let mut records: Vec<Record> = (0..5000).map(quiet).collect();
    records.extend((0..6).map(|number| call(number, 1)));
    assert_eq!(findings(&rules, records, &[]), [("many-subjects".to_owned(), 6)]);
}

#[test]
fn one_citizen_again_and_again_without_a_case_is_found() {
    let rules = Rules { repeated_subject: hour(3), ..Rules::default() };
    let times = |count: i64| (0..count).map(|minute| call(1, minute)).collect::<Vec<_>>();
    assert_eq!(findings(&rules, times(4), &[]), [("repeated-subject".to_owned(), 4)]);
    assert_eq!(findings(&rules, times(3), &[]), []);
    let with_case = times(9).into_iter().map(|record| Record { case: "7".to_owned(), ..record });
    assert_eq!(findings(&rules, with_case.collect(), &[]), []);
    // A stream is one call, though it has two entries.
    let stream = |minute| {
        let open = Record { kind: Kind::Open.into(), ..call(1, minute) };
        let close =
            Record { kind: Kind::Close.into(), opening: 2 * minute.unsigned_abs(), ..call(1, minute) };
        [open, close]
    };
    assert_eq!(findings(&rules, (0..3).flat_map(stream).collect(), &[]), []);
    assert_eq!(
        findings(&rules, (0..4).flat_map(stream).collect(), &[]),
        [("repeated-subject".to_owned(), 4)]
    );
}

#[test]
fn calls_outside_of_office_hours_in_iran_are_found_by_clerk_and_day() {
    let hours = OfficeHours {
        from: "07:00".parse().unwrap(),
        to: "14:00".parse().unwrap(),
        days: vec![jiff::civil::Weekday::Saturday],
    };
    let rules = Rules { office_hours: Some(hours), ..Rules::default() };
    let at = |time: &str| Record { time_unix_ms: ms(time), ..call(1, 0) };
    // 07:00:00 and 13:59:59 on Saturday.
    assert_eq!(findings(&rules, vec![at("2026-11-28T03:30:00Z"), at("2026-11-28T10:29:59Z")], &[]), []);
    // 06:59:59 and 14:00:00 on Saturday, and Sunday.
    let closed = vec![at("2026-11-28T03:29:59Z"), at("2026-11-28T10:30:00Z"), at("2026-11-29T06:30:00Z")];
    assert_eq!(
        findings(&rules, closed, &[]),
        [("out-of-hours".to_owned(), 1), ("out-of-hours".to_owned(), 2)]
    );
}

#[test]
fn calls_that_come_one_by_one_and_those_of_another_log_count_as_all_do_once_they_are_verified() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path()).unwrap();
    let hours = OfficeHours {
        from: "07:00".parse().unwrap(),
        to: "14:00".parse().unwrap(),
        days: vec![jiff::civil::Weekday::Sunday],
    };
    let rules = Rules { office_hours: Some(hours), many_subjects: hour(5), ..Rules::default() };
    for number in 0..6 {
        let log = add(&index, vec![call(number, number.into())], true);
        look(&index, &log, "log.example/a", &rules, &HashSet::new()).unwrap();
    }
    let found = || {
        let found = index.findings(Timestamp::UNIX_EPOCH).unwrap();
        let mut found: Vec<_> = found.into_iter().map(|one| (one.rule, one.count, one.entry)).collect();
        found.sort();
        found
    };
    let last = "log.example/a/5".to_owned();
    let all = [("many-subjects".to_owned(), 6, last.clone()), ("out-of-hours".to_owned(), 6, last)];
    assert_eq!(found(), all);
    // What has been read of a log and not been verified is not counted.
    add(&index, (10..20).map(|number| call(number, 6)).collect(), false);
    let log =
        index.log("log.example/a", "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    look(&index, &log.unwrap(), "log.example/a", &rules, &HashSet::new()).unwrap();
    assert_eq!(found(), all);
}

#[test]
fn each_call_about_a_protected_citizen_is_found_whoever_made_it() {
    let system = Record { clerk: String::new(), ..call(9, 1) };
    let records = vec![call(1, 0), call(9, 1), system, call(9, 2)];
    let found = findings(&Rules::default(), records, &[9]);
    assert_eq!(found, vec![("protected".to_owned(), 1); 3]);
}
