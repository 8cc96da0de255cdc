//! This module serves a witness over HTTP (C2SP `tlog-witness`: `POST /add-checkpoint`), with limits for
//! callers that send much, slowly or nothing.
//!
//! Left out: TLS. What goes over this connection is public and signed; a proxy before it gives HTTPS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use chapar_evidence::AddCheckpoint;
use chapar_model::Clock;
use chapar_transport::admin::Bounds;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::handed::{Followers, Verdict};
use crate::witness::{Answer, Witness};

/// The longest wait for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an auditor is given to read the entries under a checkpoint before it cosigns: a gateway waits 5
/// s.
const READ_TIMEOUT: Duration = Duration::from_secs(4);

/// Connections at once, and from one address: whoever opens many shuts nobody else out.
const CONNECTIONS: usize = 512;
const FROM_ONE_ADDRESS: usize = 16;

/// The media type of the answer that tells the size which the witness knows.
const SIZE: &str = "text/x.tlog.size";

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Listens on an address.
///
/// # Errors
/// [`ListenError`].
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

#[derive(Clone)]
struct Cosigning {
    witness: Arc<Witness>,
    /// Those that read the entries before; a witness by itself has none.
    followers: Option<Followers>,
    clock: Clock,
}

/// The route of a witness. With `followers`, it cosigns only what they have verified.
pub(crate) fn routes(witness: Arc<Witness>, followers: Option<Followers>, clock: Clock) -> Router {
    let cosigning = Cosigning { witness, followers, clock };
    Router::new().route("/add-checkpoint", post(add_checkpoint)).with_state(cosigning)
}

/// Serves a witness by itself until `stop`.
pub async fn serve_witness(listener: TcpListener, witness: Witness, clock: Clock, stop: CancellationToken) {
    let routes = routes(Arc::new(witness), None, clock);
    serve(listener, routes, stop).await;
}

pub(crate) async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let bounds = Bounds { connections: CONNECTIONS, from_one_address: FROM_ONE_ADDRESS };
    let routes = TowerToHyperService::new(routes);
    chapar_transport::admin::serve_within(bounds, listener, routes, stop).await;
}

async fn add_checkpoint(State(cosigning): State<Cosigning>, body: Body) -> Response {
    let body = axum::body::to_bytes(body, AddCheckpoint::MAX_BYTES);
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let signed = match cosigning.witness.read(&body) {
        Ok(signed) => signed,
        Err(answer) => return response(answer),
    };
    if let Some(refused) = cosigning.witness.refuses(&signed) {
        return response(refused);
    }
    if let Some(followers) = &cosigning.followers {
        let reading = followers.verify(signed.signed());
        match tokio::time::timeout(READ_TIMEOUT, reading).await.unwrap_or(Verdict::NotNow) {
            Verdict::Verified => {}
            Verdict::Wrong => return response(Answer::Inconsistent),
            Verdict::NotNow => return response(Answer::Unavailable),
        }
    }
    // It is on disk before the answer goes out.
    let Cosigning { witness, clock, .. } = cosigning;
    let cosigned = tokio::task::spawn_blocking(move || witness.cosign(&signed, clock.now())).await;
    response(cosigned.unwrap_or(Answer::Unavailable))
}

fn response(answer: Answer) -> Response {
    match answer {
        Answer::Cosigned(line) => line.into_response(),
        Answer::Known(size) => {
            (StatusCode::CONFLICT, [(header::CONTENT_TYPE, SIZE)], format!("{size}\n")).into_response()
        }
        Answer::Malformed | Answer::Backwards => StatusCode::BAD_REQUEST.into_response(),
        Answer::UnknownLog => StatusCode::NOT_FOUND.into_response(),
        Answer::Unsigned => StatusCode::FORBIDDEN.into_response(),
        Answer::Inconsistent => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        Answer::Unavailable => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
