//! Tests of peers that speak HTTP/1.1 or no TLS at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_transport::serve::Settings;
use chapar_transport::tls::{self, Expect};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pki::{ADAPTER, Pki, WELFARE, named};
use crate::world::{Running, free};

/// Short for a server's patience, long for a machine that is busy.
const SOON: Duration = Duration::from_millis(400);

struct Peer {
    _pki: Pki,
    server: Running,
    config: ClientConfig,
}

async fn start(settings: Settings) -> Peer {
    let pki = Pki::new();
    let server = Running::start(free(), &pki.issue("adapter", &named(&[ADAPTER])), settings).await;
    let expect = Expect::identities(vec![ADAPTER.parse().unwrap()]);
    let files = pki.issue("welfare", &named(&[WELFARE]));
    let mut config = tls::client(&files, expect).unwrap().as_ref().clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Peer { _pki: pki, server, config }
}

impl Peer {
    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        // A small buffer, so that an answer that is not read stops soon.
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let stream = socket.connect(self.server.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(self.config.clone())).connect(name, stream).await
    }

    /// Sends bytes, and reads until the other side closes.
    async fn told(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        read(&mut stream).await
    }
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut said = Vec::new();
    // A connection that is closed without TLS's farewell is closed too.
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await.unwrap().ok();
    String::from_utf8_lossy(&said).into_owned()
}

fn with_http1() -> Settings {
    Settings { http1: Some(SOON), ..Settings::default() }
}

const GET: &[u8] = b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn http_1_1_is_served_where_it_is_wanted_to_known_peers_and_nowhere_else() {
    let mut peer = start(with_http1()).await;
    let said = peer.told(&[GET, GET].concat()).await;
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
    assert_eq!(peer.server.peers.recv().await.unwrap().identity.as_ref().unwrap().to_string(), WELFARE);

    let without = start(Settings::default()).await;
    let error = without.connect().await.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    // A client that names no protocol means HTTP/1.1 (RFC 7301 §3.2).
    peer.config.alpn_protocols.clear();
    assert!(peer.told(GET).await.contains("200 OK"));
}

#[tokio::test]
async fn a_head_that_does_not_come_and_an_idle_connection_end_in_time() {
    let peer = start(with_http1()).await;
    for bytes in [&b""[..], b"GET /hello HT", b"GET /hello HTTP/1.1\r\nhost: a\r\nx: ", GET] {
        let begun = Instant::now();
        let said = peer.told(bytes).await;
        assert_eq!(said.contains("200 OK"), bytes == GET, "{said}");
        assert!(begun.elapsed() >= SOON && begun.elapsed() < SOON * 20, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_or_no_http_is_refused() {
    let peer = start(with_http1()).await;
    let long = format!("GET /hello HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET /hello HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(200));
    for (bytes, status) in
        [(long.as_bytes(), "431"), (many.as_bytes(), "431"), (&b"nonsense\r\n\r\n"[..], "400")]
    {
        let said = peer.told(bytes).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {said}");
    }
}

#[tokio::test]
async fn two_lengths_or_a_length_beside_chunks_are_no_request() {
    let mut peer = start(with_http1()).await;
    for lengths in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5\r\ncontent-length: +5\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\ncontent-length: 5\r\n",
    ] {
        let request =
            format!("POST /hello HTTP/1.1\r\nhost: a\r\n{lengths}\r\nhello{}", String::from_utf8_lossy(GET));
        let said = peer.told(request.as_bytes()).await;
        assert!(!said.contains("200 OK"), "{lengths:?}: {said}");
    }
    assert!(peer.server.peers.try_recv().is_err(), "nothing was asked");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_left() {
    let settings =
        Settings { http1: Some(Duration::from_secs(60)), write_stall: SOON, ..Settings::default() };
    let peer = start(settings).await;
    let mut stream = peer.connect().await.unwrap();
    stream.write_all(b"GET /bulk HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // Long enough for the buffers between the two to fill, and for the patience to end.
    tokio::time::sleep(SOON * 10).await;
    let mut left = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer)).await.unwrap() {
            Ok(0) | Err(_) => break,
            Ok(count) => left += count,
        }
        assert!(left < 64 << 20, "the answer goes on");
    }
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_lets_an_answer_end() {
    let peer = start(Settings { http1: Some(Duration::from_secs(60)), ..Settings::default() }).await;
    let mut idle = peer.connect().await.unwrap();
    idle.write_all(GET).await.unwrap();
    let mut head = [0; 15];
    idle.read_exact(&mut head).await.unwrap();
    let mut slow = peer.connect().await.unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    peer.server.stop.cancel();
    assert!(read(&mut slow).await.contains("200 OK"));
    read(&mut idle).await;
    tokio::time::timeout(Duration::from_secs(10), peer.server.done).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_without_tls_gets_a_sentence() {
    let peer = start(with_http1()).await;
    for (bytes, said) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "HTTP/1.1 400 Bad Request\r\n"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "this port speaks TLS 1.3"),
        (b"POST / HTTP/1.0\r\n\r\n", "this port speaks TLS 1.3"),
    ] {
        let mut stream = TcpStream::connect(peer.server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let told = read(&mut stream).await;
        assert!(told.contains(said) && told.contains("asks for a client certificate"), "{told}");
    }
    // Whoever speaks something else gets nothing, and whoever says nothing is left in time.
    let mut stream = TcpStream::connect(peer.server.address).await.unwrap();
    stream.write_all(&[0, 1, 2, 3]).await.unwrap();
    assert_eq!(read(&mut stream).await, "");
    let mut silent = TcpStream::connect(peer.server.address).await.unwrap();
    assert_eq!(read(&mut silent).await, "");
}
