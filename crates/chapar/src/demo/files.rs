//! This module writes the demo's files besides policy, keys and databases: contracts, the settings of gateway
//! and adapters, and `demo.json`. Every part can be started by hand from these files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chapar_contract::{BUILT_IN, Contract, merge_descriptor_sets};
use serde::Serialize;

use super::audit::{self, RunningWitness};
use super::data::Sample;
use super::page;
use super::registry::{AGENCIES, AUDITOR, CALLERS, GATEWAY, OPERATIONS, SERVER_NAME, TRUST_DOMAIN, identity};
use super::server::Sources;
use super::story::CLERK;
use crate::pki::{self, write_file};

/// Path below `proto/` and text, for a contract and its statements.
macro_rules! reference {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../../../proto/", $path)))),+]
    };
}

const REFERENCE: [(&str, &str); 21] = reference![
    "civil/v1/civil.proto",
    "civil/v1/schema.sql",
    "civil/v1/CivilRegistry/GetPerson.sql",
    "civil/v1/CivilRegistry/ListChildren.sql",
    "civil/v1/CivilRegistry/VerifyIdentity.sql",
    "health/v1/health.proto",
    "health/v1/schema.sql",
    "health/v1/InsuranceRegistry/GetCoverage.sql",
    "health/v1/InsuranceRegistry/ListDependants.sql",
    "education/v1/education.proto",
    "education/v1/schema.sql",
    "education/v1/EducationRegistry/GetEnrolment.sql",
    "education/v1/EducationRegistry/ListDegrees.sql",
    "agriculture/v1/agriculture.proto",
    "agriculture/v1/schema.sql",
    "agriculture/v1/FarmRegistry/GetFarmer.sql",
    "agriculture/v1/FarmRegistry/ListParcels.sql",
    "banking/v1/banking.proto",
    "banking/v1/schema.sql",
    "banking/v1/AccountRegistry/VerifyAccount.sql",
    "banking/v1/AccountRegistry/GetLoanStanding.sql",
];

/// A file of the demo that cannot be written, or a reference contract that does not compile.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum Error {
    #[error(transparent)]
    File(#[from] pki::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Contract(#[from] chapar_contract::Error),
}

/// The log's name in checkpoints and receipts.
pub(super) const ORIGIN: &str = "demo.lorestan.example/evidence";

/// Writes the public contracts, their descriptors, and the agencies' own copies with the SQL; gives the five
/// contracts in the order of [`AGENCIES`].
pub(super) fn contracts(dir: &Path) -> Result<Vec<Contract>, Error> {
    for (path, text) in REFERENCE {
        put(&dir.join("adapters/contracts").join(path), text)?;
        // The public folder has contracts only, because the SQL is the agency's own.
        if path.ends_with(".proto") {
            put(&dir.join("contracts").join(path), text)?;
        }
    }
    for (path, text) in BUILT_IN {
        put(&dir.join("contracts").join(path), text)?;
    }
    let folders = AGENCIES.iter().map(|agency| dir.join("contracts").join(agency.register));
    let contracts = folders.map(|folder| Contract::load(&folder)).collect::<Result<Vec<_>, _>>()?;
    write_file(&dir.join("contracts.binpb"), &merge_descriptor_sets(&contracts), 0o644)?;
    Ok(contracts)
}

/// Where the settings of one adapter stand.
pub(super) fn adapter_path(dir: &Path, register: &str) -> PathBuf {
    dir.join(format!("adapters/{register}.toml"))
}

/// Writes the settings of one adapter that dials the gateways at these addresses.
pub(super) fn adapter(
    dir: &Path,
    register: &str,
    addresses: &[SocketAddr],
    sources: &Sources,
) -> Result<(), Error> {
    let gateway = identity(GATEWAY);
    let dial: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let dial = match dial.as_slice() {
        [one] => one.clone(),
        all => format!("[{}]", all.join(", ")),
    };
    let keys = sources.keys(register);
    let text = format!(
        r#"# The adapter of the {register} register: its contract, its SQL, its database.
[adapter]
identity  = {{ cert = "../pki/{register}.crt", key = "../pki/{register}.key", trust = "../pki/ca.crt", crl = "../pki/ca.crl" }}
contracts = ["contracts/{register}"]
dial      = {dial}
gateways  = ["{gateway}"]

[source.{register}]
{keys}max_connections   = 4
statement_timeout = "700ms"
"#
    );
    put(&adapter_path(dir, register), &text)
}

/// One of the demo's gateways, by its number: 1, 2, … The first has plain names, so that a demo of one looks
/// like one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered(pub(super) u16);

