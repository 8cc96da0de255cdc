//! Tests of bad requests: each gets its one reason, which names the place and never the value, and the
//! gateway goes on.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use chapar_tests::Bus;
use chapar_tests::binary::chapar;
use chapar_tests::fleet::Fleet;
use chapar_tests::people::{NOBODY, ZAHRA};
use chapar_tests::until_some;

const GET_PERSON: &str = "civil.v1.CivilRegistry/GetPerson";

#[tokio::test]
async fn a_national_id_with_a_wrong_check_digit_is_named_by_its_path_only() {
    let bus = Bus::start().await;
    let wrong = "4061234561";

    let refused = bus.welfare().await.get_person(wrong).send().await.unwrap_err();

    assert_eq!((refused.code, refused.reason.as_str()), (3, "FIELD_INVALID"));
    assert_eq!(refused.violations.len(), 1);
    assert_eq!(refused.violations[0].field, "national_id");
    assert!(!format!("{refused:?}").contains(wrong), "{refused:?}");
}

#[tokio::test]
async fn the_subject_must_be_there() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;

    let absent = welfare.ask(GET_PERSON).purpose("benefit.eligibility").send().await.unwrap_err();

    assert_eq!(absent.reason, "FIELD_INVALID");
    assert_eq!(absent.violations[0].field, "national_id");
}

#[tokio::test]
async fn everything_that_breaks_the_contract_is_named_at_once_and_no_value_of_it() {
    let bus = Bus::start().await;
    let loans = bus.caller("com/agri-bank/loans").await;
    let ask = |given: &str, family: &str, birth: &str| {
        let ask = loans
            .ask("civil.v1.CivilRegistry/VerifyIdentity")
            .purpose("loan.farm")
            .field("national_id", ZAHRA);
        ask.field("given_name", given).field("family_name", family).field("birth_date", birth)
    };
    let long = "ک".repeat(101);

    let refused = ask(&long, &long, "1361/13/01").send().await.unwrap_err();
    let longest = ask(&long[2..], "کریمی", "1361/02/13").send().await;

    assert_eq!((refused.code, refused.reason.as_str()), (3, "FIELD_INVALID"));
    let mut fields: Vec<&str> = refused.violations.iter().map(|violation| violation.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["birth_date", "family_name", "given_name"]);
    assert!(
        !format!("{refused:?}").contains("ککک") && !format!("{refused:?}").contains("1361"),
        "{refused:?}"
    );
    assert!(longest.is_ok(), "a hundred characters, not bytes: {longest:?}");
}

#[tokio::test]
async fn a_record_that_the_register_lacks_is_not_found() {
    let bus = Bus::start().await;
    let refused = bus.welfare().await.get_person(NOBODY).send().await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (5, "RECORD_NOT_FOUND"));
}

#[tokio::test]
async fn malformed_protobuf_is_refused_and_never_forwarded() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let malformed: [&'static [u8]; 8] = [
        &[0x00, 0x01],             // field number 0
        &[0x0e, 0x01],             // wire type 6
        &[0x0f, 0x01],             // wire type 7
        &[0x0a, 0x7f, 0x30],       // a length past the end
        &[0x0b],                   // a group that does not end
        &[0x0c],                   // the end of no group
        &[0x08, 0x01],             // a number where the contract has a text
        &[0x0a, 0x02, 0xc3, 0x28], // not UTF-8
    ];

    for bytes in malformed {
        let refused =
            welfare.ask(GET_PERSON).purpose("benefit.eligibility").raw(bytes).send().await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (3, "REQUEST_MALFORMED"), "{bytes:x?}");
    }
    assert!(welfare.get_person(ZAHRA).send().await.is_ok(), "the gateway lives on");
}

#[tokio::test]
async fn the_last_value_of_a_repeated_singular_field_is_the_one_that_counts() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let field = |id: &str| [&[0x0a, 10][..], id.as_bytes()].concat();

    let last_is_known = [field(NOBODY), field(ZAHRA)].concat();
    let last_is_unknown = [field(ZAHRA), field(NOBODY)].concat();

    let ask = |bytes: Vec<u8>| welfare.ask(GET_PERSON).purpose("benefit.eligibility").raw(bytes);
    assert_eq!(ask(last_is_known).send().await.unwrap().json()["nationalId"], ZAHRA);
    assert_eq!(ask(last_is_unknown).send().await.unwrap_err().reason, "RECORD_NOT_FOUND");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let bus = Bus::start().await;
    let huge = Bytes::from([&[0x12, 0x80, 0x80, 0x80, 0x01][..], &vec![b'x'; 2 << 20]].concat());

    let refused = bus
        .welfare()
        .await
        .ask(GET_PERSON)
        .purpose("benefit.eligibility")
        .raw(huge)
        .send()
        .await
        .unwrap_err();

    assert_eq!((refused.code, refused.reason.as_str()), (8, "MESSAGE_TOO_LARGE"));
}

