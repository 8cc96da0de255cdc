//! `Endpoint` is one endpoint as one service sees it: its `Connection`, its circuit breakers, and its
//! last health status.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chapar_model::SubsystemId;
use chapar_telemetry::ServiceFigures;
use chapar_transport::dial::{DialError, Full, Link, Pool, StreamSlot};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::blame::Blame;
use super::breaker::{BreakerPermit, Breakers, Transition};

/// An endpoint of one service.
pub(super) struct Endpoint {
    pub(super) way: Connection,
    /// The service's name, for the log.
    service: String,
    breakers: Breakers,
    /// When the log was last told that a breaker opened.
    warned_at: Mutex<Option<Instant>>,
    /// What `grpc.health.v1` said last; true where nothing was said.
    serving: AtomicBool,
    watched: AtomicBool,
    gone: CancellationToken,
    figures: Arc<ServiceFigures>,
}

/// Minimum time between two log lines about breakers of one endpoint that opened.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// How calls get there.
pub(super) enum Connection {
    /// We connect.
    Dialled(Pool),
    /// The adapter connected to us.
    Joined(Link),
}

impl Endpoint {
    pub(super) fn new(way: Connection, service: &str, figures: Arc<ServiceFigures>) -> Self {
        Self {
            way,
            service: service.to_owned(),
            breakers: Breakers::default(),
            warned_at: Mutex::default(),
            serving: AtomicBool::new(true),
            watched: AtomicBool::new(false),
            gone: CancellationToken::new(),
            figures,
        }
    }

    /// Whether calls may be sent there now, as far as all callers are concerned.
    pub(super) fn is_ready(&self) -> bool {
        self.is_serving() && self.way.is_ready()
    }

    /// Whether a call of `caller` may be sent there now.
    pub(super) fn is_ready_for(&self, caller: &SubsystemId) -> bool {
        self.is_ready() && !self.is_ejected_for(caller)
    }

    /// Whether it can be reached and says that it serves.
    pub(super) fn is_up(&self) -> bool {
        self.is_serving() && self.way.link().is_some()
    }

    /// Whether any caller's breaker is open or half-open.
    pub(super) fn is_ejected(&self) -> bool {
        self.breakers.open() > 0
    }

    pub(super) fn is_ejected_for(&self, caller: &SubsystemId) -> bool {
        self.breakers.is_open(caller)
    }

    pub(super) fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    pub(super) fn says(&self, serving: bool) {
        if self.serving.swap(serving, Ordering::Relaxed) != serving {
            let service = &self.service;
            let endpoint = self.way.name();
            tracing::info!(service, endpoint, serving, "an endpoint's health changed");
        }
    }

    /// Given once, to whoever is to watch it: cancelled when the endpoint is no more.
    pub(super) fn watch(&self) -> Option<CancellationToken> {
        (!self.watched.swap(true, Ordering::Relaxed)).then(|| self.gone.clone())
    }

    pub(super) fn enter(&self, caller: &SubsystemId) -> Option<BreakerPermit> {
        let permit = self.breakers.enter(caller);
        if permit == Some(BreakerPermit::Trial) {
            let service = &self.service;
            let endpoint = self.way.name();
            tracing::debug!(
                service,
                endpoint,
                %caller,
                "circuit breaker half-open: one trial call goes to the endpoint"
            );
        }
        permit
    }

    /// Counts the end of a call; `blame` is nothing if it never got to the endpoint.
    pub(super) fn release(&self, permit: BreakerPermit, caller: &SubsystemId, blame: Option<Blame>) {
        match blame {
            Some(Blame::Provider) => drop(self.figures.failures_of_provider.inc()),
            Some(Blame::Caller) => drop(self.figures.failures_of_caller.inc()),
            Some(Blame::Nobody) | None => {}
        }
        let transition = self.breakers.release(permit, caller, blame);
        if transition == Transition::None {
            return;
        }
        let service = &self.service;
        let endpoint = self.way.name();
        let callers = self.breakers.open();
        if transition == Transition::Opened {
            self.figures.ejections.inc();
            // Not for each of a thousand callers: the metric has the rest.
            let is_due = {
                let mut warned_at = self.warned_at.lock();
                let is_due = warned_at.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL);
                if is_due {
                    *warned_at = Some(Instant::now());
                }
                is_due
            };
            if is_due {
                tracing::warn!(
                    service,
                    endpoint,
                    %caller,
                    callers_open = callers,
                    "circuit breaker open: the caller's calls to the endpoint fail. After a pause of 1 s to 45 s \
                     it is half-open, and one trial call decides whether it closes. Check the adapter or server"
                );
            }
        } else {
            tracing::info!(
                service,
                endpoint,
                %caller,
                callers_open = callers,
                "circuit breaker closed: the endpoint gets the caller's calls again"
            );
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl Connection {
    /// `HOST:PORT`.
    fn name(&self) -> String {
        match self {
            Self::Dialled(pool) => pool.authority().to_string(),
            Self::Joined(link) => link.endpoint().to_string(),
        }
    }

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
    pub(super) async fn reserve_stream(&self, caller: &SubsystemId) -> Result<StreamSlot, DialError> {
        match self {
            Self::Dialled(pool) => pool.reserve_stream(Some(caller)).await,
            Self::Joined(link) => link.reserve_stream(Some(caller)).map_err(|full| {
                let endpoint = link.endpoint().to_string();
                match full {
                    // A link that has closed reports itself as full, and a caller can do more with the truth.
                    _ if !link.is_open() => {
                        DialError::Unreachable { endpoint, problem: "the adapter has left".to_owned() }
                    }
                    Full::All => DialError::Full { endpoint, own: false },
                    Full::Share => DialError::Full { endpoint, own: true },
                }
            }),
        }
    }
}
