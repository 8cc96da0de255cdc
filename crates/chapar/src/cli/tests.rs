//! These tests run `call`, `list`, `describe` and `whoami` against a small stand-in for the bus: mutual TLS,
//! reflection, and one method that answers and refuses by purpose. What the bus really does is tested with
//! the real one, in `tests/`.

mod bytes_codec;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chapar_client::{CallError, CallMetadata, CallSpec, json};
use chapar_contract::Contract;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::connect::Target;
use super::session::Session;
use crate::exit::{Exit, Failure};
use bytes_codec::BytesCodec;

const METHOD: &str = "civil.v1.CivilRegistry/GetPerson";

fn contract() -> Contract {
    Contract::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/civil")).unwrap()
}

/// The one method: answers for `benefit.eligibility`, is slow for `counter.identity_check`, refuses any other
/// purpose.
#[derive(Clone)]
struct Civil(Arc<Contract>);

impl NamedService for Civil {
    const NAME: &'static str = "civil.v1.CivilRegistry";
}

impl UnaryService<Bytes> for Civil {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let pool = self.0.pool().clone();
        Box::pin(async move {
            match request.metadata().get("chapar-purpose").and_then(|purpose| purpose.to_str().ok()) {
                Some("benefit.eligibility") => {}
                Some("counter.identity_check") => tokio::time::sleep(Duration::from_secs(60)).await,
                _ => return Err(refusal()),
            }
            let asked = pool.get_message_by_name("civil.v1.GetPersonRequest").unwrap();
            let asked = DynamicMessage::decode(asked, request.into_inner()).unwrap();
            let mut person = DynamicMessage::new(pool.get_message_by_name("civil.v1.Person").unwrap());
            person.set_field_by_name(
                "national_id",
                asked.get_field_by_name("national_id").unwrap().into_owned(),
            );
            person.set_field_by_name("given_name", Value::String("نمونه".to_owned()));
            let mut response = Response::new(person.encode_to_vec().into());
            response.metadata_mut().insert("chapar-call-id", "0193-call".parse().unwrap());
            Ok(response)
        })
    }
}

fn refusal() -> Status {
    let mut details =
        ErrorDetails::with_error_info("PURPOSE_NOT_GRANTED", "chapar", std::collections::HashMap::new());
    details.add_help_link("PURPOSE_NOT_GRANTED", "https://bus.example/PURPOSE_NOT_GRANTED");
    let mut metadata = MetadataMap::new();
    metadata.insert("chapar-call-id", "0193-refused".parse().unwrap());
    let text = "the grant does not cover this purpose";
    Status::with_error_details_and_metadata(Code::PermissionDenied, text, details, metadata)
}

impl Service<http::Request<Body>> for Civil {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let civil = self.clone();
        Box::pin(async move { Ok(Grpc::new(BytesCodec).unary(civil, request).await) })
    }
}

/// A folder with a CA, a server's and a client's certificate.
fn pki() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write("ca.crt", ca.pem());
    for (name, san) in [
        ("server", SanType::DnsName("gateway.example".try_into().unwrap())),
        ("client", SanType::URI("spiffe://lorestan.example/gov/welfare/benefits".try_into().unwrap())),
    ] {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.subject_alt_names = vec![san];
        let key = KeyPair::generate().unwrap();
        write(&format!("{name}.crt"), params.signed_by(&key, &ca).unwrap().pem());
        let file = format!("{name}.key");
        write(&file, key.serialize_pem());
        // A key that everyone may read is refused.
        let only_owner = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(folder.path().join(&file), only_owner).unwrap();
    }
    folder
}

struct Bus {
    target: Target,
    pki: TempDir,
}

