//! Tests that the admin listener serves the operator's own tools, and that nobody else can control the
//! gateway by it.

use std::time::{Duration, Instant};

use chapar_tests::Bus;
use chapar_tests::fleet::Fleet;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_page_of_someone_else_reads_nothing_and_changes_nothing() {
    let bus = Bus::start().await;
    let own = format!("host: {}\r\n", bus.admin_address());
    assert!(bus.admin_request("GET", "/metrics", &own).await.contains("chapar_"));

    let rebound = bus.admin_request("GET", "/metrics", "host: evil.example\r\n").await;
    assert!(rebound.contains("the Host header must be the listener's address"), "{rebound}");
    let foreign =
        bus.admin_request("GET", "/metrics", &format!("{own}origin: http://evil.example\r\n")).await;
    assert!(foreign.contains("another origin"), "{foreign}");
    for headers in [own.clone(), format!("{own}authorization: Bearer {}\r\n", "0".repeat(64))] {
        let refused = bus.admin_request("POST", "/reload", &headers).await;
        assert!(refused.contains("admin.token"), "{refused}");
    }
    assert_eq!(bus.reload().await, "reloaded\n");
}

#[tokio::test]
async fn half_a_request_keeps_no_gateway_from_ending() {
    let mut bus = Bus::start().await;
    let mut half = TcpStream::connect(bus.admin_address()).await.unwrap();
    half.write_all(b"GET /metrics HTTP/1.1\r\nhost: 127").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    bus.restart_gateway().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn idle_connections_beyond_the_bound_wait_and_are_let_go() {
    let bus = Bus::start().await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(bus.admin_address()).await.unwrap());
    }
    let page = tokio::time::timeout(Duration::from_secs(25), bus.admin("/livez")).await;
    assert_eq!(page.expect("idle connections are let go"), "ok\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_idle_connections_the_process_holds_no_more_than_its_bound() {
    let fleet = Fleet::new().await;
    let gateway = fleet.start().await;
    let before = gateway.sample().descriptors;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(gateway.admin_address()).await.unwrap());
    }
    gateway.until("it has taken some", async |gateway| gateway.sample().descriptors >= before + 30).await;
    let mut most = before;
    for _ in 0..50 {
        most = most.max(gateway.sample().descriptors);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // 32 connections, and the few files that the evidence log opens at a checkpoint.
    assert!(most <= before + 40, "{before} descriptors became {most}");

    drop(idle);
    gateway.until("a page is served", async |gateway| gateway.page("/livez").await.contains("200 OK")).await;
    gateway.stop().await;
}
