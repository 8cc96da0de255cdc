//! Tests that a running stream is checked at each message by the policy, the certificate and the time of that
//! moment, and ends if its right has ended.

use std::time::Duration;

use chapar_tests::fleet::Fleet;
use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Bus};
use chapar_transport::frame::MessageReader;
use tonic::Code;

const CIVIL: &str = "gov/civil-registry.toml";

/// How a stream ended after a change.
#[derive(Debug)]
struct Ended {
    code: Code,
    reason: String,
    /// Messages that came after the change.
    more: usize,
}

impl Ended {
    fn is(&self, code: Code, reason: &str) {
        assert_eq!((self.code, self.reason.as_str()), (code, reason));
        assert!(self.more <= IN_FLIGHT, "{} messages more", self.more);
    }
}

fn reason(status: &tonic::Status) -> String {
    tonic_types::StatusExt::get_error_details(status).error_info().unwrap().reason.clone()
}

/// How an endless stream ends when something is changed meanwhile.
async fn after(change: impl AsyncFnOnce(&Bus)) -> Ended {
    let bus = Bus::builder().agency(Agency::streaming_without_end(ZAHRA)).start().await;
    let ask = bus.welfare().await.ask("civil.v1.CivilRegistry/ListChildren").purpose("benefit.eligibility");
    let response = ask.field("national_id", ZAHRA).open().await.unwrap();
    let mut reader = MessageReader::new(response.into_body(), 1 << 20);
    for _ in 0..5 {
        assert!(reader.next().await.unwrap().is_some());
    }
    // Read on meanwhile: what comes before the change is in force is not counted.
    let mut changing = std::pin::pin!(change(&bus));
    let mut is_over = false;
    loop {
        tokio::select! {
            () = changing.as_mut() => break,
            message = reader.next(), if !is_over => is_over = message.unwrap().is_none(),
        }
    }
    let mut more = 0;
    let ended = tokio::time::timeout(Duration::from_millis(900), async {
        while !is_over && reader.next().await.unwrap().is_some() {
            more += 1;
        }
    });
    ended.await.unwrap_or_else(|_| panic!("the stream goes on"));
    let status = tonic::Status::from_header_map(reader.trailers().unwrap()).unwrap();
    let ended = Ended { code: status.code(), reason: reason(&status), more };
    let records = bus.records_when(|records| records.len() == 2).await;
    assert_eq!(records[1].outcome, ended.reason, "the record of the end says the same");
    ended
}

async fn edited(edit: impl FnOnce(String) -> String) -> Ended {
    after(async |bus: &Bus| {
        bus.edit_registry(CIVIL, edit);
        assert_eq!(bus.reload().await, "reloaded\n");
    })
    .await
}

/// What was in flight when the change came into force may still arrive, and the one that was waiting for the
/// caller.
const IN_FLIGHT: usize = 2;

