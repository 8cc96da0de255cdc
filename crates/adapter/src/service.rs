//! `Calls` is the adapter's HTTP/2 service: it admits the bus's gateways only, looks the path up byte for
//! byte in `Routes`, and reads the one request message. A call's meaning is in `call`, TLS in
//! `chapar_transport`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chapar_model::{Identity, MAX_ADAPTER_REQUEST, Reason};
use chapar_transport::frame::{FrameError, MessageReader};
use chapar_transport::tls::Party;
use chapar_transport::{Peer, reverse};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::Notify;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tower::Service as _;

use crate::body::Answer;
use crate::observe::{Figures, Observer};
use crate::published::{MethodState, PublishedMethod, is_closed};
use crate::source::Failure;
use crate::{call, refusal};

/// Beginning of the paths of the health service.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// `Calls` answers every request of the adapter. It is cheap to clone.
#[derive(Clone)]
pub(crate) struct Calls {
    routes: Arc<ArcSwap<Routes>>,
    observer: Observer,
    health: HealthServer<HealthService>,
    /// Told of calls that met a changed schema.
    drift: Arc<Notify>,
}

/// `Routes` says who may call and what is answered. A reload replaces both together.
pub(crate) struct Routes {
    gateways: Vec<Party>,
    methods: HashMap<String, Route>,
}

/// A method and where its calls are counted.
struct Route {
    published: Arc<PublishedMethod>,
    figures: Figures,
}

impl Calls {
    pub(crate) fn new(routes: Routes, observer: Observer, health: HealthServer<HealthService>) -> Self {
        Self { routes: Arc::new(ArcSwap::from_pointee(routes)), observer, health, drift: Arc::default() }
    }

    /// Waits for a call that meets a changed schema.
    pub(crate) async fn drift(&self) {
        self.drift.notified().await;
    }

    /// All methods that are answered now, by their paths.
    pub(crate) fn methods(&self) -> Vec<Arc<PublishedMethod>> {
        let mut methods: Vec<_> =
            self.routes.load().methods.values().map(|route| Arc::clone(&route.published)).collect();
        methods.sort_by(|one, other| one.path().as_str().cmp(other.path().as_str()));
        methods
    }

    /// Answers the next calls from other routes. Running calls end under the routes that they began with.
    pub(crate) fn replace(&self, routes: Routes) {
        self.routes.store(Arc::new(routes));
    }

    /// Answers one request. The peer is taken from the request's extensions; a request without a peer is
    /// refused.
    pub(crate) async fn answer<B>(mut self, request: Request<B>) -> Response<Answer>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        // The routes are taken once, so that a reload in the middle of a call changes nothing for it.
        let routes = self.routes.load_full();
        // The caller is checked before the path is read, so that a stranger learns nothing about which
        // methods exist.
        if let Err(failure) = routes.identify(&request) {
            self.observer.turned_away(&failure);
            return refusal::status(&failure).into_http();
        }
        if request.uri().path().starts_with(HEALTH) {
            return match self.health.call(request).await {
                Ok(response) => response.map(Answer::health),
                Err(never) => match never {},
            };
        }
        // A signal of a reverse connection is not a call, so the answer only has to be OK.
        if reverse::is_word(request.uri().path()) {
            return tonic::Status::ok("").into_http();
        }
        let Some(Route { published, figures }) = routes.methods.get(request.uri().path()) else {
            let failure = Failure::new(Reason::MethodUnknown, "no such method");
            self.observer.turned_away(&failure);
            return refusal::status(&failure).into_http();
        };
        let state = published.state();
        let MethodState::Open(served) = &*state else {
            let failure = is_closed();
            self.observer.refused(published.path(), figures, &failure);
            return refusal::status(&failure).into_http();
        };
        let (head, body) = request.into_parts();
        let response = call::answer(served, &self.observer, figures, &head.headers, read(body)).await;
        // A call that meets a changed schema is the first to know of it.
        if refusal::reason(&response) == Some(Reason::SchemaDrift.as_str()) {
            self.drift.notify_one();
        }
        response
    }
}

impl Routes {
    pub(crate) fn new(gateways: Vec<Party>, methods: Vec<PublishedMethod>, observer: &Observer) -> Self {
        let route = |method: PublishedMethod| {
            let figures = observer.figures(method.path());
            (format!("/{}", method.path()), Route { published: Arc::new(method), figures })
        };
        Self { gateways, methods: methods.into_iter().map(route).collect() }
    }

    /// Whether the peer is one of the gateways. On a connection that the adapter dialled, the handshake has
    /// checked the issuer already.
    fn is_gateway(&self, identity: &Identity, peer: &Peer) -> bool {
        let is = |party: &Party| match peer.was_dialled() {
            true => party.identity == *identity,
            false => party.is(identity, &peer.issuer_spki_sha256),
        };
        self.gateways.iter().any(is)
    }

    fn identify<B>(&self, request: &Request<B>) -> Result<(), Failure> {
        let peer = request.extensions().get::<Arc<Peer>>();
        let peer = peer.ok_or_else(|| Failure::new(Reason::CertificateRequired, "no peer"))?;
        match &peer.identity {
            Ok(identity) if self.is_gateway(identity, peer) => Ok(()),
            Ok(_) => {
                peer.log_refusal(Reason::IdentityUnknown.as_str());
                Err(Failure::new(
                    Reason::IdentityUnknown,
                    "the caller is not one of `gateways`, or not signed by one of `gateway_issuers`, in the settings",
                ))
            }
            Err(_) => {
                peer.log_refusal(Reason::IdentityAmbiguous.as_str());
                Err(Failure::new(Reason::IdentityAmbiguous, "the caller's certificate names no identity"))
            }
        }
    }
}

/// The request's one message, under the limit.
async fn read<B>(body: B) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let broken = |error: FrameError| {
        let reason = match error {
            FrameError::TooLarge { .. } => Reason::MessageTooLarge,
            FrameError::Compressed => Reason::EncodingUnsupported,
            FrameError::Truncated | FrameError::Corrupt => Reason::FrameMalformed,
            // A body ends early when the gateway resets the stream or the connection breaks.
            FrameError::Body(_) => Reason::Cancelled,
        };
        Failure::new(reason, "the request could not be read")
    };
    let mut messages = MessageReader::new(body, MAX_ADAPTER_REQUEST);
    let first = messages.next().await.map_err(broken)?;
    // The second read finds the end of the request: a body that goes on is refused, not cut.
    match (first, messages.next().await.map_err(broken)?) {
        (Some(message), None) => Ok(message),
        _ => Err(Failure::new(Reason::Cardinality, "a request is exactly one message")),
    }
}

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let calls = self.clone();
        Box::pin(async move { Ok(calls.answer(request).await) })
    }
}
