//! `serve_connection` serves one authenticated HTTP/2 connection until the peer closes it or breaks a limit,
//! or this side ends it (stop, age, idleness, certificate) by GOAWAY and a grace period (RFC 9113 §6.8).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::conduct::Conduct;
use super::guard::Guard;
use super::settings::Settings;
use crate::dial::jitter;
use crate::gather::Gather;
use crate::peer::Peer;

// Maximum size of a request's headers in bytes. It is twice the metadata that the gateway accepts, so that a
// call slightly over its limit gets a refusal with a reason and not a reset.
const MAX_HEADER_LIST: u32 = 16 << 10;
/// Flow control window of one request, in bytes: the most that a stream can make this side buffer.
const STREAM_WINDOW: u32 = 64 << 10;
/// Flow control window of one connection, in bytes, for the requests of all its streams (16 full stream
/// windows).
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Maximum interval between two checks of a connection.
const LONGEST_TURN: Duration = Duration::from_secs(5);

/// Serves HTTP/2 on an authenticated connection; every request carries the peer in its extensions. It ends
/// when the peer closes it or breaks a limit. After `stop`, [`Peer::leave`], the maximum age or the maximum
/// idle time the peer gets a GOAWAY, and running calls may finish within a grace period. It returns the
/// reason if the connection did not end in order.
pub async fn serve_connection<I, S, B>(
    io: I,
    peer: Arc<Peer>,
    service: S,
    settings: Arc<Settings>,
    stop: CancellationToken,
) -> Option<String>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let conduct = Arc::new(Conduct::new(settings.cancelled));
    let io = TokioIo::new(Guard::new(Gather::new(io), Arc::clone(&conduct), settings.ping_permitted));
    let calls = service_fn({
        let peer = Arc::clone(&peer);
        let conduct = Arc::clone(&conduct);
        move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&peer));
            // Boxed at once: HTTP/2 moves the future of a call about a dozen times before it is first polled,
            // and it is large.
            let call = conduct.begin();
            let answer = Box::pin(service.call(request));
            async move { answer.await.map(|response| response.map(|body| call.answer(body))) }
        }
    });
    let connection = std::pin::pin!(builder(&settings).serve_connection(io, calls));
    watch(connection, &conduct, &peer, &settings, &stop).await
}

/// Waits for the end of a connection, or ends it: at a stop, at its age, when it is idle, when its peer must
/// leave, or when the peer does not read.
pub(super) async fn watch<C>(
    mut connection: Pin<&mut C>,
    conduct: &Conduct,
    peer: &Peer,
    settings: &Settings,
    stop: &CancellationToken,
) -> Option<String>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let remote = peer.remote;
    let began = Instant::now();
    // The end is fixed at the beginning, so that no later reason can prolong a connection beyond its age and
    // grace.
    let mut ends = began + lifetime(settings.max_age) + settings.max_age_grace;
    let ages = tokio::time::sleep_until(ends - settings.max_age_grace);
    let turn = Conduct::turn_of(settings.write_stall).min(settings.idle).min(LONGEST_TURN);
    let mut turns = tokio::time::interval_at(began + turn, turn);
    // A task that was held up must not catch up on turns: each would count against answers that had no time
    // to be read.
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = std::pin::pin!(stop.cancelled());
    let mut leaving = std::pin::pin!(peer.left());
    let mut ages = std::pin::pin!(ages);
    let mut sent = GoawaySent::default();
    let why = loop {
        let (first, grace) = tokio::select! {
            ended = connection.as_mut() => break ended.err().map(|error| crate::error::causes(&error)),
            () = tokio::time::sleep_until(ends), if sent.any() => {
                break Some("the peer did not close the connection after GOAWAY".to_owned());
            }
            () = stopping.as_mut(), if !sent.stop => (&mut sent.stop, settings.drain),
            () = leaving.as_mut(), if !sent.leave => (&mut sent.leave, settings.leave),
            () = ages.as_mut(), if !sent.age => (&mut sent.age, settings.max_age_grace),
            _ = turns.tick() => {
                let now = Instant::now();
                // Counted from the beginning and not from the last byte, so that single bytes sent slowly do
                // not prolong it.
                if !conduct.greeted() && now > began + settings.handshake {
                    break Some("the peer sent no HTTP/2 in time".to_owned());
                }
                if !conduct.advance_turn() {
                    break Some("the peer does not read its responses (HTTP/2 window)".to_owned());
                }
                if peer.certificate_status().is_err() {
                    peer.leave();
                }
                if turn * conduct.idle_turns() < settings.idle || sent.idle {
                    continue;
                }
                (&mut sent.idle, settings.leave)
            }
        };
        *first = true;
        // Reasons may follow one another. The earliest end holds.
        ends = ends.min(Instant::now() + grace);
        connection.as_mut().graceful_shutdown();
    };
    if let Some(why) = &why {
        tracing::debug!(%remote, why, "connection ended");
    }
    why
}

/// `GoawaySent` holds the reasons for which the peer has been asked to close its connection.
#[derive(Default)]
struct GoawaySent {
    stop: bool,
    leave: bool,
    age: bool,
    idle: bool,
}

impl GoawaySent {
    fn any(&self) -> bool {
        self.stop || self.leave || self.age || self.idle
    }
}

fn builder(settings: &Settings) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.keepalive)
        .keep_alive_timeout(settings.keepalive_timeout)
        .max_concurrent_streams(settings.streams)
        .max_header_list_size(MAX_HEADER_LIST)
        // h2's own limit on streams that are reset before they are accepted (CVE-2023-44487).
        .max_pending_accept_reset_streams(pending_resets(settings))
        .max_local_error_reset_streams(256)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // No gRPC client reads `date`, and it would change in the header table each second.
        .auto_date_header(false);
    builder
}

/// Returns how many streams may be reset before they are accepted: 20 for a peer that calls for itself (rapid
/// reset), no limit for a peer that passes on what its callers cancel.
fn pending_resets(settings: &Settings) -> usize {
    if settings.cancelled == u32::MAX { usize::MAX } else { 20 }
}

/// Returns the maximum age with a jitter of a tenth, so that connections that were opened together are not
/// renewed together.
fn lifetime(age: Duration) -> Duration {
    age.mul_f64(0.7 + 0.4 * jitter::half_to_one())
}
