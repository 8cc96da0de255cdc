//! Tests of requests that no honest client makes: paths, headers, frames and framings. Each is refused with
//! its one answer, nothing of it reaches the provider, and the gateway goes on.

use std::sync::Arc;

use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Bus, Certificate};
use chapar_transport::tls::{self, Expect, Files};
use rustls::ClientConfig;

use crate::raw::{self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Raw, SETTINGS, WINDOW_UPDATE, frame};

const PATH: &str = "/civil.v1.CivilRegistry/GetPerson";
const REFUSED_STREAM: u32 = 7;
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

/// TLS of the welfare agency, for frames by hand.
fn tls_of_welfare(bus: &Bus) -> Arc<ClientConfig> {
    let pki = bus.folder().join("pki");
    bus.issue(&Certificate::of("gov/welfare/benefits"), "by-hand");
    let files = Files {
        cert: pki.join("by-hand.crt"),
        key: pki.join("by-hand.key"),
        trust: pki.join("ca.crt"),
        crl: None,
    };
    let gateway = "spiffe://lorestan.example/bus/lorestan/gateway".parse().unwrap();
    tls::client(&files, Expect::identities(vec![gateway])).unwrap()
}

/// What the gateway says to something on stream 1.
#[derive(Debug, PartialEq)]
enum Said {
    /// Headers, as bytes: literal or from HPACK's table.
    Answer(Vec<u8>),
    Reset(u32),
    GoAway(u32),
    Nothing,
}

/// Sends the bytes on a connection of their own.
async fn said_to(bus: &Bus, tls: &Arc<ClientConfig>, bytes: &[u8]) -> Said {
    let mut connection = Raw::connect(bus.address(), tls, &[]).await.unwrap();
    connection.send(bytes).await.ok();
    let answer = async {
        while let Ok(frame) = connection.next().await {
            let code = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
            match frame.kind {
                HEADERS => return Said::Answer(frame.payload),
                raw::RST_STREAM => return Said::Reset(code(0)),
                GOAWAY => return Said::GoAway(code(4)),
                _ => {}
            }
        }
        Said::Nothing
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), answer).await.expect("an answer or an end")
}

fn headers(fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, 1, &raw::fields(fields.iter().copied()))
}

const GOOD: [(&str, &str); 7] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "localhost"),
    (":path", PATH),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("chapar-purpose", "benefit.eligibility"),
];

fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    GOOD.into_iter().map(|field| if field.0 == name { (name, value) } else { field }).collect()
}

fn and(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    GOOD.into_iter().chain([(name, value)]).collect()
}

/// Two hundred ways not to write the path of a method.
fn mutated_paths() -> Vec<String> {
    let mut paths = Vec::new();
    for at in 1..PATH.len() {
        let (before, after) = PATH.split_at(at);
        let own = after.as_bytes()[0];
        let swapped =
            if own.is_ascii_lowercase() { own.to_ascii_uppercase() } else { own.to_ascii_lowercase() };
        paths.push(format!("{before}%{own:02X}{}", &after[1..]));
        paths.push(format!("{before}{}", &after[1..]));
        paths.push(format!("{before}{}{after}", char::from(own)));
        if swapped != own {
            paths.push(format!("{before}{}{}", char::from(swapped), &after[1..]));
        }
        for inserted in ["/", "%00", "%2F"] {
            paths.push(format!("{before}{inserted}{after}"));
        }
    }
    for end in
        ["/", "//", "?", "?a=b", ";x", "%20", "%00", "/..", "/.", "/../GetPerson", "%2F", ".", "\u{7f}"]
    {
        paths.push(format!("{PATH}{end}"));
    }
    for start in ["/", "//", "/.", "/./", "/../", "/x/../", "https://localhost", "%2F"] {
        paths.push(format!("{start}{PATH}"));
    }
    paths.extend(
        ["*", "/", "//", "", "civil.v1.CivilRegistry/GetPerson", "/civil.v1.CivilRegistry"]
            .map(str::to_owned),
    );
    paths.push(format!("/{}", "a/".repeat(3000)));
    paths
}

