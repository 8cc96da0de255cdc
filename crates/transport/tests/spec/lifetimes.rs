//! Tests of how long a connection may be silent, idle, old, unread or blocked. Each test waits for the end of
//! the connection and measures no time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chapar_transport::serve::{Server, Settings};
use chapar_transport::tls::{self, Expect};
use chapar_transport::{dial, serve};
use rustls::ClientConfig;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::pki::{ADAPTER, GATEWAY, Pki, named};
use crate::raw::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, Raw, WINDOW_UPDATE, call, frame};
use crate::world::{Running, free, get};

const SOON: Duration = Duration::from_millis(120);

async fn start(settings: Settings) -> (Pki, Running, Arc<ClientConfig>) {
    let pki = Pki::new();
    let server = Running::start(free(), &pki.issue("adapter", &named(&[ADAPTER])), settings).await;
    let expect = Expect::identities(vec![ADAPTER.parse().unwrap()]);
    let tls = tls::client(&pki.issue("gateway", &named(&[GATEWAY])), expect).unwrap();
    (pki, server, tls)
}

#[tokio::test]
async fn a_connection_on_which_no_http2_is_spoken_is_ended() {
    let (_pki, server, tls) =
        start(Settings { handshake: SOON, write_stall: SOON, ..Settings::default() }).await;
    let silent = Raw::silent(server.address, &tls).await.unwrap();
    let mut trickling = Raw::silent(server.address, &tls).await.unwrap();
    trickling.send(b"PRI * HTTP/2.0").await.unwrap();
    assert!(silent.ended().await.goaway.is_none_or(|(code, _)| code == 0));
    trickling.ended().await;
}

#[tokio::test]
async fn a_certificate_without_an_end_is_taken() {
    let (pki, server, _) = start(Settings::default()).await;
    let mut params = named(&[GATEWAY]);
    // RFC 5280 §4.1.2.5: "no well-defined expiration date".
    params.not_after = rcgen::date_time_ymd(9999, 12, 31) + Duration::from_secs(86_399);
    let calls = server.pool(&pki.issue("endless", &params), dial::Settings::default());
    assert_eq!(get(&calls, "/hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_connection_without_calls_is_told_to_go_and_one_with_a_call_is_not() {
    let (_pki, server, tls) =
        start(Settings { idle: SOON, write_stall: Duration::from_secs(30), ..Settings::default() }).await;
    let idle = Raw::connect(server.address, &tls, &[]).await.unwrap();
    let mut busy = Raw::connect(server.address, &tls, &[]).await.unwrap();
    busy.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &call("/never"))).await.unwrap();

    assert_eq!(idle.ended().await.goaway.map(|(code, _)| code), Some(0), "told in good order");

    busy.send(&frame(PING, 0, 0, b"present.")).await.unwrap();
    loop {
        let frame = busy.next().await.unwrap();
        assert_ne!(frame.kind, GOAWAY);
        if frame.kind == PING {
            break;
        }
    }
}

#[tokio::test]
async fn an_old_connection_is_renewed_and_no_call_is_lost() {
    let (pki, mut server, _) = start(Settings { max_age: SOON, ..Settings::default() }).await;
    let files = pki.issue("caller", &named(&[GATEWAY]));
    let calls = server.pool(&files, dial::Settings { connections: 1, ..dial::Settings::default() });
    let mut seen = std::collections::HashSet::new();
    let renewed = async {
        while seen.len() < 4 {
            // A call that crosses the GOAWAY is known not to have been begun, and made again.
            match get(&calls, "/hello").await {
                Ok(answer) => assert_eq!(answer, "hello"),
                Err(error) => assert!(!error.may_have_been_processed(), "{error}"),
            }
            seen.extend(std::iter::from_fn(|| server.peers.try_recv().ok()).map(|peer| peer.remote));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), renewed).await.expect("connections are renewed");
}

#[tokio::test]
async fn an_old_connection_ends_after_its_grace_even_with_a_call() {
    let (_pki, server, tls) =
        start(Settings { max_age: SOON, max_age_grace: SOON, ..Settings::default() }).await;
    let mut raw = Raw::connect(server.address, &tls, &[]).await.unwrap();
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &call("/never"))).await.unwrap();
    assert_eq!(raw.ended().await.goaway.map(|(code, _)| code), Some(0));
}

#[tokio::test]
async fn a_peer_that_gives_an_answer_no_room_loses_its_connection() {
    let (_pki, server, tls) = start(Settings { write_stall: SOON, ..Settings::default() }).await;
    let no_window = [(4, 0)];
    let mut raw = Raw::connect(server.address, &tls, &no_window).await.unwrap();
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &call("/rows"))).await.unwrap();
    raw.ended().await;

    // Room at first, and then none.
    let mut raw = Raw::connect(server.address, &tls, &[(4, 1000)]).await.unwrap();
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &call("/rows"))).await.unwrap();
    raw.ended().await;
}

