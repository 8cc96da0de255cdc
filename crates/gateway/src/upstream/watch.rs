//! This module watches an endpoint's health by `grpc.health.v1`. Only NOT_SERVING takes the endpoint out of
//! the choice: a server without health, or that does not know the service, is used like any other.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use chapar_transport::dial::{Incoming, Link, Reading};
use chapar_transport::frame::{self, MessageReader};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use prost::Message as _;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::endpoint::Endpoint;

/// Path of the health service's streaming method.
const WATCH: PathAndQuery = PathAndQuery::from_static("/grpc.health.v1.Health/Watch");
/// Pause between the end of a watch and the next one.
const REWATCH_PAUSE: Duration = Duration::from_millis(500);
/// The same pause for a server without the health service, which will seldom get one while it runs.
const UNKNOWN_HEALTH_PAUSE: Duration = Duration::from_secs(60);
/// Interval at which the watch checks whether its connection is about to close.
const CLOSING_POLL: Duration = Duration::from_millis(100);
/// Maximum size in bytes of a health message, which normally has a few bytes.
const MAX_MESSAGE: usize = 1 << 10;

/// Starts watching an endpoint for as long as it is in use, unless someone does already.
pub(super) fn start(endpoint: &Arc<Endpoint>, service: &str) {
    let Some(gone) = endpoint.watch() else { return };
    // A weak reference, so that the watch does not keep an endpoint of an earlier registry alive.
    let endpoint = Arc::downgrade(endpoint);
    let service = service.to_owned();
    tokio::spawn(async move {
        let watching = async {
            while let Some(pause) = watch_once(&endpoint, &service).await {
                tokio::time::sleep(pause).await;
            }
        };
        gone.run_until_cancelled(watching).await;
    });
}

/// Runs one watch to its end. Returns the pause before the next, or `None` if the endpoint is gone.
async fn watch_once(endpoint: &Weak<Endpoint>, service: &str) -> Option<Duration> {
    // No connection is opened for the watch: `health` does that, and the pool's back-off applies there.
    let Some(link) = endpoint.upgrade()?.way.link() else { return Some(REWATCH_PAUSE) };
    let mut head = Request::new(());
    *head.method_mut() = Method::POST;
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    let request = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let body = Full::new(frame::encode(Bytes::from(request)));
    let Ok(response) = link.watcher().send(WATCH, head, body, Reading::Slowly).await else {
        return Some(REWATCH_PAUSE);
    };
    if listen(endpoint, &link, response).await {
        return Some(REWATCH_PAUSE);
    }
    // A server without the health service counts as serving, because many gRPC servers have none.
    endpoint.upgrade()?.says(true);
    Some(UNKNOWN_HEALTH_PAUSE)
}

/// Reads the watch until it ends. Returns whether the server knows the service. The last status stays in
/// force.
async fn listen(endpoint: &Weak<Endpoint>, link: &Link, response: Response<Incoming>) -> bool {
    if response.headers().contains_key("grpc-status") {
        return false;
    }
    let mut messages = MessageReader::new(response.into_body(), MAX_MESSAGE);
    let mut known = false;
    loop {
        let mut next = pin!(messages.next());
        let message = loop {
            tokio::select! {
                message = next.as_mut() => break message,
                // A server that closes a connection waits for its streams, so the watch must end and not keep
                // it open.
                () = tokio::time::sleep(CLOSING_POLL) => if !link.refresh() { return known },
            }
        };
        let Ok(Some(message)) = message else { return known };
        let Ok(said) = HealthCheckResponse::decode(message) else { return false };
        let Some(endpoint) = endpoint.upgrade() else { return known };
        endpoint.says(said.status != ServingStatus::NotServing as i32);
        known = true;
    }
}
