//! The adapters behind each service: a pool of connections per endpoint, each trusted only under the identities that the
//! registry names for the service, and the cap on calls that protects the agency's database.

mod outgoing;
mod place;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chapar_model::Reason;
use chapar_registry::{Registry, ServiceEntry};
use chapar_transport::dial::{self, Pool};
use chapar_transport::tls::{self, Expect};
use http::{Method, Request, Response};
use tokio::sync::Semaphore;

use crate::pipeline::RETRY;
use crate::refusal::Refusal;

pub(crate) use chapar_transport::dial::Incoming;
pub(crate) use outgoing::{BoxError, Outbound, Outgoing};
pub(crate) use place::{Outcome, Place};

/// Every service's way to its adapters.
pub(crate) struct Upstreams(HashMap<String, Upstream>);

struct Upstream {
    pools: Vec<Pool>,
    turn: AtomicUsize,
    places: Option<Arc<Semaphore>>,
}

impl Upstreams {
    /// Prepares the way to each service of the registry. Connects nothing yet.
    pub(crate) fn new(registry: &Registry, files: &tls::Files) -> Result<Self, dial::Error> {
        let service = |entry: &Arc<ServiceEntry>| Ok((entry.name.clone(), Upstream::new(entry, files)?));
        registry.services().map(service).collect::<Result<_, _>>().map(Self)
    }

    /// The ways after a reload: what did not change keeps its connections and what was learnt of it.
    pub(crate) fn next(&self, registry: &Registry, files: &tls::Files) -> Result<Self, dial::Error> {
        Self::new(registry, files)
    }

    /// Sends a call to the least troubled endpoint of its service and waits for the head of the answer.
    pub(crate) async fn call(&self, outbound: Outbound<'_>) -> Result<(Response<Incoming>, Place), Refusal> {
        let upstream = self.0.get(outbound.service).ok_or_else(|| down("the registry names no endpoint"))?;
        let place = upstream.place()?;
        let pool = upstream.pick().ok_or_else(|| down("the registry names no endpoint"))?;
        let mut request = Request::new(outbound.body);
        *request.method_mut() = Method::POST;
        *request.headers_mut() = outbound.headers;
        let response = pool.call(outbound.path, request).await.map_err(|error| down(error.to_string()))?;
        Ok((response, place))
    }

    /// Whether any endpoint of each service can be reached, by service. Connects to those that no call has connected yet, so
    /// that the first call finds its way open.
    pub(crate) async fn health(&self) -> Vec<(&str, bool)> {
        let ensured = self.0.values().flat_map(|upstream| &upstream.pools).map(Pool::ensure);
        // What cannot be reached shows below; the pool's back-off keeps this from being a storm.
        futures_util::future::join_all(ensured).await;
        self.0.iter().map(|(name, upstream)| (name.as_str(), upstream.pools.iter().any(Pool::is_up))).collect()
    }
}

impl Upstream {
    fn new(entry: &ServiceEntry, files: &tls::Files) -> Result<Self, dial::Error> {
        let tls = tls::client(files, Expect::Identities(entry.adapters.clone()))?;
        let pool = |endpoint: &String| Pool::new(endpoint, Arc::clone(&tls), dial::Settings::default());
        Ok(Self {
            pools: entry.endpoints.iter().map(pool).collect::<Result<_, _>>()?,
            turn: AtomicUsize::new(0),
            places: entry.concurrent.map(|most| Arc::new(Semaphore::new(most as usize))),
        })
    }

    fn place(&self) -> Result<Place, Refusal> {
        let busy =
            |_| Refusal::from(Reason::SourceBusy).retry_after(RETRY).because("the service's cap on concurrent calls");
        let permit = self.places.as_ref().map(|places| Arc::clone(places).try_acquire_owned().map_err(busy));
        Ok(Place { _permit: permit.transpose()? })
    }

    /// Endpoints in turn, those that are up first.
    fn pick(&self) -> Option<&Pool> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..self.pools.len()).map(|step| &self.pools[(turn.wrapping_add(step)) % self.pools.len()]);
        in_turn().find(|pool| pool.is_up()).or_else(|| in_turn().next())
    }
}

fn down(gate: impl Into<String>) -> Refusal {
    Refusal::from(Reason::AdapterUnavailable).retry_after(RETRY).because(gate)
}
