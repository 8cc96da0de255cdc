//! Tests that operators see the state of a gateway and its last calls, and that no one else does.

use std::time::Duration;

use chapar_client::{CallError, Client, TraceFilter, TraceId};
use chapar_tests::operator::OPERATIONS;
use chapar_tests::people::ZAHRA;
use chapar_tests::{Bus, until_some};

fn reason(error: CallError) -> String {
    match error {
        CallError::Refused(refusal) => refusal.reason.clone(),
        other => panic!("{other}"),
    }
}

/// What `poll` gives within 5 s.
async fn soon<T>(what: &str, poll: impl AsyncFnMut() -> Option<T>) -> T {
    until_some(what, Duration::from_secs(5), poll, String::new).await
}

/// The calls that fit, once there are `n`: a span ends a little after its call.
async fn calls(operator: &Client, filter: TraceFilter, n: usize) -> Vec<chapar_client::CallSummary> {
    soon("the traces", async || {
        Some(operator.traces(&filter).await.unwrap().calls).filter(|calls| calls.len() == n)
    })
    .await
}

#[tokio::test]
async fn whom_the_registry_names_no_operator_sees_nothing_of_the_gateway() {
    let bus = Bus::builder().with_operator().start().await;
    let welfare = bus.client("gov/welfare/benefits");
    assert_eq!(reason(welfare.status().await.unwrap_err()), "NOT_GRANTED");
    assert_eq!(reason(welfare.traces(&TraceFilter::default()).await.unwrap_err()), "NOT_GRANTED");
    assert_eq!(reason(welfare.trace(TraceId::Call("x")).await.unwrap_err()), "NOT_GRANTED");

    // Reflection shows the service to operators alone.
    const OBSERVE: &str = "chapar.admin.v1.Observe";
    let agency = bus.welfare().await;
    assert!(!agency.services().await.contains(&OBSERVE.to_owned()));
    assert!(agency.reflect(OBSERVE).await.is_err());
    let operations = bus.caller(OPERATIONS).await;
    assert!(operations.services().await.contains(&OBSERVE.to_owned()));
    assert_eq!(operations.reflect(OBSERVE).await.unwrap(), ["GetStatus", "ListTraces", "GetTrace"]);
}

#[tokio::test]
async fn an_operator_has_no_right_to_a_record_by_being_one() {
    let bus = Bus::builder().with_operator().start().await;
    let operations = bus.caller(OPERATIONS).await;
    let refused = operations.get_person(ZAHRA).send().await.unwrap_err();
    assert_eq!(refused.reason, "NOT_GRANTED");
}

#[tokio::test]
async fn a_role_that_is_taken_away_is_gone_at_the_next_question() {
    let bus = Bus::builder().with_operator().start().await;
    let operator = bus.client(OPERATIONS);
    assert!(operator.status().await.is_ok());
    bus.edit_registry("bus.toml", |text| text.split("\n[[operator]]").next().unwrap().to_owned());
    assert_eq!(bus.reload().await, "reloaded\n");
    assert_eq!(reason(operator.status().await.unwrap_err()), "NOT_GRANTED");
}

#[tokio::test]
async fn the_status_counts_what_was_called_recorded_and_refused() {
    let bus = Bus::builder().with_operator().start().await;
    let welfare = bus.welfare().await;
    welfare.get_person(ZAHRA).send().await.unwrap();
    welfare.get_person(ZAHRA).purpose("loan.farm").send().await.unwrap_err();
    let operator = bus.client(OPERATIONS);
    let status = soon("both records", async || {
        Some(operator.status().await.unwrap()).filter(|status| {
            status.evidence.as_ref().is_some_and(|log| log.size == 2 && log.checkpoint_size == 2)
        })
    })
    .await;

    assert!(status.is_ready, "{}", status.not_ready);
    let count = |outcome: &str| {
        let of = |call: &&chapar_client::CallCount| {
            call.method == "civil.v1.CivilRegistry/GetPerson" && call.outcome == outcome
        };
        status.calls.iter().find(of).map_or(0, |call| call.count)
    };
    assert_eq!((count("OK"), count("PURPOSE_NOT_GRANTED"), count("RATE_LIMITED")), (1, 1, 0));
    assert_eq!(status.caller_connections, 2, "the agency's and the operator's");
    let grant = status.grants.iter().find(|grant| grant.id == "welfare-getperson").unwrap();
    assert_eq!((grant.to.as_str(), grant.admitted, grant.refused), ("gov/welfare/benefits", 1, 0));
    assert!(grant.limits.iter().any(|limit| limit.kind == "rate" && limit.most == 40));
    let [service] = status.services.as_slice() else { panic!("{:?}", status.services) };
    assert_eq!((service.provider.as_str(), service.up, service.ejected), ("gov/civil-registry", 1, 0));
    assert_eq!(service.provider_name_en, "Civil Registration");
    let log = status.evidence.unwrap();
    assert!(log.checkpoint_ms > 0 && log.free_bytes.unwrap() > log.low_water_bytes);
    let certificate = status.certificate.unwrap();
    assert!(certificate.is_usable, "{:?}", certificate.remarks);
    assert_eq!(certificate.identity, "spiffe://lorestan.example/bus/lorestan/gateway");
}

