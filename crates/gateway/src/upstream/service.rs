//! One service and its choice of an endpoint: the less loaded of two random ones (power of two choices),
//! among those that report to serve, are not in back-off, and whose circuit breaker for the caller is not
//! open.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use chapar_model::{Identity, SubsystemId};
use chapar_registry::ServiceEntry;
use chapar_telemetry::ServiceFigures;
use chapar_transport::dial::{Reading, jitter};
use chapar_transport::tls::Party;
use http::uri::PathAndQuery;
use parking_lot::Mutex;

use super::breaker::BreakerPermit;
use super::budget::Budget;
use super::endpoint::{Connection, Endpoint};
use super::joined::Joined;
use super::service_queue::{ServiceQueue, ServiceSlot};
use super::unavailable::down;
use super::watch;
use crate::refusal::Refusal;

/// One service's way to its adapters.
pub(super) struct Service {
    pub(super) name: String,
    adapters: Vec<Identity>,
    /// Those with the CAs that may speak for them, as the endpoints are dialled.
    parties: Vec<Party>,
    methods: HashMap<String, Route>,
    /// By what the registry calls them.
    dialled: Vec<(String, Arc<Endpoint>)>,
    joined: Arc<Joined>,
    /// Those of `dialled`, and the adapters that joined as of `seen`.
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    seen: AtomicU64,
    renewing: Mutex<()>,
    places: Option<ServiceQueue>,
    pub(super) budget: Arc<Budget>,
    pub(super) figures: Arc<ServiceFigures>,
}

/// How calls of one method are sent.
pub(super) struct Route {
    pub(super) path: PathAndQuery,
    pub(super) reading: Reading,
}

impl Service {
    /// `before` is the same service as it was, whose state goes on.
    pub(super) fn new(
        entry: &ServiceEntry,
        parties: Vec<Party>,
        dialled: Vec<(String, Arc<Endpoint>)>,
        joined: &Arc<Joined>,
        figures: Arc<ServiceFigures>,
        before: Option<&Self>,
    ) -> Self {
        let methods = entry.methods().iter().filter_map(|method| {
            // An answer of one message is read at once by `minimise`. A stream is read as slowly as its
            // caller reads.
            let reading = if method.kind().streams_responses() { Reading::Slowly } else { Reading::AtOnce };
            let path = format!("/{}", method.path()).parse().ok()?;
            Some((method.path().as_str().to_owned(), Route { path, reading }))
        });
        let queue = before.and_then(|before| before.places.as_ref());
        // The queue goes on over a reload, so that calls in it keep their turn and the cap stays true.
        let places = entry.concurrent.map(|most| ServiceQueue::new(most, queue, &figures));
        let endpoints: Vec<_> = dialled.iter().map(|(_, endpoint)| Arc::clone(endpoint)).collect();
        let joined_before = before.map(|before| before.endpoints.load_full());
        let known = joined_before.iter().flat_map(|endpoints| endpoints.iter());
        let known = known.filter(|endpoint| matches!(endpoint.way, Connection::Joined(_))).map(Arc::clone);
        Self {
            name: entry.name.clone(),
            adapters: entry.adapters.clone(),
            parties,
            methods: methods.collect(),
            dialled,
            joined: Arc::clone(joined),
            endpoints: ArcSwap::from_pointee(endpoints.into_iter().chain(known).collect()),
            // No version reaches this value, so the first use renews the list: adapters may have come or gone
            // since `before`.
            seen: AtomicU64::new(u64::MAX),
            renewing: Mutex::new(()),
            places,
            budget: before.map(|before| Arc::clone(&before.budget)).unwrap_or_default(),
            figures,
        }
    }

    pub(super) fn route(&self, method: &str) -> Option<&Route> {
        self.methods.get(method)
    }

    /// The endpoint that the registry calls so, if it may be used under the same identities and issuers.
    pub(super) fn dialled(&self, url: &str, parties: &[Party]) -> Option<Arc<Endpoint>> {
        let found = self.dialled.iter().find(|(own, _)| own == url).filter(|_| self.parties == parties);
        found.map(|(_, endpoint)| Arc::clone(endpoint))
    }

    /// A place among the calls that the service serves at once, when `caller`'s turn comes; none where the
    /// registry sets no cap.
    pub(super) async fn place(
        &self,
        caller: &SubsystemId,
        deadline: Instant,
    ) -> Result<Option<ServiceSlot>, Refusal> {
        match &self.places {
            None => Ok(None),
            Some(places) => places.take(caller, deadline).await.map(Some),
        }
    }

