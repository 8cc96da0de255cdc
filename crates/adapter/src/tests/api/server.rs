//! `ApiServer` is an agency's HTTP API in the tests: it answers every request as it is told, and keeps what
//! it was asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::backend::Opened;
use crate::config::{ApiServer as Settings, Limits, ServerTls};
use chapar_telemetry::SourceFigures;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// How requests are answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    pub(super) after: Duration,
}

impl Answer {
    pub(super) fn json(body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status: 200, headers, body: body.into(), after: Duration::ZERO }
    }

    pub(super) fn status(status: u16) -> Self {
        Self { status, ..Self::json("{\"secret of a citizen\": true}") }
    }
}

#[derive(Clone)]
struct Shared {
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<Request>>>,
}

/// An API on a port of its own.
pub(super) struct ApiServer {
    pub(super) port: u16,
    shared: Shared,
    serving: JoinHandle<()>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl ApiServer {
    /// An API in clear on loopback.
    pub(super) async fn start(answer: Answer) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer)
    }

    pub(super) fn on(listener: TcpListener, answer: Answer) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (shared, router) = router(answer);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, shared, serving }
    }

    /// An API by TLS, which asks for the client's certificate.
    pub(super) async fn start_tls(answer: Answer, tls: rustls::ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (shared, router) = router(answer);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper_util::service::TowerToHyperService::new(router);
                    let io = hyper_util::rt::TokioIo::new(stream);
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.ok();
                });
            }
        });
        Self { port, shared, serving }
    }

    pub(super) fn answers(&self, answer: Answer) {
        *self.shared.answer.lock() = answer;
    }

    /// What it was asked since it was last looked at.
    pub(super) fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut *self.shared.asked.lock())
    }

    pub(super) fn settings(&self) -> Settings {
        Settings { url: format!("http://127.0.0.1:{}/v1/", self.port), tls: None, secrets: [].into() }
    }

    pub(super) fn settings_tls(&self, ca: PathBuf, client: Option<(PathBuf, PathBuf)>) -> Settings {
        let tls = Some(ServerTls { ca, client });
        Settings { url: format!("https://localhost:{}", self.port), tls, secrets: [].into() }
    }
}

fn router(answer: Answer) -> (Shared, Router) {
    let shared = Shared { answer: Arc::new(Mutex::new(answer)), asked: Arc::default() };
    (shared.clone(), Router::new().fallback(respond).with_state(shared))
}

async fn respond(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let target = uri.path_and_query().unwrap().to_string();
    shared.asked.lock().push(Request { method, target, headers, body });
    let answer = shared.answer.lock().clone();
    tokio::time::sleep(answer.after).await;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}

pub(super) const LIMITS: Limits = Limits {
    max_connections: 2,
    statement_timeout: Duration::from_secs(10),
    acquire_timeout: Duration::from_millis(100),
};

/// A source on this API.
pub(super) fn opened(settings: &Settings) -> Opened {
    Opened::Api(Arc::new(Api::open(settings, LIMITS, SourceFigures::default()).unwrap()))
}
