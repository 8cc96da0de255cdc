//! Tests that no byte beyond the grant leaves the gateway, whatever the adapter sends.

use chapar_tests::people::{NOBODY, ZAHRA};
use chapar_tests::{Agency, Bus};
use serde_json::json;

#[tokio::test]
async fn what_is_not_granted_is_absent_and_named_as_withheld() {
    let bus = Bus::start().await;

    let person = bus.welfare().await.get_person(ZAHRA).send().await.unwrap();

    let json = person.json();
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["birthDate", "familyName", "givenName", "nationalId"]);
    let withheld = person.withheld();
    for field in ["sex", "life_status", "father_name", "marital_status", "province", "county"] {
        assert!(withheld.iter().any(|name| name == field), "{field} in {withheld:?}");
    }
}

#[tokio::test]
async fn an_agency_server_that_sends_everything_is_held_to_the_grant() {
    let everything = json!({
        "nationalId": ZAHRA, "givenName": "زهرا", "familyName": "کریمی", "birthDate": {"year": 1982, "month": 9, "day": 6},
        "sex": "SEX_FEMALE", "lifeStatus": "LIFE_STATUS_ALIVE", "fatherName": "CANARY-FATHER", "province": "15", "county": "1501",
    });
    let agency = Agency::answering(everything).with_unknown_field(b"CANARY-UNKNOWN");
    let bus = Bus::builder().agency(agency).start().await;

    let person = bus.welfare().await.get_person(ZAHRA).send().await.unwrap();

    let bytes = person.bytes();
    for canary in [&b"CANARY"[..], b"1501"] {
        assert!(!bytes.windows(canary.len()).any(|window| window == canary), "a withheld value passed");
    }
    assert_eq!(person.json()["givenName"], "زهرا");
}

#[tokio::test]
async fn the_adapter_is_told_only_the_granted_fields_and_the_gateway_speaks_for_the_caller() {
    let agency = Agency::answering(json!({"nationalId": ZAHRA}));
    let seen = agency.seen();
    let bus = Bus::builder().agency(agency).start().await;

    bus.welfare().await.get_person(ZAHRA).header("x-agency-id", "gov/police/traffic").send().await.unwrap();

    let headers = seen.last();
    assert_eq!(headers["chapar-caller"], "gov/welfare/benefits");
    let mut fields: Vec<&str> = headers["chapar-fields"].to_str().unwrap().split(',').collect();
    fields.sort_unstable();
    assert_eq!(fields, ["birth_date", "family_name", "given_name", "national_id"]);
    assert!(
        headers.contains_key("chapar-call-id")
            && headers.contains_key("grpc-timeout")
            && headers.contains_key("traceparent")
    );
    assert!(!headers.contains_key("x-agency-id"), "nothing that a caller says goes along");
}

#[tokio::test]
async fn an_answer_about_someone_else_is_not_released() {
    let bus = Bus::builder()
        .agency(Agency::answering(json!({"nationalId": NOBODY, "givenName": "دیگری"})))
        .start()
        .await;

    let refused = bus.welfare().await.get_person(ZAHRA).send().await.unwrap_err();

    assert_eq!((refused.code, refused.reason.as_str()), (13, "CONTRACT_VIOLATION"));
}

#[tokio::test]
async fn an_answer_that_is_no_message_is_not_released() {
    let bus = Bus::builder().agency(Agency::answering_bytes(&[0x0a, 0x7f, 0x30])).start().await;
    let refused = bus.welfare().await.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!(refused.reason, "CONTRACT_VIOLATION");
}
