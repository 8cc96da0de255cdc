//! Whether services answer, as the gateway's health service says (`grpc.health.v1`). What it says is used for
//! ten seconds, and so is that it says nothing. It is for a badge, which warns and decides nothing.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use chapar_client::{CallMetadata, CallSpec, Client};
use parking_lot::Mutex;
use prost::Message;

const FRESH_FOR: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is known of services; of several the last of these that one of them has.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Health {
    Serving,
    /// The gateway said nothing in time.
    Unknown,
    NotServing,
}

/// By the service's name.
#[derive(Default)]
pub(super) struct HealthCache(Mutex<HashMap<String, (Instant, Health)>>);

/// `grpc.health.v1.HealthCheckRequest` and its answer, the fields that are used.
#[derive(Clone, PartialEq, Message)]
struct HealthRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthAnswer {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

impl HealthCache {
    /// The health of each of these services. Those that are not known are asked at once, and no lock is held
    /// meanwhile.
    pub(super) async fn of(&self, client: &Client, services: BTreeSet<&str>) -> HashMap<String, Health> {
        let mut health = HashMap::new();
        let mut unknown = Vec::new();
        {
            let mut cached = self.0.lock();
            cached.retain(|_, (at, _)| at.elapsed() < FRESH_FOR);
            for service in services {
                match cached.get(service) {
                    Some((_, known)) => _ = health.insert(service.to_owned(), *known),
                    None => unknown.push(service),
                }
            }
        }
        let asking = unknown.iter().map(|service| ask(client, service));
        let answers = futures_util::future::join_all(asking).await;
        let mut cached = self.0.lock();
        for (service, answer) in unknown.into_iter().zip(answers) {
            cached.insert(service.to_owned(), (Instant::now(), answer));
            health.insert(service.to_owned(), answer);
        }
        health
    }
}

async fn ask(client: &Client, service: &str) -> Health {
    let answer = check(client, service).await;
    match answer {
        Some(HealthAnswer { status: SERVING }) => Health::Serving,
        Some(_) => Health::NotServing,
        None => Health::Unknown,
    }
}

async fn check(client: &Client, service: &str) -> Option<HealthAnswer> {
    let method = "grpc.health.v1.Health/Check".parse().ok()?;
    let metadata = CallMetadata { timeout: Some(TIMEOUT), ..CallMetadata::default() };
    let request = HealthRequest { service: service.to_owned() }.encode_to_vec();
    let answer = client.call(&CallSpec { method, metadata }, request.into()).await.ok()?;
    HealthAnswer::decode(answer.message()?.clone()).ok()
}
