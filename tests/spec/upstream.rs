//! Which of a service's endpoints is called, and what is tried again.

use std::net::SocketAddr;
use std::time::Duration;

use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Bus, Caller, Front};

const LIMIT: &str = "limit    = { rate = \"20/s\", burst = 40, concurrent = 16 }\n";

async fn unlimited() -> Bus {
    let bus = Bus::builder().edit("gov/civil-registry.toml", |text| text.replace(LIMIT, "")).start().await;
    assert!(is_answered(&bus.welfare().await).await);
    bus
}

/// Names another endpoint beside the first.
fn name(bus: &Bus, address: SocketAddr) {
    bus.rewrite("gov/civil-registry.toml", |text| {
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

async fn until(what: &str, mut there: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !there().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("{what}"));
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
