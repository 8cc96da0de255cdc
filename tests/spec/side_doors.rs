//! Tests every RPC of every gRPC port, read from the descriptors: each is called without a certificate, as a
//! stranger, as a suspended member and as a member without a grant. The table says how each call ends; a
//! method that is not in it fails the test.

use std::collections::BTreeMap;

use chapar_contract::Contract;
use chapar_tests::{Bus, Caller, Certificate, repository};
use prost_reflect::DescriptorPool;

const SUSPENDED: &str = "com/agri-bank/loans";

/// Method → how it ends for a stranger, for a suspended member, for a member without a grant, and at the
/// adapter for all but gateways.
const TABLE: &[(&str, [&str; 4])] = &[
    ("chapar.admin.v1.Observe/GetStatus", ["IDENTITY_UNKNOWN", "NOT_GRANTED", "NOT_GRANTED", "closed"]),
    ("chapar.admin.v1.Observe/GetTrace", ["IDENTITY_UNKNOWN", "NOT_GRANTED", "NOT_GRANTED", "closed"]),
    ("chapar.evidence.v1.Follow/GetCheckpoint", ["IDENTITY_UNKNOWN", "NOT_GRANTED", "NOT_GRANTED", "closed"]),
    ("chapar.evidence.v1.Follow/ReadEntries", ["IDENTITY_UNKNOWN", "NOT_GRANTED", "NOT_GRANTED", "closed"]),
    ("chapar.admin.v1.Observe/ListTraces", ["IDENTITY_UNKNOWN", "NOT_GRANTED", "NOT_GRANTED", "closed"]),
    (
        "chapar.inquiry.v1.Inquiry/Ask",
        ["IDENTITY_UNKNOWN", "REQUEST_MALFORMED", "REQUEST_MALFORMED", "closed"],
    ),
    (
        "chapar.inquiry.v1.Inquiry/AskProcedure",
        ["IDENTITY_UNKNOWN", "PROCEDURE_UNKNOWN", "PROCEDURE_UNKNOWN", "closed"],
    ),
    ("chapar.inquiry.v1.Inquiry/ListProcedures", ["IDENTITY_UNKNOWN", "answered", "answered", "closed"]),
    ("chapar.meta.v1.Meta/AllowedMethods", ["IDENTITY_UNKNOWN", "answered", "answered", "closed"]),
    (
        "chapar.meta.v1.Meta/GetContract",
        ["IDENTITY_UNKNOWN", "RECORD_NOT_FOUND", "RECORD_NOT_FOUND", "closed"],
    ),
    (
        "chapar.meta.v1.Meta/GetReceipt",
        ["IDENTITY_UNKNOWN", "RECORD_NOT_FOUND", "RECORD_NOT_FOUND", "closed"],
    ),
    ("chapar.meta.v1.Meta/ListServices", ["IDENTITY_UNKNOWN", "answered", "answered", "closed"]),
    ("chapar.meta.v1.Meta/MyLimits", ["IDENTITY_UNKNOWN", "answered", "answered", "closed"]),
    ("chapar.meta.v1.Meta/WhoAmI", ["IDENTITY_UNKNOWN", "answered", "answered", "closed"]),
    ("civil.v1.CivilRegistry/GetPerson", ["IDENTITY_UNKNOWN", "SUSPENDED", "NOT_GRANTED", "closed"]),
    ("civil.v1.CivilRegistry/ListChildren", ["IDENTITY_UNKNOWN", "SUSPENDED", "NOT_GRANTED", "closed"]),
    ("civil.v1.CivilRegistry/VerifyIdentity", ["IDENTITY_UNKNOWN", "SUSPENDED", "NOT_GRANTED", "closed"]),
    ("grpc.health.v1.Health/Check", ["IDENTITY_UNKNOWN", "answered", "answered", "closed"]),
    ("grpc.health.v1.Health/Watch", ["IDENTITY_UNKNOWN", "answered", "answered", "closed"]),
    (
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ["IDENTITY_UNKNOWN", "answered", "answered", "closed"],
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ["IDENTITY_UNKNOWN", "answered", "answered", "closed"],
    ),
];

