//! This module tells the status of a gateway: what it runs, what it sees of certificates, log, providers and
//! limits, and what it has counted.

use std::sync::Arc;

use chapar_limit::LimitUsage;
use chapar_registry::{Ending, Grant, ServiceEntry};
use chapar_transport::tls;
use jiff::Timestamp;
use tonic::Status;

use super::{Observe, pb};
use crate::observed::{self, Connections, LogState, Observed};
use crate::pipeline::Policy;
use crate::witnessing::{WitnessState, WitnessingState};

/// What ended at most so many days ago is in the list: someone may miss it.
const ENDED_DAYS: i32 = 30;
/// What ends within so many days is in the list.
const ENDING_DAYS: i32 = 60;

impl Observe {
    pub(super) async fn status(&self) -> Result<pb::GetStatusResponse, Status> {
        let observed = self.observed()?;
        let ending = || Status::unavailable("the gateway is ending");
        let reloader = observed.reloader.upgrade().ok_or_else(ending)?;
        // One policy for the whole answer, also if another one is put in force meanwhile.
        let policy = reloader.policy.load_full();
        policy.upstreams.refresh_figures();
        let now = self.clock.now();
        let log = observed.log(now);
        let certificate = observed.certificate(Arc::clone(&reloader), now).await;
        let not_ready = observed.readiness.obstacle().unwrap_or_default();
        let revocation = reloader.tls.revocation();
        let Connections { callers, adapters } = observed.connections(&policy);
        Ok(pb::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: observed.started.as_millisecond(),
            now_ms: now.as_millisecond(),
            is_ready: not_ready.is_empty(),
            not_ready: not_ready.to_owned(),
            registry_digest: policy.registry.digest().to_owned(),
            registry_tests: u32::try_from(policy.registry.tests()).unwrap_or(u32::MAX),
            certificate: Some(own(certificate)),
            revocation_lists: revocation.iter().map(|known| list(known, now.as_second())).collect(),
            evidence: Some(evidence(observed, &log)),
            services: policy.registry.services().map(|known| service(&policy, known)).collect(),
            grants: grants(&policy, now),
            calls: observed.metrics.calls_ended().into_iter().map(count).collect(),
            calls_in_flight: observed.metrics.in_flight.get().unsigned_abs(),
            caller_connections: callers as u64,
            adapter_connections: adapters as u64,
            handshakes_failed: observed.slots.handshakes_failed(),
            shared_limits: observed.shared.as_ref().map(|shared| {
                let usage = shared.usage();
                pb::SharedLimits { is_up: usage.is_up, gateways: u64::from(usage.replicas) }
            }),
            endings: endings(&policy, now),
        })
    }
}

fn count((method, outcome, count): (Arc<str>, &'static str, u64)) -> pb::CallCount {
    pb::CallCount { method: method.to_string(), outcome: outcome.to_owned(), count }
}

fn service(policy: &Policy, service: &Arc<ServiceEntry>) -> pb::ServiceStatus {
    let figures = policy.upstreams.metrics().service(&service.name);
    let name = policy.registry.member_name(&service.provider);
    let gauge = |gauge: &chapar_telemetry::Gauge| u64::try_from(gauge.get()).unwrap_or_default();
    pb::ServiceStatus {
        name: service.name.clone(),
        provider: service.provider.to_string(),
        provider_name_fa: name.map(|name| name.fa.clone()).unwrap_or_default(),
        provider_name_en: name.map(|name| name.en.clone()).unwrap_or_default(),
        up: gauge(&figures.up),
        ejected: gauge(&figures.ejected),
        waiting: gauge(&figures.waiting),
    }
}

fn grants(policy: &Policy, now: Timestamp) -> Vec<pb::GrantStatus> {
    let mut grants: Vec<_> = policy.registry.grants().map(|known| grant(policy, known, now)).collect();
    grants.sort_by(|a, b| a.id.cmp(&b.id));
    grants
}

fn grant(policy: &Policy, grant: &Grant, now: Timestamp) -> pb::GrantStatus {
    let usage = observed::usage(&policy.limiter, &policy.quotas, &grant.id, now);
    let (limits, admitted) = usage.map(|usage| (usage.limits, usage.admitted)).unwrap_or_default();
    let refused = limits.iter().map(|limit| limit.refused).sum();
    let limits = limits.into_iter().map(|LimitUsage { kind, limit, most, used, left, refused: _ }| {
        pb::LimitStatus { kind: kind.as_str().to_owned(), limit, most, used, left }
    });
    pb::GrantStatus {
        id: grant.id.to_string(),
        to: grant.to.to_string(),
        method: grant.method.to_string(),
        admitted,
        refused,
        limits: limits.collect(),
    }
}

/// What ends soon or has ended lately, by its last day.
fn endings(policy: &Policy, now: Timestamp) -> Vec<pb::Ending> {
    let near = observed::endings(policy, now).filter(|(days, _)| (-ENDED_DAYS..=ENDING_DAYS).contains(days));
    let mut endings: Vec<_> = near
        .map(|(days_left, Ending { what, whom, valid })| pb::Ending {
            what,
            whom,
            until: valid.until.to_string(),
            days_left,
        })
        .collect();
    endings.sort_by(|a, b| (a.days_left, &a.what).cmp(&(b.days_left, &b.what)));
    endings
}

fn own(certificate: Result<tls::OwnCertificate, String>) -> pb::Certificate {
    match certificate {
        Ok(own) => pb::Certificate {
            identity: own.identity.to_string(),
            not_after_s: own.not_after,
            is_usable: own.is_usable,
            remarks: own.remarks,
        },
        Err(error) => pb::Certificate { remarks: vec![error], ..Default::default() },
    }
}

fn list(known: &tls::Revocation, now: i64) -> pb::RevocationList {
    let next_update = match known {
        tls::Revocation::List { next_update, .. } => *next_update,
        tls::Revocation::NoList { .. } | tls::Revocation::NotChecked => 0,
    };
    pb::RevocationList {
        sentence: known.at(now).to_string(),
        is_sound: known.is_sound(now),
        next_update_s: next_update,
    }
}

fn evidence(observed: &Observed, LogState { log, published, unsigned_since }: &LogState) -> pb::EvidenceLog {
    pb::EvidenceLog {
        origin: observed.readiness.log.origin().to_owned(),
        size: log.size,
        checkpoint_size: log.covered,
        checkpoint_ms: published.map(Timestamp::as_millisecond).unwrap_or_default(),
        unsigned_since_ms: unsigned_since.map(Timestamp::as_millisecond).unwrap_or_default(),
        free_bytes: log.free,
        low_water_bytes: log.low_water,
        witnesses: observed.witnessing.as_ref().map(|witnessing| witnesses(witnessing.state())),
    }
}

fn witnesses(state: WitnessingState) -> pb::Witnesses {
    let one = |witness: WitnessState| pb::Witness {
        name: witness.name,
        url: witness.url,
        cosigned_size: witness.cosigned,
        cosigned_ms: witness.at.map(Timestamp::as_millisecond).unwrap_or_default(),
        problem: witness.problem.unwrap_or_default(),
    };
    pb::Witnesses {
        quorum: u32::try_from(state.quorum).unwrap_or(u32::MAX),
        cosigned_size: state.cosigned,
        uncosigned_since_ms: state.uncosigned_since.map(Timestamp::as_millisecond).unwrap_or_default(),
        grace_s: state.grace.map_or(0, |grace| i64::try_from(grace.as_secs()).unwrap_or(i64::MAX)),
        witnesses: state.witnesses.into_iter().map(one).collect(),
    }
}
