//! Tests of methods that an agency's HTTP API answers: what is asked, what an answer becomes, and what each
//! kind of failure is.

mod files;
mod server;

use std::time::{Duration, Instant};

use serde_json::json;

use self::server::{Answer, ApiServer, opened};
use super::bench::{Bench, PROTO};
use crate::finding::Findings;

const ALL: &str = "id,given_name,nickname,birth_date,life_status,children,address.city,address.street,photo";

/// The requests of the usual contract.
const FILES: [(&str, &str); 4] = [
    (
        "GetPerson",
        "# One person of the vendor's register.\n# row: /person\n# no record: 404\n# field id: /id\n\
         # field given_name: /names/0\n# field nickname: /nick\n# field birth_date: /born\n# field life_status: /life\n\
         # field children: /counts/children\n# field address.city: /address/city\n# field address.street: /address/street\n\
         # field photo: /photo\n# field province: /address/province\n\
         GET /people/{id}?view=full\n",
    ),
    (
        "ListChildren",
        "# rows: /items\n# field parent: /of\n# field name: /name\n# field province: /province\n\
         POST /children/query\nX-Query: children\n\n{\"parent\": \"{id}\", \"fields\": [\"name\", true, 1.50]}\n",
    ),
    ("ListDegrees", "# rows:\n# field title: /t\n# field mark: /m\nGET /degrees?of={id}&kind=all"),
    ("Count", "# rows: /n\n# field number: /v\nGET /count?most={most}"),
];

const PERSON: &str = r#"{"person": {"id": "1", "names": ["زهرا"], "born": "1991-08-03", "life": "ALIVE",
    "counts": {"children": 2}, "address": {"city": "خرم‌آباد", "street": "Kargar", "province": 15}, "photo": "AP8"}}"#;

async fn bench(server: &ApiServer) -> Bench {
    with(server, &FILES).await.unwrap()
}

async fn with(server: &ApiServer, files: &[(&str, &str)]) -> Result<Bench, Findings> {
    Bench::opened(tempfile::tempdir().unwrap(), PROTO, files, &opened(&server.settings())).await
}

/// A bench whose API was let off the trials of the start.
async fn ready() -> (ApiServer, Bench) {
    // Of all statuses this one says the least about a file: the made-up values are none that it takes.
    let server = ApiServer::start(Answer::status(422)).await;
    let bench = bench(&server).await;
    server.asked();
    (server, bench)
}

