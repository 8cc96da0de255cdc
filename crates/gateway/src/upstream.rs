//! Upstreams reach the providers of each service: endpoints that the registry names, and adapters that
//! connected to the gateway. Both are trusted only under the identities that the registry names for the
//! service. A call goes to a working, less loaded endpoint, and is retried where that is safe. Circuit
//! breakers, retry budgets and concurrency limits are per service, so that one service's failures do not
//! affect another's calls.

mod blame;
mod breaker;
mod budget;
mod endpoint;
mod fingerprint;
mod joined;
mod permit;
mod request;
mod service;
mod service_queue;
mod unavailable;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_model::Identity;
use chapar_registry::{Registry, ServiceEntry};
use chapar_telemetry::UpstreamMetrics;
use chapar_transport::dial::{self, Incoming, Pool, jitter};
use chapar_transport::serve::Reversed;
use chapar_transport::tls::{self, Expect, ListsSeen, Party};
use http::{HeaderMap, Method, Request, Response};

use crate::refusal::Refusal;
use blame::Blame;
use endpoint::{Connection, Endpoint};
use fingerprint::Fingerprint;
use joined::{Joined, Known};
use permit::UpstreamAttempt;
use service::Service;
use unavailable::{down, refused};

pub(crate) use blame::ExchangeEnd;
pub(crate) use permit::UpstreamPermit;
pub(crate) use request::{BoxError, RequestBody, UpstreamRequest};

/// How often a call is sent, the first time included.
const MAX_ATTEMPTS: usize = 3;
/// Before a call is sent to the same endpoint again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Takes in a connection on which the other end serves.
pub(crate) type Acceptor = Arc<dyn Fn(Reversed) + Send + Sync>;

/// Every service's way to its adapters.
pub(crate) struct Upstreams {
    services: HashMap<String, Service>,
    joined: Arc<Joined>,
    known: Arc<Known>,
    settings: dial::Settings,
    identity: Fingerprint,
    /// So that no endpoint is held to older revocation lists than before.
    lists: ListsSeen,
    metrics: UpstreamMetrics,
}

impl Upstreams {
    /// Prepares the way to each service of the registry. Connects nothing yet.
    pub(crate) fn new(registry: &Registry, files: &tls::Files) -> Result<Self, dial::Error> {
        Self::configured(registry, files, dial::Settings { per_thread: true, ..dial::Settings::default() })
    }

    /// The same with other settings of connections.
    pub(crate) fn configured(
        registry: &Registry,
        files: &tls::Files,
        settings: dial::Settings,
    ) -> Result<Self, dial::Error> {
        let known = Arc::new(joined::known(registry));
        let joined = Arc::new(Joined::new(Arc::clone(&known), settings.clone()));
        let identity = Fingerprint::of(files)?;
        let empty = Self {
            services: HashMap::new(),
            joined,
            known,
            settings,
            identity,
            lists: ListsSeen::default(),
            metrics: UpstreamMetrics::default(),
        };
        empty.next(registry, files)
    }

    /// The upstreams after a reload. Unchanged endpoints keep their connections and breaker state.
    pub(crate) fn next(&self, registry: &Registry, files: &tls::Files) -> Result<Self, dial::Error> {
        let identity = Fingerprint::of(files)?;
        // With a new certificate, open connections would go on to show the old one, so they are not kept.
        let same = identity == self.identity;
        let service = |entry: &Arc<ServiceEntry>| {
            let service = self.service(registry, entry, files, same)?;
            Ok((entry.name.clone(), service))
        };
        Ok(Self {
            services: registry.services().map(service).collect::<Result<_, dial::Error>>()?,
            joined: Arc::clone(&self.joined),
            known: Arc::new(joined::known(registry)),
            settings: self.settings.clone(),
            identity,
            lists: self.lists.clone(),
            metrics: self.metrics.clone(),
        })
    }

