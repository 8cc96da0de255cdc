//! Tests of adapters that join by reverse connections: they open no port, reconnect by themselves, and leave
//! without losing a call. An adapter that the registry does not name cannot join.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, Caller, Certificate, Front, Joiner, until};
use chapar_transport::{reverse, tls};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const SERVICE: &str = "civil.v1.CivilRegistry";

async fn joining() -> Bus {
    Bus::builder().joining().unlimited().start().await
}

async fn answered(caller: &Caller) {
    let answered = async || caller.get_person(ZAHRA).try_send().await.is_ok();
    until("the service comes back by itself", Duration::from_secs(20), answered, String::new).await;
}

#[tokio::test]
async fn an_adapter_that_dials_is_called_on_the_connection_that_it_made_and_shows_in_the_health() {
    let bus = joining().await;
    let welfare = bus.welfare().await;
    welfare.health_becomes(SERVICE, false).await;

    let adapter = Joiner::start(&bus, bus.address()).await;
    let person = welfare.get_person(ZAHRA).send().await.unwrap();
    welfare.health_becomes(SERVICE, true).await;

    assert_eq!(person.json()["nationalId"], ZAHRA);
    adapter.stop().await;
    welfare.health_becomes(SERVICE, false).await;
    let refused = welfare.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!(refused.reason, "ADAPTER_UNAVAILABLE");
}

#[tokio::test]
async fn connections_of_adapters_are_counted_apart_from_those_of_callers() {
    let bus = joining().await;
    let _adapter = Joiner::start(&bus, bus.address()).await;
    let counts = async || {
        let page = bus.admin("/metrics").await;
        ["chapar_connections", "chapar_adapter_connections"].map(|name| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in {page}")).parse::<u32>().expect("a count")
        })
    };
    // Whose a connection is, is known after its handshake, and an adapter makes several.
    let settled = async || matches!(counts().await, [0, 1..=u32::MAX]);
    until("no connection is a caller's", Duration::from_secs(10), settled, String::new).await;
}

#[tokio::test]
async fn an_adapter_comes_back_by_itself_to_a_gateway_that_was_restarted() {
    let mut bus = joining().await;
    let front = Front::new(bus.address()).await;
    let _adapter = Joiner::start(&bus, front.address()).await;
    assert!(bus.welfare().await.get_person(ZAHRA).send().await.is_ok());

    bus.restart_gateway().await;
    front.turn(bus.address());

    answered(&bus.welfare().await).await;
}

