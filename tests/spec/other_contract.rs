//! A contract that one test needs beside the harness's civil one. Its services are the civil registry's,
//! which answers them by a gRPC server of its own, or by an adapter that a test starts.

use std::path::{Path, PathBuf};

use chapar_contract::Contract;
use chapar_tests::Builder;

/// One contract in a folder of its own, which goes when this is dropped.
pub(crate) struct OtherContract {
    folder: tempfile::TempDir,
    /// Its own folder in `folder`, by the package's name.
    own: PathBuf,
    contract: Contract,
}

impl OtherContract {
    /// `PACKAGE.v1` with this text after the imports.
    pub(crate) fn new(package: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(package);
        let file: PathBuf = own.join(format!("v1/{package}.proto"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let head = format!("syntax = \"proto3\";\npackage {package}.v1;\n");
        let import = "import \"chapar/contract/v1/options.proto\";\n";
        std::fs::write(file, [head.as_str(), import, text].concat()).unwrap();
        let contract = Contract::load(&own).unwrap();
        Self { folder, own, contract }
    }

    pub(crate) fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Its own folder, with this statement (`v1/SERVICE/METHOD`) for an adapter.
    pub(crate) fn with_statement(&self, method: &str, sql: &str) -> &Path {
        let file = self.own.join(format!("{method}.sql"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, sql).unwrap();
        &self.own
    }

    /// A `[[service]]` of an own gRPC server, with more lines.
    pub(crate) fn service(&self, name: &str, more: &str) -> String {
        self.service_of_adapters(name) + &format!("server = \"grpc\"\n{{endpoints}}\n{more}")
    }

    /// A `[[service]]` that adapters join.
    pub(crate) fn service_of_adapters(&self, name: &str) -> String {
        let digest = self.contract.digest();
        format!(
            "\n[[service]]\ncontract = \"{name}\"\ndigest = \"{digest}\"\n\
             adapters = [\"spiffe://lorestan.example/gov/civil-registry/adapter\"]\n"
        )
    }

    /// The bus with the contract, and with services and grants of it.
    pub(crate) fn on(&self, bus: Builder, registered: String) -> Builder {
        let folder = self.folder.path().to_str().unwrap();
        bus.contract(folder).edit("gov/civil-registry.toml", move |text| {
            let endpoints = text.lines().find(|line| line.starts_with("endpoints")).unwrap().to_owned();
            text + &registered.replace("{endpoints}", &endpoints)
        })
    }
}

/// A `[[grant]]` of one field for `benefit.eligibility`.
pub(crate) fn grant(to: &str, method: &str, field: &str) -> String {
    let id = to.replace('/', "-");
    format!(
        "\n[[grant]]\nid = \"{id}\"\nto = \"{to}\"\nmethod = \"{method}\"\n\
         purposes = [\"benefit.eligibility\"]\nfields = [\"{field}\"]\n\
         valid = {{ from = 2026-01-01, until = 2027-12-31 }}\nbasis = \"Test\"\n"
    )
}