    fn service(
        &self,
        registry: &Registry,
        entry: &ServiceEntry,
        files: &tls::Files,
        same: bool,
    ) -> Result<Service, dial::Error> {
        let before = self.services.get(&entry.name);
        let figures = Arc::new(self.metrics.service(&entry.name));
        // Whoever is dialled is held to what those who dial are: an identity, and the CAs that may speak for
        // its member.
        let issuers = |identity: &Identity| registry.issuers(identity).to_vec();
        // The parties are part of the comparison in `dialled`: a connection that was authenticated as someone
        // else now must not be kept.
        let party = |identity: &Identity| Party { identity: identity.clone(), issuers: issuers(identity) };
        let parties: Vec<Party> = entry.adapters.iter().map(party).collect();
        let tls = tls::client_remembering(files, Expect::Parties(parties.clone()), &self.lists)?.config;
        let dialled = entry.endpoints.iter().map(|url| {
            let kept = before.filter(|_| same).and_then(|before| before.dialled(url, &parties));
            let endpoint = match kept {
                Some(endpoint) => endpoint,
                None => {
                    let pool = Pool::new(url, Arc::clone(&tls), self.settings.clone())?;
                    Arc::new(Endpoint::new(Connection::Dialled(pool), &entry.name, Arc::clone(&figures)))
                }
            };
            Ok((url.clone(), endpoint))
        });
        let dialled = dialled.collect::<Result<_, dial::Error>>()?;
        Ok(Service::new(entry, parties, dialled, &self.joined, figures, before))
    }

    /// Connections that adapters made.
    pub(crate) fn joined(&self) -> usize {
        self.joined.count()
    }

    /// Whether a service that only adapters who dial can answer has none yet.
    pub(crate) fn waits_for_adapters(&self) -> bool {
        self.services.values().any(Service::waits_for_adapters)
    }

    /// Figures of all generations, to be shown.
    pub(crate) fn metrics(&self) -> &UpstreamMetrics {
        &self.metrics
    }

    /// Brings the figures of endpoints up to date. `health` does so every 250 ms, and whoever looks in
    /// between would see an adapter that has just joined as absent.
    pub(crate) fn refresh_figures(&self) {
        for service in self.services.values() {
            service.is_up();
        }
    }

    /// What takes in the connections that adapters make, for as long as the gateway runs: by the registry of
    /// whichever generation was asked for its health last.
    pub(crate) fn reverse_acceptor(&self) -> Acceptor {
        let joined = Arc::clone(&self.joined);
        Arc::new(move |reversed| drop(tokio::spawn(Arc::clone(&joined).accept(reversed))))
    }

