//! `Agency` is an agency's own gRPC server in place of an adapter, honest or not. It serves over the
//! project's transport and knows nothing of grants: whatever it sends, the gateway must enforce them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chapar_contract::Contract;
use chapar_transport::serve::{Server, Settings};
use chapar_transport::{frame, tls};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use parking_lot::Mutex;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::repository;

const WATCH: &str = "/grpc.health.v1.Health/Watch";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What it answers with, always.
#[derive(Clone)]
pub struct Agency {
    answer: Behaviour,
    serving: bool,
    seen: Seen,
    remembers: bool,
    gate: Option<Gate>,
}

/// Holds every answer back until it is opened.
#[derive(Clone)]
pub struct Gate {
    open: CancellationToken,
    came: CancellationToken,
}

impl Gate {
    /// Lets all answers go.
    pub fn open(&self) {
        self.open.cancel();
    }

    /// Waits until a call stands before the gate.
    pub async fn call_has_come(&self) {
        self.came.cancelled().await;
    }
}

#[derive(Clone)]
enum Behaviour {
    Message(Vec<u8>),
    Messages(Vec<Vec<u8>>),
    /// These bytes as the body, under this `grpc-encoding`.
    Framed(Bytes, &'static str),
    Endless(Vec<u8>),
    Status(i32, &'static str),
    Reason(i32, &'static str),
    Hang,
}

/// Every request that came.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Request<Bytes>>>>);

impl Seen {
    /// Those of the last call.
    pub fn last(&self) -> HeaderMap {
        self.calls().pop().expect("a call came")
    }

    /// The body of the last call, as it came.
    pub fn last_body(&self) -> Bytes {
        let seen = self.0.lock();
        seen.iter().rev().find(|request| is_call(request)).expect("a call came").body().clone()
    }

    /// How many calls came.
    pub fn count(&self) -> usize {
        self.calls().len()
    }

    /// How many requests came of one path.
    pub fn count_of(&self, path: &str) -> usize {
        self.0.lock().iter().filter(|request| request.uri().path() == path).count()
    }

    /// Whose calls came, in this order.
    pub fn callers(&self) -> Vec<String> {
        let caller = |headers: HeaderMap| {
            headers
                .get("chapar-caller")
                .and_then(|caller| caller.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        self.calls().into_iter().map(caller).collect()
    }

    /// The gateway also asks for the health, which is no call.
    fn calls(&self) -> Vec<HeaderMap> {
        let seen = self.0.lock();
        seen.iter().filter(|request| is_call(request)).map(|request| request.headers().clone()).collect()
    }
}

fn is_call(request: &Request<Bytes>) -> bool {
    !request.uri().path().starts_with("/grpc.health.v1.")
}

fn encode(message: &str, json: serde_json::Value) -> Vec<u8> {
    let contract = Contract::load(&repository().join("proto/civil")).expect("the civil contract");
    let descriptor = contract.pool().get_message_by_name(message).expect("a message");
    DynamicMessage::deserialize(descriptor, json).expect("a message of its type").encode_to_vec()
}

impl Agency {
    fn with(answer: Behaviour) -> Self {
        Self { answer, serving: true, seen: Seen::default(), remembers: true, gate: None }
    }

    /// A `Person` with these fields.
    pub fn answering(person: serde_json::Value) -> Self {
        Self::answering_bytes(&encode("civil.v1.Person", person))
    }

    /// A message with these bytes.
    pub fn answering_bytes(message: &[u8]) -> Self {
        Self::with(Behaviour::Message(message.to_vec()))
    }

    /// A stream of `Child`.
    pub fn streaming(children: &[serde_json::Value]) -> Self {
        let encoded = children.iter().map(|child| encode("civil.v1.Child", child.clone()));
        Self::with(Behaviour::Messages(encoded.collect()))
    }

    /// A body of these bytes, framed already, whose messages are said to be in `encoding`.
    pub fn answering_framed(body: Vec<u8>, encoding: &'static str) -> Self {
        Self::with(Behaviour::Framed(body.into(), encoding))
    }

    /// The same `Child` for as long as anyone listens.
    pub fn streaming_without_end(parent: &str) -> Self {
        let child = serde_json::json!({"parentId": parent, "givenName": "بی‌پایان"});
        Self::with(Behaviour::Endless(encode("civil.v1.Child", child)))
    }

    /// A gRPC status of its own.
    pub fn refusing(code: i32, message: &'static str) -> Self {
        Self::with(Behaviour::Status(code, message))
    }

    /// An adapter's refusal: a status with the word of its reason.
    pub fn refusing_as(code: i32, reason: &'static str) -> Self {
        Self::with(Behaviour::Reason(code, reason))
    }

    /// Never anything.
    pub fn hanging() -> Self {
        Self::with(Behaviour::Hang)
    }

    /// A field that no contract knows, at the end of the message.
    pub fn with_unknown_field(mut self, value: &[u8]) -> Self {
        if let Behaviour::Message(message) = &mut self.answer {
            prost::encoding::encode_key(999, prost::encoding::WireType::LengthDelimited, message);
            prost::encoding::encode_varint(value.len() as u64, message);
            message.extend_from_slice(value);
        }
        self
    }

    /// The same behind a gate.
    pub fn gated(mut self) -> (Self, Gate) {
        let gate = Gate { open: CancellationToken::new(), came: CancellationToken::new() };
        self.gate = Some(gate.clone());
        (self, gate)
    }

    /// Answers, but says by `grpc.health.v1` that it does not serve.
    pub fn not_serving(mut self) -> Self {
        self.serving = false;
        self
    }

    /// Keeps nothing of what it sees, for runs of very many calls.
    pub fn forgetful(mut self) -> Self {
        self.remembers = false;
        self
    }

    /// What it will have seen.
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    pub(crate) async fn serve(self, pki: &Path) -> (CancellationToken, JoinHandle<()>, SocketAddr) {
        let files = tls::Files {
            cert: pki.join("adapter.crt"),
            key: pki.join("adapter.key"),
            trust: pki.join("ca.crt"),
            crl: None,
        };
        let settings = Settings { drain: std::time::Duration::from_millis(100), ..Settings::default() };
        let tls = tls::server(&files).expect("TLS files");
        let bound = Server::bind(([127, 0, 0, 1], 0).into(), tls, settings).await.expect("a port");
        let address = bound.local_addr();
        let stop = CancellationToken::new();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let agency = self.clone();
            async move {
                let path = request.uri().path().to_owned();
                if agency.remembers {
                    let (parts, body) = request.into_parts();
                    let collected =
                        body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                    agency.seen.0.lock().push(Request::from_parts(parts, collected));
                }
                if let Some(gate) = agency.gate.as_ref().filter(|_| path.starts_with("/civil.")) {
                    gate.came.cancel();
                    gate.open.cancelled().await;
                }
                Ok::<_, Infallible>(agency.answer(&path).await)
            }
        });
        let task = tokio::spawn(bound.run(service, stop.clone()));
        (stop, task, address)
    }

    async fn answer(&self, path: &str) -> Response<Body> {
        let mut response = match &self.answer {
            _ if path == WATCH && !self.serving => Response::new(not_serving()),
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Message(message) => {
                Response::new(messages(vec![frame::encode(message.clone().into())]))
            }
            Behaviour::Messages(all) => Response::new(messages(
                all.iter().map(|message| frame::encode(message.clone().into())).collect(),
            )),
            Behaviour::Framed(body, encoding) => {
                let mut response = Response::new(messages(vec![body.clone()]));
                response.headers_mut().insert("grpc-encoding", HeaderValue::from_static(encoding));
                response
            }
            Behaviour::Endless(message) => Response::new(endless(frame::encode(message.clone().into()))),
            Behaviour::Status(code, message) => {
                let mut response = Response::new(messages(Vec::new()));
                response.headers_mut().insert("grpc-status", HeaderValue::from(*code));
                response.headers_mut().insert("grpc-message", HeaderValue::from_static(message));
                response
            }
            Behaviour::Reason(code, reason) => {
                let mut response = Response::new(messages(Vec::new()));
                response.headers_mut().insert("grpc-status", HeaderValue::from(*code));
                response.headers_mut().insert("chapar-reason", HeaderValue::from_static(reason));
                response
            }
        };
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        response
    }
}

fn messages(framed: Vec<Bytes>) -> Body {
    let data = framed.into_iter().map(|framed| Ok(Frame::data(framed)));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames: Vec<Result<Frame<Bytes>, Infallible>> = data.chain([Ok(Frame::trailers(trailers))]).collect();
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

/// `NOT_SERVING` for as long as anyone listens.
fn not_serving() -> Body {
    let said = frame::encode(Bytes::from_static(&[0x08, 0x02]));
    let once = futures_util::stream::iter([Ok(Frame::data(said))]);
    StreamBody::new(futures_util::StreamExt::chain(once, futures_util::stream::pending())).boxed_unsync()
}

fn endless(framed: Bytes) -> Body {
    let frames = futures_util::stream::unfold(framed, |framed| async move {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        Some((Ok(Frame::data(framed.clone())), framed))
    });
    StreamBody::new(frames).boxed_unsync()
}
