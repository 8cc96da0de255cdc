//! This module implements `chapar adapter new`: the files around a contract for a first publication.

use std::path::{Path, PathBuf};

use chapar_adapter::SourceConfig;
use chapar_contract::Contract;
use chapar_model::Identity;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};

use super::introspect::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::out;
use crate::pki::write_file;

/// Write the files of a first publication around a contract
///
/// DIR gets `adapter.toml`, the adapter's key and a request for its certificate, and a text for the registry:
/// the request and the text go to the bus's operator, the key stays. Nothing that exists is overwritten.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  chapar adapter new civil-adapter --contract contracts/civil \\\n      --identity spiffe://lorestan.example/gov/civil-registry/adapter --url postgres://civil_ro@db.example/civil \\\n      --ca db-ca.crt --password-file civil.password --gateway gateway.lorestan.example:7443 \\\n      --gateway-identity spiffe://lorestan.example/bus/lorestan/gateway"
)]
pub(super) struct Args {
    /// The folder that gets the files
    dir: PathBuf,
    /// The contract's folder
    #[arg(long, value_name = "DIR")]
    contract: PathBuf,
    /// The adapter's identity on the bus
    #[arg(long, value_name = "ID")]
    identity: Identity,
    /// The database or API, as in `adapter.toml`
    #[arg(long)]
    url: String,
    /// A secret for the headers of an API, in a file of its own; may be repeated
    #[arg(long = "secret", value_name = "NAME=FILE", value_parser = secret)]
    secrets: Vec<(String, PathBuf)>,
    /// The gateway's address, which the adapter dials
    #[arg(long, value_name = "HOST:PORT")]
    gateway: String,
    /// The gateway's identity
    #[arg(long, value_name = "ID")]
    gateway_identity: Identity,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: &Args) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Finding, error);
    let here = std::env::current_dir().map_err(|error| failed(&error))?;
    let contract_folder = here.join(&args.contract);
    let contract = Contract::load(&contract_folder).map_err(Failure::finding)?;
    let mut source = args.connection.toml(&args.url);
    let absolute = |path: &Path| toml::Value::from(here.join(path).display().to_string());
    let secrets: toml::Table =
        args.secrets.iter().map(|(name, file)| (name.clone(), absolute(file))).collect();
    if !secrets.is_empty() {
        source.insert("secrets".to_owned(), secrets.into());
    }
    // Looked at before anything is written; what the files hold is seen by `chapar adapter check`.
    SourceConfig::parse(&here, &source.to_string()).map_err(Failure::finding)?;
    for key in ["password_file", "ca", "cert", "key"] {
        if let Some(toml::Value::String(path)) = source.get_mut(key) {
            *path = here.join(&*path).display().to_string();
        }
    }
    if let Some(file) = args.url.strip_prefix("sqlite:") {
        source.insert("url".to_owned(), format!("sqlite:{}", here.join(file).display()).into());
    }
    let name = contract_folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let files = [
        ("adapter.toml", settings(args, &contract_folder, name, &source), 0o644),
        ("registry.toml", registry(args, &contract), 0o644),
    ];
    let (key, request) = request(&args.identity).map_err(|error| failed(&error))?;
    let pki = [("pki/adapter.key", key, 0o600), ("pki/adapter.csr", request, 0o644)];
    let all: Vec<_> = files.into_iter().chain(pki).collect();
    // Nothing is written before it is known that all of it can be.
    for (file, ..) in &all {
        let path = args.dir.join(file);
        if path.exists() {
            return Err(Failure::new(Exit::Finding, format!("`{}` is there already", path.display())));
        }
    }
    std::fs::create_dir_all(args.dir.join("pki")).map_err(|error| failed(&error))?;
    for (file, text, mode) in &all {
        let path = args.dir.join(file);
        write_file(&path, text.as_bytes(), *mode).map_err(|error| failed(&error))?;
        out::data(path.display());
    }
    out::say(format!(
        "next: send {dir}/pki/adapter.csr and {dir}/registry.toml to the operator of the bus; put the certificate that comes \
         back at {dir}/pki/adapter.crt and the bus's CA at {dir}/pki/ca.crt; then `chapar adapter check --config {dir}/adapter.toml`",
        dir = args.dir.display()
    ));
    Ok(Exit::Ok)
}

fn secret(text: &str) -> Result<(String, PathBuf), &'static str> {
    let (name, file) = text.split_once('=').ok_or("must be NAME=FILE")?;
    Ok((name.to_owned(), file.into()))
}

fn settings(args: &Args, contract: &Path, name: &str, source: &toml::Table) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    format!(
        "# The adapter of one agency's database. Keys are described in docs/reference/adapter.md.\n\n[adapter]\n\
         identity  = {{ cert = \"pki/adapter.crt\", key = \"pki/adapter.key\", trust = \"pki/ca.crt\" }}\n\
         contracts = [{}]\ndial      = {}\ngateways  = [{}]\nstate     = \"state\"\n\n[source.{name}]\n{}",
        quoted(&contract.display().to_string()),
        quoted(&args.gateway),
        quoted(&args.gateway_identity.to_string()),
        lines(source),
    )
}

/// One line for each key: what is a table is written within its line, so that it stays in this source's
/// table.
fn lines(source: &toml::Table) -> String {
    let line = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(table) => {
            let members: Vec<String> =
                table.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            format!("{key} = {{ {} }}\n", members.join(", "))
        }
        value => format!("{key} = {value}\n"),
    };
    source.iter().map(line).collect()
}

/// What the member's file in the registry gets.
fn registry(args: &Args, contract: &Contract) -> String {
    let mut text = format!(
        "# For the member's file in the registry of the bus.\n\n[[subsystem]]\nid = \"{}\"\n",
        args.identity.subsystem().name()
    );
    for service in contract.services() {
        text.push_str(&format!(
            "\n[[service]]\ncontract = \"{}\"\ndigest   = \"{}\"\nadapters = [\"{}\"]\n",
            service.name(),
            contract.digest(),
            args.identity
        ));
    }
    text
}

/// A new key, and a request for a certificate with the identity (RFC 2986; SPIFFE X.509-SVID §2), in PEM.
fn request(identity: &Identity) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
    let request = params.serialize_request(&key)?;
    Ok((key.serialize_pem(), request.pem()?))
}