#[tokio::test]
async fn a_stream_ends_at_the_message_after_its_right_was_withdrawn() {
    let fewer_fields = |text: String| text.replace("[\"given_name\", \"birth_date\"]", "[\"birth_date\"]");
    let fewer_rows = |text: String| {
        text.replace(
            "fields   = [\"given_name\", \"birth_date\"]",
            "fields   = [\"given_name\", \"birth_date\"]\nrows     = { province = [\"15\"] }",
        )
    };
    let no_grant = |text: String| {
        text.replace(
            "to       = \"gov/welfare/benefits\"\nmethod   = \"civil.v1.CivilRegistry/ListChildren\"",
            "to       = \"gov/school/admission\"\nmethod   = \"civil.v1.CivilRegistry/ListChildren\"",
        )
    };
    for ended in [edited(fewer_fields).await, edited(fewer_rows).await, edited(no_grant).await] {
        ended.is(Code::PermissionDenied, "NOT_GRANTED");
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_day_of_its_grant_and_with_its_callers_certificate() {
    for (time, code, reason) in [
        ("2028-01-01T08:00:00Z", Code::PermissionDenied, "GRANT_EXPIRED"),
        ("2099-01-01T00:00:00Z", Code::Unauthenticated, "CERTIFICATE_EXPIRED"),
    ] {
        after(async |bus: &Bus| bus.set_clock(time)).await.is(code, reason);
    }
}

#[tokio::test]
async fn a_stream_ends_at_the_message_after_its_grant_its_caller_or_its_provider_was_suspended() {
    for of in ["grant/welfare-listchildren", "gov/welfare/benefits", "gov/welfare", "gov/civil-registry"] {
        let ended = after(async |bus: &Bus| {
            bus.add("suspensions.toml", &format!("[[suspension]]\nof = \"{of}\"\nreason = \"r\"\n"));
            assert_eq!(bus.reload().await, "reloaded\n");
        });
        ended.await.is(Code::PermissionDenied, "SUSPENDED");
    }
}

/// The text without the grants for which `goes` holds.
fn without_grants(text: &str, goes: impl Fn(&str) -> bool) -> String {
    let mut parts = text.split("[[grant]]");
    let head = parts.next().unwrap();
    std::iter::once(head).chain(parts.filter(|grant| !goes(grant))).collect::<Vec<_>>().join("[[grant]]")
}

#[tokio::test]
async fn a_stream_ends_at_the_message_after_its_caller_left_the_registry() {
    let ended = after(async |bus: &Bus| {
        std::fs::remove_file(bus.folder().join("registry/gov/welfare.toml")).unwrap();
        bus.edit_registry(CIVIL, |text| {
            without_grants(&text, |grant| grant.contains("gov/welfare/benefits"))
        });
        assert_eq!(bus.reload().await, "reloaded\n");
    });
    ended.await.is(Code::Unauthenticated, "IDENTITY_UNKNOWN");
}

#[tokio::test]
async fn a_stream_whose_service_left_the_registry_or_is_hidden_ends_as_a_permission_that_ended() {
    let hidden = edited(|text| {
        without_grants(&text, |grant| grant.contains("welfare-listchildren"))
            .replace("[[service]]", "[[service]]\nhidden = true")
    });
    let gone = after(async |bus: &Bus| {
        bus.edit_registry(CIVIL, |text| text.split("[[service]]").next().unwrap().to_owned());
        bus.edit_registry("com/agri-bank.toml", |text| {
            text.split("[[delegation]]").next().unwrap().to_owned()
        });
        assert_eq!(bus.reload().await, "reloaded\n");
    });
    for ended in [hidden.await, gone.await] {
        assert_eq!(ended.code, Code::PermissionDenied, "{ended:?}");
        assert!(ended.more <= IN_FLIGHT, "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_the_message_after_its_callers_certificate_was_revoked() {
    let fleet = Fleet::in_front_of(Agency::streaming_without_end(ZAHRA)).await;
    let gateway = fleet.start().await;
    let mut stream = fleet.client("reader").children().await.unwrap();
    for _ in 0..5 {
        assert!(stream.message().await.unwrap().is_some());
    }

    let before = gateway.reloads("identity").await;
    fleet.pki().revoke("reader");

    let taking_up =
        gateway.until("the list is taken up", async |gateway| gateway.reloads("identity").await > before);
    let mut taking_up = std::pin::pin!(taking_up);
    let mut ended = None;
    loop {
        tokio::select! {
            () = taking_up.as_mut() => break,
            message = stream.message(), if ended.is_none() => ended = message.err(),
        }
    }
    let mut more = 0;
    let reading = async {
        while ended.is_none() {
            match stream.message().await {
                Ok(message) => assert!(message.is_some(), "the stream ends without a word"),
                Err(status) => ended = Some(status),
            }
            more += usize::from(ended.is_none());
        }
    };
    tokio::time::timeout(Duration::from_millis(900), reading).await.expect("the stream ends");
    let status = ended.unwrap();
    Ended { code: status.code(), reason: reason(&status), more }
        .is(Code::Unauthenticated, "CERTIFICATE_REVOKED");
}

#[tokio::test]
async fn a_stream_goes_on_when_what_is_changed_takes_nothing_from_it() {
    let bus = Bus::builder().agency(Agency::streaming_without_end(ZAHRA)).start().await;
    let ask = bus.welfare().await.ask("civil.v1.CivilRegistry/ListChildren").purpose("benefit.eligibility");
    let response = ask.field("national_id", ZAHRA).open().await.unwrap();
    let mut reader = MessageReader::new(response.into_body(), 1 << 20);
    assert!(reader.next().await.unwrap().is_some());
    bus.edit_registry(CIVIL, |text| {
        text.replace("[\"given_name\", \"birth_date\"]", "[\"given_name\", \"birth_date\", \"sex\"]")
    });
    assert_eq!(bus.reload().await, "reloaded\n");
    for _ in 0..20 {
        assert!(reader.next().await.unwrap().is_some());
    }
}