#[tokio::test]
async fn a_line_that_is_cut_is_made_anew() {
    let bus = joining().await;
    let front = Front::new(bus.address()).await;
    let _adapter = Joiner::start(&bus, front.address()).await;
    let welfare = bus.welfare().await;
    for _ in 0..3 {
        assert!(welfare.get_person(ZAHRA).send().await.is_ok());
        front.cut();
        answered(&welfare).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_adapters_each_is_restarted_under_load_and_no_call_fails() {
    let bus = joining().await;
    let mut one = Joiner::start(&bus, bus.address()).await;
    let mut other = Joiner::start(&bus, bus.address()).await;
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = futures_util::future::join_all((0..8).map(|_| bus.welfare())).await;
    let load = callers.into_iter().map(|caller| {
        let over = Arc::clone(&over);
        tokio::spawn(async move {
            let mut calls = 0;
            while !over.load(Ordering::Relaxed) {
                caller
                    .get_person(ZAHRA)
                    .send()
                    .await
                    .unwrap_or_else(|refusal| panic!("call {calls}: {refusal:?}"));
                calls += 1;
            }
            calls
        })
    });
    let load: Vec<_> = load.collect();

    for _ in 0..5 {
        one.stop().await;
        one = Joiner::start(&bus, bus.address()).await;
        std::mem::swap(&mut one, &mut other);
    }

    over.store(true, Ordering::Relaxed);
    for calls in futures_util::future::join_all(load).await {
        assert!(calls.expect("every call was answered") > 0);
    }
}

/// What an adapter-to-be reads after its TLS handshake, or the alert that ends it.
async fn knock(bus: &Bus, name: &str) -> std::io::Result<Vec<u8>> {
    let file = |kind| bus.folder().join(format!("pki/{name}.{kind}"));
    let files =
        tls::Files { cert: file("crt"), key: file("key"), trust: bus.folder().join("pki/ca.crt"), crl: None };
    let gateway = "spiffe://lorestan.example/bus/lorestan/gateway".parse().unwrap();
    let mut config = (*tls::client(&files, tls::Expect::identities(vec![gateway])).unwrap()).clone();
    config.alpn_protocols = vec![reverse::PROTOCOL.to_vec()];
    let stream = TcpStream::connect(bus.address()).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await?;
    let mut heard = Vec::new();
    let reading = async {
        let mut some = [0; 64];
        // An adapter is spoken to; that is enough to know.
        while heard.is_empty() {
            match stream.read(&mut some).await? {
                0 => break,
                read => heard.extend_from_slice(&some[..read]),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the gateway speaks or closes")?;
    Ok(heard)
}

#[tokio::test]
async fn whoever_the_registry_does_not_name_as_an_adapter_is_let_go_without_a_word() {
    let bus = Bus::builder().joining().trusting_a_second_authority().unlimited().start().await;
    bus.issue(&Certificate::of("gov/welfare/benefits"), "agency");
    bus.issue(&Certificate::of("gov/civil-registry/other"), "unregistered");
    bus.issue(&Certificate::of("gov/civil-registry/adapter").signed_by_the_second_authority(), "impostor");
    bus.issue(&Certificate::of("gov/civil-registry/adapter").signed_by_a_stranger(), "stranger");
    bus.issue(
        &Certificate::of("gov/civil-registry/adapter").also_named("spiffe://lorestan.example/gov/x/y"),
        "two",
    );

    assert!(knock(&bus, "adapter").await.unwrap().starts_with(b"PRI * HTTP/2.0"), "an adapter is spoken to");
    for name in ["agency", "unregistered", "impostor", "two"] {
        // An end in good order, or a reset.
        let heard = knock(&bus, name).await.unwrap_or_default();
        assert!(heard.is_empty(), "{name} heard {heard:?}");
    }
    let error = knock(&bus, "stranger").await.unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
}

#[tokio::test]
async fn an_agency_that_is_no_adapter_gets_no_calls_though_it_serves_the_contract() {
    let bus = joining().await;
    bus.issue(&Certificate::of("gov/welfare/benefits"), "agency");
    let (_thief, joined) = Joiner::knocking(&bus, "pki/agency", bus.address()).await;
    let taken_in = tokio::time::timeout(Duration::from_millis(700), joined).await;

    assert!(taken_in.is_err(), "it heard nothing");
    let refused =
        bus.welfare().await.get_person(ZAHRA).header("grpc-timeout", "500m").send().await.unwrap_err();
    assert_eq!(refused.reason, "ADAPTER_UNAVAILABLE");
    let _adapter = Joiner::start(&bus, bus.address()).await;
    assert!(bus.welfare().await.get_person(ZAHRA).send().await.is_ok());
}

#[tokio::test]
async fn an_adapter_that_the_registry_names_no_longer_is_let_go() {
    let bus = joining().await;
    let front = Front::new(bus.address()).await;
    let _adapter = Joiner::start(&bus, front.address()).await;
    let welfare = bus.welfare().await;
    assert!(welfare.get_person(ZAHRA).send().await.is_ok());
    welfare.health_becomes(SERVICE, true).await;

    bus.edit_registry("gov/civil-registry.toml", |text| {
        text.replace("id = \"adapter\"", "id = \"successor\"").replace("/adapter\"]", "/successor\"]")
    });

    welfare.health_becomes(SERVICE, false).await;
    assert_eq!(welfare.get_person(ZAHRA).send().await.unwrap_err().reason, "ADAPTER_UNAVAILABLE");
}
