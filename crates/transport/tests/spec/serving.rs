//! Tests of a listener under load and at its end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chapar_transport::serve::Settings;
use chapar_transport::{dial, tls};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::pki::{ADAPTER, GATEWAY, Pki, named};
use crate::world::{Running, free, get, open};

async fn within(limit: Duration, server: Running) -> Duration {
    let began = Instant::now();
    tokio::time::timeout(limit, server.done).await.unwrap().unwrap();
    began.elapsed()
}

#[tokio::test]
async fn a_stop_lets_a_running_call_finish_and_takes_no_new_connection() {
    let pki = Pki::new();
    let server = Running::adapter(&pki).await;
    let pool = server.gateway(&pki);
    let late = server.gateway(&pki);
    let call = tokio::spawn(async move { get(&pool, "/slow").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = get(&late, "/hello").await.unwrap_err();
    assert!(!error.may_have_been_processed(), "{error}");
    assert_eq!(call.await.unwrap().unwrap(), "hello");
    within(Duration::from_secs(2), server).await;
}

#[tokio::test]
async fn a_call_that_does_not_end_is_cut_when_the_drain_time_is_over() {
    let pki = Pki::new();
    let settings = Settings { drain: Duration::from_millis(200), ..Settings::default() };
    let server = Running::start(free(), &pki.issue("adapter", &named(&[ADAPTER])), settings).await;
    let pool = server.gateway(&pki);
    let call = tokio::spawn(async move { get(&pool, "/never").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.cancel();
    let took = within(Duration::from_secs(2), server).await;
    assert!(took >= Duration::from_millis(150), "{took:?}");
    assert!(call.await.unwrap().unwrap_err().may_have_been_processed());
}

#[tokio::test]
async fn idle_and_unfinished_connections_do_not_hold_up_a_stop() {
    let pki = Pki::new();
    let server = Running::adapter(&pki).await;
    let pool = server.gateway(&pki);
    get(&pool, "/hello").await.unwrap();
    let _silent = TcpStream::connect(server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.stop.cancel();
    within(Duration::from_secs(5), server).await;
}

#[tokio::test]
async fn connections_over_the_cap_are_closed_and_the_others_are_served() {
    let pki = Pki::new();
    let settings = Settings { connections: 2, ..Settings::default() };
    let server = Running::start(free(), &pki.issue("adapter", &named(&[ADAPTER])), settings).await;
    let pool = server.gateway(&pki);
    get(&pool, "/hello").await.unwrap();
    let _second = TcpStream::connect(server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(1), third.read(&mut [0])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    assert_eq!(get(&pool, "/hello").await.unwrap(), "hello");
}

/// As many as there is room for on one connection, but for the one call.
#[tokio::test]
async fn callers_that_stop_reading_do_not_break_another_call_on_the_same_connection_however_many_they_are() {
    let pki = Pki::new();
    let settings = Settings { streams: 256, ..Settings::default() };
    let server = Running::start(free(), &pki.issue("adapter", &named(&[ADAPTER])), settings).await;
    let files = pki.issue("gateway", &named(&[GATEWAY]));
    let one = dial::Settings { connections: 1, ..Default::default() };
    let pool = server.pool(&files, one);
    let mut innocent = std::pin::pin!(open(&pool, "/never"));
    let mut stuck = Vec::new();
    for _ in 0..255 {
        tokio::select! {
            ended = innocent.as_mut() => panic!("broken by {} others: {:?}", stuck.len(), ended.err()),
            response = open(&pool, "/rows") => stuck.push(response.unwrap()),
        }
    }
    let waited = tokio::time::timeout(Duration::from_secs(2), innocent).await;
    assert!(waited.is_err(), "broken: {:?}", waited.map(|ended| ended.err()));
    let mut unread = 0;
    for response in stuck {
        let rows = response.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
        let whole = rows.chunks(6).all(|row| b"\0\0\0\0\x01x".starts_with(row));
        assert!(
            whole && rows.len() <= 64 << 10,
            "the streams themselves are whole, and kept within their windows"
        );
        unread += rows.len() / 6;
    }
    // 250 for each is what h2 would hold against the connection.
    assert!(unread * 250 > 32 << 20, "{unread} rows would have broken it");
}

/// What the pool takes answers at once for: where they are left in HTTP/2, a few such callers break the call
/// above (h2's `too_many_data_frames`).
#[tokio::test]
async fn the_same_callers_do_break_another_call_where_windows_are_ordinary() {
    let pki = Pki::new();
    let server = Running::adapter(&pki).await;
    let files = pki.issue("gateway", &named(&[GATEWAY]));
    let expect = tls::Expect::identities(vec![ADAPTER.parse().unwrap()]);
    let connector = tokio_rustls::TlsConnector::from(tls::client(&files, expect).unwrap());
    let stream = TcpStream::connect(server.address).await.unwrap();
    let stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = |path: &str| {
        let request = http::Request::post(format!("https://{}{path}", server.address));
        sender.send_request(request.body(Full::new(Bytes::new())).unwrap())
    };
    let mut stuck = Vec::new();
    for _ in 0..10 {
        stuck.push(request("/rows").await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(request("/hello").await.is_err());
    assert!(format!("{:?}", connection.await).contains("too_many_data_frames"));
}
