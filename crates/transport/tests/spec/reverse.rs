//! Tests of reverse connections: the side that dials serves, reconnects after an end, and dials again when it
//! is told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chapar_transport::dial::{self, Link, Reading};
use chapar_transport::reverse::{self, Dialler, Renewal};
use chapar_transport::serve::{Reversed, Server, Settings};
use chapar_transport::tls::{self, ClientTls, Expect, Files, ListsSeen};
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::pki::{ADAPTER, GATEWAY, Pki, named};
use crate::world::free;

/// A listener that takes in whoever dials to serve.
struct Gateway {
    address: SocketAddr,
    arrivals: mpsc::UnboundedReceiver<Reversed>,
    _stop: DropGuard,
}

impl Gateway {
    async fn start(pki: &Pki, address: SocketAddr) -> Self {
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let reverse: Arc<dyn Fn(Reversed) + Send + Sync> =
            Arc::new(move |reversed| drop(arrived.send(reversed)));
        let settings = Settings { reverse: Some(reverse), ..Settings::default() };
        let files = pki.issue("gateway", &named(&[GATEWAY]));
        let bound = Server::bind(address, tls::server(&files).unwrap(), settings).await.unwrap();
        let address = bound.local_addr();
        let stop = CancellationToken::new();
        let nobody = hyper::service::service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        tokio::spawn(bound.run(nobody, stop.clone()));
        Self { address, arrivals, _stop: stop.drop_guard() }
    }

    /// The next connection that an adapter made, ready to be called on.
    async fn link(&mut self) -> (Link, Driven) {
        let arrival =
            tokio::time::timeout(Duration::from_secs(10), self.arrivals.recv()).await.unwrap().unwrap();
        assert_eq!(arrival.peer.identity.as_ref().unwrap().to_string(), ADAPTER);
        let settings = dial::Settings::default();
        let (link, driven) =
            Link::start(arrival.io, "adapter".parse().unwrap(), &settings, Arc::default()).await.unwrap();
        (link, tokio::spawn(async move { drop(driven.await) }))
    }
}

type Driven = tokio::task::JoinHandle<()>;

async fn call(link: &Link, path: &'static str) -> Result<Bytes, String> {
    let slot = link.reserve_stream(None).map_err(|full| format!("{full:?}"))?;
    let body = Full::new(Bytes::new());
    let response = slot.send(PathAndQuery::from_static(path), Request::new(()), body, Reading::AtOnce).await;
    let response = response.map_err(|(error, _)| error.to_string())?;
    Ok(response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes())
}

/// A slow call that is under way on `link`.
async fn slow_call(link: &Link) -> JoinHandle<Result<Bytes, String>> {
    let running = tokio::spawn({
        let link = link.clone();
        async move { call(&link, "/slow").await }
    });
    while link.load() == 0 {
        tokio::task::yield_now().await;
    }
    running
}

/// An adapter that answers each call with its path; ends with the guard.
fn adapter(pki: &Pki, gateway: SocketAddr, connections: usize) -> (DropGuard, tokio::task::JoinHandle<()>) {
    let (stop, task, _) = renewable(pki, gateway, connections);
    (stop, task)
}

/// What an adapter shows, signed by the authority of `pki`.
fn client_tls(files: &Files, gateway: &str) -> ClientTls {
    let expect = Expect::identities(vec![gateway.parse().unwrap()]);
    tls::client_remembering(files, expect, &ListsSeen::default()).unwrap()
}

fn shown(pki: &Pki) -> ClientTls {
    let files = pki.issue("adapter", &named(&[ADAPTER]));
    client_tls(&files, GATEWAY)
}

/// [`adapter`], with what renews its certificate.
fn renewable(pki: &Pki, gateway: SocketAddr, connections: usize) -> (DropGuard, JoinHandle<()>, Renewal) {
    let tls = shown(pki);
    let settings = reverse::Settings { connections, ..reverse::Settings::default() };
    let dialler = Dialler::new(&[gateway.to_string()], &tls, settings, Settings::default()).unwrap();
    let echo = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async move {
        let path = request.uri().path().to_owned();
        if path == "/slow" {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(path))))
    });
    let stop = CancellationToken::new();
    let renewal = dialler.renewal();
    let task = tokio::spawn(dialler.run(echo, stop.clone()));
    (stop.drop_guard(), task, renewal)
}

#[tokio::test]
async fn who_dials_serves_on_as_many_connections_as_it_was_told() {
    let pki = Pki::new();
    let mut gateway = Gateway::start(&pki, free()).await;
    let _adapter = adapter(&pki, gateway.address, 2);
    let one = gateway.link().await.0;
    let other = gateway.link().await.0;
    assert_eq!(call(&one, "/a").await.unwrap(), "/a");
    assert_eq!(call(&other, "/b").await.unwrap(), "/b");
}

#[tokio::test]
async fn a_connection_that_ends_is_made_again() {
    let pki = Pki::new();
    let mut gateway = Gateway::start(&pki, free()).await;
    let _adapter = adapter(&pki, gateway.address, 1);
    for _ in 0..3 {
        let (link, driven) = gateway.link().await;
        assert_eq!(call(&link, "/a").await.unwrap(), "/a");
        driven.abort();
    }
}

