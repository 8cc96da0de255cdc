//! Tests of peers that have a good certificate and flood: each is sent `ENHANCE_YOUR_CALM` and its connection
//! ends, while the calls of another peer go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chapar_transport::serve::Settings;
use chapar_transport::tls::{self, Expect};
use rustls::ClientConfig;

use crate::pki::{ADAPTER, GATEWAY, Pki, named};
use crate::raw::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Ended, HEADERS, PING, RST_STREAM,
    Raw, SETTINGS, WINDOW_UPDATE, call, frame,
};
use crate::world::{Calls, Running, free, get};

struct Attacked {
    server: Running,
    tls: Arc<ClientConfig>,
    innocent: Calls,
}

impl Attacked {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    /// Where nobody minds how many calls are taken back, so that HTTP/2's own budgets are on their own.
    async fn without_meter() -> Self {
        Self::with(Settings { cancelled: 1_000_000, ..Settings::default() }).await
    }

    async fn with(settings: Settings) -> Self {
        let pki = Pki::new();
        let server = Running::start(free(), &pki.issue("adapter", &named(&[ADAPTER])), settings).await;
        let expect = Expect::identities(vec![ADAPTER.parse().unwrap()]);
        let tls = tls::client(&pki.issue("attacker", &named(&[GATEWAY])), expect).unwrap();
        let innocent = server.gateway(&pki);
        assert_eq!(get(&innocent, "/hello").await.unwrap(), "hello");
        Self { server, tls, innocent }
    }

    async fn attack(&self, next: impl FnMut(u32) -> Option<Vec<u8>>) -> Ended {
        let raw = Raw::connect(self.server.address, &self.tls, &[]).await.unwrap();
        let ended = raw.flood(next).await;
        assert_eq!(get(&self.innocent, "/hello").await.unwrap(), "hello", "others are served");
        ended
    }

    /// Calls that reached the service since the last time.
    fn served(&mut self) -> usize {
        std::iter::from_fn(|| self.server.peers.try_recv().ok()).count()
    }
}

fn calmed(ended: &Ended) -> &str {
    match &ended.goaway {
        Some((ENHANCE_YOUR_CALM, words)) => words,
        other => panic!("{other:?}"),
    }
}

/// Stream numbers are a client's: 1, 3, 5, …
fn stream(round: u32) -> u32 {
    2 * round + 1
}

fn open(round: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream(round), &call(path))
}

#[tokio::test]
async fn calls_that_are_reset_as_they_are_made_end_the_connection_and_hardly_reach_the_service() {
    let mut attacked = Attacked::without_meter().await;
    attacked.served();
    let ended = attacked
        .attack(|round| {
            Some([open(round, "/never"), frame(RST_STREAM, 0, stream(round), &CANCEL.to_be_bytes())].concat())
        })
        .await;
    assert!(!calmed(&ended).is_empty());
    let served = attacked.served();
    assert!(served < 300, "{served} calls reached the service");
}

#[tokio::test]
async fn calls_that_are_taken_back_once_they_run_end_the_connection_too() {
    let attacked = Attacked::with(Settings { cancelled: 50, ..Settings::default() }).await;
    let mut raw = Raw::connect(attacked.server.address, &attacked.tls, &[]).await.unwrap();
    let mut made = 0;
    let ended = loop {
        if raw.send(&open(made, "/never")).await.is_err() {
            break raw.ended().await;
        }
        // Taken up by now, so that HTTP/2 does not count it.
        tokio::time::sleep(Duration::from_millis(2)).await;
        if raw.send(&frame(RST_STREAM, 0, stream(made), &CANCEL.to_be_bytes())).await.is_err() {
            break raw.ended().await;
        }
        made += 1;
        assert!(made < 500, "nobody minds");
    };
    assert_eq!(calmed(&ended), "too_many_cancelled_calls");
    assert!(made > 50, "within the budget");
}

#[tokio::test]
async fn streams_that_the_server_is_made_to_reset_end_the_connection() {
    let attacked = Attacked::without_meter().await;
    // A window of more than 2^31-1 is an error of that stream (RFC 9113, 6.9.1): the server resets it, the
    // peer never does.
    let ended = attacked
        .attack(|round| {
            let too_much = (u32::MAX >> 1).to_be_bytes();
            Some([open(round, "/never"), frame(WINDOW_UPDATE, 0, stream(round), &too_much)].concat())
        })
        .await;
    assert!(!calmed(&ended).is_empty());
    assert!(ended.resets.len() <= 300, "{} resets", ended.resets.len());
}

#[tokio::test]
async fn headers_that_never_end_end_the_connection() {
    let attacked = Attacked::new().await;
    let ended = attacked
        .attack(|round| {
            Some(match round {
                0 => frame(HEADERS, END_STREAM, 1, &call("/never")),
                _ => frame(CONTINUATION, 0, 1, &crate::raw::fields([("x", "y")])),
            })
        })
        .await;
    assert!(ended.goaway.is_none_or(|(code, _)| code == ENHANCE_YOUR_CALM || code == 1));
}

#[tokio::test]
async fn data_without_data_ends_the_connection() {
    let attacked = Attacked::new().await;
    let ended = attacked
        .attack(|round| {
            Some(match round {
                0 => frame(HEADERS, END_HEADERS, 1, &call("/never")),
                _ => frame(DATA, 0, 1, b"").repeat(100),
            })
        })
        .await;
    assert!(!calmed(&ended).is_empty());
}

#[tokio::test]
async fn pings_out_of_turn_are_forgiven_twice() {
    let attacked = Attacked::new().await;
    let sent = AtomicUsize::new(0);
    let ended = attacked
        .attack(|_| {
            sent.fetch_add(1, Ordering::Relaxed);
            Some(frame(PING, 0, 0, b"whenever"))
        })
        .await;
    assert_eq!(calmed(&ended), "too_many_pings");
    assert!(sent.into_inner() > 3);
}

#[tokio::test]
async fn a_ping_now_and_then_is_welcome() {
    let settings = Settings { ping_permitted: Duration::from_millis(50), ..Settings::default() };
    let attacked = Attacked::with(settings).await;
    let mut raw = Raw::connect(attacked.server.address, &attacked.tls, &[]).await.unwrap();
    for _ in 0..10 {
        raw.send(&frame(PING, 0, 0, b"politely")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let mut answers = 0;
    while answers < 10 {
        answers += usize::from(raw.next().await.unwrap().kind == PING);
    }
}

#[tokio::test]
async fn settings_without_end_end_the_connection() {
    let attacked = Attacked::new().await;
    let ended = attacked.attack(|_| Some(frame(SETTINGS, 0, 0, b"").repeat(100))).await;
    assert_eq!(calmed(&ended), "too_many_frames");
}

#[tokio::test]
async fn frames_that_mean_nothing_end_the_connection_when_they_are_too_many() {
    let attacked = Attacked::new().await;
    for (what, bytes) in [
        ("priorities", frame(2, 0, 1, &[0, 0, 0, 3, 16])),
        ("windows", frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())),
        ("unknown frames", frame(0x77, 0, 0, b"?")),
    ] {
        let ended = attacked.attack(|_| Some(bytes.repeat(100))).await;
        assert_eq!(calmed(&ended), "too_many_frames", "{what}");
    }
}
