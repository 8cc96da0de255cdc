//! `EvidenceMetrics` are the metrics of an evidence log.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds in seconds: from a battery-backed disk to one that is about to fail.
const SYNC_BUCKETS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];
/// Upper bounds in records per group commit.
const BATCH_BUCKETS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Figures of one evidence log.
#[derive(Debug)]
pub struct EvidenceMetrics {
    records: Counter,
    sync: Histogram,
    batch: Histogram,
}

impl EvidenceMetrics {
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let records = Counter::default();
        let sync = Histogram::new(SYNC_BUCKETS);
        let batch = Histogram::new(BATCH_BUCKETS);
        registry.register("evidence_records", "Evidence records made durable", records.clone());
        registry.register("evidence_sync_seconds", "One fdatasync of the evidence log", sync.clone());
        registry.register("evidence_batch_records", "Records per fdatasync", batch.clone());
        Self { records, sync, batch }
    }

    /// One commit of the log: its records, and how long the disk took.
    pub fn committed(&self, records: usize, took: Duration) {
        self.records.inc_by(records as u64);
        self.batch.observe(records as f64);
        self.sync.observe(took.as_secs_f64());
    }
}