#[tokio::test]
async fn calls_are_found_by_caller_method_provider_outcome_grant_and_duration() {
    let bus = Bus::builder().with_operator().start().await;
    let welfare = bus.welfare().await;
    let answered = welfare.get_person(ZAHRA).send().await.unwrap();
    welfare.get_person(ZAHRA).purpose("loan.farm").send().await.unwrap_err();
    let operator = bus.client(OPERATIONS);
    let of = |edit: fn(&mut TraceFilter)| {
        let mut filter = TraceFilter { method: "civil.v1.CivilRegistry".to_owned(), ..Default::default() };
        edit(&mut filter);
        filter
    };
    let both = calls(&operator, of(|_| {}), 2).await;
    assert_eq!(both[0].outcome, "PURPOSE_NOT_GRANTED", "the newest first");
    assert_eq!(both[1].call_id, answered.call_id().unwrap());
    assert_eq!((both[1].grant.as_str(), both[1].status.as_str()), ("welfare-getperson", "OK"));
    assert!(both[1].fields_disclosed >= 3 && both[1].fields_withheld > 0);

    let one = [
        of(|f| f.outcome = "OK".into()),
        of(|f| f.outcome = "refused".into()),
        of(|f| f.outcome = "PURPOSE_NOT_GRANTED".into()),
        of(|f| f.grant = "welfare-getperson".into()),
        of(|f| f.limit = 1),
    ];
    for filter in one {
        calls(&operator, filter, 1).await;
    }
    let two = [
        of(|f| f.caller = "gov/welfare".into()),
        of(|f| f.caller = "gov/welfare/benefits".into()),
        of(|f| f.provider = "gov/civil-registry".into()),
        of(|f| f.method = "civil.v1.CivilRegistry/GetPerson".into()),
    ];
    for filter in two {
        calls(&operator, filter, 2).await;
    }
    let none = [
        of(|f| f.caller = "gov/welf".into()),
        of(|f| f.provider = "gov/welfare".into()),
        of(|f| f.min_duration_us = 60_000_000),
        of(|f| f.method = "civil.v1".into()),
        of(|f| f.grant = "welfare".into()),
    ];
    for filter in none {
        assert_eq!(operator.traces(&filter).await.unwrap().calls, [], "{filter:?}");
    }
    let too_many = TraceFilter { limit: 501, ..Default::default() };
    assert_eq!(reason(operator.traces(&too_many).await.unwrap_err()), "REQUEST_MALFORMED");
}

#[tokio::test]
async fn a_trace_is_opened_by_its_id_and_by_its_calls() {
    let bus = Bus::builder().with_operator().start().await;
    let answered = bus.welfare().await.get_person(ZAHRA).send().await.unwrap();
    let call_id = answered.call_id().unwrap();
    let operator = bus.client(OPERATIONS);
    let trace = soon("the trace", async || {
        operator.trace(TraceId::Call(call_id)).await.ok().filter(|trace| trace.spans.len() >= 4)
    })
    .await;
    let again = operator.trace(TraceId::Trace(&trace.trace_id)).await.unwrap();
    assert_eq!(again, trace);
    let services: Vec<&str> = trace.spans.iter().map(|span| span.service.as_str()).collect();
    assert!(["gateway", "civil adapter"].iter().all(|role| services.contains(role)), "{services:?}");
    for attribute in trace.spans.iter().flat_map(|span| span.attributes.values()) {
        assert!(!attribute.contains(ZAHRA), "{attribute}");
    }
    assert_eq!(reason(operator.trace(TraceId::Call("no-such-call")).await.unwrap_err()), "RECORD_NOT_FOUND");
}
