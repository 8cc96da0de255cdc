//! `Observed` is what a running gateway knows of itself beside its policy, for those who look: the metrics
//! page and `chapar.admin.v1`.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use chapar_evidence::LogStatus;
use chapar_limit::{GrantLimiter, QuotaKeeper, Shared, Usage};
use chapar_model::{GrantId, tehran};
use chapar_registry::Ending;
use chapar_telemetry::{GatewayState, Metrics, Telemetry};
use chapar_transport::serve::ConnectionSlots;
use chapar_transport::tls::{self, OwnCertificate, Shown};
use jiff::{Timestamp, Unit};

use crate::pipeline::Policy;
use crate::readiness::Readiness;
use crate::reload::Reloader;
use crate::witnessing::Witnessing;

/// How long a look at the certificate counts: the CAs and lists beside it may be large.
const CERTIFICATE_AGE: Duration = Duration::from_secs(10);
/// What ends within so many days counts as ending soon.
const ENDING_DAYS: i32 = 14;

/// `Observed` holds what a gateway observes of itself.
pub(crate) struct Observed {
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shared: Option<Arc<Shared>>,
    pub(crate) witnessing: Option<Arc<Witnessing>>,
    pub(crate) slots: ConnectionSlots,
    pub(crate) readiness: Readiness,
    /// Weak, because the reloader holds the policy, and the policy the service that holds this.
    pub(crate) reloader: Weak<Reloader>,
    pub(crate) started: Timestamp,
    pub(crate) certificate: CertificateLook,
}

/// The last look at the gateway's own certificate.
#[derive(Default)]
pub(crate) struct CertificateLook(tokio::sync::Mutex<Option<(Instant, Result<OwnCertificate, String>)>>);

/// Open connections of each kind.
pub(crate) struct Connections {
    pub(crate) callers: usize,
    pub(crate) adapters: usize,
}

/// The evidence log as of a moment.
pub(crate) struct LogState {
    pub(crate) log: LogStatus,
    /// When the last checkpoint was published; none before the first of this process.
    pub(crate) published: Option<Timestamp>,
    /// Since when there have been entries that it does not cover; none if it covers all.
    pub(crate) unsigned_since: Option<Timestamp>,
}

impl Observed {
    pub(crate) fn connections(&self, policy: &Policy) -> Connections {
        let adapters = policy.upstreams.joined();
        // Reverse connections of adapters share the listener's slots, so they are taken off to leave the
        // callers.
        Connections { callers: self.slots.connections().saturating_sub(adapters), adapters }
    }

    pub(crate) fn log(&self, now: Timestamp) -> LogState {
        let log = self.readiness.log.status();
        let before = |since: Option<Duration>| since.and_then(|since| now.checked_sub(since).ok());
        LogState { log, published: before(log.since_checkpoint), unsigned_since: before(log.unsigned_for) }
    }

    /// The gateway's own certificate as its file was at most 10 s ago; in an error, the sentence that names
    /// the file.
    pub(crate) async fn certificate(
        &self,
        reloader: Arc<Reloader>,
        now: Timestamp,
    ) -> Result<OwnCertificate, String> {
        let mut last = self.certificate.0.lock().await;
        if let Some((at, known)) = &*last
            && at.elapsed() < CERTIFICATE_AGE
        {
            return known.clone();
        }
        let seen = certificate(reloader, now).await;
        *last = Some((Instant::now(), seen.clone()));
        seen
    }

    /// The state for the metrics page.
    pub(crate) async fn state(&self, policy: &Policy, now: Timestamp) -> Option<GatewayState> {
        let reloader = self.reloader.upgrade()?;
        let LogState { log, published: _, unsigned_since } = self.log(now);
        let certificate = self.certificate(reloader, now).await;
        let endings = endings(policy, now).filter(|(days, _)| (0..=ENDING_DAYS).contains(days)).count();
        Some(GatewayState {
            is_ready: self.readiness.obstacle().is_none(),
            certificate_not_after: certificate.map_or(0, |own| own.not_after),
            entries: log.size,
            signed: log.covered,
            unsigned_since: unsigned_since.map(Timestamp::as_second).unwrap_or_default(),
            free: log.free,
            low_water: log.low_water,
            quotas_near_end: quotas_near_end(policy, now),
            endings: endings as u64,
        })
    }
}

async fn certificate(reloader: Arc<Reloader>, now: Timestamp) -> Result<OwnCertificate, String> {
    let read = move || {
        let files = &reloader.serving.identity;
        tls::own_certificate(files, Shown::OnBothSides, now).or_else(|error| {
            // CAs or lists that cannot be read are no fault of the certificate.
            let mut own = tls::own_certificate_alone(&files.cert, now)?;
            own.remarks.push(error.to_string());
            Ok::<_, chapar_transport::Error>(own)
        })
    };
    // Files are read, and a disk may be slow.
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// What ends, with the days from today in Tehran to its last day; negative for what has ended.
pub(crate) fn endings(policy: &Policy, now: Timestamp) -> impl Iterator<Item = (i32, Ending)> {
    let today = tehran::day(now);
    policy.registry.endings().into_iter().map(move |ending| {
        let span = today.until((Unit::Day, ending.valid.until)).map(|span| span.get_days());
        (span.unwrap_or(i32::MAX), ending)
    })
}

/// Use of a grant's limits and quotas at this gateway; nothing for a grant that it does not know.
pub(crate) fn usage(
    limiter: &GrantLimiter,
    quotas: &QuotaKeeper,
    grant: &GrantId,
    now: Timestamp,
) -> Option<Usage> {
    let mut usage = limiter.usage(grant)?;
    usage.limits.extend(quotas.usage(grant, now.as_millisecond().unsigned_abs()));
    Some(usage)
}

/// Quotas of which less than a tenth is left. A rate and concurrency come back within seconds, and being near
/// them is nothing to tell.
fn quotas_near_end(policy: &Policy, now: Timestamp) -> u64 {
    let grants = policy.registry.grants();
    let now_ms = now.as_millisecond().unsigned_abs();
    let quotas = grants.flat_map(|grant| policy.quotas.usage(&grant.id, now_ms));
    quotas.filter(|quota| quota.left.saturating_mul(10) < quota.most).count() as u64
}
