//! The adapters that connected to us. Who may join, and which services it answers, is the registry's to say, never the
//! adapter's: a connection is kept under the identity of its certificate, and anyone whom the registry names for no service
//! is let go at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use chapar_model::Identity;
use chapar_registry::Registry;
use chapar_transport::Peer;
use chapar_transport::dial::{self, Link};
use http::uri::Authority;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// How long a connection that was told to leave may still finish its calls.
const LEAVING: Duration = Duration::from_secs(30);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// Which identities may join, each with the authorities that may speak for its member.
pub(super) type Known = HashMap<Identity, Vec<[u8; 32]>>;

/// Every connection that an adapter made, shared by all generations of [`super::Upstreams`].
pub(super) struct Joined {
    members: Mutex<Vec<Member>>,
    /// Goes up with every change of the members.
    version: AtomicU64,
    known: ArcSwap<Known>,
    settings: dial::Settings,
}

struct Member {
    identity: Identity,
    peer: Arc<Peer>,
    link: Link,
}

/// A connection as it comes: authenticated, and nothing spoken on it yet.
pub(super) struct Arrival<T> {
    pub(super) io: T,
    pub(super) peer: Arc<Peer>,
    /// It is to end in good order.
    pub(super) stop: CancellationToken,
}

/// The adapters that a registry names.
pub(super) fn known(registry: &Registry) -> Known {
    let identities = registry.services().flat_map(|service| service.adapters.iter());
    identities.map(|identity| (identity.clone(), registry.issuers(identity).to_vec())).collect()
}

impl Joined {
    pub(super) fn new(known: Arc<Known>, settings: dial::Settings) -> Self {
        let settings = dial::Settings { keepalive_idle: true, ..settings };
        Self { members: Mutex::default(), version: AtomicU64::new(0), known: ArcSwap::new(known), settings }
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The connections of these identities.
    pub(super) fn links(&self, identities: &[Identity]) -> Vec<Link> {
        let members = self.members.lock();
        members
            .iter()
            .filter(|member| identities.contains(&member.identity))
            .map(|member| member.link.clone())
            .collect()
    }

    /// Holds the members to a registry, and to what their certificates are worth now.
    pub(super) fn hold_to(&self, known: &Arc<Known>) {
        if !Arc::ptr_eq(&self.known.load(), known) {
            self.known.store(Arc::clone(known));
        }
        self.keep(|member| admits(known, &member.peer).is_some());
    }

    fn keep(&self, stays: impl Fn(&Member) -> bool) {
        let mut members = self.members.lock();
        let before = members.len();
        members.retain(stays);
        if members.len() != before {
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// Keeps a connection until it ends, if its identity may join.
    pub(super) async fn accept<T>(self: Arc<Self>, arrival: Arrival<T>)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Arrival { io, peer, stop } = arrival;
        let remote = peer.remote;
        let Some(identity) = admits(&self.known.load(), &peer) else {
            return tracing::warn!(%remote, "a connection to serve on was turned away: the registry names no such adapter");
        };
        let name = remote.to_string().parse().unwrap_or_else(|_| Authority::from_static("adapter"));
        let starting = Link::start(io, name, &self.settings, Arc::default());
        let (link, driven) = match tokio::time::timeout(self.settings.connect, starting).await {
            Ok(Ok(started)) => started,
            Ok(Err(problem)) => return tracing::info!(%remote, problem, "an adapter could not join"),
            Err(_) => return tracing::info!(%remote, "an adapter could not join: timed out"),
        };
        tracing::info!(%remote, %identity, "an adapter joined");
        let member = Member { identity, peer, link: link.clone() };
        self.members.lock().push(member);
        self.version.fetch_add(1, Ordering::Release);
        let mut driven = std::pin::pin!(driven);
        let ended = tokio::select! {
            ended = driven.as_mut() => Some(ended),
            () = at_leisure(&link, &stop) => None,
        };
        self.keep(|member| !member.link.is(&link));
        // The last of it: what runs may end, and then the connection does.
        drop(link);
        let ended = match ended {
            Some(ended) => ended,
            None => tokio::time::timeout(LEAVING, driven).await.unwrap_or(Ok(())),
        };
        match ended {
            Ok(()) => tracing::info!(%remote, "an adapter left"),
            Err(broken) => tracing::info!(%remote, problem = broken.problem, "an adapter's connection broke"),
        }
    }
}

/// The identity of a peer that may join.
fn admits(known: &Known, peer: &Peer) -> Option<Identity> {
    let identity = peer.identity.as_ref().ok()?;
    let issuers = known.get(identity)?;
    issuers.contains(&peer.issuer_spki_sha256).then(|| identity.clone())
}

/// Ends once the connection was told to leave and has no call on it: a gateway that stops still needs it for calls that it has
/// taken on already.
async fn at_leisure(link: &Link, stop: &CancellationToken) {
    stop.cancelled().await;
    let until = tokio::time::Instant::now() + LEAVING;
    loop {
        tokio::time::sleep(LOOK).await;
        if link.load() == 0 || tokio::time::Instant::now() >= until {
            return;
        }
    }
}