#[tokio::test]
async fn a_gateway_that_comes_up_later_is_joined_all_the_same() {
    let pki = Pki::new();
    let address = tokio::net::TcpListener::bind(free()).await.unwrap().local_addr().unwrap();
    let _adapter = adapter(&pki, address, 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut gateway = Gateway::start(&pki, address).await;
    let (link, _driven) = gateway.link().await;
    assert_eq!(call(&link, "/a").await.unwrap(), "/a");
}

#[tokio::test]
async fn who_is_told_that_the_gateway_leaves_dials_anew_while_calls_on_the_old_connection_end() {
    let pki = Pki::new();
    let mut gateway = Gateway::start(&pki, free()).await;
    let _adapter = adapter(&pki, gateway.address, 1);
    let (old, _driven) = gateway.link().await;
    let running = tokio::spawn({
        let old = old.clone();
        async move { call(&old, "/slow").await }
    });
    call(&old, reverse::LEAVING).await.unwrap();
    let (new, _driven) = gateway.link().await;
    assert_eq!(call(&new, "/a").await.unwrap(), "/a");
    assert_eq!(running.await.unwrap().unwrap(), "/slow");
    assert_eq!(call(&old, "/b").await.unwrap(), "/b", "the old one is the gateway's to close");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_on_a_new_connection_and_the_old_one_then_ends_after_its_calls() {
    let pki = Pki::new();
    let mut gateway = Gateway::start(&pki, free()).await;
    let (_stop, _task, renewal) = renewable(&pki, gateway.address, 1);
    let (old, driven) = gateway.link().await;
    let running = slow_call(&old).await;

    renewal.renew(&shown(&pki));

    let (new, _driven) = gateway.link().await;
    assert_eq!(call(&old, "/b").await.unwrap(), "/b", "as long as the new one is not in use");
    call(&new, reverse::JOINED).await.unwrap();
    assert_eq!(running.await.unwrap().unwrap(), "/slow");
    tokio::time::timeout(Duration::from_secs(5), driven)
        .await
        .expect("the adapter ends the old one")
        .unwrap();
    assert!(call(&old, "/b").await.is_err());
    assert_eq!(call(&new, "/a").await.unwrap(), "/a");
}

#[tokio::test]
async fn a_gateway_that_is_no_longer_accepted_is_left_at_once_though_no_other_connection_can_be_made() {
    let pki = Pki::new();
    let front = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = front.local_addr().unwrap();
    let mut gateway = Gateway::start(&pki, free()).await;
    let (_stop, _task, renewal) = renewable(&pki, address, 1);
    // One connection is led to the gateway; whoever comes later hears nothing.
    let (mut near, _) = front.accept().await.unwrap();
    let mut far = TcpStream::connect(gateway.address).await.unwrap();
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
    let (old, driven) = gateway.link().await;
    call(&old, reverse::JOINED).await.unwrap();

    let files = pki.issue("adapter", &named(&[ADAPTER]));
    renewal.renew(&client_tls(&files, "spiffe://lorestan.example/bus/lorestan/other"));

    tokio::time::timeout(Duration::from_secs(5), driven).await.expect("the connection ends").unwrap();
    assert!(call(&old, "/a").await.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_that_the_gateway_does_not_take_leaves_the_old_connection_in_use() {
    let pki = Pki::new();
    let mut gateway = Gateway::start(&pki, free()).await;
    let (_stop, _task, renewal) = renewable(&pki, gateway.address, 1);
    let (old, _driven) = gateway.link().await;
    call(&old, reverse::JOINED).await.unwrap();

    let stranger = Pki::new();
    let files =
        tls::Files { trust: pki.folder().join("ca.crt"), ..stranger.issue("adapter", &named(&[ADAPTER])) };
    let strange = client_tls(&files, GATEWAY);
    renewal.renew(&strange);
    tokio::time::sleep(Duration::from_millis(500)).await;

    assert!(gateway.arrivals.try_recv().is_err(), "nobody else came in");
    assert_eq!(call(&old, "/a").await.unwrap(), "/a");

    renewal.renew(&shown(&pki));
    let (new, _driven) = gateway.link().await;
    assert_eq!(call(&new, "/a").await.unwrap(), "/a");
}

#[tokio::test]
async fn who_stops_lets_a_running_call_end_and_does_not_come_back() {
    let pki = Pki::new();
    let mut gateway = Gateway::start(&pki, free()).await;
    let (stop, ended) = adapter(&pki, gateway.address, 1);
    let (link, _driven) = gateway.link().await;
    let running = slow_call(&link).await;
    // The call is on its way before the stop is.
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stop);
    assert_eq!(running.await.unwrap().unwrap(), "/slow");
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("it ends").unwrap();
    assert!(gateway.arrivals.try_recv().is_err(), "nobody came again");
}

#[tokio::test]
async fn a_server_of_another_identity_is_not_served() {
    let pki = Pki::new();
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let reverse: Arc<dyn Fn(Reversed) + Send + Sync> = Arc::new(move |reversed| drop(arrived.send(reversed)));
    let settings = Settings { reverse: Some(reverse), ..Settings::default() };
    let files = pki.issue("adapter-2", &named(&[ADAPTER]));
    let bound = Server::bind(free(), tls::server(&files).unwrap(), settings).await.unwrap();
    let address = bound.local_addr();
    let nobody = hyper::service::service_fn(|_| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let server = tokio::spawn(bound.run(nobody, CancellationToken::new()));
    let _adapter = adapter(&pki, address, 1);
    let joined = tokio::time::timeout(Duration::from_millis(500), arrivals.recv()).await;
    assert!(joined.is_err(), "it hung up in the handshake");
    server.abort();
}
