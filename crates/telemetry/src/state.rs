//! `StateMetrics` are gauges of a gateway's state, as they are at a scrape: readiness, certificate, evidence
//! log, what ends or is spent soon.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Figures of one gateway. Clones show the same figures.
#[derive(Clone, Debug)]
pub struct StateMetrics {
    ready: Gauge,
    certificate: Gauge,
    entries: Gauge,
    signed: Gauge,
    unsigned_since: Gauge,
    free: Gauge,
    low_water: Gauge,
    quotas: Gauge,
    endings: Gauge,
}

/// The state of a gateway.
#[derive(Clone, Copy, Debug)]
pub struct GatewayState {
    /// Whether it takes calls.
    pub is_ready: bool,
    /// End of its certificate, in seconds since the Unix epoch; 0 if the file cannot be read.
    pub certificate_not_after: i64,
    /// Durable entries of its evidence log.
    pub entries: u64,
    /// Those that its last checkpoint covers.
    pub signed: u64,
    /// Since when there have been entries beyond those, in seconds since the Unix epoch; 0 if there are none.
    pub unsigned_since: i64,
    /// Bytes free on the log's disk; none if the disk does not say.
    pub free: Option<u64>,
    /// Bytes below which no call is taken.
    pub low_water: u64,
    /// Quotas of which less than a tenth is left.
    pub quotas_near_end: u64,
    /// Grants, delegations and licences that end within 14 days.
    pub endings: u64,
}

impl StateMetrics {
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let mut gauge = |name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            ready: gauge("ready", "1 if calls can be answered, as /readyz says"),
            certificate: gauge(
                "certificate_not_after_timestamp_seconds",
                "When the gateway's own certificate ends; 0 if its file cannot be read",
            ),
            entries: gauge("evidence_entries", "Durable entries of the evidence log"),
            signed: gauge("evidence_signed_entries", "Entries that the last checkpoint covers"),
            unsigned_since: gauge(
                "evidence_unsigned_since_timestamp_seconds",
                "Since when there have been entries that no checkpoint covers; 0 if there are none",
            ),
            free: gauge(
                "evidence_disk_free_bytes",
                "Bytes free on the evidence log's disk; -1 if it does not say",
            ),
            low_water: gauge("evidence_low_water_bytes", "Free bytes below which no call is taken"),
            quotas: gauge("quotas_near_end", "Quotas of which less than a tenth is left"),
            endings: gauge("registry_endings", "Grants, delegations and licences that end within 14 days"),
        }
    }

    /// The state as of now.
    pub fn set(&self, state: &GatewayState) {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.ready.set(state.is_ready.into());
        self.certificate.set(state.certificate_not_after);
        self.entries.set(signed(state.entries));
        self.signed.set(signed(state.signed));
        self.unsigned_since.set(state.unsigned_since);
        self.free.set(state.free.map_or(-1, signed));
        self.low_water.set(signed(state.low_water));
        self.quotas.set(signed(state.quotas_near_end));
        self.endings.set(signed(state.endings));
    }
}
