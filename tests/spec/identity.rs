//! Tests of the peer's identity: one URI SAN, a known subsystem, an issuer that may speak for its member.

use chapar_tests::fleet::Fleet;
use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, Certificate};

#[tokio::test]
async fn a_caller_without_a_certificate_gets_no_connection() {
    let bus = Bus::start().await;
    let error = bus.connect_without_certificate().await;
    assert!(error.to_lowercase().contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_gets_no_connection() {
    let bus = Bus::start().await;
    let stranger = bus.caller_with(Certificate::of("gov/welfare/benefits").signed_by_a_stranger()).await;
    let failed = stranger.get_person(ZAHRA).try_send().await.unwrap_err();
    assert!(failed.is_unreachable(), "{failed}");
}

#[tokio::test]
async fn an_expired_certificate_gets_no_connection() {
    let bus = Bus::start().await;
    let late = bus.caller_with(Certificate::of("gov/welfare/benefits").expired()).await;
    assert!(late.get_person(ZAHRA).try_send().await.unwrap_err().is_unreachable());
}

#[tokio::test]
async fn a_certificate_that_ends_while_the_connection_lives_is_refused_at_the_next_call() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    welfare.get_person(ZAHRA).send().await.unwrap();

    bus.set_clock("2099-01-01T00:00:00Z");

    let refused = welfare.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (16, "CERTIFICATE_EXPIRED"));
}

#[tokio::test]
async fn a_subsystem_that_is_not_registered_is_unknown() {
    let bus = Bus::start().await;
    let refused = bus.caller("gov/welfare/payroll").await.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (16, "IDENTITY_UNKNOWN"));
}

#[tokio::test]
async fn two_names_or_none_are_no_identity() {
    let bus = Bus::start().await;
    let two =
        Certificate::of("gov/welfare/benefits").also_named("spiffe://lorestan.example/gov/school/admission");
    let none = Certificate::with_common_name_only("spiffe://lorestan.example/gov/welfare/benefits");
    let elsewhere = Certificate::named("https://lorestan.example/gov/welfare/benefits");

    for certificate in [two, none, elsewhere] {
        let refused = bus.caller_with(certificate).await.get_person(ZAHRA).send().await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (16, "IDENTITY_AMBIGUOUS"));
    }
}

#[tokio::test]
async fn an_authority_speaks_only_for_the_members_that_name_it() {
    let bus = Bus::builder().trusting_a_second_authority().start().await;

    let foreign =
        bus.caller_with(Certificate::of("gov/welfare/benefits").signed_by_the_second_authority()).await;
    let own = bus.welfare().await;

    let refused = foreign.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (16, "ISSUER_NOT_ALLOWED"));
    assert!(own.get_person(ZAHRA).send().await.is_ok());
}

#[tokio::test]
async fn an_authority_speaks_for_an_agencys_server_only_if_its_member_names_it() {
    let bus = Bus::builder().adapter_of_the_second_authority().start().await;

    let refused = bus.welfare().await.get_person(ZAHRA).send().await.unwrap_err();

    assert_eq!((refused.code, refused.reason.as_str()), (14, "ADAPTER_UNAVAILABLE"));
}

#[tokio::test]
async fn an_adapter_serves_only_a_gateway_whose_issuer_it_names() {
    let bus = Bus::builder().trusting_a_second_authority().start().await;
    let ask = async |certificate: Certificate| {
        let caller = bus.caller_of_adapter_with(certificate).await;
        caller.get_person(ZAHRA).header("chapar-fields", "given_name").send().await
    };
    let gateway = Certificate::of("bus/lorestan/gateway");

    ask(gateway.clone()).await.expect("the gateway's own certificate");
    let refused = ask(gateway.signed_by_the_second_authority()).await.unwrap_err();
    assert_eq!(refused.code, 16, "{refused:?}");
}

#[tokio::test]
async fn a_peer_that_is_refused_for_its_identity_is_logged_once_with_issuer_and_address() {
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    let nobody = fleet.client_of("gov/nobody/system", "nobody");
    for _ in 0..3 {
        nobody.get_person().await.unwrap_err();
    }
    let log = gateway.log();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("a peer is refused for its identity")).collect();
    let [line] = lines.as_slice() else { panic!("{log}") };
    for said in ["spiffe://lorestan.example/gov/nobody/system", "sha256:", "127.0.0.1:", "IDENTITY_UNKNOWN"] {
        assert!(line.contains(said), "{said} in {line}");
    }
}
