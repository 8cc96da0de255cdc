//! Tests of inquiries: several methods in one call, each part decided, limited and recorded by itself, and
//! procedures of the registry.

use std::process::{Command, Output};
use std::time::Duration;

use chapar_tests::binary::{Demo, chapar};
use chapar_tests::curl::{Curl, reason};
use chapar_tests::people::{NOBODY, ZAHRA};
use chapar_tests::procedure::LOANS;
use chapar_tests::{Agency, Bus, until};
use chapar_transport::frame::MessageReader;
use prost::Message;
use serde_json::{Value, json};

const ASK: &str = "chapar.inquiry.v1.Inquiry/Ask";
const ASK_PROCEDURE: &str = "chapar.inquiry.v1.Inquiry/AskProcedure";
const PERSON: &str = "civil.v1.CivilRegistry/GetPerson";
const CHILDREN: &str = "civil.v1.CivilRegistry/ListChildren";
const IDENTITY: &str = "civil.v1.CivilRegistry/VerifyIdentity";

/// `chapar.inquiry.v1.AskRequest`, with requests in protobuf's wire format.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Message)]
struct Part {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    method: String,
    #[prost(bytes = "vec", optional, tag = "3")]
    message: Option<Vec<u8>>,
}

/// `chapar.inquiry.v1.PartAnswer`, the fields that tests read.
#[derive(Clone, PartialEq, Message)]
struct PartAnswer {
    #[prost(uint32, tag = "1")]
    part: u32,
    #[prost(bytes = "vec", tag = "3")]
    message: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    end: Option<End>,
}

#[derive(Clone, PartialEq, Message)]
struct End {
    #[prost(message, optional, tag = "1")]
    refusal: Option<PartRefusal>,
    #[prost(string, tag = "4")]
    entry: String,
}

#[derive(Clone, PartialEq, Message)]
struct PartRefusal {
    #[prost(string, tag = "2")]
    reason: String,
}

impl PartAnswer {
    fn reason(&self) -> &str {
        let refusal = self.end.as_ref().and_then(|end| end.refusal.as_ref());
        refusal.map_or("", |refusal| &refusal.reason)
    }
}

fn about(method: &str, id: &str) -> Part {
    let message = [&[0x0a, 10], id.as_bytes()].concat();
    Part { id: String::new(), method: method.to_owned(), message: Some(message) }
}

fn request(parts: &[Part]) -> Vec<u8> {
    Request { parts: parts.to_vec() }.encode_to_vec()
}

fn json_part(method: &str, id: &str) -> Value {
    json!({"method": method, "json": {"nationalId": id}})
}

fn welfare(bus: &Bus) -> Curl {
    Curl::of(bus, "gov/welfare/benefits").with(&["-H", "chapar-purpose: benefit.eligibility"])
}

/// The answers of one part, in their order.
fn of_part(answers: &[Value], part: u64) -> Vec<&Value> {
    answers.iter().filter(|answer| answer["part"].as_u64().unwrap_or(0) == part).collect()
}

