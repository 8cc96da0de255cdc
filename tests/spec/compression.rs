//! Tests that the gateway reads a compressed message once and to its last byte, and forwards what it has
//! read, so that neither an agency's server nor a caller can read another message than the gateway did.

use bytes::Bytes;
use chapar_tests::people::{OMID, ZAHRA};
use chapar_tests::{Agency, Bus};
use chapar_transport::encoding::Encoding;
use chapar_transport::frame;
use http_body_util::BodyExt as _;

const ENCODINGS: [Encoding; 2] = [Encoding::Gzip, Encoding::Zstd];

/// Messages that are one when each is unpacked and all are put together, as one frame.
fn in_parts(encoding: Encoding, parts: &[&[u8]]) -> Vec<u8> {
    let packed: Vec<Bytes> = parts.iter().map(|part| encoding.pack(part).unwrap()).collect();
    frame::encode_packed(packed.concat().into()).to_vec()
}

/// A field of text.
fn field(number: u8, text: &str) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

#[tokio::test]
async fn the_agency_is_asked_about_the_citizen_that_the_record_names() {
    for encoding in ENCODINGS {
        let agency = Agency::answering(serde_json::json!({"nationalId": OMID}));
        let seen = agency.seen();
        let bus = Bus::builder().own_grpc_server(agency).start().await;
        let request = in_parts(encoding, &[&field(1, ZAHRA), &field(1, OMID)]);

        let ask = bus.welfare().await.get_person("").header("grpc-encoding", encoding.as_str());
        ask.body(request.clone()).send().await.unwrap();

        assert_eq!(bus.records().await[0].subject_pseudonym, bus.log().pseudonym(OMID), "{encoding:?}");
        let whole = [field(1, ZAHRA), field(1, OMID)].concat();
        assert_eq!(
            seen.last_body(),
            in_parts(encoding, &[&whole]),
            "one part, made by the gateway: {encoding:?}"
        );
    }
}

#[tokio::test]
async fn a_withheld_field_does_not_pass_in_a_second_part() {
    for encoding in ENCODINGS {
        let father = field(7, "CANARY-FATHER");
        let agency =
            Agency::answering_framed(in_parts(encoding, &[&field(1, ZAHRA), &father]), encoding.as_str());
        let bus = Bus::builder().own_grpc_server(agency).start().await;

        let answer =
            bus.welfare().await.get_person(ZAHRA).header("grpc-accept-encoding", "gzip,zstd").open().await;

        let body = answer.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            in_parts(encoding, &[&field(1, ZAHRA)]),
            "one part, made by the gateway: {encoding:?}"
        );
    }
}

#[tokio::test]
async fn bytes_after_the_end_of_a_compressed_message_are_refused_either_way() {
    for encoding in ENCODINGS {
        let mut packed = encoding.pack(&field(1, ZAHRA)).unwrap().to_vec();
        packed.extend_from_slice(b"left over");
        let framed = frame::encode_packed(packed.into()).to_vec();
        let agency = Agency::answering_framed(framed.clone(), encoding.as_str());
        let seen = agency.seen();
        let bus = Bus::builder().own_grpc_server(agency).start().await;
        let welfare = bus.welfare().await;

        let asked =
            welfare.get_person("").header("grpc-encoding", encoding.as_str()).body(framed).send().await;
        assert_eq!(asked.unwrap_err().reason, "DECOMPRESSION_FAILED", "{encoding:?}");
        assert_eq!(seen.count(), 0, "{encoding:?}");
        let answered = welfare.get_person(ZAHRA).send().await;
        assert_eq!(answered.unwrap_err().reason, "CONTRACT_VIOLATION", "{encoding:?}");
    }
}
