//! Tests of the gateway's own services, health, reflection and meta: each answers identified callers only,
//! and shows a caller no more than it may see.

use chapar_tests::Bus;
use chapar_tests::people::ZAHRA;

use crate::other_contract::{OtherContract, grant};

#[tokio::test]
async fn reflection_shows_a_caller_only_what_it_may_call() {
    let bus = Bus::start().await;

    let welfare = bus.welfare().await.reflect("civil.v1.CivilRegistry").await.unwrap();
    let guest = bus.caller("office/khorramabad-12/guest").await;

    assert_eq!(welfare, ["GetPerson", "ListChildren"]);
    assert!(guest.reflect("civil.v1.CivilRegistry").await.is_err());
    assert!(!guest.services().await.contains(&"civil.v1.CivilRegistry".to_owned()));
    assert!(bus.welfare().await.services().await.contains(&"civil.v1.CivilRegistry".to_owned()));
}

#[tokio::test]
async fn reflection_keeps_the_contracts_options_and_comments() {
    let bus = Bus::start().await;
    let file = bus.welfare().await.descriptor("civil.v1.CivilRegistry").await;

    let contract = chapar_contract::Contract::load(&chapar_tests::repository().join("proto/civil")).unwrap();
    let original = contract.descriptor_bytes();
    let comment = "The civil record of one person.".as_bytes();
    let purpose = "benefit.eligibility".as_bytes();
    for part in [comment, purpose] {
        assert!(
            original.windows(part.len()).any(|window| window == part),
            "the test looks for what is there"
        );
        assert!(file.windows(part.len()).any(|window| window == part), "{}", String::from_utf8_lossy(part));
    }
}

#[tokio::test]
async fn meta_tells_a_caller_who_it_is_and_what_it_may_do() {
    let bus = Bus::start().await;
    let counter = bus.caller("office/khorramabad-12/counter").await;

    assert_eq!(counter.who_am_i().await, "spiffe://lorestan.example/office/khorramabad-12/counter");
    let rights = counter.rights().await;
    assert_eq!(rights.len(), 1);
    assert_eq!(rights[0].method, "civil.v1.CivilRegistry/GetPerson");
    assert_eq!(rights[0].on_behalf_of, "com/agri-bank");
    assert!(rights[0].withheld.contains(&"life_status".to_owned()));
}

#[tokio::test]
async fn health_follows_the_adapter() {
    let mut bus = Bus::start().await;
    let welfare = bus.welfare().await;

    welfare.health_becomes("civil.v1.CivilRegistry", true).await;
    bus.stop_adapter().await;
    welfare.health_becomes("civil.v1.CivilRegistry", false).await;
}

#[tokio::test]
async fn the_trace_of_a_call_runs_from_the_gateway_to_the_statement() {
    let bus = Bus::start().await;
    let person = bus.welfare().await.get_person(ZAHRA).send().await.unwrap();

    let page = bus.trace_of(person.call_id().unwrap(), 5).await;

    let services: Vec<&str> =
        page["spans"].as_array().unwrap().iter().filter_map(|span| span["service"].as_str()).collect();
    assert!(
        services.iter().any(|name| name.contains("gateway"))
            && services.iter().any(|name| name.contains("adapter")),
        "{services:?}"
    );
    let statement = page["spans"]
        .as_array()
        .unwrap()
        .iter()
        .find(|span| span["attributes"]["db.system.name"] == "sqlite");
    assert!(statement.is_some(), "{page:#}");
}

#[tokio::test]
async fn a_hidden_service_is_to_health_and_reflection_as_one_that_does_not_exist() {
    let hidden = |text: String| text.replace("[[service]]", "[[service]]\nhidden = true");
    let bus = Bus::builder().edit("gov/civil-registry.toml", hidden).start().await;
    let guest = bus.caller("office/khorramabad-12/guest").await;
    bus.welfare().await.health_becomes("civil.v1.CivilRegistry", true).await;
    let asked = async |method: &str, service: &str| {
        let request = [&[0x0a, u8::try_from(service.len()).unwrap()][..], service.as_bytes()].concat();
        let response = guest.ask(method).raw(request).open().await.unwrap();
        let status = tonic::Status::from_header_map(response.headers())
            .map(|status| (status.code(), status.message().to_owned()));
        status.unwrap_or((tonic::Code::Ok, String::new()))
    };
    for method in ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"] {
        let unknown = asked(method, "civil.v1.NoSuchThing").await;
        assert_eq!(unknown.0, tonic::Code::NotFound);
        assert_eq!(asked(method, "civil.v1.CivilRegistry").await, unknown, "{method}");
    }
    for symbol in ["civil.v1.CivilRegistry", "civil.v1.CivilRegistry.GetPerson"] {
        assert_eq!(
            guest.reflect(symbol).await.unwrap_err(),
            guest.reflect("civil.v1.NoSuchThing").await.unwrap_err().replace("civil.v1.NoSuchThing", symbol),
            "{symbol}"
        );
    }
}

#[tokio::test]
async fn a_contract_is_given_without_the_services_that_are_hidden_from_whoever_asks() {
    let rules = "option (chapar.contract.v1.method) = { purposes: [\"benefit.eligibility\"] };";
    let pair = OtherContract::new(
        "pair",
        &format!(
            "service Public {{ rpc Get(Ask) returns (Say) {{ {rules} }} }}\n\
             \n// CANARY of an inspectorate.\n\
             service Undercover {{ rpc Look(Ask) returns (Say) {{ {rules} }} }}\n\
             message Ask {{ string id = 1; }}\n\
             message Say {{ string id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }}\n"
        ),
    );
    let services =
        pair.service("pair.v1.Public", "") + &pair.service("pair.v1.Undercover", "hidden = true\n");
    let registered = services + &grant("gov/welfare/benefits", "pair.v1.Undercover/Look", "id");
    let bus = pair.on(Bus::builder(), registered).start().await;
    let named = |bytes: &[u8]| {
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        ["Public", "Undercover", "CANARY"].map(holds)
    };
    assert_eq!(named(pair.contract().descriptor_bytes()), [true; 3], "the test looks for what is there");

    let (_, to_welfare) = bus.welfare().await.contract("pair.v1.Public").await.unwrap();
    let guest = bus.caller("office/khorramabad-12/guest").await;
    let (digest, to_guest) = guest.contract("pair.v1.Public").await.unwrap();

    assert_eq!(named(&to_welfare), [true; 3], "who has a right to it sees it");
    assert_eq!(named(&to_guest), [true, false, false]);
    assert_eq!(digest, pair.contract().digest());
    assert_eq!(guest.contract("pair.v1.Undercover").await.unwrap_err().code, 5);
}
