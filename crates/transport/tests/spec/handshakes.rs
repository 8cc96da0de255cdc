//! Tests of which peers are accepted, and under which identity.

use std::time::Duration;

use chapar_transport::dial::{self, DialError};
use chapar_transport::tls::{self, Expect, Files};
use chapar_transport::{IdentityError, Peer, serve};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, date_time_ymd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::pki::{ADAPTER, GATEWAY, Pki, WELFARE, authority, named, with_serial};
use crate::world::{Running, free, get};

/// The peer as the server saw it, after an answered call.
async fn admitted(server: &mut Running, files: &Files) -> Peer {
    let pool = server.pool(files, dial::Settings::default());
    assert_eq!(get(&pool, "/hello").await.unwrap(), "hello");
    server.peers.recv().await.unwrap().as_ref().clone()
}

/// Why a caller was refused. It must learn it as "never processed", and the server must not have been asked.
async fn refused(server: &mut Running, files: &Files) -> String {
    let pool = server.pool(files, dial::Settings::default());
    let error = get(&pool, "/hello").await.unwrap_err();
    assert!(!error.may_have_been_processed(), "{error}");
    assert!(server.peers.try_recv().is_err());
    error.to_string()
}

#[tokio::test]
async fn a_caller_is_known_by_its_one_uri_name_and_by_the_ca_that_signed() {
    let pki = Pki::new();
    let mut server = Running::adapter(&pki).await;
    let mut params = with_serial(named(&[GATEWAY]), 77);
    params.not_after = date_time_ymd(2040, 5, 6);
    let peer = admitted(&mut server, &pki.issue("gateway", &params)).await;
    assert_eq!(peer.identity.unwrap().to_string(), GATEWAY);
    assert_eq!(peer.issuer_spki_sha256, pki.spki_sha256());
    assert_eq!(peer.serial, [77]);
    assert_eq!(peer.not_after.to_string(), "2040-05-06T00:00:00Z");
    assert!(peer.remote.ip().is_loopback());
}

#[tokio::test]
async fn the_issuer_is_the_ca_that_signed_whatever_else_the_caller_sends() {
    let pki = Pki::new();
    let mut server = Running::adapter(&pki).await;
    let other = rcgen::KeyPair::generate().unwrap();
    let bogus = authority("throw-away CA").self_signed(&other).unwrap().pem();
    let peer = admitted(&mut server, &pki.issue_with("sly", &named(&[WELFARE]), &bogus)).await;
    assert_eq!(peer.issuer_spki_sha256, pki.spki_sha256());
    let (files, between) = pki.issue_by_intermediate("below", &named(&[WELFARE]));
    assert_eq!(admitted(&mut server, &files).await.issuer_spki_sha256, between);
}

#[tokio::test]
async fn a_certificate_without_exactly_one_spiffe_id_names_nobody() {
    let pki = Pki::new();
    let mut server = Running::adapter(&pki).await;
    let mut common_name = CertificateParams::default();
    common_name.distinguished_name.push(DnType::CommonName, WELFARE);
    let cases = [
        (common_name, IdentityError::NotOne(0)),
        (named(&[WELFARE, GATEWAY]), IdentityError::NotOne(2)),
        (named(&[WELFARE, WELFARE]), IdentityError::NotOne(2)),
        (named(&["https://lorestan.example/gov/welfare/benefits"]), IdentityError::NotSpiffe),
        (named(&["spiffe://lorestan.example/gov/welfare/benefits/"]), IdentityError::NotSpiffe),
        (named(&["spiffe://Lorestan.example/gov/welfare/benefits"]), IdentityError::NotSpiffe),
    ];
    for (number, (params, error)) in cases.iter().enumerate() {
        let peer = admitted(&mut server, &pki.issue(&format!("nobody-{number}"), params)).await;
        assert_eq!(peer.identity.as_ref(), Err(error), "case {number}");
    }
}