/// Every method of the bus's own protocols, of health and reflection, and of the harness's contract.
fn methods() -> Vec<String> {
    let mut found = Vec::new();
    let mut pool = DescriptorPool::new();
    for set in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        pool.decode_file_descriptor_set(set).unwrap();
    }
    let services = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    found.extend(services.map(|method| format!("{}/{}", method.parent_service().full_name(), method.name())));
    let civil = Contract::load(&repository().join("proto/civil")).unwrap();
    found.extend(
        civil.services().flat_map(|service| service.methods()).map(|method| method.path().to_string()),
    );
    // Chapar's own, from the sources that the gateway is built from.
    for folder in std::fs::read_dir(repository().join("proto/chapar")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path().join("v1")).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let package =
                text.lines().find_map(|line| line.strip_prefix("package ")?.strip_suffix(';')).unwrap();
            let mut service = "";
            for line in text.lines().map(str::trim) {
                if let Some(rest) = line.strip_prefix("service ") {
                    service = rest.split([' ', '{']).next().unwrap();
                } else if let Some(rest) = line.strip_prefix("rpc ") {
                    found.push(format!("{package}.{service}/{}", rest.split(['(', ' ']).next().unwrap()));
                }
            }
        }
    }
    found.sort();
    found
}

/// How a call with an empty message ends: its reason, its code if it has none, or that it is answered.
async fn ending(caller: &Caller, method: &str) -> String {
    let ask = caller.ask("civil.v1.CivilRegistry/GetPerson").path(&format!("/{method}")).raw(b"".as_slice());
    // A watch does not end: that it began is enough.
    let head = ask.purpose("loan.farm").open().await.expect("a connection").into_parts().0;
    match head.headers.get("grpc-status").map(|code| code.to_str().unwrap().to_owned()) {
        None => "answered".to_owned(),
        Some(code) => {
            let details = head.headers.get("grpc-status-details-bin").map(|value| value.as_bytes().to_vec());
            let reason = details.and_then(|details| reason(&details));
            reason
                .unwrap_or_else(|| if code == "5" { "NOT_FOUND".to_owned() } else { format!("code {code}") })
        }
    }
}

fn reason(details: &[u8]) -> Option<String> {
    let status = tonic::Status::with_details(tonic::Code::Unknown, "", decoded(details)?.into());
    use tonic_types::StatusExt as _;
    status.get_details_error_info().map(|info| info.reason)
}

/// Base64 with or without its padding, as gRPC sends binary metadata.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let value =
        tonic::metadata::BinaryMetadataValue::from_static(Box::leak(text.to_owned().into_boxed_str()));
    value.to_bytes().ok().map(|bytes| bytes.to_vec())
}

#[tokio::test]
async fn every_rpc_of_every_port_is_closed_to_whom_it_does_not_concern() {
    let bus = Bus::start().await;
    bus.add("suspensions.toml", &format!("[[suspension]]\nof = \"{SUSPENDED}\"\nreason = \"r\"\n"));
    assert_eq!(bus.reload().await, "reloaded\n");
    let stranger = bus.caller_with(Certificate::of("gov/stranger/system")).await;
    let suspended = bus.caller(SUSPENDED).await;
    let guest = bus.caller("office/khorramabad-12/guest").await;
    let at_adapter = bus.caller_of_adapter("gov/welfare/benefits").await;

    let mut found = BTreeMap::new();
    for method in methods() {
        let mut endings = Vec::new();
        for caller in [&stranger, &suspended, &guest] {
            endings.push(ending(caller, &method).await);
        }
        let adapter = ending(&at_adapter, &method).await;
        endings.push(if adapter == "answered" { adapter } else { "closed".to_owned() });
        found.insert(method, endings);
    }

    let expected: BTreeMap<String, Vec<String>> =
        TABLE.iter().map(|(method, ends)| ((*method).to_owned(), ends.map(str::to_owned).to_vec())).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn without_a_certificate_there_is_no_connection_on_which_to_call_anything() {
    let bus = Bus::start().await;
    let error = bus.connect_without_certificate().await;
    assert!(error.to_lowercase().contains("certificate"), "{error}");
}

#[tokio::test]
async fn nothing_is_shown_that_is_not_in_the_table() {
    let bus = Bus::start().await;
    let shown = bus.welfare().await.services().await;
    let known: Vec<&str> = TABLE.iter().filter_map(|(method, _)| method.split('/').next()).collect();
    for service in shown {
        assert!(
            known.contains(&service.as_str()),
            "{service} is served, and its methods are not in the table"
        );
    }
}
