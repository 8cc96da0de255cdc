//! A stream ends with what it began under: at its next message it is judged by the policy, the certificate
//! and the time of that moment.

use std::time::Duration;

use chapar_tests::people::ZAHRA;
use chapar_tests::{Agency, Bus};
use chapar_transport::frame::MessageReader;

const CIVIL: &str = "gov/civil-registry.toml";

/// What a stream ends with after a change, and how many messages came after it.
async fn after(change: impl AsyncFnOnce(&Bus)) -> (String, usize) {
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
    let reason = tonic_types::StatusExt::get_error_details(&status).error_info().unwrap().reason.clone();
    let records = bus.records_when(|records| records.len() == 2).await;
    assert_eq!(records[1].outcome, reason, "the record of the end says the same");
    (reason, more)
}

async fn edited(edit: impl FnOnce(String) -> String) -> (String, usize) {
    after(async |bus: &Bus| {
        bus.change(CIVIL, edit);
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
    for (reason, (ended, more)) in [
        ("NOT_GRANTED", edited(fewer_fields).await),
        ("NOT_GRANTED", edited(fewer_rows).await),
        ("NOT_GRANTED", edited(no_grant).await),
    ] {
        assert_eq!(ended, reason);
        assert!(more <= IN_FLIGHT, "{more} messages more");
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_day_of_its_grant_and_with_its_callers_certificate() {
    for (time, reason) in
        [("2028-01-01T08:00:00Z", "GRANT_EXPIRED"), ("2099-01-01T00:00:00Z", "CERTIFICATE_EXPIRED")]
    {
        let (ended, more) = after(async |bus: &Bus| bus.set_clock(time)).await;
        assert_eq!(ended, reason);
        assert!(more <= IN_FLIGHT, "{more} messages more");
    }
}

#[tokio::test]
async fn a_stream_goes_on_when_what_is_changed_takes_nothing_from_it() {
    let bus = Bus::builder().agency(Agency::streaming_without_end(ZAHRA)).start().await;
    let ask = bus.welfare().await.ask("civil.v1.CivilRegistry/ListChildren").purpose("benefit.eligibility");
    let response = ask.field("national_id", ZAHRA).open().await.unwrap();
    let mut reader = MessageReader::new(response.into_body(), 1 << 20);
    assert!(reader.next().await.unwrap().is_some());
    bus.change(CIVIL, |text| {
        text.replace("[\"given_name\", \"birth_date\"]", "[\"given_name\", \"birth_date\", \"sex\"]")
    });
    assert_eq!(bus.reload().await, "reloaded\n");
    for _ in 0..20 {
        assert!(reader.next().await.unwrap().is_some());
    }
}