#[tokio::test]
async fn a_stranger_an_expired_and_a_wrongly_used_certificate_are_refused_in_the_handshake() {
    let pki = Pki::new();
    let mut server = Running::adapter(&pki).await;
    let mut stranger = Pki::new().issue("stranger", &named(&[GATEWAY]));
    let elsewhere = Pki::new();
    stranger.cert = elsewhere.issue("stranger", &named(&[GATEWAY])).cert;
    stranger.key = elsewhere.folder().join("stranger.key");
    stranger.trust = pki.folder().join("ca.crt");
    let why = refused(&mut server, &stranger).await;
    assert!(why.contains("UnknownCA") || why.contains("DecryptError"), "{why}");

    let mut expired = named(&[GATEWAY]);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let why = refused(&mut server, &pki.issue("expired", &expired)).await;
    assert!(why.contains("CertificateExpired"), "{why}");

    let mut early = named(&[GATEWAY]);
    early.not_before = date_time_ymd(3000, 1, 1);
    let why = refused(&mut server, &pki.issue("early", &early)).await;
    assert!(why.contains("fatal alert"), "{why}");

    let mut of_servers = named(&[GATEWAY]);
    of_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let why = refused(&mut server, &pki.issue("of-servers", &of_servers)).await;
    assert!(why.contains("fatal alert"), "{why}");
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_told_that_one_is_required() {
    let pki = Pki::new();
    let server = Running::adapter(&pki).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(pki.folder().join("ca.crt")).unwrap();
    roots.add(rustls_pki_types::pem::PemObject::from_pem_slice(&pem).unwrap()).unwrap();
    tls::install_provider();
    // An adapter has no DNS name, so look only at how the server ends the handshake.
    let mut params = named(&[ADAPTER]);
    params.subject_alt_names.push(rcgen::SanType::DnsName("adapter.example".try_into().unwrap()));
    let with_name =
        Running::start(free(), &pki.issue("with-name", &params), serve::Settings::default()).await;
    drop(server);
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(with_name.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect("adapter.example".try_into().unwrap(), stream).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn a_revoked_caller_is_refused_and_so_is_everyone_once_the_list_is_out_of_date() {
    let pki = Pki::new();
    let good = pki.issue("good", &with_serial(named(&[GATEWAY]), 10));
    let bad = pki.issue("bad", &with_serial(named(&[WELFARE]), 11));
    let listener = |crl| Files { crl: Some(crl), ..pki.issue("adapter", &named(&[ADAPTER])) };
    let mut server =
        Running::start(free(), &listener(pki.revoke(&[11], true)), serve::Settings::default()).await;
    assert_eq!(admitted(&mut server, &good).await.serial, [10]);
    let why = refused(&mut server, &bad).await;
    assert!(why.contains("CertificateRevoked"), "{why}");

    let mut stale =
        Running::start(free(), &listener(pki.revoke(&[11], false)), serve::Settings::default()).await;
    let why = refused(&mut stale, &good).await;
    assert!(why.contains("fatal alert"), "{why}");
}

#[tokio::test]
async fn a_server_is_believed_only_under_an_expected_identity_that_is_not_revoked() {
    let pki = Pki::new();
    let gateway = pki.issue("gateway", &named(&[GATEWAY]));
    let adapter = with_serial(named(&[ADAPTER]), 12);
    let mut of_clients = adapter.clone();
    of_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let mut expired = adapter.clone();
    expired.not_after = date_time_ymd(2020, 1, 1);
    let cases =
        [named(&[WELFARE]), named(&[ADAPTER, WELFARE]), CertificateParams::default(), of_clients, expired];
    for (number, params) in cases.iter().enumerate() {
        let server = Running::start(free(), &pki.issue("server", params), serve::Settings::default()).await;
        let error = get(&server.pool(&gateway, dial::Settings::default()), "/hello").await.unwrap_err();
        assert!(matches!(error, DialError::Unreachable { .. }), "case {number}: {error}");
    }
    let server = Running::start(free(), &pki.issue("server", &adapter), serve::Settings::default()).await;
    for (revoked, fresh, answered) in [(99, true, true), (12, true, false), (99, false, false)] {
        let files = Files { crl: Some(pki.revoke(&[revoked], fresh)), ..gateway.clone() };
        let answer = get(&server.pool(&files, dial::Settings::default()), "/hello").await;
        assert_eq!(answer.is_ok(), answered, "{revoked} {fresh}: {answer:?}");
    }
}

#[tokio::test]
async fn a_gateway_is_also_known_by_its_dns_name() {
    let pki = Pki::new();
    let mut params = named(&[GATEWAY]);
    params.subject_alt_names.push(rcgen::SanType::DnsName("gateway.lorestan.example".try_into().unwrap()));
    let server = Running::start(free(), &pki.issue("gateway", &params), serve::Settings::default()).await;
    let tls = tls::client(&pki.issue("welfare", &named(&[WELFARE])), Expect::DnsName).unwrap();
    for (name, answered) in [("gateway.lorestan.example", true), ("other.lorestan.example", false)] {
        let settings = dial::Settings { server_name: Some(name.to_owned()), ..dial::Settings::default() };
        let endpoint = format!("https://{}", server.address);
        let pool = dial::Pool::new(&endpoint, std::sync::Arc::clone(&tls), settings).unwrap();
        assert_eq!(get(&pool, "/hello").await.is_ok(), answered, "{name}");
    }
}

#[tokio::test]
async fn plain_text_on_the_tls_port_is_closed_and_so_is_silence() {
    let pki = Pki::new();
    let settings = serve::Settings { handshake: Duration::from_millis(200), ..serve::Settings::default() };
    let server = Running::start(free(), &pki.issue("adapter", &named(&[ADAPTER])), settings).await;
    for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b""] {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut heard)).await;
        assert!(ended.is_ok(), "closed");
        assert!(!said.is_empty() || heard.is_empty(), "silence is told nothing");
    }
    assert_eq!(get(&server.gateway(&pki), "/hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn no_session_is_ever_resumed() {
    let pki = Pki::new();
    let server = Running::adapter(&pki).await;
    let files = pki.issue("gateway", &named(&[GATEWAY]));
    let config = tls::client(&files, Expect::identities(vec![ADAPTER.parse().unwrap()])).unwrap();
    let mut config = config.as_ref().clone();
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    for _ in 0..3 {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let mut stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        stream.read_u8().await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}
