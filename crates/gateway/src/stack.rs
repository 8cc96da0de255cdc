//! The stack handles what is the same for every request on the port, in this order: protocol, load shedding,
//! call id, span and metrics, size of the metadata, and the caller's identity. What a call of a registered
//! service means is in `pipeline`.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use chapar_model::{CallId, Identity, MAX_ADAPTER_REQUEST, MethodPath, Reason, header};
use chapar_registry::Server;
use chapar_transport::{Peer, timeout};
use http::header::EXPECT;
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

use crate::headers::{bus_headers, wants_persian};
use crate::identify::identify;
use crate::inquiry::Inquirer;
use crate::memory::Pressure;
use crate::observe::{CallSpan, Observer};
use crate::overload::{LoadSlot, Overload};
use crate::own::{self, OwnCall};
use crate::pipeline::{Call, Grounds, Pipeline, Policy, Refused};
use crate::protocol::{AnsweredInJson, Protocol, RequestStream, Rest, Types};
use crate::refusal::{Audience, Refusal};
use crate::shed::Shed;

/// Answers every request on the gateway's port.
#[derive(Clone)]
pub(crate) struct Stack {
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    pub(crate) pipeline: Pipeline,
    pub(crate) observer: Observer,
    pub(crate) help: Arc<str>,
    pub(crate) memory: Pressure,
    pub(crate) overload: Arc<Overload>,
    pub(crate) shed: Shed,
}

/// `UnidentifiedCall` is what is known of a request before its caller is identified.
struct UnidentifiedCall {
    id: CallId,
    path: String,
    span: Arc<CallSpan>,
    audience: Audience,
    slot: LoadSlot,
}

impl Stack {
    /// Returns the stack of the current worker thread. Completions of the log wake tasks on this thread, and
    /// its streams are counted here.
    pub(crate) fn for_worker(&self) -> Self {
        let pipeline = Pipeline {
            log: self.pipeline.log.for_runtime(),
            streams: TaskTracker::new(),
            ..self.pipeline.clone()
        };
        Self { pipeline, overload: Arc::new(self.overload.for_worker()), ..self.clone() }
    }

    /// Streams in flight.
    pub(crate) fn streams(&self) -> TaskTracker {
        self.pipeline.streams.clone()
    }

    /// Answers one request, which was read from its connection at `arrived`. Never fails: a refusal is an
    /// answer.
    pub(crate) async fn serve(&self, mut request: Request<Incoming>, arrived: Instant) -> Response<Body> {
        // The call keeps the policy that it begins with.
        let policy = self.policy.load_full();
        let version = request.version();
        // A client that waits to be told to go on sends no body, and is not asked for one to be thrown away.
        let waits = request.headers().contains_key(EXPECT);
        // This comes first because a request of no protocol gets an answer in HTTP's own words.
        let protocol = match Protocol::of(&request) {
            Ok(Protocol::Grpc) => {
                return self.serve_grpc(policy, request.map(RequestStream::Frames), arrived).await;
            }
            Ok(protocol) => protocol,
            Err(answer) => {
                if !waits {
                    Rest::of(request.into_body(), version).drain().await;
                }
                return *answer;
            }
        };
        let types = self.types(&policy, request.uri().path());
        let misfit = protocol.translate(request.headers_mut());
        if let Some(types) = types.as_ref().filter(|_| protocol.is_json()) {
            request.extensions_mut().insert(AnsweredInJson::Text(types.output.clone()));
        }
        let (parts, body) = request.into_parts();
        let rest = Rest::of(body, version);
        let limit = self.pipeline.max_message;
        let frames = protocol.frames(rest.clone(), types.as_ref(), misfit, limit);
        let response = self.serve_grpc(policy, Request::from_parts(parts, frames), arrived).await;
        let response = protocol.answer(response, types.map(|types| types.output), limit).await;
        if !waits {
            rest.drain().await;
        }
        response
    }

    /// The types of the method at this path, if it is known.
    fn types(&self, policy: &Policy, path: &str) -> Option<Types> {
        let known = path.strip_prefix('/')?;
        if let Some(entry) = policy.registry.method(known) {
            let method = &entry.method;
            return Some(Types {
                input: method.input().clone(),
                output: method.output().clone(),
                streams_requests: method.kind().streams_requests(),
                streams_responses: method.kind().streams_responses(),
                // JSON is longer than the message that it says.
                limit: match entry.service.server {
                    Server::Adapter => MAX_ADAPTER_REQUEST * JSON_FACTOR,
                    Server::Grpc(_) => usize::MAX,
                },
                is_ordered: true,
            });
        }
        own::types(path)
    }

