//! `Bench` is a small adapter for one test: a contract, its statements and a database. It is called in
//! process as the gateway would call it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use chapar_contract::Contract;
use chapar_model::{Clock, Identity, MethodPath};
use chapar_telemetry::{SourceFigures, Telemetry, TraceStore};
use chapar_transport::Peer;
use chapar_transport::tls::Party;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;
use tempfile::TempDir;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::backend::Opened;
use crate::candidate::Candidate;
use crate::config::Limits;
use crate::finding::Findings;
use crate::method_folder;
use crate::observe::Observer;
use crate::page::PageTokens;
use crate::published::PublishedMethod;
use crate::served_method::{Look, ServedMethod};
use crate::service::{Calls, Routes};
use crate::source::Source;
use crate::source::sqlite::Sqlite;

pub(super) const GATEWAY: &str = "spiffe://lorestan.example/bus/lorestan/gateway";

/// The contract of most tests; its subject's format is not checked, so that tests may ask for anything.
pub(super) const PROTO: &str = r#"
syntax = "proto3";
package reg.v1;
import "chapar/contract/v1/options.proto";
import "google/type/date.proto";
import "google/protobuf/timestamp.proto";

service Register {
  rpc GetPerson(Ask) returns (Person) {
    option (chapar.contract.v1.method) = { subject: "id" purposes: ["test"] timeout: { seconds: 2 } row_scopes: ["province"] };
  }
  rpc ListChildren(Ask) returns (stream Child) {
    option (chapar.contract.v1.method) = { subject: "id" purposes: ["test"] row_scopes: ["province"] max_rows: 3 };
  }
  rpc ListDegrees(Ask) returns (Degrees) {
    option (chapar.contract.v1.method) = { subject: "id" purposes: ["test"] max_rows: 3 };
  }
  rpc Count(Upto) returns (stream Number) {
    option (chapar.contract.v1.method) = { purposes: ["test"] timeout: { seconds: 20 } max_rows: 100000 };
  }
}
message Ask { string id = 1; }
message Upto { int64 most = 1; }
message Number { int64 number = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }
message Person {
  string id = 1 [(chapar.contract.v1.field) = { class: CLASS_PERSONAL key: true }];
  string given_name = 2 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  optional string nickname = 3 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  google.type.Date birth_date = 4 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  LifeStatus life_status = 5 [(chapar.contract.v1.field).class = CLASS_SENSITIVE];
  int32 children = 6 [(chapar.contract.v1.field).class = CLASS_SENSITIVE];
  Address address = 7;
  bytes photo = 8 [(chapar.contract.v1.field).class = CLASS_SENSITIVE];
}
message Address {
  string city = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  string street = 2 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
}
enum LifeStatus { LIFE_STATUS_UNSPECIFIED = 0; LIFE_STATUS_ALIVE = 1; LIFE_STATUS_DECEASED = 2; }
message Child {
  string parent = 1 [(chapar.contract.v1.field) = { class: CLASS_PERSONAL key: true }];
  string name = 2 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
}
message Degrees { repeated Degree degrees = 1; }
message Degree {
  string title = 1 [(chapar.contract.v1.field).class = CLASS_PERSONAL];
  optional double mark = 2 [(chapar.contract.v1.field).class = CLASS_SENSITIVE];
}
"#;

pub(super) const STATEMENTS: [(&str, &str); 4] = [
    (
        "GetPerson",
        "SELECT id, given_name, nickname, birth_date, life AS life_status, children, city AS \"address.city\",\n  \
         street AS \"address.street\", photo, province\nFROM person WHERE id = :id -- the key\n;\n",
    ),
    ("ListChildren", "SELECT parent, name, province FROM child WHERE parent = :id ORDER BY name DESC"),
    ("ListDegrees", "SELECT title, mark FROM degree WHERE person = :id ORDER BY title"),
    (
        "Count",
        "WITH RECURSIVE counter(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counter WHERE number < :most)\n\
         SELECT number FROM counter",
    ),
];

pub(super) const SCHEMA: &str = r"
CREATE TABLE person (id TEXT NOT NULL, given_name TEXT, nickname TEXT, birth_date TEXT, life, children INTEGER,
    city TEXT, street TEXT, photo BLOB, province TEXT NOT NULL);
