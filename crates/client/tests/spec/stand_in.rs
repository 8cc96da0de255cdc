//! This stand-in for a gateway gives a right or a wrong answer by the method's name.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chapar_client::{CallMetadata, CallSpec, Client, Config};
use chapar_transport::serve::{Server, Settings};
use chapar_transport::{frame, tls};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::ServiceExt as _;

pub(crate) const CALL_ID: &str = "0193530e-7c5a-7d3b-b7a5-9c1d2e3f4a5b";

pub(crate) struct StandIn {
    pub(crate) config: Config,
    pub(crate) stop: CancellationToken,
    /// Requests seen so far.
    pub(crate) asked: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

/// A call of `test.v1.Test/METHOD` with half a second for it.
pub(crate) fn spec(method: &str) -> CallSpec {
    let metadata = CallMetadata { timeout: Some(Duration::from_millis(500)), ..CallMetadata::default() };
    CallSpec { method: format!("test.v1.Test/{method}").parse().unwrap(), metadata }
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = authority(folder.path());
        let gateway = issue(folder.path(), &ca, "spiffe://lorestan.example/bus/lorestan/gateway", "gateway");
        let (cert, key) =
            issue(folder.path(), &ca, "spiffe://lorestan.example/gov/welfare/benefits", "welfare");
        let trust = folder.path().join("ca.crt");
        let files = tls::Files { cert: gateway.0, key: gateway.1, trust: trust.clone(), crl: None };
        let bound =
            Server::bind("127.0.0.1:0".parse().unwrap(), tls::server(&files).unwrap(), Settings::default());
        let bound = bound.await.unwrap();
        let address = bound.local_addr().to_string();
        let stop = CancellationToken::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let service = hyper::service::service_fn(move |request| {
            count.fetch_add(1, Ordering::Relaxed);
            answer(request)
        });
        tokio::spawn(bound.run(service, stop.clone()));
        let server_name = "gateway.lorestan.example".to_owned();
        Self {
            config: Config { gateway: address, server_name, cert, key, ca: trust },
            stop,
            asked,
            _folder: folder,
        }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.config.clone()).await.unwrap()
    }
}

fn authority(folder: &Path) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.crt"), ca.pem()).unwrap();
    ca
}

fn issue(folder: &Path, ca: &CertifiedIssuer<'_, KeyPair>, uri: &str, name: &str) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    let dns = format!("{name}.lorestan.example");
    params.subject_alt_names =
        vec![SanType::URI(uri.try_into().unwrap()), SanType::DnsName(dns.as_str().try_into().unwrap())];
    let paths = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    std::fs::write(&paths.0, params.signed_by(&key, ca).unwrap().pem()).unwrap();
    write_key(&paths.1, &key.serialize_pem());
    paths
}

fn refusal() -> Status {
    let mut details =
        ErrorDetails::with_error_info("NOT_GRANTED", "chapar", std::collections::HashMap::new());
    details.set_localized_message("fa", "مجوزی نیست");
    Status::with_error_details(Code::PermissionDenied, "no grant", details)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn refused() -> HeaderMap {
    let mut trailers = headers(&[("chapar-entry", "log.example/8")]);
    refusal().add_header(&mut trailers).unwrap();
    trailers
}

fn fine() -> HeaderMap {
    let fields = ("chapar-fields", "disclosed=given_name;withheld=life_status,province");
    headers(&[("grpc-status", "0"), ("chapar-entry", "log.example/7"), fields])
}

/// An answer of messages, then trailers.
fn said(messages: &[&[u8]], trailers: HeaderMap) -> Response<Body> {
    let frames = messages.iter().map(|message| Frame::data(frame::encode(Bytes::copy_from_slice(message))));
    raw(frames.chain([Frame::trailers(trailers)]).collect())
}

fn raw(frames: Vec<Frame<Bytes>>) -> Response<Body> {
    let frames = frames.into_iter().map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames))));
    *response.headers_mut() = headers(&[("content-type", "application/grpc"), ("chapar-call-id", CALL_ID)]);
    response
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let method = path.rsplit('/').next().unwrap_or_default();
    Ok(match method {
        "Echo" => {
            let text =
                |name| request.headers().get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
            let names =
                ["chapar-purpose", "chapar-clerk", "chapar-on-behalf-of", "accept-language", "grpc-timeout"];
            let heard = names.map(text).join(" ");
            let body = request.into_body().collect().await.unwrap().to_bytes();
            said(&[&body[5..], heard.as_bytes()], fine())
        }
        "Rows" => said(&[b"1", b"2", b"3"], fine()),
        "Midway" => said(&[b"1", b"2"], refused()),
        "Refused" => refusal().into_http(),
        "Late" => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            said(&[], fine())
        }
        "Empty" => Status::ok("").into_http(),
        // As tonic's servers do when the caller's deadline passes.
        "Cancelled" => {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Status::cancelled("Timeout expired").into_http()
        }
        "Stuck" => {
            let first =
                futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(frame::encode("1".into())))]);
            let frames = futures_util::StreamExt::chain(first, futures_util::stream::pending());
            let mut response = raw(Vec::new());
            *response.body_mut() = Body::new(StreamBody::new(frames));
            response
        }
        "NoStatus" => said(&[b"1"], HeaderMap::new()),
        "Torn" => raw(vec![Frame::data(Bytes::from_static(b"\0\0\0\0\x09torn")), Frame::trailers(fine())]),
        "TornRefused" => {
            raw(vec![Frame::data(Bytes::from_static(b"\0\0\0\0\x09torn")), Frame::trailers(refused())])
        }
        "Huge" => raw(vec![Frame::data(Bytes::from_static(b"\0\xff\xff\xff\xff")), Frame::trailers(fine())]),
        "Html" => Response::builder().header("content-type", "text/html").body(Body::empty()).unwrap(),
        "Http" => Response::builder().status(415).body(Body::empty()).unwrap(),
        "WhoAmI" => said(&[b"\x0a\x02me\x12\x0bgov/welfare"], fine()),
        "GetReceipt" => said(&[b"\x0a\x05bytes"], fine()),
        "ServerReflectionInfo" => reflect(request).await,
        _ => Status::unimplemented("no such method").into_http(),
    })
}

/// The real reflection service over the real civil contract.
async fn reflect(request: Request<Incoming>) -> Response<Body> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/civil");
    let contract = chapar_contract::Contract::load(&folder).unwrap();
    assert!(prost_types::FileDescriptorSet::decode(contract.descriptor_bytes().clone()).is_ok());
    let service = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(contract.descriptor_bytes())
        .include_reflection_service(false)
        .build_v1();
    service.unwrap().oneshot(request.map(Body::new)).await.unwrap_or_else(|never: Infallible| match never {})
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