    /// All endpoints as of now.
    pub(super) fn endpoints(&self) -> arc_swap::Guard<Arc<Vec<Arc<Endpoint>>>> {
        let version = self.joined.version();
        if self.seen.load(Ordering::Acquire) != version {
            self.renew(version);
        }
        self.endpoints.load()
    }

    fn renew(&self, version: u64) {
        // One thread renews at a time. Two could store an older list over a newer one.
        let _one = self.renewing.lock();
        let before = self.endpoints.load_full();
        let links = self.joined.links(&self.adapters).into_iter().map(|link| {
            let same =
                |endpoint: &&Arc<Endpoint>| matches!(&endpoint.way, Connection::Joined(own) if own.is(&link));
            let known = before.iter().find(same).map(Arc::clone);
            known.unwrap_or_else(|| {
                let endpoint =
                    Arc::new(Endpoint::new(Connection::Joined(link), &self.name, Arc::clone(&self.figures)));
                watch::start(&endpoint, &self.name);
                endpoint
            })
        });
        let dialled = self.dialled.iter().map(|(_, endpoint)| Arc::clone(endpoint));
        self.endpoints.store(Arc::new(dialled.chain(links).collect()));
        // The version was read before the list, so a change in between renews once more and is never missed.
        self.seen.store(version, Ordering::Release);
    }

    /// Whether it is answered by adapters who dial only, and none has joined and says that it serves.
    pub(super) fn waits_for_adapters(&self) -> bool {
        self.dialled.is_empty() && !self.endpoints().iter().any(|endpoint| endpoint.is_ready())
    }

    /// Whether any endpoint works, as far as is known. Shows the figures of it.
    pub(super) fn is_up(&self) -> bool {
        let endpoints = self.endpoints();
        let count =
            |which: fn(&Endpoint) -> bool| endpoints.iter().filter(|endpoint| which(endpoint)).count();
        let up = count(Endpoint::is_up);
        let ejected = count(Endpoint::is_ejected);
        self.figures.up.set(i64::try_from(up).unwrap_or(i64::MAX));
        self.figures.ejected.set(i64::try_from(ejected).unwrap_or(i64::MAX));
        up > 0
    }

    /// An endpoint for a call of `caller` that those in `passed` did not take.
    ///
    /// # Errors
    /// Why there is none, for callers to be told at once.
    pub(super) fn choose(
        &self,
        caller: &SubsystemId,
        passed: &[Arc<Endpoint>],
    ) -> Result<(Arc<Endpoint>, BreakerPermit), Refusal> {
        let endpoints = self.endpoints();
        // One endpoint is the common case, and needs neither a list nor random numbers.
        if let ([only], []) = (endpoints.as_slice(), passed)
            && only.is_ready_for(caller)
            && let Some(permit) = only.enter(caller)
        {
            return Ok((Arc::clone(only), permit));
        }
        let fresh = |endpoint: &&Arc<Endpoint>| !passed.iter().any(|other| Arc::ptr_eq(other, endpoint));
        let ready: Vec<_> =
            endpoints.iter().filter(fresh).filter(|endpoint| endpoint.is_ready_for(caller)).collect();
        if !ready.is_empty() {
            let (one, other) = jitter::two_below(ready.len());
            let lighter = if ready[other].way.load() < ready[one].way.load() { other } else { one };
            let first = ready[lighter];
            // Someone else may be trying that one right now.
            let entered = std::iter::once(first)
                .chain(ready.iter().copied())
                .find_map(|endpoint| endpoint.enter(caller).map(|permit| (Arc::clone(endpoint), permit)));
            if let Some(chosen) = entered {
                return Ok(chosen);
            }
        }
        // One that rests says why, and costs nothing to ask.
        let resting = endpoints.iter().filter(fresh).filter(|endpoint| endpoint.is_serving());
        let resting = resting
            .filter_map(|endpoint| endpoint.enter(caller).map(|permit| (Arc::clone(endpoint), permit)));
        let mut resting = resting.take(1);
        resting.next().ok_or_else(|| {
            down(match endpoints.as_slice() {
                [] => "the registry names no endpoint, and no adapter has joined",
                all if all.iter().any(|endpoint| endpoint.is_ejected_for(caller)) => {
                    "no endpoint can take the call, and at least one circuit breaker is open"
                }
                _ => "no endpoint's health check says that it serves",
            })
        })
    }
}
