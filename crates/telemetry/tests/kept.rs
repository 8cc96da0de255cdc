//! These tests hold what a full store of traces keeps: cheap calls push out no other, and each call in a list
//! has its trace.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use chapar_model::Reason;
use chapar_telemetry::{CallFilter, Config, Origin, Telemetry, TraceStore, Tracer};

const PERSON: &str = "civil.v1.CivilRegistry/GetPerson";

struct Kept {
    store: TraceStore,
    tracer: Tracer,
}

impl Kept {
    fn new(keep: usize) -> Self {
        let config = Config { service_name: "gateway".to_owned(), keep_traces: keep, ..Config::default() };
        let telemetry = Telemetry::new(config).unwrap();
        Self { store: telemetry.traces(), tracer: telemetry.tracer("test") }
    }

    /// A call that ended; its trace id.
    fn call(&self, method: &str, refused: Option<Reason>) -> String {
        let mut span = self.tracer.server(&method.parse().unwrap(), Origin::Root);
        let id = span.context().trace_id().to_string();
        match refused {
            Some(reason) => span.refused(reason),
            None => span.answered(),
        }
        id
    }

    fn listed(&self) -> Vec<String> {
        let calls = self.store.calls(&CallFilter::default(), 100);
        calls.iter().map(|call| call.trace_id.clone()).collect()
    }

    /// The listed calls, each of which has its trace.
    fn assert_whole(&self) {
        for id in self.listed() {
            assert!(self.store.find(&id).is_some(), "{id} is listed and has no trace");
        }
    }
}

#[test]
fn refused_calls_and_those_of_own_services_push_out_no_other_and_each_listed_call_has_its_trace() {
    let kept = Kept::new(4);
    let answered: Vec<String> = (0..4).map(|_| kept.call(PERSON, None)).collect();
    for _ in 0..20 {
        kept.call(PERSON, Some(Reason::NotGranted));
        kept.call("chapar.meta.v1.Meta/WhoAmI", None);
        kept.assert_whole();
    }
    let listed = kept.listed();
    assert!(answered.iter().all(|id| listed.contains(id) && kept.store.find(id).is_some()));
    assert_eq!((listed.len(), kept.store.kept(), kept.store.most_calls()), (6, 6, 6));
    assert_eq!(kept.store.recent(6).len(), 6, "all that are kept are given");

    // Those that an agency answered make room for one another, the oldest first.
    let newest = kept.call(PERSON, None);
    assert!(kept.store.find(&newest).is_some() && kept.store.find(&answered[0]).is_none());
    kept.assert_whole();
}

#[test]
fn refused_parts_make_no_inquiry_a_refused_one() {
    let kept = Kept::new(2);
    let inquiry = "chapar.inquiry.v1.Inquiry/Ask".parse().unwrap();
    let mut whole = kept.tracer.server(&inquiry, Origin::Root);
    for _ in 0..3 {
        let mut part = kept.tracer.server(&PERSON.parse().unwrap(), Origin::Child(whole.context()));
        part.refused(Reason::RecordNotFound);
    }
    let id = whole.context().trace_id().to_string();
    whole.answered();
    drop(whole);
    for _ in 0..5 {
        kept.call(PERSON, Some(Reason::NotGranted));
    }
    assert_eq!(kept.store.find(&id).unwrap().spans.len(), 4);
    assert_eq!(kept.store.recent(10).iter().filter(|trace| trace.trace_id == id).count(), 1);
}

#[test]
fn looking_is_not_kept_but_a_refused_look_is() {
    let kept = Kept::new(4);
    kept.call("chapar.admin.v1.Observe/GetStatus", None);
    assert!(kept.listed().is_empty());
    kept.call("chapar.admin.v1.Observe/GetStatus", Some(Reason::Suspended));
    assert_eq!(kept.listed().len(), 1);
}

#[test]
fn a_store_of_nothing_keeps_nothing() {
    let kept = Kept::new(0);
    kept.call(PERSON, None);
    assert_eq!((kept.store.kept(), kept.store.most_calls(), kept.store.recent(5).len()), (0, 0, 0));
}