CREATE TABLE child (parent TEXT NOT NULL, name TEXT NOT NULL, province TEXT NOT NULL);
CREATE TABLE degree (person TEXT NOT NULL, title TEXT NOT NULL, mark REAL);
CREATE TABLE sentinel (word TEXT NOT NULL);
INSERT INTO sentinel VALUES ('untouched');
INSERT INTO person VALUES
    ('1', 'زهرا', NULL, '1991-08-03', 'ALIVE', 2, 'خرم‌آباد', 'Kargar', x'00ff', '15'),
    ('2', 'Ali', 'Alu', '1950', 2, 0, NULL, NULL, x'', '16');
INSERT INTO child VALUES ('1', 'Amir', '15'), ('1', 'Zhila', '16'), ('2', 'a', '15'), ('2', 'b', '15'), ('2', 'c', '15'),
    ('2', 'd', '15');
INSERT INTO degree VALUES ('1', 'BSc', 17.5), ('1', 'MSc', NULL), ('2', 'a', 1), ('2', 'b', 1), ('2', 'c', 1), ('2', 'd', 1);
";

/// An adapter in a temporary folder.
pub(super) struct Bench {
    folder: TempDir,
    contract: Contract,
    pub(super) calls: Calls,
    pub(super) traces: TraceStore,
    pub(super) observer: Observer,
    /// Of the database, if it is on a server.
    pub(super) figures: SourceFigures,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) messages: Vec<Value>,
    pub(super) reason: Option<String>,
    pub(super) trailers: HeaderMap,
}

impl Bench {
    /// The usual contract and statements.
    pub(super) fn new() -> Self {
        Self::with(PROTO, &STATEMENTS, SCHEMA, "").unwrap()
    }

    /// The usual ones, after `sql` changed the database.
    pub(super) fn after(sql: &str) -> Self {
        Self::with(PROTO, &STATEMENTS, SCHEMA, sql).unwrap()
    }

    pub(super) fn with(
        proto: &str,
        statements: &[(&str, &str)],
        schema: &str,
        sql: &str,
    ) -> Result<Self, Findings> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("reg.db");
        let database = rusqlite::Connection::open(&file).unwrap();
        database.execute_batch(schema).unwrap();
        database.execute_batch(sql).unwrap();
        drop(database);
        let source = Arc::new(
            Sqlite::open(&file, one_connection(Duration::from_millis(100)), SourceFigures::default())
                .unwrap(),
        );
        // SQLite is looked at without waiting for anything.
        Self::on(folder, proto, statements, source).now_or_never().unwrap()
    }

    /// An adapter on this source, with its contract and statements in the folder.
    pub(super) async fn on(
        folder: TempDir,
        proto: &str,
        statements: &[(&str, &str)],
        source: Arc<dyn Source>,
    ) -> Result<Self, Findings> {
        Self::opened(folder, proto, statements, &Opened::Database(source)).await
    }

    /// The same on any source.
    pub(super) async fn opened(
        folder: TempDir,
        proto: &str,
        files: &[(&str, &str)],
        source: &Opened,
    ) -> Result<Self, Findings> {
        let contract = folder.path().join("reg");
        std::fs::create_dir_all(contract.join("v1/Register")).unwrap();
        std::fs::write(contract.join("v1/reg.proto"), proto).unwrap();
        for (method, text) in files {
            let file = format!("v1/Register/{method}.{}", source.extension());
            std::fs::write(contract.join(file), text).unwrap();
        }
        let compiled = Contract::load(&contract).unwrap();
        let methods = prepared(&contract, &compiled, source, Look::AtStatements).await?;
        Ok(Self { folder, ..Self::of(compiled, methods) })
    }

    /// An adapter of these methods.
    pub(super) fn of(contract: Contract, methods: Vec<(Candidate, ServedMethod)>) -> Self {
        let methods =
            methods.into_iter().map(|(candidate, served)| PublishedMethod::open(candidate, served)).collect();
        let traces = TraceStore::new(16);
        let config = chapar_telemetry::Config { service_name: "adapter reg".into(), ..Default::default() };
        let telemetry = Telemetry::with_store(config, traces.clone()).unwrap();
        let health = HealthServer::new(HealthService::from_health_reporter(HealthReporter::new()));
        let observer = Observer::new(&telemetry, "adapter", Clock::system());
        let gateways = vec![Party::from(GATEWAY.parse::<Identity>().unwrap())];
        let routes = Routes::new(gateways, methods, &observer);
        let calls = Calls::new(routes, observer.clone(), health);
        let (folder, figures) = (tempfile::tempdir().unwrap(), SourceFigures::default());
        Self { folder, contract, calls, traces, observer, figures }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Calls `method` with a request in JSON, as the gateway, under a grant of `fields` and `rows`.
    pub(super) async fn call(&self, method: &str, fields: &str, rows: &str, request: &str) -> Answered {
        let input = self.contract.method(&path(method)).unwrap().input().clone();
        let mut json = serde_json::Deserializer::from_str(request);
        let message = DynamicMessage::deserialize(input, &mut json).unwrap();
        let message = prost_reflect::prost::Message::encode_to_vec(&message);
        self.send(method, &[("chapar-fields", fields), ("chapar-rows", rows)], framed(&message), GATEWAY)
            .await
    }

    /// Sends any bytes with any metadata as anyone.
    pub(super) async fn send(
        &self,
        method: &str,
        metadata: &[(&str, &str)],
        body: Bytes,
        caller: &str,
    ) -> Answered {
        let response = self.calls.clone().answer(self.request(method, metadata, body, caller)).await;
        let output = self.contract.method(&path(method)).map(|method| method.output().clone());
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or(head.headers);
        Answered::new(&body.to_bytes(), trailers, output.as_ref())
    }

    /// The response before its body is read.
    pub(super) async fn begin(&self, method: &str, fields: &str, message: &[u8]) -> crate::body::Answer {
        let request = self.request(method, &[("chapar-fields", fields)], framed(message), GATEWAY);
        self.calls.clone().answer(request).await.into_body()
    }

    fn request(
        &self,
        method: &str,
        metadata: &[(&str, &str)],
        body: Bytes,
        caller: &str,
    ) -> Request<Full<Bytes>> {
        let identity = Ok(caller.parse().unwrap());
        let remote = SocketAddr::from(([127, 0, 0, 1], 1));
        let peer = Peer::known(identity, jiff::Timestamp::MAX, &Clock::system(), remote);
        let mut request = Request::post(format!("/{}", path(method))).extension(Arc::new(peer));
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body)).unwrap()
    }
}

