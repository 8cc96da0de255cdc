//! One place where a service is served, as one service sees it: the way there, whether it is to be left alone, and what it says
//! of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chapar_model::SubsystemId;
use chapar_telemetry::ServiceFigures;
use chapar_transport::dial::{DialError, Full, Link, Pool, Ticket};
use tokio_util::sync::CancellationToken;

use super::breaker::{Breaker, Leave};
use super::place::Outcome;

/// An endpoint of one service.
pub(super) struct Endpoint {
    pub(super) way: Way,
    breaker: Breaker,
    /// What `grpc.health.v1` said last; true where nothing was said.
    serving: AtomicBool,
    watched: AtomicBool,
    gone: CancellationToken,
    figures: Arc<ServiceFigures>,
}

/// How calls get there.
pub(super) enum Way {
    /// We connect.
    Dialled(Pool),
    /// The adapter connected to us.
    Joined(Link),
}

impl Endpoint {
    pub(super) fn new(way: Way, figures: Arc<ServiceFigures>) -> Self {
        let (breaker, watched, gone) = (Breaker::default(), AtomicBool::new(false), CancellationToken::new());
        Self { way, breaker, serving: AtomicBool::new(true), watched, gone, figures }
    }

    /// Whether a call may be sent there now.
    pub(super) fn is_ready(&self) -> bool {
        self.is_serving() && self.way.is_ready() && !self.breaker.is_open()
    }

    /// Whether it can be reached and says that it serves.
    pub(super) fn is_up(&self) -> bool {
        self.is_serving() && self.way.link().is_some()
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.breaker.is_open()
    }

    pub(super) fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    pub(super) fn says(&self, serving: bool) {
        if self.serving.swap(serving, Ordering::Relaxed) != serving {
            tracing::info!(serving, "an endpoint's health changed");
        }
    }

    /// Given once, to whoever is to watch it: cancelled when the endpoint is no more.
    pub(super) fn watch(&self) -> Option<CancellationToken> {
        (!self.watched.swap(true, Ordering::Relaxed)).then(|| self.gone.clone())
    }

    pub(super) fn enter(&self) -> Option<Leave> {
        self.breaker.enter()
    }

    pub(super) fn left(&self, leave: Leave, outcome: Option<Outcome>) {
        if self.breaker.leave(leave, outcome) {
            self.figures.ejections.inc();
            tracing::warn!("an endpoint is left alone for a while: it fails");
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl Way {
    fn is_ready(&self) -> bool {
        match self {
            Self::Dialled(pool) => !pool.is_resting(),
            Self::Joined(link) => link.is_open(),
        }
    }

    /// A connection there, if one is open.
    pub(super) fn link(&self) -> Option<Link> {
        match self {
            Self::Dialled(pool) => pool.open(),
            Self::Joined(link) => Some(link.clone()).filter(Link::is_open),
        }
    }

    pub(super) fn load(&self) -> usize {
        match self {
            Self::Dialled(pool) => pool.load(),
            Self::Joined(link) => link.load(),
        }
    }

    /// A place for a call. Waits only for a connection that is being opened.
    pub(super) async fn ticket(&self, caller: &SubsystemId) -> Result<Ticket, DialError> {
        match self {
            Self::Dialled(pool) => pool.ticket(Some(caller)).await,
            Self::Joined(link) => link.ticket(Some(caller)).map_err(|full| {
                let endpoint = link.endpoint().to_string();
                match full {
                    _ if !link.is_open() => DialError::Unreachable { endpoint, problem: "it has left".to_owned() },
                    Full::All => DialError::Full { endpoint, own: false },
                    Full::Share => DialError::Full { endpoint, own: true },
                }
            }),
        }
    }
}
