//! Tests that a grant's rows hold with every provider: an adapter narrows them in its database, and the
//! gateway enforces them on an agency's own gRPC server, which is only told the scope. A scope that cannot be
//! enforced does not load.

use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Bus, Refusal};
use serde_json::json;

use crate::other_contract::{OtherContract, grant};

async fn ask(province: Option<&str>) -> Result<serde_json::Value, Refusal> {
    let person = match province {
        Some(province) => json!({"nationalId": ZAHRA, "givenName": "زهرا", "province": province}),
        None => json!({"nationalId": ZAHRA, "givenName": "زهرا"}),
    };
    let bus = Bus::builder().own_grpc_server_with_rows(Agency::answering(person)).start().await;
    let school = bus.caller("gov/school/admission").await;
    let ask = school
        .ask("civil.v1.CivilRegistry/GetPerson")
        .purpose("school.admission")
        .field("national_id", ZAHRA);
    ask.case("1404-1").clerk("z.karimi").send().await.map(|answer| answer.json())
}

#[tokio::test]
async fn a_record_outside_the_granted_rows_does_not_pass_from_an_agencys_own_server() {
    let granted = ask(Some("15")).await.unwrap();
    assert_eq!(
        granted,
        json!({"nationalId": ZAHRA, "givenName": "زهرا"}),
        "the scope's field itself is not granted"
    );
    for outside in [Some("99"), Some(""), Some("15 "), None] {
        let refused = ask(outside).await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (5, "RECORD_NOT_FOUND"), "{outside:?}");
    }
}

#[tokio::test]
async fn a_record_that_is_not_there_and_one_outside_the_rows_are_answered_in_the_same_words() {
    let bus = Bus::builder().own_grpc_server_with_rows(Agency::refusing(5, "no such person")).start().await;
    let school = bus.caller("gov/school/admission").await;
    let ask = school
        .ask("civil.v1.CivilRegistry/GetPerson")
        .purpose("school.admission")
        .field("national_id", ZAHRA);
    let absent = ask.case("1404-1").clerk("z.karimi").send().await.unwrap_err();
    let hidden = self::ask(Some("99")).await.unwrap_err();
    assert_eq!(
        (absent.code, &absent.reason, &absent.message),
        (hidden.code, &hidden.reason, &hidden.message)
    );
    assert_eq!(absent.reason, "RECORD_NOT_FOUND");
}

#[tokio::test]
async fn of_a_stream_only_the_granted_rows_pass_and_no_more_than_the_contract_says() {
    let by_province = |text: String| {
        text.replace(
            "fields   = [\"given_name\", \"birth_date\"]\n",
            "fields   = [\"given_name\", \"birth_date\"]\nrows     = { province = [\"15\"] }\n",
        )
    };
    let child =
        |name: &str, province: &str| json!({"parentId": ZAHRA, "givenName": name, "province": province});
    let few = [child("a", "15"), child("b", "99"), child("c", ""), child("d", "15")];
    let many: Vec<_> = (0..51).map(|_| child("a", "15")).collect();
    let mixed: Vec<_> = (0..100).map(|at| child("a", if at % 2 == 0 { "15" } else { "16" })).collect();

    let ask = async |children: &[serde_json::Value]| {
        let agency = Agency::streaming(children);
        let bus = Bus::builder()
            .own_grpc_server_with_rows(agency)
            .edit("gov/civil-registry.toml", by_province)
            .start()
            .await;
        let ask =
            bus.welfare().await.ask("civil.v1.CivilRegistry/ListChildren").purpose("benefit.eligibility");
        ask.field("national_id", ZAHRA).send().await
    };
    let none = ask(&[child("b", "99"), child("c", "")]).await.unwrap_err();
    assert_eq!(none.reason, "RECORD_NOT_FOUND", "as where an own server says NOT_FOUND of a stream");
    let names: Vec<_> =
        ask(&few).await.unwrap().all_json().iter().map(|child| child["givenName"].clone()).collect();
    assert_eq!(names, ["a", "d"]);
    assert_eq!(ask(&mixed).await.unwrap().messages(), 50, "rows that do not pass are not counted");
    assert_eq!(ask(&many).await.unwrap_err().reason, "TOO_MANY_ROWS");
}

#[tokio::test]
async fn a_single_answer_has_no_more_elements_than_the_contract_says_rows() {
    let lists = OtherContract::new(
        "lists",
        "service Lists {\n\
         rpc All(Ask) returns (Rows) { option (chapar.contract.v1.method) = { purposes: [\"benefit.eligibility\"] max_rows: 50 }; }\n\
         }\nmessage Ask { string id = 1; }\nmessage Rows { repeated Row rows = 1; }\n\
         message Row { string name = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }\n",
    );
    let ask = async |elements: usize| {
        let agency = Agency::answering_bytes(&b"\x0a\x03\x0a\x01a".repeat(elements));
        let registered = lists.service("lists.v1.Lists", "")
            + &grant("gov/welfare/benefits", "lists.v1.Lists/All", "rows.name");
        let bus = lists.on(Bus::builder().agency(agency), registered).start().await;
        let ask = bus.welfare().await.ask("lists.v1.Lists/All").purpose("benefit.eligibility");
        ask.raw(b"\x0a\x01x".as_slice()).send().await
    };
    assert_eq!(ask(50).await.unwrap().bytes().len(), 50 * 5);
    let refused = ask(51).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (11, "TOO_MANY_ROWS"));
}