#[tokio::test]
async fn no_other_spelling_of_a_path_reaches_a_method() {
    let agency = Agency::answering(serde_json::json!({"nationalId": ZAHRA}));
    let seen = agency.seen();
    let bus = Bus::builder().agency(agency).start().await;
    let welfare = bus.welfare().await;
    assert!(welfare.get_person(ZAHRA).send().await.is_ok(), "the path itself is one");
    let tls = tls_of_welfare(&bus);
    let before = seen.count_of(PATH);

    let paths = mutated_paths();
    assert!(paths.len() >= 200, "{}", paths.len());
    for path in &paths {
        let fields: Vec<_> = GOOD
            .into_iter()
            .map(|(name, value)| (name, if name == ":path" { path.as_str() } else { value }))
            .collect();
        match said_to(&bus, &tls, &headers(&fields, END_STREAM)).await {
            // `grpc-status: 12`, or an error of HTTP/2's own.
            Said::Answer(block) => assert!(is_status(&block, "12"), "{path}: {block:?}"),
            Said::Reset(PROTOCOL_ERROR) | Said::GoAway(_) => {}
            other => panic!("{path}: {other:?}"),
        }
    }
    assert_eq!(seen.count_of(PATH), before);
    let strange = paths.iter().filter(|path| seen.count_of(path) > 0).collect::<Vec<_>>();
    assert!(strange.is_empty(), "{strange:?}");
}

/// Whether a header block says `grpc-status` with that value, in the server's spelling: both as Huffman codes
/// (RFC 7541, 5.2).
fn is_status(block: &[u8], status: &str) -> bool {
    let text = |text: &str| {
        let coded = huffman(text);
        [&[0x80 | coded.len() as u8][..], &coded].concat()
    };
    let wanted = [text("grpc-status"), text(status)].concat();
    block.windows(wanted.len()).any(|window| window == wanted)
}

/// RFC 7541, appendix B, for the letters that are needed.
fn huffman(text: &str) -> Vec<u8> {
    let codes = text.bytes().map(|byte| match byte {
        b'0'..=b'2' => (u32::from(byte - b'0'), 5),
        b'3'..=b'9' => (u32::from(byte - b'3') + 0x19, 6),
        b'a' => (0x3, 5),
        b'c' => (0x4, 5),
        b's' => (0x8, 5),
        b't' => (0x9, 5),
        b'-' => (0x16, 6),
        b'g' => (0x26, 6),
        b'p' => (0x2b, 6),
        b'r' => (0x2c, 6),
        b'u' => (0x2d, 6),
        other => panic!("{other}"),
    });
    let mut bytes = Vec::new();
    let mut pending = 0u32;
    let mut bits = 0;
    for (code, length) in codes {
        (pending, bits) = (pending << length | code, bits + length);
        while bits >= 8 {
            bits -= 8;
            bytes.push((pending >> bits) as u8);
            pending &= (1 << bits) - 1;
        }
    }
    if bits > 0 {
        bytes.push((pending << (8 - bits)) as u8 | ((1 << (8 - bits)) - 1));
    }
    bytes
}

#[tokio::test]
async fn headers_that_break_http2_are_an_error_of_the_stream_and_reach_nobody() {
    let agency = Agency::answering(serde_json::json!({"nationalId": ZAHRA}));
    let seen = agency.seen();
    let bus = Bus::builder().agency(agency).start().await;
    let tls = tls_of_welfare(&bus);
    let without_path: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != ":path").collect();
    let mut late_pseudo: Vec<_> = without_path.clone();
    late_pseudo.push((":path", PATH));
    let cases = [
        ("no path", without_path),
        ("two paths", and(":path", PATH)),
        ("a pseudo-header after a header", late_pseudo),
        ("an unknown pseudo-header", and(":caller", "someone")),
        ("capital letters in a name", and("X-Caller", "someone")),
        ("a header of HTTP/1.1's connections", and("connection", "close")),
        ("another", and("transfer-encoding", "chunked")),
        ("a line break in a value", and("x-one", "1\r\nx-two: 2")),
        ("a line feed in a value", and("x-one", "1\n2")),
        ("a zero in a value", and("x-one", "1\x002")),
        ("a space in a name", and("x one", "1")),
        ("no name", and("", "1")),
    ];

    for (what, fields) in cases {
        let said = said_to(&bus, &tls, &headers(&fields, END_STREAM)).await;
        assert!(
            matches!(said, Said::Reset(PROTOCOL_ERROR) | Said::GoAway(PROTOCOL_ERROR)),
            "{what}: {said:?}"
        );
    }
    assert_eq!(seen.count_of(PATH), 0);
}