#[tokio::test]
async fn the_json_of_an_answer_becomes_a_message() {
    let (server, bench) = ready().await;
    server.answers(Answer::json(PERSON));
    let answered = bench.call("GetPerson", ALL, "", r#"{"id": "1"}"#).await;
    assert_eq!(
        answered.messages,
        [json!({
            "id": "1", "givenName": "زهرا", "birthDate": {"year": 1991, "month": 8, "day": 3},
            "lifeStatus": "LIFE_STATUS_ALIVE", "children": 2, "address": {"city": "خرم‌آباد", "street": "Kargar"},
            "photo": "AP8=",
        })],
        "{answered:?}"
    );
    let [asked] = &server.asked()[..] else { panic!("asked once") };
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/v1/people/1?view=full"));
    assert_eq!(asked.headers["accept"], "application/json");
}

#[tokio::test]
async fn a_list_and_a_stream_have_a_row_for_each_element() {
    let (server, bench) = ready().await;
    server.answers(Answer::json(r#"[{"t": "BSc", "m": 17.5}, {"t": "MSc"}]"#));
    let answered = bench.call("ListDegrees", "degrees.title,degrees.mark", "", r#"{"id": "a b"}"#).await;
    assert_eq!(answered.messages, [json!({"degrees": [{"title": "BSc", "mark": 17.5}, {"title": "MSc"}]})]);
    assert_eq!(server.asked()[0].target, "/v1/degrees?of=a%20b&kind=all");

    server.answers(Answer::json(
        r#"{"items": [{"of": "1", "name": "Amir", "province": "15"}, {"of": "1", "name": "Zhila", "province": "16"}]}"#,
    ));
    let answered = bench.call("ListChildren", "parent,name", "", r#"{"id": "1"}"#).await;
    assert_eq!(answered.messages.len(), 2, "{answered:?}");
    let asked = server.asked();
    assert_eq!(asked[0].body, r#"{"fields":["name",true,1.5],"parent":"1"}"#);
    assert_eq!(
        (&asked[0].headers["content-type"], &asked[0].headers["x-query"]),
        (&"application/json".parse().unwrap(), &"children".parse().unwrap())
    );

    server.answers(Answer::json(r#"{"items": null}"#));
    let answered = bench.call("ListChildren", "parent,name", "", r#"{"id": "1"}"#).await;
    assert_eq!((answered.messages.len(), answered.reason()), (0, "OK"), "an empty list is an answer");
}

#[tokio::test]
async fn only_granted_columns_are_read_and_only_granted_rows_pass() {
    let (server, bench) = ready().await;
    server.answers(Answer::json(PERSON.replace("1991-08-03", "garbage")));
    let request = r#"{"id": "1"}"#;
    let answered = bench.call("GetPerson", "given_name", "", request).await;
    assert_eq!(answered.messages, [json!({"id": "1", "givenName": "زهرا"})]);
    assert_eq!(bench.call("GetPerson", "birth_date", "", request).await.reason(), "VALUE_UNREADABLE");
    for (rows, reason) in
        [("province=15", "OK"), ("province=16", "RECORD_NOT_FOUND"), ("province=1", "RECORD_NOT_FOUND")]
    {
        assert_eq!(bench.call("GetPerson", "given_name", rows, request).await.reason(), reason, "{rows}");
    }
    let items = r#"{"items": [{"of": "1", "name": "a", "province": "15"}, {"of": "1", "name": "b"}, {"of": "1", "name": "c", "province": null}]}"#;
    server.answers(Answer::json(items));
    let answered = bench.call("ListChildren", "parent,name", "province=15,null", request).await;
    assert_eq!(
        answered.messages,
        [json!({"parent": "1", "name": "a"})],
        "a row without its province is nobody's"
    );
}

#[tokio::test]
async fn a_row_about_another_subject_is_never_released() {
    let (server, bench) = ready().await;
    server.answers(Answer::json(PERSON));
    let answered = bench.call("GetPerson", "given_name", "", r#"{"id": "2"}"#).await;
    assert_eq!((answered.messages.len(), answered.reason()), (0, "SCHEMA_DRIFT"));
}

#[tokio::test]
async fn a_value_is_one_part_of_the_request_and_never_more() {
    let (server, bench) = ready().await;
    server.answers(Answer::status(404));
    for value in [
        "1?view=all",
        "1#x",
        "1%2F..",
        "..%2f",
        "1 HTTP%2F1.1",
        "&of=2",
        "a;b",
        "\\\"}, \\\"all\\\": true, {\\\"",
        "{secret:token}",
        "{id}",
        "۱۲",
        "...",
        "~",
        "+",
        "@evil:80",
    ] {
        let request = format!("{{\"id\": \"{value}\"}}");
        let given: serde_json::Value = serde_json::from_str(&request).unwrap();
        let given = given["id"].as_str().unwrap();
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();

        assert_eq!(bench.call("GetPerson", ALL, "", &request).await.reason(), "RECORD_NOT_FOUND", "{value}");
        let target = server.asked().remove(0).target;
        let part =
            target.strip_prefix("/v1/people/").and_then(|rest| rest.strip_suffix("?view=full")).unwrap();
        assert_eq!((decoded(part).as_str(), part.contains(['/', '?', '#', '&'])), (given, false), "{target}");

        bench.call("ListDegrees", "degrees.title", "", &request).await;
        let target = server.asked().remove(0).target;
        let part =
            target.strip_prefix("/v1/degrees?of=").and_then(|rest| rest.strip_suffix("&kind=all")).unwrap();
        assert_eq!((decoded(part).as_str(), part.contains(['&', '#', '='])), (given, false), "{target}");

        bench.call("ListChildren", "name", "", &request).await;
        let body: serde_json::Value = serde_json::from_str(&server.asked().remove(0).body).unwrap();
        assert_eq!(body, json!({"parent": given, "fields": ["name", true, 1.5]}), "{value}");
    }
    for value in [
        "",
        ".",
        "..",
        "1/../../admin",
        "..\\\\admin",
        "http://elsewhere/",
        "1 HTTP/1.1",
        "1\\r\\nX-Admin: 1",
        "\\u0000",
        "1\\u0085",
    ] {
        let answered = bench.call("GetPerson", ALL, "", &format!("{{\"id\": \"{value}\"}}")).await;
        assert_eq!(answered.reason(), "FIELD_INVALID", "`{value}` would name another resource");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn every_status_has_its_reason() {
    let (server, bench) = ready().await;
    for (status, reason) in [
        (204, "SOURCE_REFUSED"),
        (206, "SOURCE_REFUSED"),
        (301, "SOURCE_REFUSED"),
        (400, "SOURCE_REFUSED"),
        (401, "SOURCE_REFUSED"),
        (403, "SOURCE_REFUSED"),
        (404, "RECORD_NOT_FOUND"),
        (408, "SOURCE_TIMEOUT"),
        (410, "SOURCE_REFUSED"),
        (429, "SOURCE_BUSY"),
        (500, "SOURCE_REFUSED"),
        (502, "SOURCE_DOWN"),
        (503, "SOURCE_BUSY"),
        (504, "SOURCE_TIMEOUT"),
    ] {
        server.answers(Answer::status(status));
        let answered = bench.call("GetPerson", ALL, "", r#"{"id": "1"}"#).await;
        assert_eq!(answered.reason(), reason, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, bench) = ready().await;
    let elsewhere = ApiServer::start(Answer::json(PERSON)).await;
    let mut answer = Answer::status(307);
    answer.headers.push(("location", format!("http://127.0.0.1:{}/", elsewhere.port)));
    server.answers(answer);
    assert_eq!(bench.call("GetPerson", ALL, "", r#"{"id": "1"}"#).await.reason(), "SOURCE_REFUSED");
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_not_what_the_file_says_is_drift_and_never_half_an_answer() {
    let (server, bench) = ready().await;
    let typed = |media: &str, body: &str| Answer {
        headers: vec![("content-type", media.to_owned())],
        ..Answer::json(body.to_owned())
    };
    let mut packed = Answer::json(PERSON);
    packed.headers.push(("content-encoding", "gzip".to_owned()));
    let long = format!("{{\"person\": null, \"more\": \"{}\"}}", "x".repeat(8 << 20));
    for (answer, reason) in [
        (typed("text/html", PERSON), "SCHEMA_DRIFT"),
        (packed, "SCHEMA_DRIFT"),
        (Answer::json(""), "SCHEMA_DRIFT"),
        (Answer::json(PERSON[..PERSON.len() - 1].to_owned()), "SCHEMA_DRIFT"),
        (Answer::json(format!("{PERSON} {PERSON}")), "SCHEMA_DRIFT"),
        (Answer::json("{}"), "SCHEMA_DRIFT"),
        (Answer::json(r#"{"person": [1]}"#), "SCHEMA_DRIFT"),
        (Answer::json(r#"{"person": {"id": "1"}, "person": {"id": "2"}}"#), "SCHEMA_DRIFT"),
        (
            Answer::json(r#"{"person": {"id": "1", "names": ["a"], "nick": "a", "nick": "b"}}"#),
            "VALUE_UNREADABLE",
        ),
        (Answer::json(r#"{"person": {"id": "1", "names": [{"first": "a"}]}}"#), "VALUE_UNREADABLE"),
        (Answer::json(r#"{"person": {"id": "1", "names": ["\ud800"]}}"#), "VALUE_UNREADABLE"),
        (Answer::json(r#"{"person": {"id": "1", "names": [12]}}"#), "VALUE_UNREADABLE"),
        (Answer::json(r#"{"person": {"id": "1", "names": ["a"], "\ud800": 1}}"#), "VALUE_UNREADABLE"),
        (Answer::json(r#"{"person": {"id": "1"}}"#), "NULL_IN_REQUIRED"),
        (Answer::json(r#"{"person": null}"#), "RECORD_NOT_FOUND"),
        (Answer::json(long), "TOO_MANY_ROWS"),
        (typed("application/problem+json; charset=utf-8", r#"{"person": null}"#), "RECORD_NOT_FOUND"),
    ] {
        let told = format!("{:?}", String::from_utf8_lossy(&answer.body[..answer.body.len().min(80)]));
        server.answers(answer);
        let answered = bench.call("GetPerson", "given_name,nickname", "", r#"{"id": "1"}"#).await;
        assert_eq!((answered.messages.len(), answered.reason()), (0, reason), "{told}");
    }
    server.answers(Answer::json(r#"{"items": [{"of": "1", "name": "a", "province": "15"}, null]}"#));
    let answered = bench.call("ListChildren", "parent,name", "", r#"{"id": "1"}"#).await;
    assert_eq!((answered.messages.len(), answered.reason()), (0, "SCHEMA_DRIFT"), "no row of NULLs");
    let many = format!("{{\"n\": [{}]}}", vec!["{\"v\": 1}"; 100_001].join(","));
    server.answers(Answer::json(many));
    let answered = bench.call("Count", "number", "", r#"{"most": "1"}"#).await;
    assert_eq!((answered.messages.len() <= 100_000, answered.reason()), (true, "TOO_MANY_ROWS"));
}

#[tokio::test]
async fn numbers_keep_their_digits() {
    let (server, bench) = ready().await;
    for (number, expected) in [
        ("9007199254740993", Ok("9007199254740993")),
        ("-1", Ok("-1")),
        ("1e2", Err("VALUE_UNREADABLE")),
        ("1.5", Err("VALUE_UNREADABLE")),
        ("9223372036854775808", Err("VALUE_UNREADABLE")),
        ("\"7\"", Err("VALUE_UNREADABLE")),
        ("true", Err("VALUE_UNREADABLE")),
    ] {
        server.answers(Answer::json(format!("{{\"n\": [{{\"v\": {number}}}]}}")));
        let answered = bench.call("Count", "number", "", r#"{"most": "1"}"#).await;
        match expected {
            Ok(digits) => assert_eq!(answered.messages, [json!({"number": digits})], "{number}"),
            Err(reason) => assert_eq!(answered.reason(), reason, "{number}"),
        }
    }
}

#[tokio::test]
async fn an_api_that_is_late_is_left_and_the_place_is_free_again() {
    let (server, bench) = ready().await;
    server.answers(Answer { after: Duration::from_secs(60), ..Answer::json(PERSON) });
    let begun = Instant::now();
    let request = r#"{"id": "1"}"#;
    // The contract allows 2 s. Two requests at once are all that the source may make.
    let (one, two) =
        tokio::join!(bench.call("GetPerson", ALL, "", request), bench.call("GetPerson", ALL, "", request));
    assert_eq!([one.reason(), two.reason()], ["SOURCE_TIMEOUT"; 2]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    server.answers(Answer::json(PERSON));
    assert_eq!(bench.call("GetPerson", ALL, "", request).await.reason(), "OK");
}

#[tokio::test]
async fn no_more_requests_are_made_at_once_than_the_source_allows() {
    let (server, bench) = ready().await;
    server.answers(Answer { after: Duration::from_millis(600), ..Answer::json(PERSON) });
    let request = r#"{"id": "1"}"#;
    let calls = (0..5).map(|_| bench.call("GetPerson", ALL, "", request));
    let answered = futures_util::future::join_all(calls).await;
    let mut reasons: Vec<&str> = answered.iter().map(super::bench::Answered::reason).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["OK", "OK", "SOURCE_BUSY", "SOURCE_BUSY", "SOURCE_BUSY"]);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn an_api_that_is_down_is_down_at_once_and_taken_up_when_it_is_back() {
    let (server, bench) = ready().await;
    let port = server.port;
    drop(server);
    let request = r#"{"id": "1"}"#;
    let down = async || bench.call("GetPerson", ALL, "", request).await.reason().to_owned();
    // A connection that was open may end first.
    while down().await != "SOURCE_DOWN" {}
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let server = ApiServer::on(listener, Answer::json(PERSON));
    let begun = Instant::now();
    while down().await != "OK" {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not taken up again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(server);
}
