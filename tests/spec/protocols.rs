//! Tests of callers that speak Connect (JSON over plain HTTP), gRPC-Web or HTTP/1.1: the same decision, the
//! same record, and an error with the same reason.

use bytes::Buf as _;
use chapar_tests::curl::{Curl, envelope, reason};
use chapar_tests::people::{OMID, ZAHRA};
use chapar_tests::{Agency, Bus};
use serde_json::{Value, json};

const PERSON: &str = "civil.v1.CivilRegistry/GetPerson";
const CHILDREN: &str = "civil.v1.CivilRegistry/ListChildren";
const WELFARE: &str = "gov/welfare/benefits";

fn welfare(bus: &Bus) -> Curl {
    Curl::of(bus, WELFARE).with(&["-H", "chapar-purpose: benefit.eligibility"])
}

fn ask(id: &str) -> String {
    format!("{{\"nationalId\": \"{id}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_json_is_the_call_in_grpc_and_its_record_is_the_same() {
    let bus = Bus::start().await;
    bus.welfare().await.get_person(ZAHRA).send().await.unwrap();
    let curl = welfare(&bus);
    let mut answers = Vec::new();
    for (version, argument) in [("HTTP/2", "--http2"), ("HTTP/1.1", "--http1.1")] {
        let answer = curl.with(&[argument]).call(PERSON, &ask(ZAHRA));
        assert_eq!((answer.status, answer.version.as_str()), (200, version), "{answer:?}");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert!(answer.headers["trailer-chapar-fields"].starts_with("disclosed=national_id"), "{answer:?}");
        assert!(answer.headers.contains_key("chapar-call-id"));
        answers.push(answer.json());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0]["nationalId"], ZAHRA);
    // By the field's own name, with Persian digits, and in protobuf: one request.
    let persian: String =
        ZAHRA.chars().map(|c| char::from_u32(0x6f0 + c.to_digit(10).unwrap()).unwrap()).collect();
    let answer = curl.call(PERSON, &format!("{{\"national_id\": \"{persian}\"}}"));
    assert_eq!(answer.json(), answers[0]);
    let wire = [&[0x0a, 10], ZAHRA.as_bytes()].concat();
    let answer = curl.post(&format!("/{PERSON}"), "application/proto", &wire);
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/proto"));

    let records = bus.records().await;
    assert_eq!(records.len(), 5);
    let told = |number: usize| {
        let record = &records[number];
        let texts = [&record.caller, &record.method, &record.purpose, &record.grant, &record.outcome];
        let fields = (record.disclosed.clone(), record.withheld.clone());
        (texts.map(String::clone), record.subject_pseudonym.clone(), fields, record.messages)
    };
    for number in 1..5 {
        assert_eq!(told(number), told(0), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_its_reason_its_status_and_its_record() {
    let bus = Bus::start().await;
    let curl = welfare(&bus);
    let long = format!("{{\"nationalId\": \"{}\"}}", "1".repeat(1 << 20));
    for (answer, status, code, word) in [
        (Curl::of(&bus, WELFARE).call(PERSON, &ask(ZAHRA)), 400, "invalid_argument", "PURPOSE_REQUIRED"),
        (
            Curl::of(&bus, WELFARE).with(&["-H", "chapar-purpose: loan.farm"]).call(PERSON, &ask(ZAHRA)),
            403,
            "permission_denied",
            "PURPOSE_NOT_GRANTED",
        ),
        (curl.call(PERSON, &ask("0000000000")), 400, "invalid_argument", "FIELD_INVALID"),
        (curl.call(PERSON, "{\"nationalId\": 499370899}"), 400, "invalid_argument", "REQUEST_MALFORMED"),
        (
            curl.call(PERSON, "{\"nationalIdd\": \"0499370899\"}"),
            400,
            "invalid_argument",
            "REQUEST_MALFORMED",
        ),
        (
            curl.call(PERSON, "{\"nationalId\": \"0499370899\", \"national_id\": \"0499370899\"}"),
            400,
            "invalid_argument",
            "REQUEST_MALFORMED",
        ),
        (curl.call(PERSON, "nationalId=0499370899"), 400, "invalid_argument", "REQUEST_MALFORMED"),
        (curl.call(PERSON, ""), 400, "invalid_argument", "REQUEST_MALFORMED"),
        (curl.call(PERSON, &long), 429, "resource_exhausted", "MESSAGE_TOO_LARGE"),
        (curl.call("civil.v1.CivilRegistry/GetNobody", "{}"), 501, "unimplemented", "METHOD_UNKNOWN"),
        (curl.call(CHILDREN, &ask(ZAHRA)), 501, "unimplemented", "ENCODING_UNSUPPORTED"),
        (
            curl.with(&["-H", "chapar-caller: gov/police/traffic"]).call(PERSON, &ask(ZAHRA)),
            400,
            "invalid_argument",
            "METADATA_RESERVED",
        ),
        (
            curl.with(&["-H", "content-encoding: gzip"]).call(PERSON, &ask(ZAHRA)),
            501,
            "unimplemented",
            "ENCODING_UNSUPPORTED",
        ),
        (
            curl.with(&["-H", "connect-protocol-version: 2"]).call(PERSON, &ask(ZAHRA)),
            501,
            "unimplemented",
            "ENCODING_UNSUPPORTED",
        ),
        (
            curl.with(&["-H", "connect-timeout-ms: soon"]).call(PERSON, &ask(ZAHRA)),
            400,
            "invalid_argument",
            "REQUEST_MALFORMED",
        ),
    ] {
        let error = answer.json();
        assert_eq!(
            (answer.status, error["code"].as_str(), answer.reason().as_str()),
            (status, Some(code), word),
            "{error}"
        );
        assert_eq!(answer.headers["content-type"], "application/json");
        assert!(!error.to_string().contains("499370899"), "no value is told: {error}");
    }
    let unknown = curl.call(PERSON, "{\"nationalIdd\": 1}").json();
    assert!(unknown["message"].as_str().unwrap().ends_with("`nationalIdd` is no field"), "{unknown}");
    let outcomes = bus.outcomes().await;
    assert!(outcomes.len() >= 8 && !outcomes.contains(&"OK".to_owned()), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_says_when_to_come_back() {
    let bus = Bus::start().await;
    let curl = welfare(&bus);
    let limited = (0..200).map(|_| curl.call(PERSON, &ask(ZAHRA))).find(|answer| answer.status != 200);
    let limited = limited.expect("the grant has a limit");
    assert_eq!((limited.status, limited.reason().as_str()), (429, "RATE_LIMITED"));
    assert!(limited.headers["retry-after"].parse::<u64>().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_comes_in_envelopes_and_its_end_has_the_entry_or_the_error() {
    let bus = Bus::start().await;
    let curl = welfare(&bus);
    let path = format!("/{CHILDREN}");
    let answer = curl.post(&path, "application/connect+json", &envelope(ask(ZAHRA).as_bytes()));
    let (messages, end) = answer.envelopes();
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/connect+json"));
    assert!(!messages.is_empty() && messages.iter().all(Value::is_object), "{messages:?}");
    assert!(end["metadata"]["chapar-entry"][0].as_str().unwrap().contains("/evidence/"), "{end}");
    assert_eq!(end.get("error"), None);

    for (body, word) in [
        (envelope(ask("0000000000").as_bytes()), "FIELD_INVALID"),
        (envelope(b"{}{}"), "REQUEST_MALFORMED"),
        ([envelope(b"{}"), envelope(b"{}")].concat(), "CARDINALITY"),
        (envelope(b"{}")[..6].to_vec(), "FRAME_MALFORMED"),
        (vec![1, 0, 0, 0, 0], "FRAME_MALFORMED"),
        (Vec::new(), "FRAME_MALFORMED"),
    ] {
        let answer = curl.post(&path, "application/connect+json", &body);
        let (messages, end) = answer.envelopes();
        // A stream has the status in its end, whatever HTTP says.
        assert_eq!(
            (answer.status, messages.len(), reason(&end["error"]).as_str()),
            (200, 0, word),
            "{body:?}"
        );
    }
    let unary =
        curl.post(&format!("/{PERSON}"), "application/connect+json", &envelope(ask(ZAHRA).as_bytes()));
    assert_eq!(reason(&unary.envelopes().1["error"]), "ENCODING_UNSUPPORTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_of_a_hidden_method_by_the_form_of_an_answer() {
    let bus = Bus::builder()
        .edit("gov/civil-registry.toml", |text| text.replace("[[service]]", "[[service]]\nhidden = true"))
        .start()
        .await;
    let guest = Curl::of(&bus, "office/khorramabad-12/guest").with(&["-H", "chapar-purpose: loan.farm"]);
    let mut answers = Vec::new();
    for method in [PERSON, CHILDREN, "civil.v1.CivilRegistry/GetNobody"] {
        for (content_type, body) in
            [("application/json", "{\"x\": 1}"), ("application/connect+json", "x"), ("application/json", "")]
        {
            let mut answer = guest.post(&format!("/{method}"), content_type, body.as_bytes());
            for name in ["chapar-call-id", "chapar-entry"] {
                answer.headers.remove(name);
            }
            answers.push((content_type.to_owned() + body, answer.status, answer.headers, answer.body));
        }
    }
    let (hidden, unknown) = answers.split_at(6);
    assert_eq!((&hidden[..3], &hidden[3..]), (unknown, unknown));
    assert!(welfare(&bus).call(PERSON, &ask(ZAHRA)).status == 200, "who has a grant is answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_is_answered_by_http() {
    let bus = Bus::start().await;
    let curl = welfare(&bus);
    let json = ask(ZAHRA);
    for (more, content_type, status) in [
        (&["-X", "GET"][..], "application/json", 405),
        (&["-X", "OPTIONS"], "application/json", 405),
        (&[], "text/plain", 415),
        (&["--http1.1"], "application/grpc", 505),
    ] {
        let answer = curl.with(more).post(&format!("/{PERSON}"), content_type, json.as_bytes());
        assert_eq!(answer.status, status, "{more:?} {content_type} {answer:?}");
    }
    assert_eq!(bus.records().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_own_status_passes_whatever_its_details_are() {
    let server = |text: String| text.replace("[[service]]", "[[service]]\nserver = \"grpc\"");
    let bus = Bus::builder()
        .edit("gov/civil-registry.toml", server)
        .agency(Agency::refusing(5, "no such person"))
        .start()
        .await;
    let answer = welfare(&bus).call(PERSON, &ask(ZAHRA));
    let error = answer.json();
    assert_eq!(
        (answer.status, &error["code"], &error["message"]),
        (404, &json!("not_found"), &json!("no such person"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_time_is_the_deadline() {
    let bus = Bus::builder().agency(Agency::hanging()).start().await;
    let curl = welfare(&bus).with(&["-H", "connect-timeout-ms: 200"]);
    let answer = curl.call(PERSON, &ask(ZAHRA));
    assert_eq!((answer.status, answer.reason().as_str()), (504, "DEADLINE_EXCEEDED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_services_answer_json_too() {
    let bus = Bus::start().await;
    let curl = Curl::of(&bus, WELFARE);
    let answer = curl.call("chapar.meta.v1.Meta/WhoAmI", "{}").json();
    assert_eq!(answer["identity"], format!("spiffe://lorestan.example/{WELFARE}"));
    let answer = curl.call("chapar.meta.v1.Meta/WhoAmI", "{\"me\": true}");
    let message = "the request is not a valid message of its type: `me` is no field";
    assert_eq!(
        (answer.json()["message"].as_str(), answer.reason().as_str()),
        (Some(message), "REQUEST_MALFORMED")
    );
    let health = curl.call("grpc.health.v1.Health/Check", "{}").json();
    assert!(health["status"].as_str().unwrap().ends_with("SERVING"), "{health}");
    assert_eq!(curl.call("grpc.health.v1.Health/Watch", "{}").status, 501, "a stream");
    let long = format!("{{\"service\": \"{}\"}}", "x".repeat(9000));
    assert_eq!(curl.call("grpc.health.v1.Health/Check", &long).json()["code"], "resource_exhausted");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_has_its_trailers_in_the_body() {
    let bus = Bus::start().await;
    let curl = welfare(&bus);
    let ask = |id: &str| envelope(&[&[0x0a, 10], id.as_bytes()].concat());
    let answer = curl.post(&format!("/{PERSON}"), "application/grpc-web+proto", &ask(OMID));
    assert_eq!(answer.headers["content-type"], "application/grpc-web+proto");
    let mut rest = answer.body.as_slice();
    let (flags, length) = (rest.get_u8(), rest.get_u32() as usize);
    assert_eq!(flags, 0);
    assert!(rest[..length].starts_with(&[&[0x0a, 10], OMID.as_bytes()].concat()), "the person of the id");
    rest.advance(length);
    assert_eq!((rest.get_u8(), rest.get_u32() as usize), (0x80, rest.len()));
    let trailers = String::from_utf8(rest.to_vec()).unwrap();
    assert!(trailers.contains("grpc-status: 0\r\n") && trailers.contains("chapar-entry: "), "{trailers}");

    let refused = curl.post(&format!("/{PERSON}"), "application/grpc-web+proto", &ask("0000000000"));
    assert!(String::from_utf8_lossy(&refused.body).contains("grpc-status: 3\r\n"), "{refused:?}");
}
