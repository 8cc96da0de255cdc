//! Tests of what calls cost on a poor line: bytes, which no noise of this machine changes. Seconds are measured
//! by the program `slow_line`.

use std::time::Duration;

use chapar_client::{AskProcedureRequest, CallMetadata, Client, Config};
use chapar_tests::people::ZAHRA;
use chapar_tests::procedure::LOANS;
use chapar_tests::slow_line::{Profile, SECOND_GENERATION, SlowLine};
use chapar_tests::{Bus, Certificate};

/// A line that only counts.
const FAST: Profile = Profile { round_trip: Duration::ZERO, bytes_per_second: 1 << 30 };

fn client(bus: &Bus, line: &SlowLine) -> Client {
    bus.issue(&Certificate::of(LOANS), "loans");
    let file = |name: &str| bus.folder().join("pki").join(name);
    let config = Config {
        gateway: line.address().to_string(),
        server_name: "gateway.lorestan.example".to_owned(),
        cert: file("loans.crt"),
        key: file("loans.key"),
        ca: file("ca.crt"),
    };
    Client::new(config).unwrap()
}

/// Asks both parts of the procedure; how many ended.
async fn inquiry(client: &Client) -> usize {
    let request = AskProcedureRequest {
        procedure: "farm-loan".to_owned(),
        subject: ZAHRA.to_owned(),
        inputs: [("birth_date".to_owned(), "1361/06/15".to_owned())].into(),
        json: false,
    };
    let mut parts = client.ask_procedure(request, CallMetadata::default()).await.unwrap();
    let mut ended = 0;
    while let Some(part) = parts.next().await.unwrap() {
        ended += usize::from(part.end.is_some());
    }
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inquiry_is_small_the_first_time_and_smaller_later() {
    let bus = Bus::start().await;
    bus.add_procedure().await;
    let line = SlowLine::before(bus.address(), FAST).await;
    let client = client(&bus, &line);
    let mut before = line.bytes();
    for (what, [most_up, most_down]) in
        [("first", [4096, 6144]), ("second", [512, 1536]), ("third", [256, 1024])]
    {
        assert_eq!(inquiry(&client).await, 2);
        let now = line.bytes();
        let [up, down] = [now[0] - before[0], now[1] - before[1]];
        assert!(up <= most_up && down <= most_down, "{what}: {up} up, {down} down");
        before = now;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_measured_with_is_as_slow_as_it_says() {
    let bus = Bus::start().await;
    bus.add_procedure().await;
    let line = SlowLine::before(bus.address(), SECOND_GENERATION).await;
    let client = client(&bus, &line);
    inquiry(&client).await;
    let began = std::time::Instant::now();
    inquiry(&client).await;
    assert!(began.elapsed() >= SECOND_GENERATION.round_trip, "no answer comes before the line can carry it");
}