impl Numbered {
    /// What is in a folder of several: `NAME`, `NAME-2`, …, before the extension.
    pub(super) fn name(self, stem: &str, extension: &str) -> String {
        if self.0 == 1 { format!("{stem}{extension}") } else { format!("{stem}-{}{extension}", self.0) }
    }

    /// The name of its log in checkpoints and receipts.
    pub(super) fn origin(self) -> String {
        self.name(ORIGIN, "")
    }

    /// Where its settings stand.
    pub(super) fn settings(self, dir: &Path) -> PathBuf {
        dir.join(self.name("gateway", ".toml"))
    }
}

/// Writes the settings of one of so many gateways, with more sections.
pub(super) fn gateway(dir: &Path, number: Numbered, at: At, replicas: u16, more: &str) -> Result<(), Error> {
    let At { gateway: listen, admin } = at;
    let contracts: Vec<String> =
        AGENCIES.iter().map(|agency| format!("\"contracts/{}\"", agency.register)).collect();
    let contracts = contracts.join(", ");
    // Each gateway has its own log and keys, because a log has one writer.
    let (evidence, signing_key, period_key) =
        (number.name("evidence", ""), number.name("evidence", ".key"), number.name("period", ".key"));
    let origin = number.origin();
    let text = format!(
        r#"# A gateway of the demo.
[gateway]
listen    = "{listen}"
admin     = "{admin}"
identity  = {{ cert = "pki/gateway.crt", key = "pki/gateway.key", trust = "pki/ca.crt", crl = "pki/ca.crl" }}
registry  = "registry"
contracts = [{contracts}]
replicas  = {replicas}

[evidence]
path             = "{evidence}"
origin           = "{origin}"
signing_key      = "{signing_key}"
period_key       = "{period_key}"
checkpoint_every = "1s"

[telemetry]
keep_traces = 2000
{more}"#
    );
    put(&number.settings(dir), &text)
}

/// The name of a caller's certificate and key in `pki/`, e.g. `gov-welfare-benefits`.
pub(super) fn key_name(subsystem: &str) -> String {
    subsystem.replace('/', "-")
}

#[derive(Serialize)]
struct Demo<'a> {
    trust_domain: &'a str,
    ca: &'a str,
    gateway: String,
    gateways: Vec<String>,
    server_name: &'a str,
    admin: String,
    admins: Vec<String>,
    identities: BTreeMap<&'a str, KeyFiles>,
    operator: &'a str,
    contracts: &'a str,
    descriptors: &'a str,
    registry: &'a str,
    evidence: Evidence,
    /// Of each gateway, in the order of `gateways`.
    evidences: Vec<Evidence>,
    limits: BTreeMap<&'a str, Limit>,
    counter: Page<'a>,
    auditor: AuditorFiles<'a>,
    sample: &'a [Sample],
}

#[derive(Serialize)]
struct KeyFiles {
    cert: String,
    key: String,
}

#[derive(Serialize)]
struct Evidence {
    path: String,
    origin: String,
    key: String,
}

impl Evidence {
    /// The log of one gateway.
    fn of(number: Numbered) -> Self {
        Self {
            path: number.name("evidence", ""),
            origin: number.origin(),
            key: number.name("evidence", ".pub"),
        }
    }
}

/// The counter office's page, and who may sign in to it.
#[derive(Serialize)]
struct Page<'a> {
    url: String,
    ca: &'a str,
    clerk: &'a str,
    password_file: &'a str,
}

/// Who watches from outside.
#[derive(Serialize)]
struct AuditorFiles<'a> {
    /// Its settings.
    config: &'a str,
    /// Its metrics and status.
    url: String,
    identity: &'a str,
    witnesses: Vec<WitnessFiles<'a>>,
}

#[derive(Serialize)]
struct WitnessFiles<'a> {
    url: &'a str,
    key: &'a str,
}

/// What `demo.json` names beside the gateways.
pub(super) struct Named<'a> {
    /// The address of the counter's page.
    pub(super) page: SocketAddr,
    pub(super) auditor: SocketAddr,
    pub(super) witnesses: &'a [RunningWitness],
}

/// Calls per second, and calls at once.
#[derive(Serialize)]
struct Limit {
    rate: u32,
    burst: u32,
}

/// The grant whose limit the story meets: its rate and burst stand in `registry/gov/civil-registry.toml` too.
pub(super) const LIMITED_GRANT: &str = "welfare-getperson";
pub(super) const LIMITED_RATE: u32 = 20;
pub(super) const LIMITED_BURST: u32 = 40;

/// Where one gateway is.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// Takes calls.
    pub(super) gateway: SocketAddr,
    /// Has the admin pages.
    pub(super) admin: SocketAddr,
}

