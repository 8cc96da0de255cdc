//! `PublishedMetrics` are the metrics of the methods that an adapter publishes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct MethodLabels {
    method: Arc<str>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct AnswerLabels {
    method: Arc<str>,
    completeness: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct FieldLabels {
    method: Arc<str>,
    field: Arc<str>,
}

/// Figures of all methods. Clones show the same figures.
#[derive(Clone, Debug)]
pub struct PublishedMetrics {
    open: Family<MethodLabels, Gauge>,
    /// Methods that `open` tells of.
    known: Arc<Mutex<BTreeSet<Arc<str>>>>,
    answers: Family<AnswerLabels, Counter>,
    records: Family<FieldLabels, Counter>,
    absent: Family<FieldLabels, Counter>,
}

impl PublishedMetrics {
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let open = Family::<MethodLabels, Gauge>::default();
        registry.register(
            "method_open",
            "1 if the method fits its database and is served, 0 if it is closed",
            open.clone(),
        );
        let answers = Family::<AnswerLabels, Counter>::default();
        let records = Family::<FieldLabels, Counter>::default();
        let absent = Family::<FieldLabels, Counter>::default();
        registry.register(
            "answers",
            "Answers by completeness: full, partial (a field is NULL), missing (no record), failed (by the \
             database)",
            answers.clone(),
        );
        registry.register("field_records", "Records of answers that were to have the field", records.clone());
        registry.register("field_absent", "Records of these in which it was NULL", absent.clone());
        Self { open, known: Arc::default(), answers, records, absent }
    }

    /// Which methods are open. Replaces what was told before.
    pub fn opened<'a>(&self, methods: impl Iterator<Item = (&'a str, bool)>) {
        let mut known = self.known.lock();
        let mut now = BTreeSet::<Arc<str>>::new();
        for (method, is_open) in methods {
            let method = Arc::<str>::from(method);
            self.open.get_or_create(&MethodLabels { method: Arc::clone(&method) }).set(is_open.into());
            now.insert(method);
        }
        // Removed one by one: a scrape at this moment must find every method that is still there.
        for gone in known.difference(&now) {
            self.open.remove(&MethodLabels { method: Arc::clone(gone) });
        }
        *known = now;
    }

    /// How many answers of a method there were so far, by completeness.
    pub fn answered(&self, method: &str, answers: [(&'static str, u64); 4]) {
        for (completeness, count) in answers {
            let labels = AnswerLabels { method: method.into(), completeness };
            raise(&self.answers.get_or_create(&labels), count);
        }
    }

    /// In how many records a field was to be so far, and in how many of these it was NULL.
    pub fn field(&self, method: &str, field: &str, records: u64, absent: u64) {
        let labels = FieldLabels { method: method.into(), field: field.into() };
        raise(&self.records.get_or_create(&labels), records);
        raise(&self.absent.get_or_create(&labels), absent);
    }
}

/// Sets a counter that is counted elsewhere.
fn raise(counter: &Counter, to: u64) {
    // `fetch_max`: a scrape that is overtaken by another must not set the counter back.
    counter.inner().fetch_max(to, Ordering::Relaxed);
}