#[tokio::test]
async fn frames_that_break_http2_are_an_error_of_the_stream_or_of_the_connection() {
    let bus = Bus::start().await;
    let tls = tls_of_welfare(&bus);
    let call = headers(&GOOD, 0);
    let ended = headers(&GOOD, END_STREAM);
    let window = |by: u32, stream| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    let setting = |name: u16, value: u32| {
        frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
    };
    let cases = [
        ("a window that grows by nothing", [call.clone(), window(0, 1)].concat(), vec![PROTOCOL_ERROR]),
        ("a window over 2^31", [call.clone(), window(u32::MAX >> 1, 1)].concat(), vec![FLOW_CONTROL_ERROR]),
        ("the connection's window over 2^31", window(u32::MAX >> 1, 0), vec![FLOW_CONTROL_ERROR]),
        (
            "data after the end",
            [ended.clone(), frame(DATA, 0, 1, b"more")].concat(),
            vec![STREAM_CLOSED, PROTOCOL_ERROR],
        ),
        ("data on a stream that was never opened", frame(DATA, 0, 5, b"what"), vec![PROTOCOL_ERROR]),
        ("data on no stream", frame(DATA, 0, 0, b"what"), vec![PROTOCOL_ERROR]),
        ("an even stream", frame(HEADERS, END_HEADERS, 2, &raw::fields(GOOD)), vec![PROTOCOL_ERROR]),
        (
            "a stream's window over 2^31 by setting",
            setting(4, u32::MAX),
            vec![FLOW_CONTROL_ERROR, PROTOCOL_ERROR],
        ),
        ("a frame size that is not allowed", setting(5, 1), vec![PROTOCOL_ERROR]),
        ("a push that is neither on nor off", setting(2, 2), vec![PROTOCOL_ERROR]),
        ("settings of five bytes", frame(SETTINGS, 0, 0, b"12345"), vec![FRAME_SIZE_ERROR, PROTOCOL_ERROR]),
        ("a ping of seven bytes", frame(raw::PING, 0, 0, b"1234567"), vec![FRAME_SIZE_ERROR, PROTOCOL_ERROR]),
        ("a frame over 16 KiB", frame(DATA, 0, 1, &[0; 20_000]), vec![FRAME_SIZE_ERROR, PROTOCOL_ERROR]),
        (
            "a header block that is no HPACK",
            frame(HEADERS, END_HEADERS, 1, &[0xff; 8]),
            vec![COMPRESSION_ERROR, PROTOCOL_ERROR],
        ),
    ];

    for (what, bytes, codes) in cases {
        let said = said_to(&bus, &tls, &bytes).await;
        assert!(
            matches!(&said, Said::Reset(code) | Said::GoAway(code) if codes.contains(code)),
            "{what}: {said:?}"
        );
    }
    assert!(bus.welfare().await.get_person(ZAHRA).send().await.is_ok(), "the gateway lives on");
}

#[tokio::test]
async fn more_streams_than_are_allowed_are_refused_and_may_be_tried_again() {
    let bus = Bus::start().await;
    let tls = tls_of_welfare(&bus);
    let mut connection = Raw::connect(bus.address(), &tls, &[]).await.unwrap();
    // A call that waits for its message.
    let block = raw::fields(with(":path", "/grpc.health.v1.Health/Watch"));
    for stream in 0..101u32 {
        connection.send(&frame(HEADERS, END_HEADERS, 2 * stream + 1, &block)).await.unwrap();
    }
    let refused = async {
        loop {
            let frame = connection.next().await.unwrap();
            if frame.kind == raw::RST_STREAM {
                return (frame.stream, u32::from_be_bytes(frame.payload.try_into().unwrap()));
            }
        }
    };
    let refused = tokio::time::timeout(std::time::Duration::from_secs(10), refused).await.unwrap();
    assert_eq!(refused, (201, REFUSED_STREAM));
}

#[tokio::test]
async fn what_is_not_grpc_is_answered_in_http() {
    let bus = Bus::start().await;
    let tls = tls_of_welfare(&bus);
    let without_type: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != "content-type").collect();
    let cases = [
        ("GET", with(":method", "GET"), "405"),
        ("PUT", with(":method", "PUT"), "405"),
        ("text", with("content-type", "text/plain"), "415"),
        ("no type", without_type, "415"),
        ("JSON", with("content-type", "application/grpc+json"), "415"),
        ("another type with the same beginning", with("content-type", "application/grpcx"), "415"),
    ];
    for (what, fields, status) in cases {
        let Said::Answer(block) = said_to(&bus, &tls, &headers(&fields, END_STREAM)).await else {
            panic!("{what}")
        };
        // `:status` stands in HPACK's table with other values; this one follows as a literal.
        let coded = huffman(status);
        let literal = [&[0x48, 0x80 | coded.len() as u8][..], &coded].concat();
        assert!(block.starts_with(&literal), "{what}: {block:x?}");
    }
}

