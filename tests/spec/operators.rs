//! Tests that operators see the state of a gateway and its last calls, and that no one else does.

use std::time::Duration;

use chapar_client::{AskProcedureRequest, CallError, CallMetadata, Client, TraceFilter, TraceId};
use chapar_tests::curl::Curl;
use chapar_tests::operator::OPERATIONS;
use chapar_tests::people::ZAHRA;
use chapar_tests::procedure::LOANS;
use chapar_tests::{Bus, until_some};

const OBSERVE: &str = "chapar.admin.v1.Observe";

fn refused(error: CallError) -> String {
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
    assert_eq!(refused(welfare.status().await.unwrap_err()), "NOT_GRANTED");
    assert_eq!(refused(welfare.traces(&TraceFilter::default()).await.unwrap_err()), "NOT_GRANTED");
    assert_eq!(refused(welfare.trace(TraceId::Call("x")).await.unwrap_err()), "NOT_GRANTED");

    // Reflection shows the service to operators alone.
    let agency = bus.welfare().await;
    assert!(!agency.services().await.contains(&OBSERVE.to_owned()));
    assert!(agency.reflect(OBSERVE).await.is_err());
    let operations = bus.caller(OPERATIONS).await;
    assert!(operations.services().await.contains(&OBSERVE.to_owned()));
    assert_eq!(operations.reflect(OBSERVE).await.unwrap(), ["GetStatus", "ListTraces", "GetTrace"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_answered_in_json_either() {
    let bus = Bus::builder().with_operator().start().await;
    for method in ["GetStatus", "ListTraces", "GetTrace"] {
        let path = format!("/chapar.admin.v1.Observe/{method}");
        let ask = |subsystem: &str| Curl::of(&bus, subsystem).post(&path, "application/json", b"{}");
        let refused = ask("gov/welfare/benefits");
        assert_eq!((refused.status, refused.reason().as_str()), (403, "NOT_GRANTED"), "{method}");
        assert_ne!(ask(OPERATIONS).status, 403, "{method}");
    }
}

#[tokio::test]
async fn a_suspended_operator_sees_nothing_until_the_suspension_ends() {
    let bus = Bus::builder().with_operator().start().await;
    let operator = bus.client(OPERATIONS);
    for of in [OPERATIONS, "bus/lorestan"] {
        bus.add("suspensions.toml", &format!("[[suspension]]\nof = \"{of}\"\nreason = \"a stolen key\"\n"));
        assert_eq!(bus.reload().await, "reloaded\n");
        assert_eq!(refused(operator.status().await.unwrap_err()), "SUSPENDED", "{of}");
        assert!(!bus.caller(OPERATIONS).await.services().await.contains(&OBSERVE.to_owned()));
        bus.add("suspensions.toml", "");
        assert_eq!(bus.reload().await, "reloaded\n");
        assert!(operator.status().await.is_ok());
    }
}

#[tokio::test]
async fn each_part_of_an_inquiry_is_a_call_in_the_trace_of_its_inquiry() {
    let bus = Bus::builder().with_operator().start().await;
    bus.add_procedure().await;
    let request = AskProcedureRequest {
        procedure: "farm-loan".to_owned(),
        subject: ZAHRA.to_owned(),
        inputs: [("birth_date".to_owned(), "1370-01-01".to_owned())].into(),
        ..Default::default()
    };
    let mut parts = bus.client(LOANS).ask_procedure(request, CallMetadata::default()).await.unwrap();
    while parts.next().await.unwrap().is_some() {}

    let operator = bus.client(OPERATIONS);
    let of = |edit: fn(&mut TraceFilter)| {
        let mut filter = TraceFilter::default();
        edit(&mut filter);
        filter
    };
    let two = calls(&operator, of(|f| f.provider = "gov/civil-registry".into()), 2).await;
    let by_grant = of(|f| f.grant = "bank-getperson".into());
    assert_eq!(calls(&operator, by_grant, 1).await[0].method, "civil.v1.CivilRegistry/GetPerson");
    let inquiry = calls(&operator, of(|f| f.method = "chapar.inquiry.v1.Inquiry".into()), 1).await;
    assert!(two.iter().all(|part| part.trace_id == inquiry[0].trace_id));
    assert_ne!(two[0].call_id, two[1].call_id);
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_no_fault_of_the_certificate() {
    let bus = Bus::builder().with_operator().start().await;
    let operator = bus.client(OPERATIONS);
    std::fs::write(bus.folder().join("pki/trust.crt"), "no certificate").unwrap();
    let certificate = operator.status().await.unwrap().certificate.unwrap();
    assert!(
        certificate.is_usable && certificate.identity.ends_with("/bus/lorestan/gateway"),
        "{certificate:?}"
    );
    assert!(
        certificate.remarks.iter().any(|remark| remark.contains("trust.crt")),
        "{:?}",
        certificate.remarks
    );
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
    assert_eq!(refused(operator.status().await.unwrap_err()), "NOT_GRANTED");
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
    assert_eq!(log.unsigned_since_ms, 0, "all is signed");
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
    let misspelt = TraceFilter { outcome: "ok".into(), ..Default::default() };
    assert_eq!(refused(operator.traces(&misspelt).await.unwrap_err()), "REQUEST_MALFORMED");
    let too_many = TraceFilter { limit: 501, ..Default::default() };
    assert_eq!(refused(operator.traces(&too_many).await.unwrap_err()), "REQUEST_MALFORMED");
}

#[tokio::test]
async fn a_flood_of_refusals_pushes_out_no_call_that_was_answered() {
    let bus = Bus::builder().with_operator().start().await;
    let welfare = bus.welfare().await;
    let answered = welfare.get_person(ZAHRA).send().await.unwrap();
    let operator = bus.client(OPERATIONS);
    let of_welfare = TraceFilter { grant: "welfare-getperson".to_owned(), ..Default::default() };
    calls(&operator, of_welfare.clone(), 1).await;
    // More refusals than the harness keeps traces (500), of a caller without any right, and questions to the
    // gateway's own services.
    let stranger = bus.caller(OPERATIONS).await;
    for _ in 0..800 {
        stranger.get_person(ZAHRA).send().await.unwrap_err();
    }
    for _ in 0..60 {
        stranger.who_am_i().await;
    }
    assert!(operator.status().await.is_ok());
    let kept = operator.traces(&TraceFilter { limit: 500, ..Default::default() }).await.unwrap();
    let own = kept.calls.iter().filter(|call| call.method.starts_with("chapar.meta.v1.")).count();
    let refused = kept.calls.iter().filter(|call| call.outcome == "NOT_GRANTED").count();
    assert_eq!((own, refused), (60, 190), "half as many are kept");
    assert!(kept.calls.iter().all(|call| !call.method.starts_with(OBSERVE)), "looking is not");
    calls(&operator, of_welfare, 1).await;
    assert!(operator.trace(TraceId::Call(answered.call_id().unwrap())).await.is_ok());
}

#[tokio::test]
async fn a_path_with_a_query_is_no_path_of_the_gateways_own_services() {
    let bus = Bus::builder().with_operator().start().await;
    let ask = bus.caller(OPERATIONS).await.ask("chapar.admin.v1.Observe/GetStatus");
    let refused =
        ask.path("/chapar.admin.v1.Observe/GetStatus?x=1").raw(Vec::new()).send().await.unwrap_err();
    assert_eq!(refused.reason, "METHOD_UNKNOWN");
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
    assert_eq!(refused(operator.trace(TraceId::Call("no-such-call")).await.unwrap_err()), "RECORD_NOT_FOUND");
}
