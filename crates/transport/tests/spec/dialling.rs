//! Tests of connection pools: when they connect, what they report when they cannot, and how they reconnect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chapar_transport::dial::{DialError, Settings};
use chapar_transport::serve;
use tokio::net::{TcpListener, TcpStream};

use crate::pki::{ADAPTER, GATEWAY, Pki, WELFARE, named};
use crate::world::{Calls, Running, free, get, pool};

fn quick() -> Settings {
    Settings { connect: Duration::from_millis(300), back_off: Duration::from_secs(2), ..Settings::default() }
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind(free()).await.unwrap().local_addr().unwrap()
}

async fn answered(pool: &Calls) {
    let until = Instant::now() + Duration::from_secs(5);
    while let Err(error) = get(pool, "/hello").await {
        assert!(Instant::now() < until, "{error}");
        assert!(!error.may_have_been_processed(), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_pool_connects_when_first_needed_and_again_after_the_server_came_back() {
    let pki = Pki::new();
    let files = pki.issue("adapter", &named(&[ADAPTER]));
    let server = Running::start(free(), &files, serve::Settings::default()).await;
    let address = server.address;
    let pool = server.gateway(&pki);
    assert!(!pool.is_up());
    answered(&pool).await;
    assert!(pool.is_up());
    server.stop.cancel();
    server.done.await.unwrap();
    let error = get(&pool, "/hello").await.unwrap_err();
    assert!(!error.may_have_been_processed() && !pool.is_up(), "{error}");
    let _again = Running::start(address, &files, serve::Settings::default()).await;
    answered(&pool).await;
    assert!(pool.is_up());
}

#[tokio::test]
async fn during_the_back_off_callers_are_told_at_once_and_why() {
    let pki = Pki::new();
    let address = nobody().await;
    let pool = pool(address, &pki.issue("gateway", &named(&[GATEWAY])), quick());
    let first = pool.ensure().await.unwrap_err().to_string();
    assert!(first.contains(&address.to_string()) && first.contains("refused"), "{first}");
    let listener = TcpListener::bind(address).await.unwrap();
    let began = Instant::now();
    assert_eq!(pool.ensure().await.unwrap_err().to_string(), first);
    assert!(began.elapsed() < Duration::from_millis(200));
    let connected = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
    assert!(connected.is_err(), "nobody knocked meanwhile");
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_a_crowd_one_attempt_and_one_wait() {
    let pki = Pki::new();
    let silent = TcpListener::bind(free()).await.unwrap();
    let pool = pool(silent.local_addr().unwrap(), &pki.issue("gateway", &named(&[GATEWAY])), quick());
    let began = Instant::now();
    let crowd = futures_util::future::join_all((0..50).map(|_| get(&pool, "/hello"))).await;
    assert!(crowd.iter().all(|answer| matches!(answer, Err(DialError::Unreachable { .. }))));
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    silent.accept().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), silent.accept()).await.is_err(), "one attempt");
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_undo_the_attempt() {
    let pki = Pki::new();
    let silent = TcpListener::bind(free()).await.unwrap();
    let pool = pool(silent.local_addr().unwrap(), &pki.issue("gateway", &named(&[GATEWAY])), quick());
    assert!(tokio::time::timeout(Duration::from_millis(50), pool.ensure()).await.is_err());
    tokio::time::sleep(Duration::from_millis(350)).await;
    let began = Instant::now();
    let told = pool.ensure().await.unwrap_err().to_string();
    assert!(told.contains("timed out") && began.elapsed() < Duration::from_millis(200), "{told}");
}

#[tokio::test]
async fn a_refused_certificate_is_told_and_not_tried_again_and_again() {
    let pki = Pki::new();
    let server = Running::adapter(&pki).await;
    let mut expired = named(&[WELFARE]);
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let (address, connections) = counted(server.address).await;
    let pool = pool(address, &pki.issue("expired", &expired), quick());
    for _ in 0..20 {
        let error = get(&pool, "/hello").await.unwrap_err();
        assert!(
            !error.may_have_been_processed() && error.to_string().contains("CertificateExpired"),
            "{error}"
        );
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

/// A way to `server` that counts the connections made.
async fn counted(server: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(free()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            counting.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await.unwrap();
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
            });
        }
    });
    (address, count)
}

#[tokio::test]
async fn another_connection_is_opened_under_load_and_no_call_waits_for_it() {
    let pki = Pki::new();
    let server = Running::adapter(&pki).await;
    let (address, connections) = counted(server.address).await;
    let settings = Settings { connections: 2, spread: 8, ..Settings::default() };
    let pool = pool(address, &pki.issue("gateway", &named(&[GATEWAY])), settings);
    get(&pool, "/hello").await.unwrap();
    let began = Instant::now();
    let calls = futures_util::future::join_all((0..20).map(|_| get(&pool, "/slow"))).await;
    assert!(calls.iter().all(Result::is_ok));
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_endpoint_has_one_form() {
    let pki = Pki::new();
    let files = pki.issue("gateway", &named(&[GATEWAY]));
    let tls = chapar_transport::tls::client(&files, chapar_transport::tls::Expect::DnsName).unwrap();
    for endpoint in ["http://a:1", "https://a", "a:1", "https://:1", "", "https://a:99999"] {
        let pool = chapar_transport::dial::Pool::new(endpoint, Arc::clone(&tls), Settings::default());
        assert!(pool.err().unwrap().to_string().contains("HOST:PORT"), "{endpoint}");
    }
}
