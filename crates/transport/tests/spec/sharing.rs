//! Tests of callers that share a connection: no caller can use all of it, and none can break it for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chapar_model::SubsystemId;
use chapar_transport::dial::{DialError, Reading, Settings};
use http::Request;
use http::uri::PathAndQuery;
use http_body_util::Full;

use crate::pki::{ADAPTER, GATEWAY, Pki, named};
use crate::world::{Calls, Running, free, get, open};

async fn one_connection(pki: &Pki, streams: usize) -> (Running, Calls) {
    let serving =
        chapar_transport::serve::Settings { streams: 256, cancelled: 1_000_000, ..Default::default() };
    let server = Running::start(free(), &pki.issue("adapter", &named(&[ADAPTER])), serving).await;
    let settings = Settings { connections: 1, streams, ..Settings::default() };
    let pool = server.pool(&pki.issue("gateway", &named(&[GATEWAY])), settings);
    assert_eq!(get(&pool, "/hello").await.unwrap(), "hello");
    (server, pool)
}

#[tokio::test]
async fn however_many_callers_are_greedy_there_is_room_for_the_next() {
    let pki = Pki::new();
    let (_server, pool) = one_connection(&pki, 64).await;
    let mut held = Vec::new();
    for greedy in 0..6 {
        let caller: SubsystemId = format!("gov/agency-{greedy}/system").parse().unwrap();
        let mut own = 0;
        let refused = loop {
            match pool.reserve_stream(Some(&caller)).await {
                Ok(slot) => held.push(slot),
                Err(error) => break error,
            }
            own += 1;
        };
        assert!(own > 0, "agency {greedy} gets some");
        assert!(matches!(refused, DialError::Full { own: true, .. }), "{refused}");
        let free = 64 - held.len();
        assert!(own >= free && own <= free + 1, "agency {greedy} has {own} and leaves {free}");
    }
    drop(held);
    assert_eq!(pool.load(), 0);
    assert_eq!(get(&pool, "/hello").await.unwrap(), "hello");
}

/// h2 ends a connection once it has had to answer 1,024 late frames of streams that it has forgotten.
#[tokio::test]
async fn callers_that_give_up_hundreds_of_calls_do_not_break_another_call() {
    let pki = Pki::new();
    let (_server, pool) = one_connection(&pki, 256).await;
    let mut innocent = std::pin::pin!(open(&pool, "/never"));
    for round in 0..6 {
        let rows = futures_util::future::join_all((0..100).map(|_| open(&pool, "/rows")));
        tokio::select! {
            ended = innocent.as_mut() => panic!("broken in round {round}: {:?}", ended.err()),
            begun = rows => {
                let failed: Vec<_> = begun.iter().filter_map(|begun| begun.as_ref().err()).collect();
                assert!(failed.is_empty(), "round {round}: {} failed, {failed:?}", failed.len());
            }
        }
    }
    let waited = tokio::time::timeout(Duration::from_secs(1), innocent).await;
    assert!(waited.is_err(), "broken: {:?}", waited.map(|ended| ended.err()));
}

/// A server ends a connection on which more than 20 calls were reset before it took them on; this one does.
#[tokio::test]
async fn callers_that_give_up_at_once_do_not_break_another_call() {
    let pki = Pki::new();
    let (_server, pool) = one_connection(&pki, 256).await;
    let mut innocent = std::pin::pin!(open(&pool, "/never"));
    for round in 0..50 {
        let hasty = async {
            let mut calls: Vec<_> = (0..100).map(|_| Box::pin(open(&pool, "/never"))).collect();
            // Begun, and given up in the same breath.
            for call in &mut calls {
                assert!(futures_util::poll!(call.as_mut()).is_pending());
            }
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            drop(calls);
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        tokio::select! {
            biased;
            ended = innocent.as_mut() => panic!("broken in round {round}: {:?}", ended.err()),
            () = hasty => {}
        }
    }
    let waited = tokio::time::timeout(Duration::from_secs(1), innocent).await;
    assert!(waited.is_err(), "broken: {:?}", waited.map(|ended| ended.err()));
}

/// A line to a server that goes silent when it is told to, and stays open.
async fn line_to(there: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<AtomicBool>) {
    let listener = tokio::net::TcpListener::bind(free()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let silent = Arc::new(AtomicBool::new(false));
    let silence = Arc::clone(&silent);
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = tokio::net::TcpStream::connect(there).await.unwrap();
        let (mut from_near, mut to_near) = near.into_split();
        let (mut from_far, mut to_far) = far.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_near, &mut to_far).await });
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = tokio::io::AsyncReadExt::read(&mut from_far, &mut bytes).await {
            if !silence.load(Ordering::Relaxed) {
                tokio::io::AsyncWriteExt::write_all(&mut to_near, &bytes[..read]).await.unwrap();
            }
        }
    });
    (address, silent)
}

#[tokio::test]
async fn a_connection_whose_pings_are_not_answered_is_given_up() {
    let pki = Pki::new();
    let server = Running::adapter(&pki).await;
    let (address, silent) = line_to(server.address).await;
    let settings = Settings { connections: 1, keepalive: Duration::from_millis(200), ..Settings::default() };
    let pool = crate::world::pool(address, &pki.issue("gateway", &named(&[GATEWAY])), settings);
    assert_eq!(get(&pool, "/hello").await.unwrap(), "hello");
    silent.store(true, Ordering::Relaxed);
    let error = tokio::time::timeout(Duration::from_secs(10), get(&pool, "/never"))
        .await
        .expect("given up")
        .unwrap_err();
    assert!(error.may_have_been_processed(), "{error}");
    assert!(!pool.is_up());
}

#[tokio::test]
async fn an_idle_connection_is_pinged_where_the_other_side_made_it() {
    let pki = Pki::new();
    let server = Running::adapter(&pki).await;
    let keepalive = Duration::from_millis(100);
    for keepalive_idle in [true, false] {
        let (address, silent) = line_to(server.address).await;
        let settings = Settings { connections: 1, keepalive, keepalive_idle, ..Settings::default() };
        let pool = crate::world::pool(address, &pki.issue("gateway", &named(&[GATEWAY])), settings);
        assert_eq!(get(&pool, "/hello").await.unwrap(), "hello");
        silent.store(true, Ordering::Relaxed);
        let given_up = async {
            while pool.is_up() {
                tokio::time::sleep(keepalive).await;
            }
        };
        let patience = if keepalive_idle { Duration::from_secs(10) } else { keepalive * 10 };
        let was_given_up = tokio::time::timeout(patience, given_up).await.is_ok();
        assert_eq!(was_given_up, keepalive_idle);
    }
}

#[test]
fn a_dead_line_is_noticed_within_40_seconds() {
    // A ping after `keepalive`, and as long for its answer.
    assert!(Settings::default().keepalive * 2 <= Duration::from_secs(40));
}

#[tokio::test]
async fn an_answer_that_is_read_at_once_needs_no_buffer_and_comes_whole() {
    let pki = Pki::new();
    let (_server, pool) = one_connection(&pki, 256).await;
    let slot = pool.reserve_stream(None).await.unwrap();
    let body = Full::new(Bytes::new());
    let sent = slot.send(PathAndQuery::from_static("/hello"), Request::new(()), body, Reading::AtOnce).await;
    let answer = sent.map_err(|(error, _)| error).unwrap().into_body();
    assert_eq!(http_body_util::BodyExt::collect(answer).await.unwrap().to_bytes(), "hello");
    assert_eq!(pool.load(), 0, "its place is given up with it");
}
