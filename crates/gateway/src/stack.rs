//! The stack handles what is the same for every request on the port, in this order: gRPC form, load shedding,
//! call id, span and metrics, size of the metadata, and the caller's identity. What a call of a registered
//! service means is in `pipeline`.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use chapar_model::{CallId, Identity, MethodPath, Reason, header};
use chapar_transport::Peer;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header as h};
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

use crate::headers::{bus_headers, wants_persian};
use crate::identify::identify;
use crate::memory::Pressure;
use crate::observe::{CallSpan, Observer};
use crate::overload::{LoadSlot, Overload};
use crate::own::{self, OwnCall};
use crate::pipeline::{Call, Grounds, Pipeline, Policy, Refused};
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
    pub(crate) async fn serve(&self, request: Request<Incoming>, arrived: Instant) -> Response<Body> {
        // This comes first because such a request gets an answer in HTTP's own words, and the prebuilt
        // refusals below are gRPC's.
        if let Some(answer) = not_grpc(&request) {
            return answer;
        }
        let peer = request.extensions().get::<Arc<Peer>>();
        // A certificate without an identity counts as a stranger here and is refused by `identify` below,
        // with its reason.
        let caller = peer.and_then(|peer| peer.identity.as_ref().ok()).map(Identity::subsystem);
        let slot = if self.memory.is_high() { None } else { self.overload.enter(caller, arrived).await };
        let Some(slot) = slot else {
            self.observer.turned_away(name(&self.policy.load(), request.uri().path()));
            return self.shed.answer(request.headers());
        };
        // The call keeps the policy that it begins with.
        let policy = self.policy.load_full();
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
        request: Request<Incoming>,
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
        if own::is_own(&path) {
            let call = OwnCall { span, audience, _slot: slot };
            let request = Request::from_parts(parts, body);
            return Ok(own::answer(&policy.own, &policy.own_limiter, caller, request, call).await?);
        }
        let grounds = Grounds { peer, policy: Arc::clone(&self.policy) };
        let call =
            Call { id, caller, path, headers: parts.headers, body, started, span, audience, slot, grounds };
        self.pipeline.answer(policy, call).await
    }
}

/// Returns the method's name for traces and metrics, if it is registered or the gateway's own. A caller's
/// text is never used as a label, because it could have any number of values.
fn name<'a>(policy: &'a Policy, path: &str) -> Option<&'a MethodPath> {
    let entry = path.strip_prefix('/').and_then(|path| policy.registry.method(path));
    entry.map(|entry| entry.method.path()).or_else(|| own::method(path))
}

/// Maximum size in bytes of a request's metadata, names and values together (8 KiB, as gRPC over HTTP/2
/// suggests). The listener refuses more than twice as much.
const MAX_METADATA: usize = 8 << 10;
/// Maximum number of headers of a request.
const MAX_PIECES: usize = 100;

fn too_large(headers: &HeaderMap) -> bool {
    let bytes = || headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    headers.len() > MAX_PIECES || bytes() > MAX_METADATA
}

/// A media type without its parameters (RFC 9110 §8.3.1), such as `charset=utf-8`.
fn media_type(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// gRPC is POST with `application/grpc`; anything else is answered in HTTP's own words (gRPC over HTTP/2,
/// "Requests").
fn not_grpc(request: &Request<Incoming>) -> Option<Response<Body>> {
    let mut content_types = request.headers().get_all(h::CONTENT_TYPE).iter();
    let content_type = content_types.next().map(HeaderValue::as_bytes).map(media_type);
    // RFC 9113 §8.3.1: `host` and `:authority` name one place. Two of a kind, and two readers may take one
    // each.
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = request.headers().get_all(h::HOST).iter();
    let is_ambiguous = content_types.next().is_some()
        || hosts
            .any(|host| authority.is_some_and(|authority| !host.as_bytes().eq_ignore_ascii_case(authority)));
    let status = match (request.method(), content_type) {
        (&Method::POST, _) if is_ambiguous => StatusCode::BAD_REQUEST,
        (&Method::POST, Some(b"application/grpc" | b"application/grpc+proto")) => return None,
        (&Method::POST, _) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    Some(response)
}
