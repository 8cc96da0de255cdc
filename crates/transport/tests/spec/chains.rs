//! Tests of certificate chains and handshakes with one error each: the alert names the error, and no byte of
//! an answer is sent.

use std::sync::Arc;

use chapar_transport::serve;
use chapar_transport::tls::{self, Files};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::pki::{ADAPTER, GATEWAY, Pki, authority, named, with_serial};
use crate::world::{Running, free};

/// Shows this chain and signs with this key, whether or not they go together.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A caller with any chain, any key, any protocols.
struct Stranger {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    alpn: Vec<Vec<u8>>,
}

impl Stranger {
    /// All is well with this one.
    fn good(pki: &Pki) -> Self {
        Self::with(pki, &named(&[GATEWAY]))
    }

    fn with(pki: &Pki, params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, pki.ca()).unwrap().der().clone()];
        Self { chain, key, alpn: vec![b"h2".to_vec()] }
    }

    /// The error of the handshake or of the first read after it; nothing if the server answers.
    async fn hears_from(self, server: &Running, pki: &Pki) -> Option<String> {
        tls::install_provider();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pki.ca().der().clone()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let der = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let key = provider.key_provider.load_private_key(der.into()).unwrap();
        let shown = Shown(Arc::new(CertifiedKey::new(self.chain, key)));
        let mut config =
            ClientConfig::builder().with_root_certificates(roots).with_client_cert_resolver(Arc::new(shown));
        config.alpn_protocols = self.alpn;
        let stream = TcpStream::connect(server.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut stream = match connector.connect("adapter.example".try_into().unwrap(), stream).await {
            Ok(stream) => stream,
            Err(error) => return Some(error.to_string()),
        };
        // The other side may have closed already.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.ok();
        stream.read_u8().await.err().map(|error| error.to_string())
    }
}

fn server_files(pki: &Pki) -> Files {
    let mut params = named(&[ADAPTER]);
    params.subject_alt_names.push(rcgen::SanType::DnsName("adapter.example".try_into().unwrap()));
    pki.issue("adapter", &params)
}

async fn listener(files: &Files) -> Running {
    Running::start(free(), files, serve::Settings::default()).await
}

#[tokio::test]
async fn each_wrong_chain_and_handshake_is_told_its_alert_and_nothing_else() {
    let pki = Pki::new();
    let mut server = listener(&server_files(&pki)).await;
    assert_eq!(Stranger::good(&pki).hears_from(&server, &pki).await, None, "all is well");

    let mut of_ca = named(&[GATEWAY]);
    of_ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let other_key = Stranger { key: KeyPair::generate().unwrap(), ..Stranger::good(&pki) };
    let mut deep = Stranger::good(&pki);
    deep.chain.extend(std::iter::repeat_n(pki.ca().der().clone(), 5));
    let mut long = named(&[GATEWAY]);
    long.subject_alt_names.extend((0..500).map(|n| {
        let name = format!("{n}.a-name-that-is-rather-long-for-what-it-says.example");
        rcgen::SanType::DnsName(name.as_str().try_into().unwrap())
    }));
    let http1 = Stranger { alpn: vec![b"http/1.1".to_vec()], ..Stranger::good(&pki) };
    let reverse = Stranger { alpn: vec![tls::REVERSE.to_vec()], ..Stranger::good(&pki) };
    let nothing = Stranger { alpn: Vec::new(), ..Stranger::good(&pki) };
    let cases = [
        ("a CA's certificate as a caller's", Stranger::with(&pki, &of_ca), "BadCertificate"),
        ("a key that is not the certificate's", other_key, "DecryptError"),
        ("more certificates than five", deep, "BadCertificate"),
        ("more than 16 KiB of certificates", Stranger::with(&pki, &long), "BadCertificate"),
        ("HTTP/1.1", http1, "NoApplicationProtocol"),
        ("a reverse connection where none is taken", reverse, "NoApplicationProtocol"),
        ("no protocol named", nothing, "eof"),
    ];
    for (what, stranger, alert) in cases {
        let told = stranger.hears_from(&server, &pki).await;
        assert!(told.as_ref().is_some_and(|told| told.contains(alert)), "{what}: {told:?}");
    }
    assert!(server.peers.try_recv().is_err(), "nobody was served");
}

#[tokio::test]
async fn an_intermediate_is_checked_as_its_leaves_are() {
    let pki = Pki::new();
    let chain = |serial: u8, name: &str| {
        let mut params = with_serial(authority(name), serial);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), pki.ca()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = named(&[GATEWAY]).signed_by(&key, &between).unwrap();
        let chain = vec![leaf.der().clone(), between.der().clone()];
        Stranger { chain, key, ..Stranger::good(&pki) }
    };

    let unchecked = listener(&server_files(&pki)).await;
    assert_eq!(chain(21, "good").hears_from(&unchecked, &pki).await, None);

    let checked = listener(&Files { crl: Some(pki.revoke(&[22], true)), ..server_files(&pki) }).await;
    let revoked = chain(22, "revoked").hears_from(&checked, &pki).await;
    assert!(revoked.as_ref().is_some_and(|told| told.contains("CertificateRevoked")), "{revoked:?}");
    let unlisted = chain(21, "without a list of its own").hears_from(&checked, &pki).await;
    assert!(unlisted.as_ref().is_some_and(|told| told.contains("UnknownCA")), "{unlisted:?}");
}

#[tokio::test]
async fn an_older_tls_is_told_that_its_version_is_not_spoken() {
    let pki = Pki::new();
    let server = listener(&server_files(&pki)).await;
    // A hello of TLS 1.2 (RFC 5246, 7.4.1.2): version, 32 random bytes, no session, two suites, no
    // compression, and the signatures that are understood.
    let suites = [0xc0, 0x2b, 0xc0, 0x2f];
    let signatures = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let hello = [&[3, 3][..], &[7; 32], &[0, 0, 4], &suites, &[1, 0], &signatures].concat();
    let length = hello.len() as u8;
    let record = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, [21, 3, 3, 0, 2, 2, 70], "a fatal alert: protocol_version");
}
