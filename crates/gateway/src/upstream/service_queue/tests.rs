//! These tests use the queue with real wakers: they check who is served, who is refused, and that no slot is
//! lost when waiting calls leave.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use chapar_telemetry::UpstreamMetrics;

use super::*;

fn places(most: u32) -> ServiceQueue {
    ServiceQueue::new(most, None, &Arc::new(UpstreamMetrics::default().service("civil.v1.CivilRegistry")))
}

fn caller(name: &str) -> SubsystemId {
    name.parse().unwrap()
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

type Waits<'a> = Pin<Box<dyn Future<Output = Result<ServiceSlot, Refusal>> + 'a>>;

/// A call that waits for its turn.
fn waits<'a>(places: &'a ServiceQueue, caller: &'a SubsystemId) -> Waits<'a> {
    let mut call: Waits<'a> = Box::pin(places.take(caller, later()));
    assert!(poll(&mut call).is_pending());
    call
}

fn poll<F: Future + ?Sized>(call: &mut Pin<Box<F>>) -> Poll<F::Output> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn at_once<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn a_caller_is_served_before_the_rest_of_anothers_backlog() {
    let places = places(1);
    let greedy = caller("gov/tax/office");
    let modest = caller("gov/welfare/benefits");
    let running = at_once(places.take(&greedy, later())).ok().unwrap();
    let mut backlog: Vec<_> = (0..10).map(|_| waits(&places, &greedy)).collect();
    let mut late = waits(&places, &modest);

    drop(running);
    let Poll::Ready(Ok(first)) = poll(&mut backlog[0]) else { panic!("the first of the line is served") };
    drop(first);

    assert!(matches!(poll(&mut late), Poll::Ready(Ok(_))), "then it is the other's turn");
}

#[test]
fn those_who_leave_give_their_turn_to_the_next_and_no_place_is_lost() {
    let places = places(2);
    let one = caller("gov/tax/office");
    let other = caller("gov/welfare/benefits");
    let running: Vec<_> = (0..2).map(|_| at_once(places.take(&one, later())).ok().unwrap()).collect();
    let gone = waits(&places, &one);
    let given = waits(&places, &other);
    let mut last = waits(&places, &one);

    drop(gone);
    assert_eq!(places.state.lock().queue.waiting(), 2, "it makes no one's line longer");
    drop(running);
    // Both places are on their way to those two; the one leaves without having looked.
    drop(given);
    let Poll::Ready(Ok(taken)) = poll(&mut last) else { panic!("the last is served") };

    assert_eq!(places.state.lock().taken, 1);
    drop(taken);
    drop(last);
    let state = places.state.lock();
    assert_eq!((state.taken, state.queue.waiting(), places.figures.waiting.get()), (0, 0, 0));
}

#[test]
fn one_callers_full_line_is_refused_at_once_and_told_when_to_come_back() {
    let places = places(1);
    let greedy = caller("gov/tax/office");
    let modest = caller("gov/welfare/benefits");
    let _running = at_once(places.take(&greedy, later())).ok().unwrap();
    let _backlog: Vec<_> = (0..*WAITING_PER_CALLER.start()).map(|_| waits(&places, &greedy)).collect();

    let refused = at_once(places.take(&greedy, later())).err().unwrap();

    assert_eq!(refused.reason(), Reason::SourceBusy);
    let audience = crate::refusal::Audience { help: "".into(), persian: false };
    assert!(refused.to_trailers(&audience).contains_key("grpc-retry-pushback-ms"));
    assert_eq!(places.figures.turned_away.get(), 1);
    let _another_waits = waits(&places, &modest);
}

#[test]
fn a_full_house_makes_room_for_a_caller_without_a_backlog() {
    let places = places(1);
    let modest = caller("gov/welfare/benefits");
    let crowd: Vec<_> = (0..*WAITING_IN_ALL.start() / *WAITING_PER_CALLER.start())
        .map(|number| caller(&format!("gov/tax/office-{number}")))
        .collect();
    let _running = at_once(places.take(&modest, later())).ok().unwrap();
    let mut backlog: Vec<_> =
        crowd.iter().flat_map(|one| (0..*WAITING_PER_CALLER.start()).map(|_| waits(&places, one))).collect();

    let _modest = waits(&places, &modest);

    let refused = backlog.iter_mut().filter_map(|call| match poll(call) {
        Poll::Ready(result) => Some(result.err().unwrap().reason()),
        Poll::Pending => None,
    });
    assert_eq!(refused.collect::<Vec<_>>(), [Reason::SourceBusy]);
}

#[test]
fn a_call_that_could_not_be_served_in_time_is_refused_at_once() {
    let places = places(1);
    let one = caller("gov/tax/office");
    let running = at_once(places.take(&one, later())).ok().unwrap();
    let mut next = waits(&places, &one);
    drop(running);
    let Poll::Ready(Ok(slow)) = poll(&mut next) else { panic!("served") };
    std::thread::sleep(Duration::from_millis(30));
    drop(slow);
    let _running = at_once(places.take(&one, later())).ok().unwrap();

    let hurried = at_once(places.take(&one, Instant::now() + Duration::from_millis(5)));

    assert_eq!(hurried.err().unwrap().reason(), Reason::SourceBusy);
    let _patient = waits(&places, &one);
}

#[test]
fn a_reload_keeps_the_queue_and_a_higher_cap_serves_it() {
    let before = places(1);
    let one = caller("gov/tax/office");
    let _running = at_once(before.take(&one, later())).ok().unwrap();
    let mut first = waits(&before, &one);
    let after = ServiceQueue::new(3, Some(&before), &before.figures);

    let mut second: Waits<'_> = Box::pin(after.take(&one, later()));
    let second = poll(&mut second);
    assert!(matches!(second, Poll::Ready(Ok(_))), "there is room for both");
    assert!(matches!(poll(&mut first), Poll::Ready(Ok(_))));
}
