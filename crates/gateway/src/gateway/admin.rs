//! The admin listener serves plain HTTP, on loopback by default: metrics, liveness, readiness, kept traces,
//! reload, and the reset of limits. It shows no payload, because the gateway keeps none.

mod guard;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chapar_limit::SharedUsage;
use chapar_model::Clock;
use chapar_telemetry::{
    CONTENT_TYPE, LimitMetrics, ListenerMetrics, SharedLimits, StateMetrics, WitnessMetrics,
};

use crate::observed::{Connections, Observed};
use crate::reload::Reloader;

/// What the pages read.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) observed: Arc<Observed>,
    pub(crate) clock: Clock,
    pub(crate) listener: ListenerMetrics,
    /// Metrics of shared limits, if there are any.
    pub(crate) limits: Option<LimitMetrics>,
    pub(crate) state: StateMetrics,
    /// Metrics of witnesses, if there are any.
    pub(crate) witnesses: Option<WitnessMetrics>,
    pub(crate) reloader: Arc<Reloader>,
}

pub(crate) use guard::Token;

pub(crate) fn router(admin: Admin, token: Token) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/reload", post(reload))
        .route("/limits/{grant}/reset", post(reset_limits))
        .route("/traces", get(traces))
        .route("/traces/{id}", get(trace))
        .with_state(admin)
        .layer(axum::middleware::from_fn_with_state(token, guard::guard))
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let kind = [(header::CONTENT_TYPE, CONTENT_TYPE)];
    let policy = admin.reloader.policy.load_full();
    policy.upstreams.refresh_figures();
    let Connections { callers, adapters } = admin.observed.connections(&policy);
    admin.listener.set(callers, adapters, admin.observed.slots.handshakes_failed());
    if let (Some(shared), Some(metrics)) = (&admin.observed.shared, &admin.limits) {
        let SharedUsage { is_up, replicas, commands: (answered, failed), own_decisions, waits } =
            shared.usage();
        metrics.set(&SharedLimits { is_up, gateways: replicas, answered, failed, own: own_decisions, waits });
    }
    // Nothing only while the process ends: the figures stay as they were.
    if let Some(state) = admin.observed.state(&policy, admin.clock.now()).await {
        admin.state.set(&state);
    }
    if let (Some(witnessing), Some(metrics)) = (&admin.observed.witnessing, &admin.witnesses) {
        metrics.set(&witnessing.state().metrics());
    }
    (kind, admin.observed.metrics.encode()).into_response()
}

async fn ready(State(admin): State<Admin>) -> Response {
    match admin.observed.readiness.obstacle() {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
        None => "ready\n".into_response(),
    }
}

/// Reloads the files now. The answer says what is wrong with them, and where.
async fn reload(State(admin): State<Admin>) -> Response {
    // A reload reads every file of the registry, and must not block the runtime that serves these pages.
    match tokio::task::spawn_blocking(move || admin.reloader.reload()).await {
        Ok(Ok(())) => "reloaded\n".into_response(),
        Ok(Err(error)) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Resets a grant's limits at this gateway, and fills the bucket of a rate that it shares.
async fn reset_limits(State(admin): State<Admin>, Path(grant): Path<String>) -> Response {
    let unknown = || (StatusCode::NOT_FOUND, "no such grant\n").into_response();
    let Ok(grant) = grant.parse() else { return unknown() };
    let limiter = Arc::clone(&admin.reloader.policy.load().limiter);
    let Some(is_full) = limiter.reset(&grant).await else { return unknown() };
    tracing::info!(%grant, is_full, "the rate limit and the counts of a grant were reset");
    if is_full {
        "reset\n"
    } else {
        "reset here; Redis does not answer, and the shared bucket stays as it is\n"
    }
    .into_response()
}

/// Query of `/traces`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// The `chapar-call-id` of one call.
    call: Option<String>,
    /// How many, newest first. Default 50.
    limit: Option<usize>,
}

async fn traces(State(admin): State<Admin>, Query(filter): Query<Filter>) -> Response {
    let store = admin.observed.telemetry.traces();
    match filter.call {
        Some(call) => {
            store.by_call(&call).map_or_else(not_kept, |trace| axum::Json(vec![trace]).into_response())
        }
        None => axum::Json(store.recent(filter.limit.unwrap_or(50))).into_response(),
    }
}

async fn trace(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    admin
        .observed
        .telemetry
        .traces()
        .find(&id)
        .map_or_else(not_kept, |trace| axum::Json(trace).into_response())
}

fn not_kept() -> Response {
    (StatusCode::NOT_FOUND, "no such trace is kept\n").into_response()
}
