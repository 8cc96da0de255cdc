//! The gateway's own services: health, reflection and meta, each only for identified callers and never more
//! than is theirs.

use chapar_tests::Bus;
use chapar_tests::people::ZAHRA;

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
