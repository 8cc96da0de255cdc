//! These tests use the adapter through its public interface only: settings and certificates from files, a
//! port, mutual TLS, calls by the gateway and by another identity, health, and an orderly end.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chapar_adapter::{Adapter, Config, Parts};
use chapar_model::Clock;
use chapar_telemetry::Telemetry;
use chapar_transport::{dial, frame, tls};
use http::{Request, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio_util::sync::CancellationToken;

const GATEWAY: &str = "spiffe://lorestan.example/bus/lorestan/gateway";
const ADAPTER: &str = "spiffe://lorestan.example/gov/civil-registry/adapter";
const STRANGER: &str = "spiffe://lorestan.example/gov/police/traffic";

/// One CA and a certificate per identity, as `NAME.crt` and `NAME.key`.
fn pki(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.crt"), ca.pem()).unwrap();
    for (name, identity) in [("gateway", GATEWAY), ("adapter", ADAPTER), ("stranger", STRANGER)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
        std::fs::write(folder.join(format!("{name}.crt")), params.signed_by(&key, &ca).unwrap().pem())
            .unwrap();
        write_key(&folder.join(format!("{name}.key")), &key.serialize_pem());
    }
}

fn files(folder: &Path, name: &str) -> tls::Files {
    let file = |suffix: &str| folder.join(format!("{name}.{suffix}"));
    tls::Files { cert: file("crt"), key: file("key"), trust: folder.join("ca.crt"), crl: None }
}

fn settings(folder: &Path) -> Config {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/civil");
    let schema = std::fs::read_to_string(proto.join("v1/schema.sql")).unwrap();
    let database = rusqlite::Connection::open(folder.join("civil.db")).unwrap();
    database.execute_batch(&schema).unwrap();
    let person =
        "INSERT INTO person VALUES ('0499370899', 'زهرا', 'ساکی', NULL, NULL, NULL, '1991-08-03', '1370/05/12', 'F', 1,
                  NULL, '15', '1501', NULL)";
    database.execute_batch(person).unwrap();
    let text = format!(
        "[adapter]\nidentity = {{ cert = 'adapter.crt', key = 'adapter.key', trust = 'ca.crt' }}\ncontracts = ['{}']\n\
         listen = '127.0.0.1:0'\ngateways = ['{GATEWAY}']\n[source.civil]\nurl = 'sqlite:civil.db'\n",
        proto.display()
    );
    std::fs::write(folder.join("adapter.toml"), text).unwrap();
    Config::load(&folder.join("adapter.toml")).unwrap()
}

struct Caller(dial::Pool);

impl Caller {
    fn new(folder: &Path, name: &str, port: u16) -> Self {
        let expect = tls::Expect::identities(vec![ADAPTER.parse().unwrap()]);
        let tls = tls::client(&files(folder, name), expect).unwrap();
        Self(dial::Pool::new(&format!("https://127.0.0.1:{port}"), tls, dial::Settings::default()).unwrap())
    }

    /// The reason, if it is a refusal, and the body's bytes.
    async fn call(&self, path: &'static str, message: &'static [u8]) -> (Option<String>, Bytes) {
        let request = Request::post("/")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("chapar-fields", "national_id,given_name")
            .body(Full::new(frame::encode(Bytes::from_static(message))))
            .unwrap();
        let response = self.0.send(PathAndQuery::from_static(path), request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or(head.headers);
        let reason = trailers.get("chapar-reason").map(|reason| reason.to_str().unwrap().to_owned());
        assert_eq!(reason.is_none(), trailers["grpc-status"] == "0", "{trailers:?}");
        (reason, body.to_bytes())
    }
}

#[tokio::test]
async fn the_gateway_is_answered_over_mutual_tls_and_a_stranger_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pki(folder);
    let config = settings(folder);
    Adapter::check(&config).await.unwrap();
    let telemetry = Arc::new(Telemetry::new(chapar_telemetry::Config::default()).unwrap());
    let adapter = Adapter::bind(config, Parts { clock: Clock::system(), telemetry }).await.unwrap();
    assert_eq!(adapter.services(), ["civil.v1.CivilRegistry"]);
    let port = adapter.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let running = tokio::spawn(adapter.run(stop.clone()));

    let get = "/civil.v1.CivilRegistry/GetPerson";
    let gateway = Caller::new(folder, "gateway", port);
    let (reason, body) = gateway.call(get, b"\x0a\x0a0499370899").await;
    assert_eq!(reason, None);
    assert_eq!(&body[5..], "\x0a\x0a0499370899\x12\x08زهرا".as_bytes());
    assert_eq!(gateway.call(get, b"\x0a\x0a0499370898").await.0.as_deref(), Some("FIELD_INVALID"));
    assert_eq!(gateway.call(get, b"\x0a\x0a0790419904").await.0.as_deref(), Some("RECORD_NOT_FOUND"));
    assert_eq!(
        gateway.call("/civil.v1.CivilRegistry/getperson", b"").await.0.as_deref(),
        Some("METHOD_UNKNOWN")
    );

    let (reason, body) =
        gateway.call("/grpc.health.v1.Health/Check", b"\x0a\x16civil.v1.CivilRegistry").await;
    assert_eq!((reason, &body[5..]), (None, &[8, 1][..]), "serving");

    let stranger = Caller::new(folder, "stranger", port);
    for path in [get, "/grpc.health.v1.Health/Check"] {
        assert_eq!(stranger.call(path, b"\x0a\x0a0499370899").await.0.as_deref(), Some("IDENTITY_UNKNOWN"));
    }

    stop.cancel();
    drop((gateway, stranger));
    tokio::time::timeout(std::time::Duration::from_secs(5), running).await.unwrap().unwrap().unwrap();
}

/// Writes a private key for its owner alone, as a key must lie.
fn write_key(path: &Path, pem: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap()
        .write_all(pem.as_bytes())
        .unwrap();
}