#[tokio::test]
async fn a_peer_that_reads_slowly_keeps_its_connection() {
    let stall = Duration::from_millis(600);
    let (_pki, server, tls) = start(Settings { write_stall: stall, ..Settings::default() }).await;
    let mut raw = Raw::connect(server.address, &tls, &[(4, 100)]).await.unwrap();
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &call("/rows"))).await.unwrap();
    // Three times the patience, in sips.
    let mut read = 0;
    for _ in 0..18 {
        tokio::time::sleep(stall / 6).await;
        raw.send(&frame(WINDOW_UPDATE, 0, 1, &100u32.to_be_bytes())).await.unwrap();
        while read < 100 {
            let frame = raw.next().await.unwrap();
            read += if frame.kind == DATA { frame.payload.len() } else { 0 };
        }
        read -= 100;
    }
}

#[tokio::test]
async fn a_peer_that_does_not_answer_pings_loses_its_connection() {
    let settings = Settings { keepalive: SOON, keepalive_timeout: SOON, ..Settings::default() };
    let (_pki, server, tls) = start(settings).await;
    Raw::connect(server.address, &tls, &[]).await.unwrap().ended().await;
}

/// Closed at once: nothing is read from it and nothing is waited for.
async fn is_closed(address: SocketAddr, from: [u8; 4]) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    matches!(tokio::time::timeout(Duration::from_secs(1), stream.read(&mut [0])).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn handshakes_over_the_cap_are_closed_by_address_and_hold_up_nobody() {
    let (pki, server, _) = start(Settings { handshakes_per_address: 8, ..Settings::default() }).await;
    let mut stuck = Vec::new();
    for _ in 0..8 {
        stuck.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert!(is_closed(server.address, [127, 0, 0, 1]).await, "one too many");
    assert!(!is_closed(server.address, [127, 0, 0, 2]).await, "another address");
    drop(stuck);
    assert_eq!(get(&server.gateway(&pki), "/hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn whoever_holds_all_handshakes_open_keeps_out_no_other_address() {
    let (pki, server, _) = start(Settings { handshakes: 16, ..Settings::default() }).await;
    let mut stuck = Vec::new();
    for number in 0..16 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2 + number % 4], 0).into()).unwrap();
        stuck.push(socket.connect(server.address).await.unwrap());
    }
    assert_eq!(get(&server.gateway(&pki), "/hello").await.unwrap(), "hello");
    let closed = futures_util::future::select_all(
        stuck.iter_mut().map(|stream| Box::pin(async { stream.read_u8().await })),
    );
    let (ended, ..) =
        tokio::time::timeout(Duration::from_secs(2), closed).await.expect("one of them made room");
    assert!(ended.is_err());
}

#[tokio::test]
async fn connections_of_one_address_leave_room_for_others() {
    let (pki, server, _) = start(Settings { connections_per_address: 2, ..Settings::default() }).await;
    let one = server.gateway(&pki);
    let two = server.gateway(&pki);
    get(&one, "/hello").await.unwrap();
    get(&two, "/hello").await.unwrap();
    assert!(is_closed(server.address, [127, 0, 0, 1]).await);
    assert!(!is_closed(server.address, [127, 0, 0, 2]).await);
}

#[tokio::test]
async fn a_listener_that_is_handed_over_goes_on_when_one_of_its_holders_stops() {
    let pki = Pki::new();
    let tls = tls::server(&pki.issue("adapter", &named(&[ADAPTER]))).unwrap();
    let handed_over = std::net::TcpListener::bind(free()).unwrap();
    let run = |stop: &tokio_util::sync::CancellationToken| {
        let copy = handed_over.try_clone().unwrap();
        let bound = Server::adopt(copy, tls.clone(), Settings::default()).unwrap();
        let hello = |_| async {
            let body = http_body_util::Full::new(bytes::Bytes::from_static(b"hello"));
            Ok::<_, std::convert::Infallible>(http::Response::new(body))
        };
        tokio::spawn(bound.run(hyper::service::service_fn(hello), stop.clone()))
    };
    let first = tokio_util::sync::CancellationToken::new();
    let second = tokio_util::sync::CancellationToken::new();
    let ended = run(&first);
    let _still = run(&second);
    first.cancel();
    ended.await.unwrap();

    let files = pki.issue("gateway", &named(&[GATEWAY]));
    for _ in 0..20 {
        let calls = crate::world::pool(handed_over.local_addr().unwrap(), &files, dial::Settings::default());
        assert_eq!(get(&calls, "/hello").await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn two_listeners_share_a_port_if_both_say_so() {
    let pki = Pki::new();
    let tls = tls::server(&pki.issue("adapter", &named(&[ADAPTER]))).unwrap();
    let shared = || Settings { reuse_port: true, ..Settings::default() };
    let first = Server::bind(free(), tls.clone(), shared()).await.unwrap();
    assert!(Server::bind(first.local_addr(), tls.clone(), serve::Settings::default()).await.is_err());
    assert!(Server::bind(first.local_addr(), tls, shared()).await.is_ok());
}
