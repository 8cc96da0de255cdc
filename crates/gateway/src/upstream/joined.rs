//! This module keeps reverse connections: adapters that connected to the gateway. The registry, never the
//! adapter, decides who may join and which services it answers. A connection is kept under its certificate's
//! identity, and is closed at once if the registry names that identity for no service.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use chapar_model::Identity;
use chapar_registry::Registry;
use chapar_transport::Peer;
use chapar_transport::dial::{self, Link, Reading, StreamSlot};
use chapar_transport::reverse;
use chapar_transport::serve::Reversed;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time for which a connection that was told to leave may finish its calls. 30 s are the longest timeout of a
/// unary call (`timeout` of the contract).
const MAX_LEAVING: Duration = Duration::from_secs(30);
/// Time without a call after which a connection that was told to leave is closed. A gateway that stops may
/// still have calls to send to the adapter.
const IDLE_BEFORE_RELEASE: Duration = Duration::from_millis(500);
/// Interval at which a connection that was told to leave is checked for calls.
const IDLE_POLL: Duration = Duration::from_millis(50);
/// Time after the gateway's start for which calls wait for an adapter. After a restart the adapters of the
/// previous process reconnect by themselves, usually within this time.
const JOIN_WINDOW: Duration = Duration::from_secs(5);

/// Identities that may join, each with the SPKI hashes of the CAs that may issue certificates for its member.
pub(super) type Known = HashMap<Identity, Vec<[u8; 32]>>;

/// `Joined` holds every reverse connection. All generations of `Upstreams` share it, so that a reload keeps
/// connections.
pub(super) struct Joined {
    members: Mutex<Vec<Member>>,
    /// Number of changes of `members`. Readers compare it to see whether a list that they have cached is
    /// still current.
    version: AtomicU64,
    changed: Notify,
    started: Instant,
    known: ArcSwap<Known>,
    settings: dial::Settings,
}

struct Member {
    identity: Identity,
    peer: Arc<Peer>,
    link: Link,
    /// Cancelled when the connection is removed from `members`, which closes it.
    gone: CancellationToken,
}

/// Returns the adapters that a registry names.
pub(super) fn known(registry: &Registry) -> Known {
    let identities = registry.services().flat_map(|service| service.adapters.iter());
    identities.map(|identity| (identity.clone(), registry.issuers(identity).to_vec())).collect()
}

impl Joined {
    pub(super) fn new(known: Arc<Known>, settings: dial::Settings) -> Self {
        // Reverse connections are pinged while idle too: the pings keep the state of a NAT, and this side
        // could not dial again.
        let settings = dial::Settings { keepalive_idle: true, ..settings };
        Self {
            members: Mutex::default(),
            version: AtomicU64::new(0),
            changed: Notify::new(),
            started: Instant::now(),
            known: ArcSwap::new(known),
            settings,
        }
    }

