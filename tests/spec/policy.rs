//! Tests of who may call what, for which purpose, and on whose behalf. A call without a grant is refused.

use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, Caller};

const GET_PERSON: &str = "civil.v1.CivilRegistry/GetPerson";

#[tokio::test]
async fn a_granted_purpose_is_answered_with_the_granted_fields() {
    let bus = Bus::start().await;

    let person = bus.welfare().await.get_person(ZAHRA).send().await.unwrap();

    assert_eq!(person.json()["givenName"], "زهرا");
    assert_eq!(person.json()["birthDate"]["year"], 1982);
    assert_eq!(person.json()["nationalId"], ZAHRA);
}

#[tokio::test]
async fn a_purpose_must_be_named_known_and_granted() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;

    let missing = welfare.get_person(ZAHRA).without_purpose().send().await.unwrap_err();
    let unknown = welfare.get_person(ZAHRA).purpose("marketing").send().await.unwrap_err();
    let other = welfare.get_person(ZAHRA).purpose("counter.identity_check").send().await.unwrap_err();

    assert_eq!(missing.reason, "PURPOSE_REQUIRED");
    assert_eq!(unknown.reason, "PURPOSE_UNKNOWN");
    assert_eq!(other.reason, "PURPOSE_NOT_GRANTED");
    assert_eq!((missing.code, unknown.code, other.code), (3, 3, 7));
}

#[tokio::test]
async fn a_member_without_a_grant_is_refused_before_its_request_is_read() {
    let bus = Bus::start().await;
    let guest = bus.caller("office/khorramabad-12/guest").await;

    let refused = guest
        .ask(GET_PERSON)
        .purpose("loan.farm")
        .raw(b"not even a message".as_slice())
        .send()
        .await
        .unwrap_err();

    assert_eq!(refused.reason, "NOT_GRANTED");
    assert_eq!(refused.code, 7);
}

#[tokio::test]
async fn a_grant_ends_with_its_last_day_in_tehran() {
    let bus = Bus::builder().at("2027-12-31T20:29:59Z").start().await; // 23:59:59 in Tehran
    let welfare = bus.welfare().await;
    assert!(welfare.get_person(ZAHRA).send().await.is_ok());

    bus.set_clock("2027-12-31T20:30:00Z");

    assert_eq!(welfare.get_person(ZAHRA).send().await.unwrap_err().reason, "GRANT_EXPIRED");
}

#[tokio::test]
async fn a_grant_may_require_a_case_and_a_clerk() {
    let bus = Bus::start().await;
    let school = bus.caller("gov/school/admission").await;
    let ask = || school.get_person(ZAHRA).purpose("school.admission");

    assert_eq!(ask().clerk("m.karimi").send().await.unwrap_err().reason, "CASE_REQUIRED");
    assert_eq!(ask().case("1405/77").send().await.unwrap_err().reason, "CLERK_REQUIRED");
    assert_eq!(ask().case("1405/77").clerk("two words").send().await.unwrap_err().reason, "CLERK_INVALID");
    assert!(ask().case("1405/77").clerk("m.karimi").send().await.is_ok());
}

#[tokio::test]
async fn an_office_acts_for_a_member_that_has_delegated_to_it() {
    let bus = Bus::start().await;
    let counter = bus.caller("office/khorramabad-12/counter").await;
    let ask = |caller: &Caller| caller.get_person(ZAHRA).purpose("loan.farm");

    let on_behalf = ask(&counter).on_behalf_of("com/agri-bank").send().await.unwrap();
    let for_itself = ask(&counter).send().await.unwrap_err();
    let for_another = ask(&counter).on_behalf_of("gov/welfare").send().await.unwrap_err();
    let undelegated = counter
        .ask("civil.v1.CivilRegistry/VerifyIdentity")
        .purpose("loan.farm")
        .on_behalf_of("com/agri-bank")
        .field("national_id", ZAHRA)
        .send()
        .await
        .unwrap_err();

    assert_eq!(on_behalf.json()["familyName"], "کریمی");
    assert_eq!(for_itself.reason, "NOT_GRANTED");
    assert_eq!(for_another.reason, "DELEGATION_NOT_GRANTED");
    assert_eq!(undelegated.reason, "DELEGATION_NOT_GRANTED");
}

#[tokio::test]
async fn a_delegation_ends_with_its_last_day() {
    let bus = Bus::builder().at("2027-07-01T12:00:00Z").start().await;
    let counter = bus.caller("office/khorramabad-12/counter").await;

    let refused = counter
        .get_person(ZAHRA)
        .purpose("loan.farm")
        .on_behalf_of("com/agri-bank")
        .send()
        .await
        .unwrap_err();

    assert_eq!(refused.reason, "DELEGATION_NOT_GRANTED");
}

#[tokio::test]
async fn reserved_and_doubled_metadata_is_refused() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;

    for name in [
        "chapar-caller",
        "chapar-fields",
        "chapar-rows",
        "chapar-call-id",
        "chapar-anything",
        "chapar_caller",
    ] {
        let refused =
            welfare.get_person(ZAHRA).header(name, "gov/civil-registry/adapter").send().await.unwrap_err();
        assert_eq!(refused.reason, "METADATA_RESERVED", "{name}");
    }
    let twice =
        welfare.get_person(ZAHRA).header("chapar-purpose", "benefit.eligibility").send().await.unwrap_err();
    assert_eq!(twice.reason, "METADATA_AMBIGUOUS");
}

#[tokio::test]
async fn rows_outside_the_grant_are_as_absent_as_rows_that_do_not_exist() {
    let bus = Bus::builder()
        .edit("gov/civil-registry.toml", |text| text.replace("province = [\"15\"]", "province = [\"16\"]"))
        .start()
        .await;
    let school = bus.caller("gov/school/admission").await;
    let ask = |id| school.get_person(id).purpose("school.admission").case("1").clerk("k");

    let outside = ask(ZAHRA).send().await.unwrap_err();
    let absent = ask(chapar_tests::people::NOBODY).send().await.unwrap_err();

    assert_eq!(outside.reason, "RECORD_NOT_FOUND");
    assert_eq!((outside.code, outside.message), (absent.code, absent.message));
}
