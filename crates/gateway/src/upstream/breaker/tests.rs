//! When a breaker opens, whom it believes, and how it closes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap is a failed test")]

use super::*;

fn caller(name: &str) -> SubsystemId {
    format!("gov/{name}/system").parse().unwrap()
}

fn call(breaker: &Breaker, blame: Blame) -> bool {
    call_of(breaker, "welfare", blame)
}

fn call_of(breaker: &Breaker, name: &str, blame: Blame) -> bool {
    let permit = breaker.enter().expect("the endpoint is in use");
    breaker.release(permit, &caller(name), blame) == Transition::Opened
}

#[tokio::test(start_paused = true)]
async fn one_callers_failures_take_the_endpoint_from_no_other() {
    let breaker = Breaker::default();
    for _ in 0..200 {
        assert!(!call_of(&breaker, "welfare", Blame::Nobody));
        for _ in 0..IN_A_ROW {
            assert!(!call_of(&breaker, "abuser", Blame::Provider), "it has nobody to blame but itself");
        }
    }
    for _ in 0..IN_A_ROW {
        call_of(&breaker, "abuser", Blame::Provider);
    }
    assert!(call_of(&breaker, "welfare", Blame::Provider), "when others fail too, it is the endpoint");
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_brought_about_counts_for_nothing() {
    let breaker = Breaker::default();
    for _ in 0..100 {
        assert!(!call(&breaker, Blame::Caller));
    }
    assert!(!breaker.is_open());
}

fn ejected() -> Breaker {
    let breaker = Breaker::default();
    for _ in 1..IN_A_ROW {
        assert!(!call(&breaker, Blame::Provider));
    }
    assert!(call(&breaker, Blame::Provider), "the last one ejects it");
    breaker
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
    let breaker = Breaker::default();
    for _ in 0..10 {
        for _ in 1..IN_A_ROW {
            assert!(!call(&breaker, Blame::Provider));
        }
        for _ in 0..2 * IN_A_ROW {
            assert!(!call(&breaker, Blame::Nobody));
        }
    }
    assert!(!breaker.is_open());
    assert!(ejected().is_open());
}

#[tokio::test(start_paused = true)]
async fn most_of_enough_calls_failing_ejects_though_never_in_a_row() {
    let breaker = Breaker::default();
    let mut calls = 0;
    while !breaker.is_open() {
        assert!(calls < 2 * MIN_CALLS, "never");
        call(&breaker, if calls % 3 == 0 { Blame::Nobody } else { Blame::Provider });
        calls += 1;
    }
    assert!(calls >= MIN_CALLS, "not before there were enough: {calls}");
}

#[tokio::test(start_paused = true)]
async fn what_is_long_past_does_not_count() {
    let breaker = Breaker::default();
    for call_number in 0..MIN_CALLS - 1 {
        call(&breaker, if call_number % 3 == 0 { Blame::Nobody } else { Blame::Provider });
    }
    tokio::time::advance(2 * HALF).await;
    call(&breaker, Blame::Nobody);
    for _ in 1..IN_A_ROW {
        call(&breaker, Blame::Provider);
    }
    assert!(!breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn after_the_pause_one_call_at_a_time_tries_and_its_success_lets_all_through() {
    let breaker = ejected();
    assert_eq!(breaker.enter(), None);
    tokio::time::advance(FIRST_PAUSE * 3 / 2).await;
    assert_eq!(breaker.enter(), Some(BreakerPermit::Trial));
    assert_eq!(breaker.enter(), None, "one at a time");
    assert!(
        breaker.release(BreakerPermit::Ordinary, &caller("welfare"), Blame::Nobody) == Transition::None,
        "an old call's success is no news"
    );
    assert_eq!(breaker.enter(), None);
    let closed = breaker.release(BreakerPermit::Trial, &caller("welfare"), Blame::Nobody);
    assert_eq!(closed, Transition::Closed);
    assert_eq!(breaker.enter(), Some(BreakerPermit::Ordinary));
    assert_eq!(breaker.enter(), Some(BreakerPermit::Ordinary));
}

#[tokio::test(start_paused = true)]
async fn a_trial_whose_caller_went_away_is_followed_by_another() {
    let breaker = ejected();
    tokio::time::advance(FIRST_PAUSE * 3 / 2).await;
    assert_eq!(breaker.enter(), Some(BreakerPermit::Trial));
    breaker.release(BreakerPermit::Trial, &caller("welfare"), Blame::Caller);
    assert_eq!(breaker.enter(), Some(BreakerPermit::Trial));
}

#[tokio::test(start_paused = true)]
async fn each_failed_trial_doubles_the_pause_up_to_the_longest() {
    let breaker = ejected();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        while breaker.enter().is_none() {
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        pauses.push(began.elapsed());
        assert_eq!(
            breaker.release(BreakerPermit::Trial, &caller("welfare"), Blame::Provider),
            Transition::Opened
        );
    }
    assert!(
        pauses[0] >= FIRST_PAUSE && pauses[0] <= FIRST_PAUSE * 3 / 2 + Duration::from_millis(10),
        "{pauses:?}"
    );
    assert!(pauses[2] >= FIRST_PAUSE * 4, "{pauses:?}");
    assert!(
        pauses[9] >= PAUSE_MOST && pauses[9] <= PAUSE_MOST * 3 / 2 + Duration::from_millis(10),
        "{pauses:?}"
    );
}
