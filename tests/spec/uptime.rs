//! Tests that planned work causes no downtime, with the built binary as processes: small counts of what
//! `--bin uptime` does at length, and the order in which a gateway ends.

use std::time::Duration;

use chapar_tests::fleet::soak::{Plan, run};
use chapar_tests::fleet::{Client, Fleet, Gateway, Load, drill};
use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Joiner, until};

async fn under_load<T>(fleet: &Fleet, act: impl AsyncFnOnce(&Load) -> T) -> T {
    let clients: Vec<Client> = (0..6).map(|number| fleet.client(&format!("caller-{number}"))).collect();
    let load = Load::start(&clients, 6, Duration::from_millis(2));
    load.more(20).await;
    let done = act(&load).await;
    let tally = load.stop().await;
    assert!(
        tally.failed.is_empty(),
        "{} of {} calls failed: {:?}",
        tally.failed.len(),
        tally.answered,
        tally.failed
    );
    done
}

/// That no call fails is `foreign/interop/test_restarts`, with gRPC's own client: tonic's does not send again
/// what a GOAWAY has left untouched, and loses a few calls in a thousand.
#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_share_a_socket_follow_each_other_and_end_in_order() {
    let fleet = Fleet::new().await;
    let first = fleet.start().await;
    let clients: Vec<Client> = (0..6).map(|number| fleet.client(&format!("caller-{number}"))).collect();
    let load = Load::start(&clients, 6, Duration::from_millis(2));
    let last = drill::restarts(&fleet, first, 3, &load).await;
    load.stop().await;
    last.stop().await;
}