/// Writes `demo.json`, whole or not at all: others wait for it to appear. `first` is the gateway of those who
/// know of one.
pub(super) fn demo_json(
    dir: &Path,
    first: At,
    all: &[At],
    Named { page, auditor, witnesses }: Named<'_>,
    sample: &[Sample],
) -> Result<(), Error> {
    let files = |subsystem: &'static str| {
        let name = key_name(subsystem);
        (subsystem, KeyFiles { cert: format!("pki/{name}.crt"), key: format!("pki/{name}.key") })
    };
    let demo = Demo {
        trust_domain: TRUST_DOMAIN,
        ca: "pki/ca.crt",
        gateway: first.gateway.to_string(),
        gateways: all.iter().map(|at| at.gateway.to_string()).collect(),
        server_name: SERVER_NAME,
        admin: format!("http://{}", first.admin),
        admins: all.iter().map(|at| format!("http://{}", at.admin)).collect(),
        identities: CALLERS.into_iter().map(files).collect(),
        operator: OPERATIONS,
        contracts: "contracts",
        descriptors: "contracts.binpb",
        registry: "registry",
        evidence: Evidence::of(Numbered(1)),
        evidences: (1..).map(Numbered).map(Evidence::of).take(all.len()).collect(),
        limits: BTreeMap::from([(LIMITED_GRANT, Limit { rate: LIMITED_RATE, burst: LIMITED_BURST })]),
        counter: Page {
            url: page::url(page),
            ca: "pki/ca.crt",
            clerk: CLERK,
            password_file: page::PASSWORD_FILE,
        },
        auditor: AuditorFiles {
            config: audit::SETTINGS,
            url: format!("http://{auditor}"),
            identity: AUDITOR,
            witnesses: witnesses.iter().map(|one| WitnessFiles { url: &one.url, key: &one.key }).collect(),
        },
        sample,
    };
    let path = dir.join("demo.json");
    let unwritable = |source| pki::Error::File { path: path.clone(), source };
    let mut text = serde_json::to_vec_pretty(&demo).map_err(std::io::Error::from).map_err(unwritable)?;
    text.push(b'\n');
    // In one step, so that a program that waits for the file never reads half of it.
    write_file(&path, &text, 0o644)?;
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|source| pki::Error::File { path: folder.to_owned(), source })?;
    }
    Ok(write_file(path, text.as_bytes(), 0o644)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::demo::registry;

    #[test]
    fn the_written_contracts_compile_and_the_agencies_copies_have_the_same_digest() {
        let dir = tempfile::tempdir().unwrap();
        let public = contracts(dir.path()).unwrap();
        for (agency, contract) in AGENCIES.iter().zip(&public) {
            let own = Contract::load(&dir.path().join("adapters/contracts").join(agency.register)).unwrap();
            assert_eq!(own.digest(), contract.digest(), "{}", agency.register);
        }
        let sql =
            |folder: &str| dir.path().join(folder).join("civil/v1/CivilRegistry/GetPerson.sql").exists();
        assert!(sql("adapters/contracts") && !sql("contracts"), "the public copy holds no SQL");
        assert!(dir.path().join("contracts/chapar/contract/v1/options.proto").exists());
    }

    #[test]
    fn every_reference_file_in_the_repository_is_embedded() {
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
        let mut stack: Vec<PathBuf> = AGENCIES.iter().map(|agency| proto.join(agency.register)).collect();
        let mut found = 0;
        while let Some(path) = stack.pop() {
            if path.is_dir() {
                stack.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                let name = path.strip_prefix(&proto).unwrap().to_str().unwrap();
                assert!(REFERENCE.iter().any(|(embedded, _)| *embedded == name), "{name}");
                found += 1;
            }
        }
        assert_eq!(found, REFERENCE.len());
    }

    #[test]
    fn the_limit_in_demo_json_is_the_one_of_the_grant() {
        let dir = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:7443".parse().unwrap();
        let at = At { gateway: address, admin: address };
        let named = Named { page: address, auditor: address, witnesses: &[] };
        demo_json(dir.path(), at, &[at], named, &[]).unwrap();
        let demo: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("demo.json")).unwrap()).unwrap();
        assert_eq!(demo["limits"][LIMITED_GRANT]["burst"], 40);
        let policy = include_str!("registry/gov/civil-registry.toml");
        assert!(policy.contains(&format!("rate = \"{LIMITED_RATE}/s\", burst = {LIMITED_BURST}")));
        assert_eq!(demo["identities"][registry::COUNTER]["cert"], "pki/office-khorramabad-12-counter.crt");
    }
}