/// The reason with which a part ended; empty if it was answered.
fn part_reason(answers: &[Value], part: u64) -> String {
    let of_part = of_part(answers, part);
    let end = &of_part.last().unwrap_or_else(|| panic!("no part {part}: {answers:?}"))["end"];
    end["refusal"]["reason"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_is_decided_minimised_and_recorded_as_a_call_of_its_own() {
    let bus = Bus::start().await;
    let parts = [json_part(PERSON, ZAHRA), json_part(CHILDREN, ZAHRA), json_part(IDENTITY, ZAHRA)];
    let (answers, end) = welfare(&bus).stream(ASK, &json!({"parts": parts}));

    assert_eq!(end.get("error"), None, "{end}");
    let person = of_part(&answers, 0);
    assert_eq!((person.len(), &person[0]["json"]["nationalId"]), (1, &json!(ZAHRA)), "{person:?}");
    assert_eq!(person[0]["json"].get("fatherName"), None, "it is not granted");
    assert!(person[0]["end"]["withheld"].as_array().unwrap().contains(&json!("father_name")), "{person:?}");
    let children = of_part(&answers, 1);
    assert_eq!(children.len(), 3, "two children and the end: {children:?}");
    assert!(children[0]["json"]["givenName"].is_string() && children[2].get("json").is_none());
    let refused = of_part(&answers, 2)[0];
    let refusal = &refused["end"]["refusal"];
    assert_eq!((&refusal["code"], &refusal["reason"]), (&json!(7), &json!("NOT_GRANTED")), "{refused}");
    assert!(refusal["help"].as_str().unwrap().ends_with("NOT_GRANTED"));

    let records = bus.records().await;
    let mut told: Vec<_> =
        records.iter().map(|record| (record.method.as_str(), record.outcome.as_str())).collect();
    told.sort_unstable();
    // A stream has an opening and a closing record. The inquiry itself has none.
    assert_eq!(told, [(PERSON, "OK"), (CHILDREN, "OK"), (CHILDREN, "OK"), (IDENTITY, "NOT_GRANTED")]);
    assert!(records.iter().all(|record| record.purpose == "benefit.eligibility"));
    assert!(records.iter().all(|record| record.trace_id == records[0].trace_id), "one trace");
    for part in [0, 1] {
        let entry = of_part(&answers, part).last().unwrap()["end"]["entry"].as_str().unwrap().to_owned();
        let receipt = bus.welfare().await.receipt(&entry).await.unwrap();
        chapar_evidence::verify::receipt(&receipt, &bus.trust()).unwrap();
    }
}

#[tokio::test]
async fn a_slow_part_holds_up_no_other_and_is_cancelled_when_the_caller_goes() {
    let (agency, gate) = Agency::answering(json!({"nationalId": ZAHRA})).gated();
    let bus = Bus::builder().agency(agency).start().await;
    let welfare = bus.welfare().await;
    let ask = || {
        let parts = request(&[about(PERSON, ZAHRA), about(IDENTITY, ZAHRA)]);
        welfare.ask(ASK).purpose("benefit.eligibility").raw(parts).open()
    };
    let mut answers = MessageReader::new(ask().await.unwrap().into_body(), 1 << 20);
    let first = PartAnswer::decode(answers.next().await.unwrap().unwrap()).unwrap();
    assert_eq!((first.part, first.reason()), (1, "NOT_GRANTED"), "while the agency still works");
    gate.open();
    let second = PartAnswer::decode(answers.next().await.unwrap().unwrap()).unwrap();
    assert_eq!((second.part, second.reason(), second.message.is_empty()), (0, "", false));
    assert!(answers.next().await.unwrap().is_none());

    let (agency, gate) = Agency::answering(json!({"nationalId": ZAHRA})).gated();
    let bus = Bus::builder().agency(agency).start().await;
    let welfare = bus.welfare().await;
    let parts = request(&[about(PERSON, ZAHRA)]);
    let begun = welfare.ask(ASK).purpose("benefit.eligibility").raw(parts).open().await.unwrap();
    gate.call_has_come().await;
    drop(begun);
    let cancelled = async || bus.outcomes().await == ["CANCELLED"];
    until("the part is recorded as cancelled", Duration::from_secs(5), cancelled, String::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_end_before_the_time_of_the_inquiry_is_over() {
    let bus = Bus::builder().agency(Agency::hanging()).start().await;
    let curl = welfare(&bus).with(&["-H", "connect-timeout-ms: 600"]);
    let parts = [json_part(PERSON, ZAHRA), json_part(IDENTITY, ZAHRA)];
    let (answers, end) = curl.stream(ASK, &json!({"parts": parts}));
    assert_eq!(end.get("error"), None, "{end}");
    assert_eq!(part_reason(&answers, 0), "DEADLINE_EXCEEDED", "{answers:?}");
    assert_eq!(part_reason(&answers, 1), "NOT_GRANTED", "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_fault_asks_no_part() {
    let bus = Bus::start().await;
    let curl = welfare(&bus);
    let good = json_part(PERSON, ZAHRA);
    for (parts, path) in [
        (json!([]), "parts"),
        (Value::Array(vec![good.clone(); 17]), "parts"),
        (json!([good, {"method": PERSON}]), "parts[1]"),
        (json!([good, {"id": "x".repeat(65), "method": PERSON, "json": {}}]), "parts[1].id"),
    ] {
        let (answers, end) = curl.stream(ASK, &json!({"parts": parts}));
        assert_eq!((answers.len(), reason(&end["error"]).as_str()), (0, "REQUEST_MALFORMED"), "{end}");
        assert!(end["error"]["message"].as_str().unwrap().contains(&format!("`{path}`")), "{path}: {end}");
    }
    assert!(bus.records().await.is_empty());
    // What is wrong with one part's request is that part's refusal.
    let parts = json!([
        {"method": PERSON, "json": {"nationalIdd": ZAHRA}},
        {"method": PERSON, "json": {"nationalId": "12"}},
        {"method": "civil.v1.CivilRegistry/GetNobody", "json": {"a": 1, "b": 2}},
        {"method": ASK, "json": {"parts": []}},
        good,
    ]);
    let (answers, _) = curl.stream(ASK, &json!({"parts": parts}));
    let reasons: Vec<String> = (0..5).map(|part| part_reason(&answers, part)).collect();
    assert_eq!(reasons, ["REQUEST_MALFORMED", "FIELD_INVALID", "METHOD_UNKNOWN", "METHOD_UNKNOWN", ""]);
    let fields = |part| &of_part(&answers, part)[0]["end"]["refusal"]["fields"][0];
    assert_eq!(fields(0)["field"], "nationalIdd");
    assert_eq!(fields(1)["field"], "national_id");
    // Deeper than a Struct can be read again by its receiver.
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    let deep: Value = serde_json::from_str(&deep).unwrap();
    let (answers, end) = curl.stream(ASK, &json!({"parts": [{"method": PERSON, "json": deep}]}));
    assert_eq!((answers.len(), reason(&end["error"]).as_str()), (0, "REQUEST_MALFORMED"), "{end}");
    let welfare = bus.welfare().await;
    for body in [&b"\xff\xff\xff"[..], b"\x0a\x03\x12\x01\xff"] {
        let refused = welfare.ask(ASK).raw(body.to_vec()).send().await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (3, "REQUEST_MALFORMED"), "{refused:?}");
    }
    // A number that a double does not hold would be another number.
    let large = json!({"parts": [{"method": PERSON, "json": {"nationalId": 9_007_199_254_740_993_u64}}]});
    let (answers, end) = curl.stream(ASK, &large);
    assert_eq!((answers.len(), reason(&end["error"]).as_str()), (0, "REQUEST_MALFORMED"), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_takes_a_token_of_its_grant_and_a_repeated_inquiry_takes_none() {
    let bus = Bus::builder().grant_limit("{ rate = \"1/h\", burst = 2, concurrent = 16 }").start().await;
    let id = "6f1c5a52-0d9e-4a53-9a52-2f6d1f0f7a10";
    let curl = welfare(&bus).with(&["-H", &format!("chapar-request-id: {id}")]);
    let twice = json!({"parts": [json_part(PERSON, ZAHRA), json_part(PERSON, ZAHRA)]});
    for _ in 0..3 {
        let (answers, _) = curl.stream(ASK, &twice);
        assert_eq!([part_reason(&answers, 0), part_reason(&answers, 1)], ["", ""]);
    }
    // Another request under the id of a part.
    let other = json!({"parts": [json_part(PERSON, NOBODY), json_part(PERSON, ZAHRA)]});
    let (answers, _) = curl.stream(ASK, &other);
    assert_eq!([part_reason(&answers, 0), part_reason(&answers, 1)], ["REQUEST_ID_CONFLICT", ""]);
    // Both tokens are spent.
    let (answers, _) = welfare(&bus).stream(ASK, &twice);
    assert_eq!([part_reason(&answers, 0), part_reason(&answers, 1)], ["RATE_LIMITED", "RATE_LIMITED"]);
    let refusal = &of_part(&answers, 0)[0]["end"]["refusal"];
    assert!(refusal["retryAfter"].as_str().unwrap().ends_with('s'), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_begins_late_is_decided_by_the_policy_in_force_then() {
    let bus = with_procedure().await;
    let (answers, _) = Curl::of(&bus, LOANS).stream(ASK_PROCEDURE, &farm_loan(ZAHRA));
    assert_eq!(part_reason(&answers, 1), "");
    bus.add("suspensions.toml", "[[suspension]]\nof = \"grant/bank-verify\"\nreason = \"test\"\n");
    let said = bus.reload().await;
    assert!(!said.contains("error"), "{said}");
    let (answers, _) = Curl::of(&bus, LOANS).stream(ASK_PROCEDURE, &farm_loan(ZAHRA));
    assert_eq!([part_reason(&answers, 0), part_reason(&answers, 1)], ["", "SUSPENDED"]);
}

#[tokio::test]
async fn the_stream_of_a_part_ends_when_its_caller_goes() {
    let bus = Bus::builder().agency(Agency::streaming_without_end(ZAHRA)).unlimited().start().await;
    let welfare = bus.welfare().await;
    let parts = request(&[about(CHILDREN, ZAHRA)]);
    welfare.ask(ASK).purpose("benefit.eligibility").raw(parts).take_one_and_leave().await;
    let ended = async || bus.outcomes().await.last().is_some_and(|outcome| outcome == "CANCELLED");
    until("the stream's end is recorded", Duration::from_secs(5), ended, String::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_of_a_hidden_method_by_a_part() {
    let bus = Bus::builder()
        .edit("gov/civil-registry.toml", |text| text.replace("[[service]]", "[[service]]\nhidden = true"))
        .start()
        .await;
    let guest = Curl::of(&bus, "office/khorramabad-12/guest").with(&["-H", "chapar-purpose: loan.farm"]);
    let end_of = |method: &str, json: &Value| {
        let (mut answers, _) = guest.stream(ASK, &json!({"parts": [{"method": method, "json": json}]}));
        let end = answers[0]["end"].as_object_mut().unwrap();
        end.remove("callId");
        end.remove("entry");
        answers.remove(0)
    };
    for json in [json!({"nationalId": ZAHRA}), json!({"nothing": 1})] {
        assert_eq!(end_of(PERSON, &json), end_of("civil.v1.CivilRegistry/GetNobody", &json));
    }
}

async fn with_procedure() -> Bus {
    let bus = Bus::start().await;
    bus.add_procedure().await;
    bus
}

fn farm_loan(subject: &str) -> Value {
    json!({"procedure": "farm-loan", "subject": subject, "inputs": {"birth_date": "1361/06/15"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_procedure_asks_its_parts_and_an_answer_goes_into_the_next_request() {
    let bus = with_procedure().await;
    let loans = Curl::of(&bus, LOANS);
    let (answers, end) = loans.stream(ASK_PROCEDURE, &farm_loan(ZAHRA));
    assert_eq!(end.get("error"), None, "{end}");
    assert_eq!(
        (answers.len(), &answers[0]["id"], &answers[1]["id"]),
        (2, &json!("person"), &json!("identity"))
    );
    assert_eq!(answers[1]["json"], json!({"matches": true}), "{answers:?}");
    assert!(bus.records().await.iter().all(|record| record.purpose == "loan.farm"));

    // Without the value that it takes, a part is not asked.
    let (answers, end) = loans.stream(ASK_PROCEDURE, &farm_loan(NOBODY));
    assert_eq!(end.get("error"), None, "{end}");
    assert_eq!(part_reason(&answers, 0), "RECORD_NOT_FOUND");
    assert_eq!(of_part(&answers, 1)[0]["end"], json!({"waitsFor": "person"}));
    assert_eq!(bus.records().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_procedure_is_for_its_callers_its_purpose_and_its_inputs() {
    let bus = with_procedure().await;
    let loans = Curl::of(&bus, LOANS);
    let listed = loans.call("chapar.inquiry.v1.Inquiry/ListProcedures", "{}").json();
    let procedure = &listed["procedures"][0];
    assert_eq!(
        (&procedure["id"], &procedure["purpose"]),
        (&json!("farm-loan"), &json!("loan.farm")),
        "{listed}"
    );
    assert_eq!(procedure["parts"][0]["replaces"]["en"], "Copy of the identity booklet");
    assert_eq!(
        (&procedure["parts"][1]["provider"], &procedure["inputs"][0]["id"]),
        (&json!("gov/civil-registry"), &json!("birth_date"),)
    );
    let others = Curl::of(&bus, "gov/welfare/benefits");
    assert_eq!(others.call("chapar.inquiry.v1.Inquiry/ListProcedures", "{}").json(), json!({}));

    let error = |curl: &Curl, request: Value| {
        let (answers, end) = curl.stream(ASK_PROCEDURE, &request);
        assert!(answers.is_empty(), "{answers:?}");
        (end["error"]["code"].as_str().unwrap_or_default().to_owned(), end["error"]["message"].to_string())
    };
    let not_there = error(&loans, json!({"procedure": "no-such", "subject": ZAHRA}));
    assert_eq!(error(&others, farm_loan(ZAHRA)), not_there, "others' and unknown ones are alike");
    assert!(not_there.0 == "not_found" && not_there.1.contains("no such procedure"), "{not_there:?}");
    let missing = error(&loans, json!({"procedure": "farm-loan", "subject": ZAHRA}));
    assert!(
        missing.0 == "invalid_argument" && missing.1.contains("`inputs.birth_date` must be given"),
        "{missing:?}"
    );
    let mut unknown = farm_loan(ZAHRA);
    unknown["inputs"]["4061234560"] = json!("x");
    let unknown = error(&loans, unknown);
    assert!(
        unknown.1.contains("no input of the procedure") && !unknown.1.contains("4061234560"),
        "{unknown:?}"
    );
    let other = loans.with(&["-H", "chapar-purpose: school.admission"]);
    let other = error(&other, farm_loan(ZAHRA));
    assert!(other.1.contains("`chapar-purpose` must be absent"), "{other:?}");
    assert!(bus.records().await.is_empty(), "nothing was asked");
}

#[test]
fn the_command_asks_a_procedure_and_says_what_became_of_each_part() {
    let demo = Demo::start(&["--people", "300"]);
    let ask = |more: &str| -> Output {
        let arguments = demo.fill(more);
        let mut command = Command::new(chapar());
        command.arg("ask").args(arguments.split_whitespace()).arg("--demo").arg(demo.folder());
        command.args(["--as", "office/khorramabad-12/counter"]).output().expect("the binary runs")
    };
    let said = |output: &Output| {
        let text = [&output.stdout[..], &output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("text"))
    };
    let (code, listed) = said(&ask(""));
    assert!(code == Some(0) && listed.contains("farm-loan  Farm loan  loan.farm"), "{listed}");

    let asked = "farm-loan NATIONAL_ID --case 1404-771 --clerk z.karimi --output json";
    // The demo's story stops an adapter for a moment.
    let began = std::time::Instant::now();
    let answered = loop {
        let answered = ask(&format!("{asked} iban=IBAN"));
        if answered.status.success() || began.elapsed() > Duration::from_secs(20) {
            break answered;
        }
    };
    let document: Value = serde_json::from_slice(&answered.stdout).unwrap();
    let parts = document["parts"].as_array().unwrap();
    assert_eq!((answered.status.code(), parts.len()), (Some(0), 7), "{document}");
    assert!(
        parts.iter().all(|part| part["outcome"] == "OK" && !part["messages"].as_array().unwrap().is_empty())
    );

    let refused = ask(&format!("{asked} iban=IR1"));
    let document: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let outcome = |id: &str| {
        let part = document["parts"].as_array().unwrap().iter().find(|part| part["part"] == id).unwrap();
        part["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused.status.code(), Some(1), "{document}");
    assert_eq!((outcome("account").as_str(), outcome("person").as_str()), ("FIELD_INVALID", "OK"));

    let (code, told) = said(&ask("no-such NATIONAL_ID"));
    assert!(code == Some(1) && told.contains("you may ask no procedure `no-such`"), "{told}");
    let (code, told) = said(&ask("farm-loan NATIONAL_ID"));
    assert!(code == Some(67) && told.contains("`inputs.iban` must be given"), "{told}");
}