impl Answered {
    fn new(mut bytes: &[u8], trailers: HeaderMap, output: Option<&MessageDescriptor>) -> Self {
        let mut messages = Vec::new();
        while let Some((head, rest)) = bytes.split_at_checked(5) {
            let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
            let (message, rest) = rest.split_at(length);
            let message = DynamicMessage::decode(output.unwrap().clone(), message).unwrap();
            messages.push(serde_json::to_value(&message).unwrap());
            bytes = rest;
        }
        assert!(bytes.is_empty(), "a frame was cut");
        let reason = trailers.get("chapar-reason").map(|reason| reason.to_str().unwrap().to_owned());
        assert_eq!(reason.is_none(), trailers["grpc-status"] == "0", "{trailers:?}");
        Self { messages, reason, trailers }
    }

    /// The word of the refusal.
    pub(super) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or("OK")
    }
}

/// Limits of a database that one statement at a time may use.
pub(super) fn one_connection(acquire_timeout: Duration) -> Limits {
    Limits { max_connections: 1, statement_timeout: Duration::from_secs(10), acquire_timeout }
}

/// The methods of a contract with their candidates, if all of them fit.
pub(super) async fn prepared(
    folder: &Path,
    contract: &Contract,
    source: &Opened,
    look: Look,
) -> Result<Vec<(Candidate, ServedMethod)>, Findings> {
    let mut findings = Vec::new();
    let timeout = Duration::from_secs(10);
    let mut methods = Vec::new();
    let tokens = Arc::new(PageTokens::new(folder, None, Clock::system()));
    for candidate in method_folder::candidates(folder, contract, source, timeout, &tokens, &mut findings) {
        match candidate.prepare(look).await {
            Ok(served) => methods.push((candidate, served)),
            Err(unfit) => findings.extend(unfit.findings()),
        }
    }
    Findings::check(findings)?;
    Ok(methods)
}

/// The path of a method of the usual service, or of any, if it is named with its service.
pub(super) fn path(method: &str) -> MethodPath {
    if method.contains('/') {
        return method.parse().unwrap();
    }
    format!("reg.v1.Register/{method}").parse().unwrap()
}

pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len().try_into().unwrap());
    frame.extend_from_slice(message);
    frame.freeze()
}
