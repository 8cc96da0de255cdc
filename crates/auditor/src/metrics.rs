//! The auditor's metrics: how far it is, what it alarms about, what its rules found.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::index::{AlarmKind, Index, IndexError};
use crate::rules;

/// The media type of [`Metrics::encode`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct LogLabels {
    log: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct AlarmLabels {
    log: String,
    kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RuleLabels {
    rule: &'static str,
}

/// All metrics of an auditor.
pub(crate) struct Metrics {
    registry: Registry,
    verified: Family<LogLabels, Gauge>,
    alarms: Family<AlarmLabels, Gauge>,
    findings: Family<RuleLabels, Counter>,
    /// What has been counted of findings, which are in the index.
    counted: Mutex<()>,
    logs: Vec<String>,
}

/// Those of one log.
#[derive(Clone)]
pub(crate) struct LogMetrics {
    verified: Gauge,
}

impl LogMetrics {
    /// So many entries have been verified.
    pub(crate) fn verified(&self, size: u64) {
        self.verified.set(i64::try_from(size).unwrap_or(i64::MAX));
    }
}

impl Metrics {
    pub(crate) fn new(logs: Vec<String>) -> Self {
        let mut registry = Registry::with_prefix("chapar_auditor");
        let verified = Family::<LogLabels, Gauge>::default();
        let alarms = Family::<AlarmLabels, Gauge>::default();
        let findings = Family::<RuleLabels, Counter>::default();
        registry.register("verified_entries", "Entries of a log that have been verified", verified.clone());
        registry.register("alarms", "1 if an alarm of this kind is open for the log", alarms.clone());
        registry.register("findings", "What the rules have found", findings.clone());
        Self { registry, verified, alarms, findings, counted: Mutex::default(), logs }
    }

    pub(crate) fn of_log(&self, log: &str) -> LogMetrics {
        LogMetrics { verified: self.verified.get_or_create(&LogLabels { log: log.to_owned() }).clone() }
    }

    /// All metrics in the OpenMetrics text format, as the index has them now.
    pub(crate) fn encode(&self, index: &Arc<Index>) -> Result<String, IndexError> {
        let open = index.alarms(false)?;
        for log in &self.logs {
            for kind in AlarmKind::ALL {
                let is_open = open.iter().any(|alarm| alarm.log == *log && alarm.kind == kind.as_str());
                let labels = AlarmLabels { log: log.clone(), kind: kind.as_str() };
                self.alarms.get_or_create(&labels).set(is_open.into());
            }
        }
        let found = index.findings_by_rule()?;
        {
            // Of two scrapes at once the second adds only what is new since the first.
            let _counted = self.counted.lock();
            for rule in rules::NAMES {
                let counter = self.findings.get_or_create(&RuleLabels { rule }).clone();
                let total = found.get(rule).copied().unwrap_or_default();
                counter.inc_by(total.saturating_sub(counter.get()));
            }
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        encode(&mut text, &self.registry).ok();
        Ok(text)
    }
}
