//! These tests export spans to a real OTLP/gRPC server in this process, and to an endpoint without a server.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_model::{MethodPath, Reason};
use chapar_telemetry::{Config, Metrics, Origin, Telemetry, TraceStore, names, propagate};
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ResourceSpans>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().await.extend(request.into_inner().resource_spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens; returns its endpoint.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let service = TraceServiceServer::new(self.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        endpoint
    }

    /// (service.name, span) of all that arrived.
    async fn spans(&self) -> Vec<(String, Span)> {
        let mut all = Vec::new();
        for resource in self.0.lock().await.iter() {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            let service = attributes.iter().find(|known| known.key == "service.name").unwrap();
            let service = format!("{:?}", service.value.as_ref().unwrap());
            for scope in &resource.scope_spans {
                all.extend(scope.spans.iter().map(|span| (service.clone(), span.clone())));
            }
        }
        all
    }
}

fn method() -> MethodPath {
    "civil.v1.CivilRegistry/GetPerson".parse().unwrap()
}

fn config(service_name: &str, otlp_endpoint: Option<String>) -> Config {
    Config { service_name: service_name.to_owned(), otlp_endpoint, keep_traces: 100, ..Config::default() }
}

/// One call as the bus makes it: gateway, then over the wire, adapter, SQL.
fn one_call(gateway: &Telemetry, adapter: &Telemetry) -> String {
    let mut server = gateway.tracer("gateway").server(&method(), Origin::Root);
    server.set(names::CALL_ID, "0193-call");
    let trace_id = server.context().trace_id().to_string();
    let mut headers = HeaderMap::new();
    {
        let client = gateway.tracer("gateway").client(&method(), Origin::Child(server.context()));
        propagate::inject(client.context(), &mut headers);
        let remote = propagate::extract(&headers).unwrap();
        let mut answering = adapter.tracer("adapter").server(&method(), Origin::Child(&remote));
        let sql = adapter.tracer("adapter").database(
            "sqlite",
            "CivilRegistry/GetPerson",
            Origin::Child(answering.context()),
        );
        sql.end();
        answering.answered();
    }
    server.answered();
    trace_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reaches_the_collector_as_one_trace_from_gateway_to_sql() {
    let collector = Collector::default();
    let endpoint = collector.start().await;
    let gateway = Telemetry::new(config("gateway", Some(endpoint.clone()))).unwrap();
    let adapter = Telemetry::new(config("adapter", Some(endpoint))).unwrap();

    one_call(&gateway, &adapter);
    gateway.shutdown().await;
    adapter.shutdown().await;

    let spans = collector.spans().await;
    let kinds: Vec<i32> = spans.iter().map(|(_, span)| span.kind).collect();
    assert_eq!(spans.len(), 4, "{kinds:?}");
    let of = |service: &str, name: &str, kind: i32| {
        let wanted =
            |(at, span): &&(String, Span)| at.contains(service) && span.name == name && span.kind == kind;
        spans.iter().find(wanted).map(|(_, span)| span).unwrap()
    };
    let server = of("gateway", "civil.v1.CivilRegistry/GetPerson", 2);
    let client = of("gateway", "civil.v1.CivilRegistry/GetPerson", 3);
    let answering = of("adapter", "civil.v1.CivilRegistry/GetPerson", 2);
    let sql = of("adapter", "SELECT CivilRegistry/GetPerson", 3);
    assert!(server.parent_span_id.is_empty());
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(answering.parent_span_id, client.span_id);
    assert_eq!(sql.parent_span_id, answering.span_id);
    assert!(spans.iter().all(|(_, span)| span.trace_id == server.trace_id));
    assert_eq!(gateway.spans_dropped(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_spans_are_dropped_and_counted_and_nothing_waits() {
    let vacant = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", vacant.local_addr().unwrap());
    drop(vacant);
    let telemetry = Telemetry::new(config("gateway", Some(endpoint))).unwrap();
    let metrics = Metrics::new(&telemetry, []);
    let tracer = telemetry.tracer("gateway");

    let started = Instant::now();
    for _ in 0..20_000 {
        tracer.server(&method(), Origin::Root).end();
    }
    let took = started.elapsed();
    telemetry.shutdown().await;

    assert!(took < Duration::from_secs(5), "20 000 spans took {took:?}");
    assert!(started.elapsed() < took + Telemetry::SHUTDOWN + Duration::from_secs(2));
    assert_eq!(telemetry.spans_dropped(), 20_000);
    assert!(metrics.encode().contains("chapar_spans_dropped_total 20000"));
    assert_eq!(telemetry.traces().recent(1000).len(), 100, "they are still kept in the process");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_comes_back_gets_the_spans_made_after_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let telemetry = Telemetry::new(config("gateway", Some(format!("http://{address}")))).unwrap();
    let tracer = telemetry.tracer("gateway");
    tracer.step("lost", Origin::Root).end();
    let lost = async {
        while telemetry.spans_dropped() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), lost).await.unwrap();

    let collector = Collector::default();
    let listener = TcpListener::bind(address).await.unwrap();
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let arrived = async {
        while collector.spans().await.is_empty() {
            tracer.step("sent", Origin::Root).end();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrived).await.unwrap();
    telemetry.shutdown().await;

    assert!(collector.spans().await.iter().all(|(_, span)| span.name == "sent"));
}

#[test]
fn an_endpoint_that_cannot_be_one_is_refused_by_name() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    for endpoint in ["", "collector:4317", "https://collector:4317", "http://"] {
        let error = Telemetry::new(config("gateway", Some(endpoint.to_owned()))).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{endpoint}` cannot be a collector")), "{error}");
    }
}

#[test]
fn an_exporter_outside_a_runtime_is_an_error_and_no_panic() {
    assert!(Telemetry::new(config("gateway", Some("http://127.0.0.1:4317".to_owned()))).is_err());
}

#[test]
fn several_roles_of_one_process_share_a_store_and_a_call_is_found_by_its_id() {
    let store = TraceStore::new(10);
    let gateway = Telemetry::with_store(config("gateway", None), store.clone()).unwrap();
    let adapter = Telemetry::with_store(config("adapter civil", None), store.clone()).unwrap();

    let trace_id = one_call(&gateway, &adapter);

    let trace = store.by_call("0193-call").unwrap();
    assert_eq!(trace.trace_id, trace_id);
    let services: Vec<&str> = trace.spans.iter().map(|span| span.service.as_str()).collect();
    assert_eq!(services, ["gateway", "gateway", "adapter civil", "adapter civil"]);
    assert_eq!(store.find(&trace_id).unwrap().spans.len(), 4);
    assert!(store.by_call("another").is_none() && store.find("not hexadecimal").is_none());
}

#[test]
fn a_callers_trace_is_linked_and_neither_joined_nor_trusted_for_sampling() {
    let telemetry = Telemetry::new(config("gateway", None)).unwrap();
    let mut headers = HeaderMap::new();
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    headers.insert(propagate::TRACEPARENT, unsampled.parse().unwrap());
    let caller = propagate::extract(&headers);

    let mut span = telemetry.tracer("gateway").server(&method(), Origin::linked(caller.as_ref()));
    span.refused(Reason::NotGranted);
    assert!(span.is_recording());
    span.end();

    let trace = telemetry.traces().recent(1).remove(0);
    assert_ne!(trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
    let span = &trace.spans[0];
    assert_eq!(span.links, ["0af7651916cd43dd8448eb211c80319c"]);
    assert_eq!(span.parent.as_ref(), None);
    assert_eq!(span.attributes[names::OUTCOME], "NOT_GRANTED");
    assert_eq!(span.attributes[names::RPC_STATUS], "PERMISSION_DENIED");
}

#[test]
fn a_refusal_is_an_error_to_whoever_called_and_to_whoever_answered_only_if_the_fault_may_be_its_own() {
    let telemetry = Telemetry::new(config("gateway", None)).unwrap();
    let tracer = telemetry.tracer("gateway");
    let own = [Reason::SourceDown, Reason::SourceTimeout, Reason::ValueUnreadable, Reason::SourceRefused];
    let callers = [Reason::RecordNotFound, Reason::NotGranted, Reason::FieldInvalid, Reason::RateLimited];
    for (reasons, answering) in [(own, "error"), (callers, "unset")] {
        for reason in reasons {
            let mut answers = tracer.server(&method(), Origin::Root);
            let mut calls = tracer.client(&method(), Origin::child(Some(answers.context())));
            calls.refused(reason);
            calls.end();
            answers.refused(reason);
            answers.end();

            let trace = telemetry.traces().recent(1).remove(0);
            for span in &trace.spans {
                let wanted = if span.kind == "server" { answering } else { "error" };
                assert_eq!(span.status, wanted, "{reason:?}, {}", span.kind);
                assert_eq!(span.attributes.contains_key(names::ERROR_TYPE), wanted == "error", "{reason:?}");
            }
            assert_eq!(trace.spans.len(), 2);
        }
    }
    // An agency's own server has the status that it gave, and it is judged by that.
    for (code, name, status) in
        [(5, "NOT_FOUND", "unset"), (10, "ABORTED", "unset"), (13, "INTERNAL", "error")]
    {
        let mut answers = tracer.server(&method(), Origin::Root);
        answers.refused_with(Reason::ProviderStatus, code);
        answers.end();
        let span = telemetry.traces().recent(1).remove(0).spans.remove(0);
        assert_eq!((span.status, span.attributes[names::RPC_STATUS].as_str()), (status, Some(name)));
    }
}

#[test]
fn the_oldest_trace_makes_room_and_a_trace_keeps_a_bounded_number_of_spans() {
    let telemetry = Telemetry::new(Config { keep_traces: 3, ..config("gateway", None) }).unwrap();
    let tracer = telemetry.tracer("gateway");
    let made: Vec<String> = (0..5)
        .map(|_| {
            let span = tracer.step("work", Origin::Root);
            for _ in 0..300 {
                tracer.step("part", Origin::Child(span.context())).end();
            }
            span.context().trace_id().to_string()
        })
        .collect();

    let kept: Vec<String> = telemetry.traces().recent(10).into_iter().map(|trace| trace.trace_id).collect();
    assert_eq!(kept, [made[4].as_str(), made[3].as_str(), made[2].as_str()]);
    assert!(telemetry.traces().find(&made[0]).is_none());
    assert_eq!(telemetry.traces().find(&made[4]).unwrap().spans.len(), 256);
}

#[test]
fn with_nowhere_to_go_spans_cost_nothing_but_still_have_an_id() {
    let telemetry = Telemetry::new(Config { keep_traces: 0, ..config("gateway", None) }).unwrap();
    let span = telemetry.tracer("gateway").server(&method(), Origin::Root);
    assert!(!span.is_recording() && span.context().is_valid());
    span.end();
    assert!(telemetry.traces().recent(1).is_empty());
}