    /// Sends a call to an endpoint of its service and waits for the head of the answer.
    ///
    /// It is sent again if no endpoint has touched it, or if it may run twice and no answer began, as long as
    /// the service's budget lasts; a body that is produced as it goes, only while nothing of it has left.
    pub(crate) async fn call(
        &self,
        request: UpstreamRequest<'_>,
    ) -> Result<(Response<Incoming>, UpstreamPermit), Refusal> {
        let UpstreamRequest {
            service,
            path,
            caller,
            deadline,
            full_time,
            idempotent,
            headers,
            stopped,
            mut body,
        } = request;
        let nowhere = || down("the registry names no endpoint");
        let service = self.services.get(service).ok_or_else(nowhere)?;
        let route = service.route(path.as_str()).ok_or_else(nowhere)?;
        // The service's permit is taken once for all attempts, so that a retry does not wait in the queue
        // again.
        let place = service.place(caller, deadline).await?;
        service.budget.earn();
        // A provider that said nothing until then is late, unless the caller gave it less time than the
        // contract does.
        let due = full_time.then_some(deadline);
        let mut passed: Vec<Arc<Endpoint>> = Vec::new();
        let mut refusal = None;
        // Right after a restart the adapters that dial are still on their way, and a call should not fail for
        // that.
        if service.endpoints().is_empty() {
            self.joined.wait_for(|| !service.endpoints().is_empty(), deadline).await;
        }
        for attempt in 1..=MAX_ATTEMPTS {
            let (endpoint, permit) = match service.choose(caller, &passed) {
                Ok(chosen) => chosen,
                // What the last one said is more to the point than that there is no other.
                Err(none) => return Err(refusal.unwrap_or(none)),
            };
            let whole = body.whole();
            // Made before the connection is awaited, so that the breaker hears of a call that is dropped
            // during that wait.
            let mut trying = UpstreamAttempt::new(
                Arc::clone(&endpoint),
                caller.clone(),
                permit,
                due.filter(|_| whole.is_some()),
            );
            let slot = match endpoint.way.reserve_stream(caller).await {
                Ok(slot) => slot,
                Err(error) => {
                    trying.never_arrived();
                    refusal = Some(refused(&error));
                    passed.push(endpoint);
                    continue;
                }
            };
            let error = match slot.send(route.path.clone(), head(headers()?), body, route.reading).await {
                Ok(response) => {
                    trying.answered();
                    return Ok((response, UpstreamPermit::new(place, trying)));
                }
                Err((error, unsent)) => {
                    let touched = error.may_have_been_processed();
                    let blame = match touched {
                        true => trying.ended(&ExchangeEnd::Broken { was_stopped: (stopped)() }),
                        false => {
                            trying.never_arrived();
                            Blame::Nobody
                        }
                    };
                    let again = match (unsent, whole) {
                        // What this side ended is not begun again.
                        _ if blame == Blame::Caller => None,
                        (Some(unsent), _) => Some(unsent),
                        // A request that the provider may have read is sent again only if its method may run
                        // twice.
                        (None, Some(whole)) if !touched || idempotent => Some(RequestBody::Whole(whole)),
                        _ => None,
                    };
                    refusal = Some(refused(&error));
                    let Some(again) = again.filter(|_| attempt < MAX_ATTEMPTS && Instant::now() < deadline)
                    else {
                        break;
                    };
                    body = again;
                    error
                }
            };
            // What no one has touched costs a provider nothing, unless it said that it has too much to do.
            if (error.may_have_been_processed() || error.was_refused()) && !service.budget.spend() {
                break;
            }
            // Another endpoint is tried at once, since its state says nothing about this one. The same
            // endpoint gets a pause.
            service.figures.retries.inc();
            if service.endpoints().len() > passed.len() + 1 {
                passed.push(endpoint);
            } else if attempt > 1 {
                tokio::time::sleep(RETRY_PAUSE.mul_f64(jitter::half_to_one())).await;
            }
        }
        Err(refusal.unwrap_or_else(nowhere))
    }

    /// Whether any endpoint of each service can be reached and says that it serves, by service. Connects to
    /// those that no call has connected yet, so that the first call finds its way open; holds adapters that
    /// joined to what this registry says.
    pub(crate) async fn health(&self) -> Vec<(&str, bool)> {
        // Members are held to the registry here, which `health::watch` runs every 250 ms, so that no call has
        // to do it.
        self.joined.hold_to(&self.known);
        let mut ensured = Vec::new();
        for service in self.services.values() {
            for endpoint in service.endpoints().iter() {
                watch::start(endpoint, &service.name);
                ensured.push(Arc::clone(endpoint));
            }
        }
        // What cannot be reached shows below; the pool's back-off keeps this from being a storm.
        futures_util::future::join_all(ensured.iter().map(|endpoint| async {
            if let Connection::Dialled(pool) = &endpoint.way {
                pool.ensure().await.ok();
            }
        }))
        .await;
        self.services.iter().map(|(name, service)| (name.as_str(), service.is_up())).collect()
    }
}

fn head(headers: HeaderMap) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = Method::POST;
    *head.headers_mut() = headers;
    head
}