    /// Answers one request in gRPC.
    async fn serve_grpc(
        &self,
        policy: Arc<Policy>,
        request: Request<RequestStream>,
        arrived: Instant,
    ) -> Response<Body> {
        let peer = request.extensions().get::<Arc<Peer>>();
        // A certificate without an identity counts as a stranger here and is refused by `identify` below,
        // with its reason.
        let caller = peer.and_then(|peer| peer.identity.as_ref().ok()).map(Identity::subsystem);
        let slot = if self.memory.is_high() { None } else { self.overload.enter(caller, arrived).await };
        let Some(slot) = slot else {
            self.observer.turned_away(name(&policy, request.uri().path()));
            return self.shed.answer(request.headers());
        };
        let id = CallId::now();
        let path = request.uri().path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
        let span = Arc::new(self.observer.begin(id, request.headers(), name(&policy, &path)));
        let audience = Audience { help: Arc::clone(&self.help), persian: wants_persian(request.headers()) };
        // The size is checked after the span began, so that the refusal is counted and has a call id.
        let answered = if too_large(request.headers()) {
            Err(Refused::from(Refusal::from(Reason::HeadersTooLarge)))
        } else {
            let seen =
                UnidentifiedCall { id, path, span: Arc::clone(&span), audience: audience.clone(), slot };
            self.answer(&policy, seen, request).await
        };
        answered.unwrap_or_else(|Refused { refusal, entry }| {
            span.finish_refused(&refusal);
            let mut headers = bus_headers(id);
            if let Some(value) = entry.and_then(|entry| HeaderValue::from_str(&entry).ok()) {
                headers.insert(header::ENTRY, value);
            }
            refusal.to_response(&audience, headers)
        })
    }

    async fn answer(
        &self,
        policy: &Policy,
        seen: UnidentifiedCall,
        request: Request<RequestStream>,
    ) -> Result<Response<Body>, Refused> {
        let started = Instant::now();
        let UnidentifiedCall { id, path, span, audience, slot } = seen;
        let (mut parts, body) = request.into_parts();
        let peer = parts
            .extensions
            .remove::<Arc<Peer>>()
            .ok_or_else(|| Refusal::from(Reason::CertificateRequired))?;
        // Identity comes before the path, so that a stranger learns nothing about which methods exist.
        let caller = identify(&policy.registry, &peer)
            .inspect_err(|refusal| peer.log_refusal(refusal.reason().as_str()))?;
        span.caller(&caller.id);
        let json = parts.extensions.remove::<AnsweredInJson>();
        let grounds = Grounds { peer, policy: Arc::clone(&self.policy) };
        if own::is_own(&path) {
            if own::is_inquiry(&path) {
                // A malformed timeout is refused by `own::answer`.
                let allowed = timeout::of(&parts.headers).ok().flatten();
                parts.extensions.insert(Inquirer {
                    caller: Arc::clone(&caller),
                    grounds,
                    pipeline: self.pipeline.clone(),
                    observer: self.observer.clone(),
                    overload: Arc::clone(&self.overload),
                    memory: self.memory.clone(),
                    audience: audience.clone(),
                    span: Arc::clone(&span),
                    headers: parts.headers.clone(),
                    deadline: allowed.map(|allowed| started + allowed),
                    is_json: json.is_some(),
                });
            }
            let call = OwnCall { span, audience, _slot: slot };
            let request = Request::from_parts(parts, body);
            return Ok(own::answer(&policy.own, &policy.own_limiter, caller, request, call).await?);
        }
        let call = Call {
            id,
            caller,
            path,
            headers: parts.headers,
            body,
            json,
            started,
            span,
            audience,
            slot,
            grounds,
        };
        self.pipeline.answer(policy, call).await
    }
}

/// Returns the method's name for traces and metrics, if it is registered or the gateway's own. A caller's
/// text is never used as a label, because it could have any number of values.
fn name<'a>(policy: &'a Policy, path: &str) -> Option<&'a MethodPath> {
    let entry = path.strip_prefix('/').and_then(|path| policy.registry.method(path));
    entry.map(|entry| entry.method.path()).or_else(|| own::method(path))
}

/// How much longer the JSON of a request may be than the message that it says, as a factor.
const JSON_FACTOR: usize = 4;

/// Maximum size in bytes of a request's metadata, names and values together (8 KiB, as gRPC over HTTP/2
/// suggests). The listener refuses more than twice as much.
const MAX_METADATA: usize = 8 << 10;
/// Maximum number of headers of a request.
const MAX_PIECES: usize = 100;

fn too_large(headers: &HeaderMap) -> bool {
    let bytes = || headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    headers.len() > MAX_PIECES || bytes() > MAX_METADATA
}
