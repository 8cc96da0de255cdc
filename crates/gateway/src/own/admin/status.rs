//! This module gathers the status of a gateway: what it runs, what it sees of certificates, log, providers
//! and limits, and what it has counted.

use std::sync::{Arc, Weak};

use chapar_limit::{LimitUsage, Shared};
use chapar_model::tehran;
use chapar_registry::{Ending, Grant, ServiceEntry};
use chapar_telemetry::{Metrics, Telemetry};
use chapar_transport::serve::ConnectionSlots;
use chapar_transport::tls::{self, Shown};
use jiff::{Timestamp, Unit};
use tonic::Status;

use super::{Observe, pb};
use crate::readiness::Readiness;
use crate::reload::Reloader;

/// What ended so many days ago is still told: someone may miss it.
const ENDED_DAYS: i32 = 30;
/// What ends within so many days is told.
const ENDING_DAYS: i32 = 60;

/// `Observed` is what a gateway observes beside its policy.
pub(crate) struct Observed {
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shared: Option<Arc<Shared>>,
    pub(crate) slots: ConnectionSlots,
    pub(crate) readiness: Readiness,
    /// Weak, because the reloader holds the policy, and the policy the service that holds this.
    pub(crate) reloader: Weak<Reloader>,
    pub(crate) started: Timestamp,
}

impl Observe {
    pub(super) async fn status(&self) -> Result<pb::GetStatusResponse, Status> {
        let observed = self.observed()?;
        let ending = || Status::unavailable("the gateway is ending");
        let reloader = observed.reloader.upgrade().ok_or_else(ending)?;
        let now = self.clock.now();
        let not_ready = observed.readiness.obstacle().unwrap_or_default();
        let revocation = reloader.tls.revocation();
        let adapters = reloader.policy.load().upstreams.joined();
        // Reverse connections of adapters share the listener's slots, so they are taken off to leave the
        // callers.
        let callers = observed.slots.connections().saturating_sub(adapters);
        let calls = observed.metrics.calls_ended().into_iter();
        Ok(pb::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: observed.started.as_millisecond(),
            now_ms: now.as_millisecond(),
            is_ready: not_ready.is_empty(),
            not_ready: not_ready.to_owned(),
            registry_digest: self.registry.digest().to_owned(),
            registry_tests: u32::try_from(self.registry.tests()).unwrap_or(u32::MAX),
            certificate: Some(certificate(Arc::clone(&reloader), now).await),
            revocation_lists: revocation.iter().map(|known| list(known, now.as_second())).collect(),
            evidence: Some(evidence(observed, now).await?),
            services: self.registry.services().map(|service| self.service(&reloader, service)).collect(),
            grants: self.grants(now),
            calls: calls
                .map(|(method, outcome, count)| pb::CallCount {
                    method: method.to_string(),
                    outcome: outcome.to_owned(),
                    count,
                })
                .collect(),
            calls_in_flight: observed.metrics.in_flight.get().unsigned_abs(),
            caller_connections: callers as u64,
            adapter_connections: adapters as u64,
            handshakes_failed: observed.slots.handshakes_failed(),
            shared_limits: observed.shared.as_ref().map(|shared| {
                let usage = shared.usage();
                pb::SharedLimits { is_up: usage.is_up, gateways: u64::from(usage.replicas) }
            }),
            endings: self.endings(now),
        })
    }

    fn service(&self, reloader: &Reloader, service: &Arc<ServiceEntry>) -> pb::ServiceStatus {
        let figures = reloader.policy.load().upstreams.metrics().service(&service.name);
        let name = self.registry.member_name(&service.provider);
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

    fn grants(&self, now: Timestamp) -> Vec<pb::GrantStatus> {
        let mut grants: Vec<_> = self.registry.grants().map(|grant| self.grant(grant, now)).collect();
        grants.sort_by(|a, b| a.id.cmp(&b.id));
        grants
    }

    fn grant(&self, grant: &Grant, now: Timestamp) -> pb::GrantStatus {
        let usage = self.limiter.usage(&grant.id);
        let (mut limits, admitted) = usage.map(|usage| (usage.limits, usage.admitted)).unwrap_or_default();
        limits.extend(self.quotas.usage(&grant.id, now.as_millisecond().unsigned_abs()));
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
    fn endings(&self, now: Timestamp) -> Vec<pb::Ending> {
        let today = tehran::day(now);
        let days_left = |ending: &Ending| {
            let span = today.until((Unit::Day, ending.valid.until)).map(|span| span.get_days());
            span.unwrap_or(i32::MAX)
        };
        let mut endings: Vec<_> = self
            .registry
            .endings()
            .into_iter()
            .map(|ending| (days_left(&ending), ending))
            .filter(|(days, _)| (-ENDED_DAYS..=ENDING_DAYS).contains(days))
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
}

/// The gateway's own certificate, read from its file.
async fn certificate(reloader: Arc<Reloader>, now: Timestamp) -> pb::Certificate {
    let read = move || tls::own_certificate(&reloader.serving.identity, Shown::OnBothSides, now);
    // A file is read, and a disk may be slow.
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(own)) => pb::Certificate {
            identity: own.identity.to_string(),
            not_after_s: own.not_after,
            is_usable: own.is_usable,
            remarks: own.remarks,
        },
        Ok(Err(error)) => pb::Certificate { remarks: vec![error.to_string()], ..Default::default() },
        Err(_) => pb::Certificate::default(),
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

async fn evidence(observed: &Observed, now: Timestamp) -> Result<pb::EvidenceLog, Status> {
    let log = &observed.readiness.log;
    let status = log.status().await.map_err(|_| Status::unavailable("the evidence log cannot answer"))?;
    let published = status.since_checkpoint.and_then(|since| now.checked_sub(since).ok());
    Ok(pb::EvidenceLog {
        origin: log.origin().to_owned(),
        size: status.size,
        checkpoint_size: status.covered,
        checkpoint_ms: published.map(Timestamp::as_millisecond).unwrap_or_default(),
        free_bytes: status.free,
        low_water_bytes: status.low_water,
    })
}