#[tokio::test]
async fn metadata_over_the_limit_is_refused() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let long = "x".repeat(9 << 10);

    let refused = welfare.get_person(ZAHRA).header("x-long", &long).send().await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (8, "HEADERS_TOO_LARGE"));
    let many = (0..120).fold(welfare.get_person(ZAHRA), |ask, _| ask.header("x-many", "1"));
    assert_eq!(many.send().await.unwrap_err().reason, "HEADERS_TOO_LARGE");
    assert!(welfare.get_person(ZAHRA).header("x-short", &long[..4 << 10]).send().await.is_ok());
}

#[tokio::test]
async fn broken_framing_is_refused() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let framed =
        |flag: u8, length: u32, message: &[u8]| [&[flag][..], &length.to_be_bytes(), message].concat();
    let valid: Vec<u8> = [&[0x0a, 10][..], ZAHRA.as_bytes()].concat();
    let cases = [
        ("a prefix cut short", vec![0, 0, 0], "FRAME_MALFORMED"),
        ("a message cut short", framed(0, 100, &valid), "FRAME_MALFORMED"),
        ("a compressed message without an encoding", framed(1, 12, &valid), "FRAME_MALFORMED"),
        ("a flag that does not exist", framed(2, 12, &valid), "FRAME_MALFORMED"),
        ("a length of four gigabytes", framed(0, u32::MAX, &valid), "MESSAGE_TOO_LARGE"),
        ("no message", Vec::new(), "CARDINALITY"),
        ("two messages", [framed(0, 12, &valid), framed(0, 12, &valid)].concat(), "CARDINALITY"),
    ];

    for (what, body, reason) in cases {
        let refused =
            welfare.ask(GET_PERSON).purpose("benefit.eligibility").body(body).send().await.unwrap_err();
        assert_eq!(refused.reason, reason, "{what}");
    }
}

#[tokio::test]
async fn an_encoding_that_is_not_spoken_is_refused() {
    let bus = Bus::start().await;
    let refused =
        bus.welfare().await.get_person(ZAHRA).header("grpc-encoding", "br").send().await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (12, "ENCODING_UNSUPPORTED"));
}

#[tokio::test]
async fn timeouts_must_be_well_formed_and_end_the_call() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;

    for malformed in ["abc", "-1S", "5X", "123456789S", ""] {
        let refused = welfare.get_person(ZAHRA).header("grpc-timeout", malformed).send().await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (13, "TIMEOUT_MALFORMED"), "{malformed:?}");
    }
    let at_once = welfare.get_person(ZAHRA).header("grpc-timeout", "1n").send().await.unwrap_err();
    assert_eq!((at_once.code, at_once.reason.as_str()), (4, "DEADLINE_EXCEEDED"));
    assert!(
        welfare.get_person(ZAHRA).header("grpc-timeout", "99999999H").send().await.is_ok(),
        "capped, not refused"
    );
}

#[tokio::test]
async fn a_path_is_matched_byte_for_byte() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;

    for path in [
        "/civil.v1.CivilRegistry/getperson",
        "/CIVIL.v1.CivilRegistry/GetPerson",
        "/civil.v1.CivilRegistry/GetPerson/",
        "/civil.v1.CivilRegistry//GetPerson",
        "//civil.v1.CivilRegistry/GetPerson",
        "/civil%2Ev1.CivilRegistry/GetPerson",
        "/civil.v1.CivilRegistry%2FGetPerson",
        "/civil.v1.CivilRegistry/GetPerson?a=b",
        "/civil.v1.CivilRegistry/GetPerson;x",
        "/civil.v1.CivilRegistry/../civil.v1.CivilRegistry/GetPerson",
        "/civil.v1.CivilRegistry/NoSuchMethod",
        "/no.such.Service/GetPerson",
        "/",
    ] {
        let refused = welfare.get_person(ZAHRA).path(path).send().await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (12, "METHOD_UNKNOWN"), "{path}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_persian_when_asked() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;

    let persian =
        welfare.get_person(ZAHRA).without_purpose().header("accept-language", "fa").send().await.unwrap_err();
    let english = welfare.get_person(ZAHRA).without_purpose().send().await.unwrap_err();

    assert_eq!(persian.localized.as_deref(), Some(chapar_model::Reason::PurposeRequired.persian()));
    assert_eq!(english.localized, None);
    assert!(
        english.help.as_deref().is_some_and(|link| link.ends_with("PURPOSE_REQUIRED")),
        "{:?}",
        english.help
    );
}

