//! Tests of which attempt of a call is free, which is a conflict, and when an id is forgotten.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

const NAME: [&str; 3] = ["gov/welfare/benefits", "civil.v1.CivilRegistry/GetPerson", "id"];
const INTENT: [&str; 2] = ["welfare-getperson", "benefit.eligibility"];

fn attempts() -> Attempts {
    Attempts::new(&[7; 32])
}

/// A call that is counted, if it has to be, and whose message is read.
fn call(attempts: &Attempts, message: &[u8], now: Instant) -> Result<(u32, bool), Conflict> {
    let mut attempt = attempts.begin(&NAME, &INTENT, now)?;
    if !attempt.is_free() {
        attempt.counted();
    }
    attempt.read(message).map(|()| (attempt.number(), attempt.is_free()))
}

#[test]
fn five_attempts_are_counted_once_and_any_further_one_by_itself() {
    let attempts = attempts();
    let now = Instant::now();
    let calls: Vec<_> = (0..7).map(|_| call(&attempts, b"a", now).unwrap()).collect();
    let free = [false, true, true, true, true, false, false];
    assert_eq!(calls, (1..).zip(free).collect::<Vec<_>>());
}

#[test]
fn another_message_or_another_intent_under_the_same_id_is_a_conflict() {
    let attempts = attempts();
    let now = Instant::now();
    call(&attempts, b"a", now).unwrap();
    assert_eq!(call(&attempts, b"b", now), Err(Conflict));
    assert_eq!(attempts.begin(&NAME, &["welfare-getperson", "fraud"], now).err(), Some(Conflict));
    assert_eq!(call(&attempts, b"a", now), Ok((3, true)), "the right one still passes");
}

#[test]
fn an_id_is_its_callers_and_its_methods_own() {
    let attempts = attempts();
    let now = Instant::now();
    call(&attempts, b"a", now).unwrap();
    for name in [["gov/tax/office", NAME[1], "id"], [NAME[0], "a.B/C", "id"], [NAME[0], NAME[1], "id2"]] {
        let attempt = attempts.begin(&name, &INTENT, now).unwrap();
        assert_eq!((attempt.number(), attempt.is_free(), attempt.read(b"b")), (1, false, Ok(())));
    }
    // Parts are told apart, not only their concatenation.
    assert_ne!(attempts.hash(&["ab", "c"]), attempts.hash(&["a", "bc"]));
}

#[test]
fn a_call_that_the_limits_deny_leaves_nothing_behind() {
    let attempts = attempts();
    let now = Instant::now();
    drop(attempts.begin(&NAME, &INTENT, now).unwrap());
    assert_eq!(call(&attempts, b"b", now), Ok((1, false)));
}

#[test]
fn two_calls_at_the_same_time_are_both_counted_unless_one_was_before() {
    let attempts = attempts();
    let now = Instant::now();
    let mut one = attempts.begin(&NAME, &INTENT, now).unwrap();
    let other = attempts.begin(&NAME, &INTENT, now).unwrap();
    assert!(!one.is_free() && !other.is_free());
    one.counted();
    assert!(attempts.begin(&NAME, &INTENT, now).unwrap().is_free());
}

#[test]
fn an_id_is_forgotten_after_its_time_and_not_before() {
    let attempts = attempts();
    let now = Instant::now();
    call(&attempts, b"a", now).unwrap();
    let almost = now + ATTEMPT_LIFETIME - Duration::from_millis(1);
    assert_eq!(call(&attempts, b"b", almost), Err(Conflict));
    assert_eq!(call(&attempts, b"b", now + ATTEMPT_LIFETIME), Ok((1, false)));
}

#[test]
fn ids_of_calls_that_a_limit_refused_push_out_no_other() {
    let attempts = attempts();
    let now = Instant::now();
    for number in 0..200 {
        drop(attempts.begin(&[NAME[0], NAME[1], &number.to_string()], &INTENT, now).unwrap());
    }
    let left: usize = attempts.0.shards.iter().map(|shard| shard.lock().ages.len()).sum();
    assert_eq!(left, 0);
}

#[test]
fn memory_is_bounded_and_the_oldest_make_room() {
    let mut shard = Shard::default();
    let now = Instant::now();
    for number in 0..100_u8 {
        shard.forget(now, 9);
        shard.ages.push_back((now, [number; 16]));
        let seen = RequestIdState { since: now, calls: 1, is_counted: true, intent: [0; 16], message: None };
        shard.seen.insert([number; 16], seen);
    }
    assert_eq!((shard.seen.len(), shard.ages.len()), (10, 10));
    assert!(shard.seen.contains_key(&[99; 16]) && shard.seen.contains_key(&[90; 16]));
}

#[test]
fn a_call_that_the_limits_deny_forgets_no_later_use_of_its_id() {
    let attempts = attempts();
    let now = Instant::now();
    let first = attempts.begin(&NAME, &INTENT, now).unwrap();
    let later = now + ATTEMPT_LIFETIME + Duration::from_secs(1);
    assert_eq!(call(&attempts, b"a", later), Ok((1, false)), "the first use is too old");
    drop(first);
    assert_eq!(call(&attempts, b"a", later), Ok((2, true)));
}
