//! `WitnessMetrics` are the metrics of a log's witnesses, as they are at a scrape.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct WitnessLabels {
    witness: String,
}

/// Figures of one gateway whose log has witnesses. Clones show the same figures.
#[derive(Clone, Debug)]
pub struct WitnessMetrics {
    cosigned: Gauge,
    uncosigned_since: Gauge,
    up: Family<WitnessLabels, Gauge>,
}

/// How a log stands with its witnesses.
#[derive(Clone, Debug)]
pub struct WitnessesState {
    /// Entries that the newest cosigned checkpoint covers.
    pub cosigned: u64,
    /// Since when there have been signed entries beyond those, in seconds since the Unix epoch; 0 if there
    /// are none.
    pub uncosigned_since: i64,
    /// Each witness by its name, and whether it cosigned the last checkpoint that it was asked for.
    pub witnesses: Vec<(String, bool)>,
}

impl WitnessMetrics {
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let (cosigned, uncosigned_since) = (Gauge::default(), Gauge::default());
        let up = Family::<WitnessLabels, Gauge>::default();
        registry.register(
            "evidence_cosigned_entries",
            "Entries that the newest checkpoint covers which the quorum of witnesses cosigned",
            cosigned.clone(),
        );
        registry.register(
            "evidence_uncosigned_since_timestamp_seconds",
            "Since when there have been signed entries that no cosigned checkpoint covers; 0 if there are none",
            uncosigned_since.clone(),
        );
        registry.register(
            "evidence_witness_up",
            "0 if the witness did not cosign the last checkpoint that it was asked for",
            up.clone(),
        );
        Self { cosigned, uncosigned_since, up }
    }

    /// The state as of now.
    pub fn set(&self, state: &WitnessesState) {
        self.cosigned.set(i64::try_from(state.cosigned).unwrap_or(i64::MAX));
        self.uncosigned_since.set(state.uncosigned_since);
        for (witness, is_up) in &state.witnesses {
            self.up.get_or_create(&WitnessLabels { witness: witness.clone() }).set((*is_up).into());
        }
    }
}
