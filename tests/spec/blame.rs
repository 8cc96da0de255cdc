//! Tests of who is blamed for a failed call: no caller can open the circuit breaker of an agency for the
//! others, and a provider in trouble is not called for a time.

use bytes::Bytes;
use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Bus};
use chapar_transport::frame;

use crate::other_contract::{OtherContract, grant};

async fn ejections(bus: &Bus) -> u64 {
    ejections_of(bus, "civil.v1.CivilRegistry").await
}

async fn ejections_of(bus: &Bus, service: &str) -> u64 {
    let page = bus.admin("/metrics").await;
    let figure = format!("chapar_upstream_ejections_total{{service=\"{service}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&figure));
    line.expect("the figure is shown").parse().expect("a number")
}

#[tokio::test]
async fn requests_that_are_too_large_for_the_adapter_are_their_callers_to_hear_and_cost_no_one_else() {
    let bus = Bus::builder().unlimited().start().await;
    let welfare = bus.welfare().await;
    let bank = bus.caller("com/agri-bank/loans").await;
    let padded =
        [&[0x0a, 10][..], ZAHRA.as_bytes(), &[0x7a, 0x80, 0x80, 0x08], &vec![b'x'; 128 << 10]].concat();
    for _ in 0..30 {
        let refused = welfare.get_person("").raw(padded.clone()).send().await.unwrap_err();
        assert_eq!(refused.reason, "MESSAGE_TOO_LARGE");
        bank.get_person(ZAHRA).without_purpose().purpose("loan.farm").send().await.unwrap();
    }
    assert_eq!(ejections(&bus).await, 0);
}

#[tokio::test]
async fn only_what_a_provider_says_of_trouble_of_its_own_takes_it_away_whoever_calls() {
    for (code, reason, is_trouble) in [
        (14, "SOURCE_DOWN", true),
        (4, "SOURCE_TIMEOUT", true),
        (14, "SOURCE_BUSY", false),
        (8, "MESSAGE_TOO_LARGE", false),
        (4, "DEADLINE_EXCEEDED", false),
        (5, "RECORD_NOT_FOUND", false),
        (3, "FIELD_INVALID", false),
    ] {
        let bus = Bus::builder().agency(Agency::refusing_as(code, reason)).unlimited().start().await;
        let welfare = bus.welfare().await;
        let bank = bus.caller("com/agri-bank/loans").await;
        for _ in 0..8 {
            welfare.get_person(ZAHRA).send().await.unwrap_err();
            bank.get_person(ZAHRA).without_purpose().purpose("loan.farm").send().await.unwrap_err();
        }
        assert_eq!(ejections(&bus).await > 0, is_trouble, "{reason}");
    }
}

#[tokio::test]
async fn one_callers_failures_take_the_provider_from_no_other_though_the_fault_is_the_providers() {
    let failing = Agency::refusing_as(14, "SOURCE_DOWN");
    let seen = failing.seen();
    let bus = Bus::builder().agency(failing).unlimited().start().await;
    let welfare = bus.welfare().await;
    for _ in 0..20 {
        welfare.get_person(ZAHRA).send().await.unwrap_err();
    }
    let of_one = seen.count();
    assert!(of_one < 10, "its own breaker is open: {of_one}");

    let bank = bus.caller("com/agri-bank/loans").await;
    bank.get_person(ZAHRA).without_purpose().purpose("loan.farm").send().await.unwrap_err();

    assert_eq!(seen.count(), of_one + 1, "the bank's call gets there");
}

#[tokio::test]
async fn a_caller_that_gives_its_calls_no_time_is_not_held_against_a_slow_provider() {
    let (agency, gate) = Agency::answering(serde_json::json!({"nationalId": ZAHRA})).gated();
    let bus = Bus::builder().agency(agency).unlimited().start().await;
    let welfare = bus.welfare().await;
    for _ in 0..20 {
        let late = welfare.get_person(ZAHRA).header("grpc-timeout", "20m").send().await.unwrap_err();
        assert_eq!(late.reason, "DEADLINE_EXCEEDED");
    }
    gate.open();
    welfare.get_person(ZAHRA).send().await.unwrap();
    assert_eq!(ejections(&bus).await, 0);
}

#[tokio::test]
async fn an_own_server_that_answers_unavailable_to_everyone_is_left_alone() {
    let failing = Agency::refusing(14, "in trouble");
    let seen = failing.seen();
    let bus = Bus::builder().own_grpc_server(failing).unlimited().start().await;
    let welfare = bus.welfare().await;
    for _ in 0..20 {
        welfare.get_person(ZAHRA).send().await.unwrap_err();
    }
    assert_eq!(ejections(&bus).await, 1);
    assert!(seen.count() < 10, "it was called {} times", seen.count());
}

#[tokio::test]
async fn an_own_server_whose_answers_are_over_the_gateways_limit_goes_on_being_asked() {
    let name = [&[0x12, 0x80, 0x80, 0x08][..], &vec![b'x'; 128 << 10]].concat();
    let agency = Agency::answering_bytes(&[&[0x0a, 10][..], ZAHRA.as_bytes(), &name].concat());
    let seen = agency.seen();
    let bus =
        Bus::builder().own_grpc_server(agency).unlimited().setting("max_message = \"64KiB\"").start().await;
    let welfare = bus.welfare().await;
    let bank = bus.caller("com/agri-bank/loans").await;
    let school = bus.caller("gov/school/admission").await;
    for _ in 0..8 {
        let of_welfare = welfare.get_person(ZAHRA).send().await.unwrap_err();
        let of_bank = bank.get_person(ZAHRA).purpose("loan.farm").send().await.unwrap_err();
        assert_eq!([of_welfare.reason, of_bank.reason], ["MESSAGE_TOO_LARGE", "MESSAGE_TOO_LARGE"]);
    }
    let ask = school.get_person(ZAHRA).purpose("school.admission").case("1405/77").clerk("m.karimi");
    assert_eq!(ask.send().await.unwrap_err().reason, "MESSAGE_TOO_LARGE");
    assert_eq!(seen.count(), 17, "every call was made");
    assert_eq!(ejections(&bus).await, 0);
}

#[tokio::test]
async fn streamed_requests_that_are_broken_off_for_their_second_message_cost_no_one_else() {
    let forms = OtherContract::new(
        "forms",
        "service Forms {\n\
         rpc File(stream Page) returns (Receipt) { option (chapar.contract.v1.method) = { purposes: [\"benefit.eligibility\"] }; }\n\
         }\nmessage Page { string text = 1; }\n\
         message Receipt { string number = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }\n",
    );
    let callers = ["gov/welfare/benefits", "com/agri-bank/loans", "gov/school/admission"];
    let grants = callers.map(|caller| grant(caller, "forms.v1.Forms/File", "number"));
    let registered = forms.service("forms.v1.Forms", "") + &grants.concat();
    let bus = Bus::builder().agency(Agency::answering_bytes(b"\x0a\x017"));
    let bus = forms.on(bus, registered).start().await;
    let [welfare, bank, school] = callers.map(|caller| bus.caller(caller));
    let (welfare, bank, school) = (welfare.await, bank.await, school.await);
    let page = |message: &'static [u8]| frame::encode(Bytes::from_static(message));
    let ask = |caller: &chapar_tests::Caller, pages: [Bytes; 2]| {
        let ask = caller.ask("forms.v1.Forms/File").purpose("benefit.eligibility").raw(Bytes::new());
        ask.body(pages.concat()).send()
    };
    for _ in 0..8 {
        for caller in [&welfare, &bank] {
            let refused = ask(caller, [page(b"\x0a\x03one"), page(b"\x0a\x7f")]).await.unwrap_err();
            assert_eq!(refused.reason, "REQUEST_MALFORMED");
        }
    }
    ask(&school, [page(b"\x0a\x03one"), page(b"\x0a\x03two")]).await.unwrap();
    assert_eq!(ejections_of(&bus, "forms.v1.Forms").await, 0);
}
