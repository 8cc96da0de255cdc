//! `LimitMetrics` are the metrics of limits that gateways share.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Figures of one gateway. Clones show the same figures.
#[derive(Clone, Debug)]
pub struct LimitMetrics {
    shared: Gauge,
    gateways: Gauge,
    commands: Family<OutcomeLabels, Counter>,
    own: Counter,
    waits: Counter,
}

/// How the sharing of limits stands.
#[derive(Clone, Copy, Debug)]
pub struct SharedLimits {
    /// Whether Redis answers.
    pub is_up: bool,
    /// Gateways among which the limits are shared.
    pub gateways: u32,
    /// Commands that Redis answered so far.
    pub answered: u64,
    /// Commands that failed so far.
    pub failed: u64,
    /// Calls admitted of the gateway's own share so far.
    pub own: u64,
    /// Calls that waited for Redis so far.
    pub waits: u64,
}

impl LimitMetrics {
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let shared = Gauge::default();
        let gateways = Gauge::default();
        let own = Counter::default();
        let waits = Counter::default();
        let commands = Family::<OutcomeLabels, Counter>::default();
        registry.register(
            "limits_shared",
            "1 if Redis answers and limits are shared, 0 if the gateway's own share of them decides",
            shared.clone(),
        );
        registry.register("limits_gateways", "Gateways that share the limits", gateways.clone());
        registry.register("limits_redis_commands", "Commands to Redis, by outcome", commands.clone());
        registry.register(
            "limits_own_share",
            "Calls that were admitted of the gateway's own share, because Redis did not answer",
            own.clone(),
        );
        registry.register(
            "limits_waits",
            "Calls that found no token leased ahead, and waited for Redis",
            waits.clone(),
        );
        Self { shared, gateways, commands, own, waits }
    }

    /// What was counted elsewhere.
    pub fn set(&self, limits: &SharedLimits) {
        self.shared.set(limits.is_up.into());
        self.gateways.set(limits.gateways.into());
        // `fetch_max`: a scrape that is overtaken by another must not set a counter back.
        for (outcome, count) in [("answered", limits.answered), ("failed", limits.failed)] {
            let counter = self.commands.get_or_create(&OutcomeLabels { outcome });
            counter.inner().fetch_max(count, Ordering::Relaxed);
        }
        self.own.inner().fetch_max(limits.own, Ordering::Relaxed);
        self.waits.inner().fetch_max(limits.waits, Ordering::Relaxed);
    }
}