/// An address that was free a moment ago: adapters must know it before the process that takes it.
fn free() -> std::net::SocketAddr {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_takes_callers_once_the_adapters_that_dial_have_joined_it_too() {
    let fleet = Fleet::builder().without_endpoints().build().await;
    let addresses = [free(), free()];
    let _adapter = Joiner::of_fleet(&fleet, &addresses).await;
    let mut old = fleet.start_with_adapters_at(addresses[0]).await;
    let clients: Vec<Client> = (0..6).map(|number| fleet.client(&format!("caller-{number}"))).collect();
    let load = Load::start(&clients, 6, Duration::from_millis(2));
    for number in 1..=4 {
        let new = fleet.start_with_adapters_at(addresses[number % 2]).await;
        load.more(50).await;
        old.stop().await;
        load.more(50).await;
        old = new;
    }
    let tally = load.stop().await;
    let unavailable =
        tally.failed.iter().filter(|(_, status)| status.message().contains("adapter cannot be reached"));
    let logs = (0..=4).map(|number| fleet.folder().join(format!("gateway-{number}/gateway.log")));
    let logs: Vec<String> = logs.map(|log| std::fs::read_to_string(log).unwrap()).collect();
    assert_eq!(unavailable.count(), 0, "{:?}\n{}", tally.failed, logs.join("\n"));
    old.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_not_ready_for_ever_because_an_agency_is_away() {
    let fleet = Fleet::builder().without_endpoints().build().await;
    // Ready when this returns: after ten seconds without any adapter.
    let gateway = fleet.start().await;
    assert!(
        gateway.log().contains("ready, although no adapter has joined for some services"),
        "{}",
        gateway.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_may_open_few_files_goes_on_recording_while_connections_take_them_all() {
    let fleet = Fleet::builder().files(64).build().await;
    let gateway = fleet.start().await;
    let client = fleet.client("welfare");
    client.get_person().await.unwrap();
    // Callers take three quarters of the files, and pages of the admin listener what is left.
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.extend(tokio::net::TcpStream::connect(fleet.address()).await);
        idle.extend(tokio::net::TcpStream::connect(gateway.admin_address()).await);
    }
    // Longer than it is between two checkpoints, each of which makes files and syncs folders.
    let until = std::time::Instant::now() + Duration::from_millis(2500);
    while std::time::Instant::now() < until {
        client.get_person().await.unwrap();
    }
    drop(idle);
    gateway.until("it is ready", async |gateway| gateway.page("/readyz").await.contains("200 OK")).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_without_a_failed_call() {
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    under_load(&fleet, async |load| drill::rotations(&fleet, &gateway, 3, load).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_registry_is_taken_up_without_a_failed_call() {
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    under_load(&fleet, async |load| drill::reloads(&fleet, &gateway, 3, load).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_has_all_files_read_again_and_ends_nothing() {
    let fleet = Fleet::new().await;
    let mut gateway = fleet.start().await;
    let client = fleet.client("caller");
    client.get_person().await.unwrap();
    assert!(!gateway.log().contains("files reloaded"), "nothing has changed: {}", gateway.log());

    gateway.signal("HUP");

    let read_again = |gateway: &Gateway, what: &str| {
        let named = format!("\"what\":\"{what}\"");
        gateway.log().lines().any(|line| line.contains("files reloaded") && line.contains(&named))
    };
    let reading = async || {
        let is_read = ["identity", "policy"].iter().all(|what| read_again(&gateway, what));
        assert!(is_read || !gateway.has_ended(), "{}", gateway.log());
        is_read
    };
    until("the files are read again", Duration::from_secs(20), reading, String::new).await;
    client.get_person().await.unwrap();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_authorities_and_revocation_lists_are_taken_up_without_a_failed_call() {
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    under_load(&fleet, async |load| drill::renewals(&fleet, &gateway, 2, load).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_revoked_is_refused_on_its_live_connection() {
    let fleet = Fleet::new().await;
    let _gateway = fleet.start().await;
    assert_eq!(drill::revocations(&fleet, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_told_to_stop_says_so_first_and_lets_running_calls_finish() {
    let (agency, gate) =
        Agency::answering(serde_json::json!({"nationalId": ZAHRA, "givenName": "زهرا"})).gated();
    let fleet = Fleet::builder()
        .in_front_of(agency)
        .shutdown_delay(Duration::from_secs(5))
        .drain(Duration::from_secs(60))
        .build()
        .await;
    let mut gateway = fleet.start().await;
    let client = fleet.client("waiting");
    let running = tokio::spawn({
        let client = client.clone();
        async move { client.get_person().await }
    });
    gate.call_has_come().await;

    gateway.signal("TERM");
    gateway.until("/readyz says no", async |gateway| gateway.page("/readyz").await.contains("503")).await;
    let late = fleet.client("late");
    assert!(
        !late.is_serving().await.unwrap(),
        "a new connection is still taken, and told that the gateway is going"
    );
    gateway.until("nobody new is taken", async |_| fleet.client("later").is_gone().await).await;
    assert!(!running.is_finished(), "the running call has its time");

    gate.open();
    assert!(running.await.unwrap().is_ok(), "the running call is answered");
    assert!(gateway.ended().await.success());
    gateway.evidence_ends_with("OK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_hurries_the_end_and_skips_nothing_of_the_evidence() {
    let agency = Agency::streaming_without_end(ZAHRA);
    let fleet = Fleet::builder().in_front_of(agency).drain(Duration::from_secs(600)).build().await;
    let mut gateway = fleet.start().await;
    let mut stream = fleet.client("reader").children().await.unwrap();
    assert!(stream.message().await.unwrap().is_some());

    gateway.signal("TERM");
    gateway.until("/readyz says no", async |gateway| !gateway.page("/readyz").await.contains("200 OK")).await;
    let ended = async {
        // An echo of the first signal is none: signals are repeated until one counts.
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            gateway.signal("TERM");
            if gateway.has_ended() {
                return gateway.ended().await;
            }
        }
    };
    let status =
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("long before the drain is over");
    assert!(status.success(), "{status}");
    gateway.evidence_ends_with("CANCELLED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_soak_answers_every_call_and_its_evidence_verifies() {
    let plan =
        Plan { length: Duration::from_secs(4), load: 0.3, every: Duration::from_secs(1), measure: 200 };
    let report = run(&plan).await;
    assert_eq!(report.failed, 0, "{report:?}");
    assert!(
        report.answered > 0 && report.memory.0.is_finite() && report.descriptors.0.is_finite(),
        "{report:?}"
    );
}