impl Bus {
    async fn start() -> Self {
        let pki = pki();
        let file = |name: &str| -> PathBuf { pki.path().join(name) };
        let read = |name: &str| std::fs::read(file(name)).unwrap();
        let contract = Arc::new(contract());
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(contract.descriptor_bytes())
            .build_v1()
            .unwrap();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(read("server.crt"), read("server.key")))
            .client_ca_root(Certificate::from_pem(read("ca.crt")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = listener.local_addr().unwrap().to_string();
        let server =
            Server::builder().tls_config(tls).unwrap().add_service(reflection).add_service(Civil(contract));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let target = Target {
            gateway,
            server_name: "gateway.example".to_owned(),
            cert: file("client.crt"),
            key: file("client.key"),
            ca: file("ca.crt"),
            descriptors: None,
        };
        Self { target, pki }
    }
}

fn asked(purpose: &str, timeout: Duration) -> CallSpec {
    let metadata = CallMetadata {
        purpose: Some(purpose.parse().unwrap()),
        timeout: Some(timeout),
        ..CallMetadata::default()
    };
    CallSpec { method: METHOD.parse().unwrap(), metadata }
}

/// Why `call` has no answer.
async fn refused(bus: &Bus, call: &CallSpec) -> CallError {
    let session = Session::connect(bus.target.clone()).await.unwrap();
    session.call(call, Bytes::new()).await.err().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_made_by_a_short_name_and_its_answer_decoded_by_reflection() {
    let bus = Bus::start().await;
    let mut session = Session::connect(bus.target.clone()).await.unwrap();

    let method = session.method("GetPerson").await.unwrap();
    assert_eq!(method.path.as_str(), METHOD);
    let descriptor = method.descriptor.unwrap();
    let request = json::to_request(&descriptor.input(), &[("national_id", "۰۰۱۳۵۴۲۴۱۹")]).unwrap();
    let call = asked("benefit.eligibility", Duration::from_secs(10));
    let mut messages = session.call(&call, request).await.unwrap();
    let message = messages.next().await.unwrap().unwrap();
    let ending = messages.ending().await.unwrap();

    let withheld = ["sex".to_owned(), "county".to_owned()];
    let shown = json::disclosed_json(&descriptor.output(), message, &withheld).unwrap();
    assert_eq!((&shown["national_id"], &shown["given_name"]), (&"0013542419".into(), &"نمونه".into()));
    assert!(shown.get("sex").is_none(), "withheld");
    assert_eq!(shown["province"], "", "empty, and not withheld");
    assert_eq!(ending.call_id().as_deref(), Some("0193-call"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_with_its_code_and_tells_its_details() {
    let bus = Bus::start().await;

    let error = refused(&bus, &asked("marketing", Duration::from_secs(10))).await;

    let failure = Failure::from(error);
    assert_eq!(failure.exit.code(), 71);
    let expected = "\
refused: PERMISSION_DENIED PURPOSE_NOT_GRANTED
  why      the grant does not cover this purpose
  call     0193-refused
  help     https://bus.example/PURPOSE_NOT_GRANTED";
    assert_eq!(failure.report.to_string(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_answer_in_time_is_a_deadline_and_not_a_broken_connection() {
    let bus = Bus::start().await;

    let error = refused(&bus, &asked("counter.identity_check", Duration::from_millis(200))).await;

    assert!(matches!(error, CallError::Late { .. }), "{error}");
    assert_eq!(Failure::from(error).exit, Exit::Refused(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_the_bus_own_service_is_told_apart_from_a_refusal() {
    let bus = Bus::start().await;
    let session = Session::connect(bus.target.clone()).await.unwrap();

    let failure = session.whoami().await.err().unwrap();

    assert_eq!(failure.exit, Exit::Finding);
    assert_eq!(failure.report.to_string(), "the gateway has no chapar.meta.v1.Meta/WhoAmI");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_gone_or_is_another_is_unreachable_and_says_why() {
    let bus = Bus::start().await;
    let vacant = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let gone = Target { gateway: vacant, ..bus.target.clone() };
    let another = Target { server_name: "another.example".to_owned(), ..bus.target.clone() };
    for target in [gone, another] {
        let failure = Session::connect(target).await.err().unwrap();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(
            failure.report.to_string().starts_with("cannot reach the gateway at 127.0.0.1:"),
            "{:?}",
            failure.report
        );
    }
    drop(bus.pki);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_shown_may_still_be_asked_for_by_its_full_name() {
    let bus = Bus::start().await;
    let mut session = Session::connect(bus.target.clone()).await.unwrap();
    let hidden = session.method("health.v1.InsuranceRegistry/GetCoverage").await.unwrap();
    assert!(hidden.descriptor.is_none());
    assert_eq!(session.method("GetPersn").await.err().unwrap().exit, Exit::Usage);
}
