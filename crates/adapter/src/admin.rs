//! The admin pages of an adapter, plain HTTP, on loopback by default: metrics, liveness and readiness. They
//! only show; nothing is changed through them, and no value of a record is in them.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chapar_telemetry::CONTENT_TYPE;
use chapar_transport::admin::foreign;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::observe::Observer;
use crate::service::Calls;

/// What the pages read.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) observer: Observer,
    pub(crate) calls: Calls,
    /// Whether a gateway was heard on a connection that the adapter made; `None` if it listens.
    pub(crate) heard: Option<watch::Receiver<bool>>,
    pub(crate) stopping: CancellationToken,
}

/// Serves the pages until `ended`.
pub(crate) async fn serve(listener: TcpListener, admin: Admin, ended: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(admin)
        .layer(axum::middleware::from_fn(guard));
    chapar_transport::admin::serve(listener, TowerToHyperService::new(router), ended).await;
}

/// Refuses requests that no operator's tool sends.
async fn guard(request: Request, next: Next) -> Response {
    match foreign(request.headers()) {
        Some(why) => (StatusCode::FORBIDDEN, why).into_response(),
        None => next.run(request).await,
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], admin.observer.encode()).into_response()
}

async fn ready(State(admin): State<Admin>) -> Response {
    let not_ready = |why: &'static str| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    if admin.stopping.is_cancelled() {
        return not_ready("stopping\n");
    }
    if admin.heard.is_some_and(|heard| !*heard.borrow()) {
        return not_ready("no gateway has been reached\n");
    }
    // One closed method does not make an adapter unready: the others are served, and `method_open` tells.
    if !admin.calls.methods().iter().any(|method| method.is_open()) {
        return not_ready("every method is closed, because none fits its database\n");
    }
    "ready\n".into_response()
}