/// Headers by which somewhere someone is believed to be someone.
const IDENTITIES: [&str; 66] = [
    "x-agency-id",
    "x-agency",
    "x-member",
    "x-member-id",
    "x-subsystem",
    "x-caller",
    "x-caller-id",
    "x-identity",
    "x-spiffe-id",
    "x-forwarded-client-cert",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-port",
    "x-real-ip",
    "x-client-ip",
    "x-client-id",
    "x-client-cert",
    "x-client-cert-chain",
    "x-client-dn",
    "x-client-verify",
    "x-ssl-client-cert",
    "x-ssl-client-dn",
    "x-ssl-client-s-dn",
    "x-ssl-client-verify",
    "x-ssl-cert",
    "ssl-client-cert",
    "ssl-client-subject-dn",
    "client-cert",
    "client-cert-chain",
    "x-tls-client-cert",
    "x-arr-clientcert",
    "x-amzn-mtls-clientcert",
    "x-amzn-mtls-clientcert-subject",
    "x-goog-authenticated-user-email",
    "x-goog-iap-jwt-assertion",
    "x-ms-client-principal",
    "x-envoy-peer-metadata",
    "x-envoy-original-path",
    "x-envoy-internal",
    "x-envoy-external-address",
    "l5d-client-id",
    "l5d-remote-ip",
    "l5d-server-id",
    "l5d-dst-override",
    "x-road-client",
    "x-road-userid",
    "x-road-represented-party",
    "x-consumer-id",
    "x-consumer-username",
    "x-credential-identifier",
    "x-authenticated-user",
    "x-auth-user",
    "x-remote-user",
    "remote-user",
    "remote_user",
    "x-user",
    "x-user-id",
    "x-original-url",
    "x-rewrite-url",
    "authorization",
    "cookie",
];

/// The bus's own words, and others that look like them.
const OWN: [&str; 26] = [
    "chapar-caller",
    "chapar-caller-bin",
    "chapar-fields",
    "chapar-fields-bin",
    "chapar-rows",
    "chapar-rows-bin",
    "chapar-call-id",
    "chapar-call-id-bin",
    "chapar-entry",
    "chapar-member",
    "chapar-agency",
    "chapar-identity",
    "chapar-subsystem",
    "chapar-grant",
    "chapar-purpose-bin",
    "chapar-case-bin",
    "chapar-clerk-bin",
    "chapar-",
    "chapar_caller",
    "chapar_fields",
    "chapar_rows",
    "chapar_call_id",
    "chapar_caller_bin",
    "chapar.caller",
    "x-chapar-caller",
    "chaparcaller",
];

#[tokio::test]
async fn nobody_becomes_someone_else_by_a_header() {
    let agency = Agency::answering(serde_json::json!({"nationalId": ZAHRA}));
    let seen = agency.seen();
    let bus = Bus::builder()
        .agency(agency)
        .grant_limit("{ rate = \"1000/s\", burst = 1000, concurrent = 16 }")
        .start()
        .await;
    let welfare = bus.welfare().await;

    for name in IDENTITIES {
        welfare.get_person(ZAHRA).header(name, "gov/canary/spoof").send().await.unwrap();
        let got = seen.last();
        assert!(got.values().all(|value| value != "gov/canary/spoof"), "{name} reached the provider");
        assert_eq!(got["chapar-caller"], "gov/welfare/benefits", "{name}");
    }
    for name in OWN {
        let answer = welfare.get_person(ZAHRA).header(name, "gov/canary/spoof").send().await;
        match answer {
            Ok(_) => assert!(!name.starts_with("chapar-"), "{name} was let through"),
            Err(refused) => assert_eq!(refused.reason, "METADATA_RESERVED", "{name}"),
        }
        assert!(seen.last().values().all(|value| value != "gov/canary/spoof"), "{name} reached the provider");
        assert_eq!(seen.last()["chapar-caller"], "gov/welfare/benefits", "{name}");
    }
    let records = bus.records().await;
    assert!(records.iter().all(|record| !format!("{record:?}").contains("canary")), "nor is it written down");
}