    /// Waits until `there` is true, for at most half of the time until `deadline`, and only within
    /// `JOIN_WINDOW` after the start.
    pub(super) async fn wait_for(&self, there: impl Fn() -> bool, deadline: std::time::Instant) {
        let now = Instant::now();
        // A half of the time is left for the call itself. All of it would turn every call without an adapter
        // into a late one.
        let half = Instant::from_std(deadline).saturating_duration_since(now) / 2;
        let until = (self.started + JOIN_WINDOW).min(now + half);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registered before the check, so that a change between the check and the wait is not missed.
            changed.as_mut().enable();
            if there() || now >= until || tokio::time::timeout_at(until, changed).await.is_err() {
                return;
            }
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Returns the number of reverse connections.
    pub(super) fn count(&self) -> usize {
        self.members.lock().len()
    }

    /// Returns the connections of these identities.
    pub(super) fn links(&self, identities: &[Identity]) -> Vec<Link> {
        let members = self.members.lock();
        members
            .iter()
            .filter(|member| identities.contains(&member.identity))
            .map(|member| member.link.clone())
            .collect()
    }

    /// Closes the connections whose identity the registry no longer names, or whose certificate is no longer
    /// valid.
    pub(super) fn hold_to(&self, known: &Arc<Known>) {
        if !Arc::ptr_eq(&self.known.load(), known) {
            self.known.store(Arc::clone(known));
        }
        self.keep(|member| admits(known, &member.peer).is_some());
    }

    fn keep(&self, stays: impl Fn(&Member) -> bool) {
        let mut members = self.members.lock();
        let before = members.len();
        members.retain(|member| {
            let kept = stays(member);
            if !kept {
                member.gone.cancel();
            }
            kept
        });
        if members.len() != before {
            // The lock is released before others are woken, because they take it at once.
            drop(members);
            self.change();
        }
    }

    fn change(&self) {
        // Release: the change of `members` was made before, so a reader that sees the new number sees the
        // change as well.
        self.version.fetch_add(1, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Serves a reverse connection until it ends, if its identity may join.
    pub(super) async fn accept(self: Arc<Self>, reversed: Reversed) {
        let Reversed { io, peer, stop, place: _place } = reversed;
        let remote = peer.remote;
        // The identity is checked before anything is said on the connection, so that a stranger gets no
        // HTTP/2 at all.
        let Some(identity) = admits(&self.known.load(), &peer) else {
            let identity = peer.identity.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            let issuer = chapar_model::show_sha256(&peer.issuer_spki_sha256);
            return tracing::warn!(
                %remote, identity, issuer,
                "an adapter's reverse connection was refused: the registry names no adapter with this \
                 identity and issuer"
            );
        };
        let name = remote.to_string().parse().unwrap_or_else(|_| Authority::from_static("adapter"));
        let starting = Link::start(io, name, &self.settings, Arc::default());
        let (link, driven) = match tokio::time::timeout(self.settings.connect, starting).await {
            Ok(Ok(started)) => started,
            Ok(Err(problem)) => {
                return tracing::info!(
                    %remote, problem,
                    "an adapter could not join: its reverse connection failed"
                );
            }
            Err(_) => {
                return tracing::info!(%remote, "an adapter could not join: its reverse connection timed out");
            }
        };
        tracing::info!(%remote, %identity, "an adapter joined");
        let gone = CancellationToken::new();
        // The member keeps the peer, so that a revocation or the end of the certificate is noticed later.
        let member = Member { identity, peer, link: link.clone(), gone: gone.clone() };
        self.members.lock().push(member);
        self.change();
        tokio::spawn(say(reverse::JOINED, link.watcher()));
        let mut driven = std::pin::pin!(driven);
        let ended = tokio::select! {
            ended = driven.as_mut() => Some(ended),
            () = at_leisure(&link, stop) => None,
            () = gone.cancelled() => None,
        };
        // It leaves the choice of endpoints first and finishes its calls afterwards, so that no new call
        // arrives meanwhile.
        self.keep(|member| !member.link.is(&link));
        // This is the last handle outside of running calls: the connection ends when they have ended.
        drop(link);
        let ended = match ended {
            Some(ended) => ended,
            // A connection that is still busy after this time is dropped, which is no failure of the adapter.
            None => tokio::time::timeout(MAX_LEAVING, driven).await.unwrap_or(Ok(())),
        };
        match ended {
            Ok(()) => tracing::info!(%remote, "an adapter left"),
            Err(broken) => {
                tracing::info!(%remote, problem = broken.problem, "an adapter's reverse connection broke");
            }
        }
    }
}

/// Returns the peer's identity if it may join: its certificate is valid, and a CA issued it that the registry
/// names for this identity.
fn admits(known: &Known, peer: &Peer) -> Option<Identity> {
    let identity = peer.identity.as_ref().ok()?;
    let issuers = known.get(identity).filter(|_| peer.certificate_status().is_ok())?;
    issuers.contains(&peer.issuer_spki_sha256).then(|| identity.clone())
}

/// Completes once the gateway stops and the connection has had no call for `IDLE_BEFORE_RELEASE`: a gateway
/// that stops still needs the connection for calls that it has accepted. The adapter gets `LEAVING` at once,
/// so that it connects to another gateway meanwhile.
async fn at_leisure(link: &Link, stop: CancellationToken) {
    stop.cancelled().await;
    tokio::spawn(say(reverse::LEAVING, link.watcher()));
    // The limit also holds if calls never pause: a busy gateway must stop as well.
    let end = Instant::now() + MAX_LEAVING;
    let mut idle = Instant::now();
    while Instant::now() < end && idle.elapsed() < IDLE_BEFORE_RELEASE {
        tokio::time::sleep(IDLE_POLL).await;
        if link.load() > 0 {
            idle = Instant::now();
        }
    }
}

/// Sends one of the signals of a reverse connection (`JOINED`, `LEAVING`). An error is dropped: an adapter
/// that misses the signal dials again when the connection ends.
async fn say(word: &'static str, slot: StreamSlot) {
    let mut head = Request::new(());
    *head.method_mut() = Method::POST;
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let body = Full::new(Bytes::new());
    slot.send(PathAndQuery::from_static(word), head, body, Reading::AtOnce).await.ok();
}
