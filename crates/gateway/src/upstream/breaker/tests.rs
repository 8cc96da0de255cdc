//! Tests of when a breaker opens, whose failures count, and how it closes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

use super::*;

const WELFARE: &str = "welfare";

fn caller(name: &str) -> SubsystemId {
    format!("gov/{name}/system").parse().unwrap()
}

fn call(breakers: &Breakers, blame: Blame) -> bool {
    call_of(breakers, WELFARE, blame)
}

fn call_of(breakers: &Breakers, name: &str, blame: Blame) -> bool {
    let permit = enter(breakers, name).expect("the endpoint is in use");
    breakers.release(permit, &caller(name), Some(blame)) == Transition::Opened
}

fn enter(breakers: &Breakers, name: &str) -> Option<BreakerPermit> {
    breakers.enter(&caller(name))
}

fn is_open(breakers: &Breakers) -> bool {
    breakers.is_open(&caller(WELFARE))
}

#[tokio::test(start_paused = true)]
async fn one_callers_failures_take_the_endpoint_from_no_other_whatever_the_other_had() {
    let breakers = Breakers::default();
    call(&breakers, Blame::Provider);
    let opened = (0..CONSECUTIVE_FAILURES).filter(|_| call_of(&breakers, "abuser", Blame::Provider)).count();
    assert_eq!((opened, enter(&breakers, "abuser")), (1, None), "it has nobody to blame but itself");
    assert_eq!(enter(&breakers, "bank"), Some(BreakerPermit::Ordinary), "of whom nothing is known");
    assert!(!call(&breakers, Blame::Provider), "its second failure is not its sixth");
    assert_eq!(breakers.open(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_callers_failed_trials_lengthen_no_others_pause() {
    let breakers = opened();
    while enter(&breakers, "abuser").is_some() {
        breakers.release(BreakerPermit::Ordinary, &caller("abuser"), Some(Blame::Provider));
    }
    for _ in 0..6 {
        while enter(&breakers, "abuser").is_none() {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        breakers.release(BreakerPermit::Trial, &caller("abuser"), Some(Blame::Provider));
    }
    assert_eq!(enter(&breakers, WELFARE), Some(BreakerPermit::Trial), "its own pause was the first");
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_failures_of_late_is_not_remembered() {
    let breakers = Breakers::default();
    call(&breakers, Blame::Nobody);
    assert!(breakers.0.lock().is_empty());
    call(&breakers, Blame::Provider);
    tokio::time::advance(2 * HALF_WINDOW).await;
    call(&breakers, Blame::Nobody);
    assert!(breakers.0.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_brought_about_counts_for_nothing() {
    let breakers = Breakers::default();
    for _ in 0..100 {
        assert!(!call(&breakers, Blame::Caller));
    }
    assert!(!is_open(&breakers));
}

fn opened() -> Breakers {
    let breakers = Breakers::default();
    for _ in 1..CONSECUTIVE_FAILURES {
        assert!(!call(&breakers, Blame::Provider));
    }
    assert!(call(&breakers, Blame::Provider), "the last one opens it");
    breakers
}

#[tokio::test(start_paused = true)]
async fn consecutive_failures_open_it_and_a_success_between_them_does_not() {
    let breakers = Breakers::default();
    for _ in 0..10 {
        for _ in 1..CONSECUTIVE_FAILURES {
            assert!(!call(&breakers, Blame::Provider));
        }
        for _ in 0..2 * CONSECUTIVE_FAILURES {
            assert!(!call(&breakers, Blame::Nobody));
        }
    }
    assert!(!is_open(&breakers));
    assert!(is_open(&opened()));
}

#[tokio::test(start_paused = true)]
async fn most_of_enough_calls_failing_opens_it_though_never_in_a_row() {
    let breakers = Breakers::default();
    let mut calls = 0;
    while !is_open(&breakers) {
        assert!(calls < 2 * MIN_CALLS, "never");
        call(&breakers, if calls % 3 == 0 { Blame::Nobody } else { Blame::Provider });
        calls += 1;
    }
    assert!(calls >= MIN_CALLS, "not before there were enough: {calls}");
}

#[tokio::test(start_paused = true)]
async fn what_is_long_past_does_not_count() {
    let breakers = Breakers::default();
    for call_number in 0..MIN_CALLS - 1 {
        call(&breakers, if call_number % 3 == 0 { Blame::Nobody } else { Blame::Provider });
    }
    tokio::time::advance(2 * HALF_WINDOW).await;
    call(&breakers, Blame::Nobody);
    for _ in 1..CONSECUTIVE_FAILURES {
        call(&breakers, Blame::Provider);
    }
    assert!(!is_open(&breakers));
}

#[tokio::test(start_paused = true)]
async fn after_the_pause_one_call_at_a_time_tries_and_its_success_lets_all_through() {
    let breakers = opened();
    assert_eq!(enter(&breakers, WELFARE), None);
    tokio::time::advance(FIRST_PAUSE * 3 / 2).await;
    assert_eq!(enter(&breakers, WELFARE), Some(BreakerPermit::Trial));
    assert_eq!(enter(&breakers, WELFARE), None, "one at a time");
    assert!(
        breakers.release(BreakerPermit::Ordinary, &caller(WELFARE), Some(Blame::Nobody)) == Transition::None,
        "an old call's success is no news"
    );
    assert_eq!(enter(&breakers, WELFARE), None);
    let closed = breakers.release(BreakerPermit::Trial, &caller(WELFARE), Some(Blame::Nobody));
    assert_eq!(closed, Transition::Closed);
    assert_eq!(enter(&breakers, WELFARE), Some(BreakerPermit::Ordinary));
    assert_eq!(enter(&breakers, WELFARE), Some(BreakerPermit::Ordinary));
}

#[tokio::test(start_paused = true)]
async fn a_trial_whose_caller_went_away_is_followed_by_another() {
    let breakers = opened();
    tokio::time::advance(FIRST_PAUSE * 3 / 2).await;
    assert_eq!(enter(&breakers, WELFARE), Some(BreakerPermit::Trial));
    breakers.release(BreakerPermit::Trial, &caller(WELFARE), Some(Blame::Caller));
    assert_eq!(enter(&breakers, WELFARE), Some(BreakerPermit::Trial));
}

#[tokio::test(start_paused = true)]
async fn each_failed_trial_doubles_the_pause_up_to_the_longest() {
    let breakers = opened();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        while enter(&breakers, WELFARE).is_none() {
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        pauses.push(began.elapsed());
        assert_eq!(
            breakers.release(BreakerPermit::Trial, &caller(WELFARE), Some(Blame::Provider)),
            Transition::Opened
        );
    }
    assert!(
        pauses[0] >= FIRST_PAUSE && pauses[0] <= FIRST_PAUSE * 3 / 2 + Duration::from_millis(10),
        "{pauses:?}"
    );
    assert!(pauses[2] >= FIRST_PAUSE * 4, "{pauses:?}");
    assert!(
        pauses[9] >= MAX_PAUSE && pauses[9] <= MAX_PAUSE * 3 / 2 + Duration::from_millis(10),
        "{pauses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_little_traffic_begins_with_the_first_pause_again_some_time_after_a_failure() {
    let breakers = opened();
    tokio::time::advance(FIRST_PAUSE * 3 / 2).await;
    assert_eq!(enter(&breakers, WELFARE), Some(BreakerPermit::Trial));
    breakers.release(BreakerPermit::Trial, &caller(WELFARE), Some(Blame::Nobody));
    tokio::time::advance(2 * MAX_PAUSE).await;
    call(&breakers, Blame::Nobody);
    assert!(breakers.0.lock().is_empty());
}
