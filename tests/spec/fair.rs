//! Tests that a service's limit of concurrent calls protects its database, and that callers share it fairly.

use std::time::Duration;

use chapar_tests::fleet::fairness::{self, Plan};
use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Ask, Bus, Failed, until};

const WELFARE: &str = "gov/welfare/benefits";
const BANK: &str = "com/agri-bank/loans";

/// A bus whose one service takes a call at a time, and an agency that holds it back until its gate is opened.
async fn narrow() -> (Bus, chapar_tests::Seen, chapar_tests::Gate) {
    let (agency, gate) =
        Agency::answering(serde_json::json!({"nationalId": ZAHRA, "givenName": "زهرا"})).gated();
    let seen = agency.seen();
    let one_at_a_time =
        |text: String| text.replacen("adapters  =", "limit     = { concurrent = 1 }\nadapters  =", 1);
    let bus = Bus::builder()
        .agency(agency)
        .unlimited()
        .edit("gov/civil-registry.toml", one_at_a_time)
        .start()
        .await;
    (bus, seen, gate)
}

fn spawn(ask: Ask) -> tokio::task::JoinHandle<Result<chapar_tests::Answer, Failed>> {
    tokio::spawn(async move { ask.try_send().await })
}

/// Waits until so many calls wait for a place.
async fn waiting(bus: &Bus, calls: usize) {
    let line = format!("chapar_upstream_waiting{{service=\"civil.v1.CivilRegistry\"}} {calls}");
    shows(bus, &line).await;
}

#[tokio::test]
async fn a_caller_is_served_next_whatever_backlog_another_has() {
    let (bus, seen, gate) = narrow().await;
    let welfare = bus.welfare().await;
    let bank = bus.caller(BANK).await;
    let backlog: Vec<_> = (0..10).map(|_| spawn(welfare.get_person(ZAHRA))).collect();
    gate.call_has_come().await;
    waiting(&bus, 9).await;
    let late = spawn(bank.get_person(ZAHRA).purpose("loan.farm"));
    waiting(&bus, 10).await;

    gate.open();
    late.await.unwrap().unwrap();

    for call in backlog {
        call.await.unwrap().unwrap();
    }
    let order = seen.callers();
    let place = order.iter().position(|caller| caller == BANK).unwrap();
    assert!(place <= 2, "one is running and one may be before it, not nine: {order:?}");
    assert_eq!(order.iter().filter(|caller| *caller == WELFARE).count(), 10);
}

#[tokio::test]
async fn beyond_its_line_a_caller_is_refused_at_once_with_when_to_come_back_and_another_is_not() {
    let (bus, _, gate) = narrow().await;
    let welfare = bus.welfare().await;
    let bank = bus.caller(BANK).await;
    let _running = spawn(welfare.get_person(ZAHRA));
    gate.call_has_come().await;
    let backlog: Vec<_> = (0..16).map(|_| spawn(welfare.get_person(ZAHRA))).collect();
    waiting(&bus, 16).await;

    let refused = welfare.get_person(ZAHRA).send().await.unwrap_err();
    let other = spawn(bank.get_person(ZAHRA).purpose("loan.farm"));
    waiting(&bus, 17).await;
    gate.open();

    assert_eq!((refused.code, refused.reason.as_str()), (14, "SOURCE_BUSY"));
    assert!(refused.retry_after.is_some_and(|wait| wait > Duration::ZERO && wait < Duration::from_secs(20)));
    assert!(refused.pushback_ms.is_some());
    other.await.unwrap().unwrap();
    drop(backlog);
}

#[tokio::test]
async fn a_call_that_is_given_up_while_it_waits_leaves_no_place_taken() {
    let (bus, _, gate) = narrow().await;
    let welfare = bus.welfare().await;
    let running = spawn(welfare.get_person(ZAHRA));
    gate.call_has_come().await;
    let given_up: Vec<_> = (0..5).map(|_| spawn(welfare.get_person(ZAHRA))).collect();
    waiting(&bus, 5).await;

    given_up.iter().for_each(tokio::task::JoinHandle::abort);
    waiting(&bus, 0).await;
    gate.open();

    running.await.unwrap().unwrap();
    for _ in 0..3 {
        welfare.get_person(ZAHRA).send().await.unwrap();
    }
}

#[tokio::test]
async fn the_last_places_of_a_full_gateway_are_for_a_caller_that_has_few() {
    let (agency, gate) =
        Agency::answering(serde_json::json!({"nationalId": ZAHRA, "givenName": "زهرا"})).gated();
    let bus = Bus::builder().agency(agency).setting("max_calls = 16").unlimited().start().await;
    let welfare = bus.welfare().await;
    let bank = bus.caller(BANK).await;
    let greedy: Vec<_> = (0..14).map(|_| spawn(welfare.get_person(ZAHRA))).collect();
    in_flight(&bus, 14).await;

    let refused = welfare.get_person(ZAHRA).send().await.unwrap_err();
    let other = spawn(bank.get_person(ZAHRA).purpose("loan.farm"));
    in_flight(&bus, 15).await;
    gate.open();

    assert_eq!((refused.code, refused.reason.as_str()), (14, "OVERLOADED"));
    assert!(refused.retry_after.is_some_and(|wait| wait >= Duration::from_secs(1)));
    other.await.unwrap().unwrap();
    for call in greedy {
        call.await.unwrap().unwrap();
    }
    let page = bus.admin("/metrics").await;
    let counted = "chapar_calls_total{method=\"civil.v1.CivilRegistry/GetPerson\",outcome=\"OVERLOADED\"} 1";
    assert!(page.lines().any(|line| line == counted), "{page}");
    assert_eq!(bus.records().await.len(), 15, "nothing is recorded of a call that was not read");
}

/// Waits until so many calls are under way.
async fn in_flight(bus: &Bus, calls: usize) {
    let line = format!("chapar_calls_in_flight {calls}");
    shows(bus, &line).await;
}

/// Waits until the metrics page has this line.
async fn shows(bus: &Bus, line: &str) {
    let there = async || bus.admin("/metrics").await.lines().any(|shown| shown == line);
    until(line, Duration::from_secs(20), there, String::new).await;
}

/// The measurement of `--bin fairness` with small numbers: nothing is timed here, but every call must end
/// with an answer or a refusal, be accounted for, and leave evidence that verifies.
#[test]
fn ten_times_too_much_ends_with_answers_and_refusals_and_nothing_else() {
    let plan = Plan { length: Duration::from_millis(400), rounds: 1, times: 5.0, ..Plan::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let report = tokio::task::LocalSet::new().block_on(&runtime, fairness::run(&plan));

    assert_eq!(report.failed(), None);
    assert!(report.capacity > 0.0);
    for tally in report.isolation.iter().flatten().chain([&report.overload]) {
        assert_eq!(tally.offered, tally.held_back + tally.answered + tally.refused, "{tally:?}");
        assert!(tally.answered > 0);
    }
}