#[tokio::test]
async fn headers_that_two_readers_could_take_differently_are_refused_and_parameters_of_the_type_are_not() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let status = async |name: &'static str, value: &str| {
        welfare.get_person(ZAHRA).also_header(name, value).open().await.unwrap().status().as_u16()
    };
    assert_eq!(status("host", "other.example").await, 400);
    assert_eq!(status("content-type", "application/grpc").await, 400, "a second one, though the same");
    assert_eq!(
        welfare
            .get_person(ZAHRA)
            .content_type("application/grpc;charset=utf-8")
            .open()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        welfare.get_person(ZAHRA).content_type("application/grpcx").open().await.unwrap().status(),
        415
    );
}

#[tokio::test]
async fn a_purpose_that_the_contract_does_not_know_is_told_nowhere() {
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let purpose = format!("p{ZAHRA}");
    let refused =
        welfare.ask(GET_PERSON).purpose(&purpose).field("national_id", ZAHRA).send().await.unwrap_err();
    assert_eq!(refused.reason, "PURPOSE_UNKNOWN");
    let records = bus.records().await;
    assert_eq!((records[0].outcome.as_str(), records[0].purpose.as_str()), ("PURPOSE_UNKNOWN", ""));
    let traces = bus.admin("/traces").await;
    assert!(traces.contains("PURPOSE_UNKNOWN") && !traces.contains(&purpose), "{traces}");
    assert!(!traces.contains("fields.disclosed"), "a refusal discloses nothing: {traces}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clerk_and_the_case_are_told_to_the_evidence_and_to_no_trace_metric_or_log() {
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    fleet.pki().issue("gov/welfare/benefits", "caller");
    let canaries = ["canary.clerk", "canary-case"];
    let [clerk, case] = canaries;
    let call = |purpose: &str| {
        let file = |name: &str| fleet.pki().folder().join(name);
        let mut call = Command::new(chapar());
        call.args(["call", GET_PERSON, &format!("national_id={ZAHRA}"), "--purpose", purpose]);
        call.args(["--clerk", clerk, "--case", case]);
        call.args(["--gateway", &fleet.address().to_string(), "--server-name", "localhost"]);
        call.arg("--cert").arg(file("caller.crt")).arg("--key").arg(file("caller.key"));
        call.arg("--ca").arg(file("ca.crt"));
        call.output().expect("the binary runs")
    };
    let answered = call("benefit.eligibility");
    assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
    let refused = call("loan.farm");
    assert_eq!(refused.status.code(), Some(64 + 7), "{}", String::from_utf8_lossy(&refused.stderr));

    let sinks = [gateway.page("/traces").await, gateway.page("/metrics").await, gateway.log()];
    for sink in &sinks {
        assert!(sink.contains("PURPOSE_NOT_GRANTED"), "the calls are told of: {sink}");
        assert!(!canaries.iter().any(|canary| sink.contains(canary)), "{sink}");
    }
    let folder = gateway.stop().await;
    let segment = std::fs::read(folder.join("evidence/segments/0000000000000000")).unwrap();
    for canary in canaries {
        assert!(segment.windows(canary.len()).any(|window| window == canary.as_bytes()), "{canary}");
    }
}

#[tokio::test]
async fn the_trace_of_a_record_that_was_not_found_counts_no_disclosed_fields() {
    const COUNT: &str = "chapar.fields.disclosed.count";
    let bus = Bus::start().await;
    let welfare = bus.welfare().await;
    let absent = welfare.get_person(NOBODY).send().await.unwrap_err();
    assert_eq!(absent.reason, "RECORD_NOT_FOUND");

    // The gateway's own span, which alone names the grant, is the last to end.
    let traced = async || Some(bus.admin("/traces").await).filter(|traces| traces.contains("chapar.grant"));
    let traces = until_some("a trace", Duration::from_secs(5), traced, String::new).await;
    assert!(traces.contains("RECORD_NOT_FOUND") && !traces.contains(COUNT), "{traces}");

    let person = welfare.get_person(ZAHRA).send().await.unwrap();
    let trace = bus.trace_of(person.call_id().unwrap(), 5).await;
    assert!(trace.to_string().contains(COUNT), "an answer's does: {trace:#}");
}
