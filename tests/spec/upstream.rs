//! Tests of which of a service's endpoints is called, and which calls are retried.

use std::net::SocketAddr;
use std::time::Duration;

use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Bus, Caller, Front};
use chapar_transport::dial::Incoming;
use chapar_transport::frame::MessageReader;

async fn unlimited() -> Bus {
    let bus = Bus::builder().unlimited().start().await;
    assert!(is_answered(&bus.welfare().await).await);
    bus
}

/// Names another endpoint beside the first.
fn name(bus: &Bus, address: SocketAddr) {
    bus.edit_registry("gov/civil-registry.toml", |text| {
        text.replace("endpoints = [", &format!("endpoints = [\"https://{address}\", "))
    });
}

/// Names another endpoint beside the first, and waits until both are connected.
async fn beside(bus: &Bus, address: SocketAddr) {
    name(bus, address);
    until("both are connected", async || figure(bus, "endpoints_up").await == 2).await;
}

/// What the metrics page shows for the service.
async fn figure(bus: &Bus, name: &str) -> u64 {
    let name = format!("chapar_upstream_{name}{{service=\"civil.v1.CivilRegistry\"}} ");
    let page = bus.admin("/metrics").await;
    page.lines()
        .find_map(|line| line.strip_prefix(&name))
        .expect("the figure is shown")
        .parse()
        .expect("a number")
}

async fn until(what: &str, there: impl AsyncFnMut() -> bool) {
    chapar_tests::until(what, Duration::from_secs(20), there, String::new).await;
}

async fn is_answered(caller: &Caller) -> bool {
    caller.get_person(ZAHRA).send().await.is_ok()
}

#[tokio::test]
async fn an_endpoint_that_fails_is_left_alone_and_the_other_takes_all_calls() {
    let bus = unlimited().await;
    let failing = Agency::refusing(14, "in trouble");
    let seen = failing.seen();
    let (address, _agency) = bus.agency_beside(failing).await;
    beside(&bus, address).await;
    let welfare = bus.welfare().await;

    let called = || seen.count_of("/civil.v1.CivilRegistry/GetPerson");
    until("it is called for as long as it takes to know", async || {
        is_answered(&welfare).await;
        called() >= 5
    })
    .await;

    assert!(figure(&bus, "ejections_total").await >= 1);
    // It is tried again by one call at a time, and each of those failures doubles the pause.
    let mut answered = 0;
    for _ in 0..100 {
        answered += usize::from(is_answered(&welfare).await);
    }
    assert!(answered >= 97, "{answered} of 100");
}

#[tokio::test]
async fn a_call_that_may_run_twice_is_made_again_where_its_connection_breaks() {
    let bus = unlimited().await;
    let hanging = Agency::hanging();
    let seen = hanging.seen();
    let (address, _agency) = bus.agency_beside(hanging).await;
    let front = Front::new(address).await;
    beside(&bus, front.address()).await;
    let welfare = bus.welfare().await;

    let called = || seen.count_of("/civil.v1.CivilRegistry/GetPerson");
    for times in 1..=3 {
        let calling = tokio::spawn({
            let welfare = welfare.clone();
            async move {
                let calls = (0..16).map(|_| welfare.get_person(ZAHRA).send());
                futures_util::future::join_all(calls).await
            }
        });
        until("some calls hang", async || called() > 0 || calling.is_finished()).await;
        front.cut();
        // What was on its way is cut as well, until all are answered.
        until("all are answered", async || {
            front.cut();
            calling.is_finished()
        })
        .await;
        let refused = calling.await.unwrap().into_iter().filter_map(Result::err);
        let refused: Vec<_> = refused.map(|refusal| refusal.reason).collect();
        assert!(refused.is_empty(), "round {times}: {refused:?}");
    }
    assert!(called() > 0, "some did go there first");
    assert!(figure(&bus, "retries_total").await > 0);
}

#[tokio::test]
async fn an_endpoint_that_says_that_it_does_not_serve_gets_no_calls() {
    let bus = unlimited().await;
    let agency = Agency::answering(serde_json::json!({"nationalId": ZAHRA})).not_serving();
    let seen = agency.seen();
    let (address, _agency) = bus.agency_beside(agency).await;
    name(&bus, address);
    let welfare = bus.welfare().await;
    until("it is asked for its health", async || seen.count_of("/grpc.health.v1.Health/Watch") > 0).await;

    // Until it has been heard, it may get some.
    let called = || seen.count_of("/civil.v1.CivilRegistry/GetPerson");
    until("it is heard", async || {
        let before = called();
        for _ in 0..30 {
            assert!(is_answered(&welfare).await);
        }
        called() == before
    })
    .await;
}

/// Opens the stream of children; nothing if that is refused.
async fn children(caller: &Caller) -> Option<MessageReader<Incoming>> {
    let ask = caller.ask("civil.v1.CivilRegistry/ListChildren").purpose("benefit.eligibility");
    let response = ask.field("national_id", ZAHRA).open().await.unwrap();
    let is_refused = response.headers().contains_key("grpc-status");
    (!is_refused).then(|| MessageReader::new(response.into_body(), 1 << 20))
}

#[tokio::test]
async fn a_trial_whose_stream_has_begun_is_over_and_the_next_call_is_answered_while_it_lasts() {
    let bus = unlimited().await;
    let (failing, _failing) = bus.agency_beside(Agency::refusing(14, "in trouble")).await;
    let (streaming, _streaming) = bus.agency_beside(Agency::streaming_without_end(ZAHRA)).await;
    let front = Front::new(failing).await;
    let endpoints = format!("endpoints = [\"https://{}\"]", front.address());
    bus.edit_registry("gov/civil-registry.toml", |text| {
        let lines =
            text.lines().map(|line| if line.starts_with("endpoints") { endpoints.as_str() } else { line });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    });
    assert_eq!(bus.reload().await, "reloaded\n");
    let welfare = bus.welfare().await;
    let before = figure(&bus, "ejections_total").await;
    until("the endpoint is ejected", async || {
        assert!(!is_answered(&welfare).await);
        figure(&bus, "ejections_total").await > before
    })
    .await;

    front.turn(streaming);
    front.cut();
    let mut trial = None;
    until("the endpoint is tried again", async || {
        trial = children(&welfare).await;
        trial.is_some()
    })
    .await;
    let mut trial = trial.unwrap();

    let mut next = children(&welfare).await.expect("the next call is let through at once");
    assert!(next.next().await.unwrap().is_some());
    assert!(trial.next().await.unwrap().is_some(), "the trial's stream still lasts");
}
