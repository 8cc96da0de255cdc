//! `Config` parses and validates `adapter.toml` and resolves paths against the file's folder. It opens no
//! file that is named there but the trusted CAs, to count them.

mod connect_mode;
mod source;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chapar_model::Identity;
use chapar_transport::tls::{self, Party};
use serde::Deserialize;
use toml::Spanned;

use crate::finding::{Finding, Findings, did_you_mean};
use connect_mode::{NO_MODE, OneOrMore};
use source::SourceTable;

pub use connect_mode::ConnectMode;
pub use source::{ApiServer, Endpoint, Limits, Server, ServerTls, SourceConfig, SourceKind};

/// An adapter's settings. `docs/reference/adapter.md` describes every key.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that they came from.
    pub file: PathBuf,
    /// The adapter's own certificate, key and trusted CA.
    pub identity: tls::Files,
    /// Contract folders, each named like its source.
    pub contracts: Vec<PathBuf>,
    /// How gateways reach it.
    pub mode: ConnectMode,
    /// Who may call: the bus's gateways, at least one.
    pub gateways: Vec<Party>,
    /// One source per contract folder, by the folder's name.
    pub sources: BTreeMap<String, SourceConfig>,
    /// The folder for state that outlives a restart: the revocation lists that were seen.
    pub state: PathBuf,
    /// The key of page tokens that replicas share; `None` for one of this adapter's own, in the state folder.
    pub page_key: Option<PathBuf>,
    /// Address of the admin pages, plain HTTP; `None` for no such pages.
    pub admin: Option<SocketAddr>,
    /// Where to send spans by OTLP/gRPC.
    pub otlp: Option<String>,
    /// The CA certificates that a collector at `https://` is checked with.
    pub otlp_ca: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    adapter: AdapterTable,
    #[serde(default)]
    source: BTreeMap<Spanned<String>, SourceTable>,
    #[serde(default)]
    telemetry: TelemetryTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdapterTable {
    identity: tls::Files,
    contracts: Spanned<Vec<Spanned<String>>>,
    dial: Option<Spanned<OneOrMore>>,
    connections: Option<Spanned<usize>>,
    listen: Option<Spanned<String>>,
    gateways: Spanned<Vec<Spanned<String>>>,
    gateway_issuers: Option<Spanned<Vec<Spanned<String>>>>,
    state: Option<PathBuf>,
    page_key: Option<PathBuf>,
    admin: Option<Spanned<SocketAddr>>,
    #[serde(default)]
    admin_beyond_loopback: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TelemetryTable {
    otlp: Option<String>,
    otlp_ca: Option<PathBuf>,
}

impl Config {
    /// The file that remembers revocation lists.
    pub(crate) fn revocation_memory(&self) -> PathBuf {
        self.state.join("revocation.toml")
    }

    /// Reads and checks `file`.
    ///
    /// # Errors
    /// Every fault of the file, with line and column.
    pub fn load(file: &Path) -> Result<Self, Findings> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Finding::of_file(file, format!("cannot be read: {error}")))?;
        Self::parse(file, &text)
    }

    /// Checks `text`, the contents of `file`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, Findings> {
        let raw: File = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            Finding::new(file, text, span.start, span.len(), error.message())
        })?;
        let folder = file.parent().unwrap_or(Path::new(""));
        // Faults are gathered, so that an operator corrects the file in one round.
        let mut reader = ConfigReader { file, text, findings: Vec::new() };
        let contracts: Vec<PathBuf> =
            raw.adapter.contracts.get_ref().iter().map(|path| folder.join(path.get_ref())).collect();
        if contracts.is_empty() {
            reader.report(raw.adapter.contracts.span(), "name at least one contract folder");
        }
        let sources = reader.sources(folder, &raw);
        let mode = reader.mode(&raw.adapter);
        let gateways: Vec<Identity> = raw
            .adapter
            .gateways
            .get_ref()
            .iter()
            .filter_map(|text| {
                reader.parsed(text, "an identity `spiffe://TRUST_DOMAIN/CLASS/CODE/SUBSYSTEM`")
            })
            .collect();
        let issuers = reader.issuers(&raw.adapter, folder);
        let gateways =
            gateways.into_iter().map(|identity| Party { identity, issuers: issuers.clone() }).collect();
        if raw.adapter.gateways.get_ref().is_empty() {
            reader.report(raw.adapter.gateways.span(), "name at least one gateway: nobody else may call");
        }
        let admin = reader.admin(&raw.adapter);
        Findings::check(reader.findings)?;
        // A missing mode is a finding, so `check` has returned before this `else`.
        let Some(mode) = mode else { return Err(Finding::of_file(file, NO_MODE).into()) };
        let mut identity = raw.adapter.identity;
        identity.resolve(folder);
        let state =
            raw.adapter.state.map_or_else(|| file.with_extension("state"), |state| folder.join(state));
        Ok(Self {
            file: file.to_owned(),
            identity,
            contracts,
            mode,
            gateways,
            sources,
            state,
            page_key: raw.adapter.page_key.map(|key| folder.join(key)),
            admin,
            otlp: raw.telemetry.otlp,
            otlp_ca: raw.telemetry.otlp_ca.map(|ca| folder.join(ca)),
        })
    }

    /// The name of a contract folder, which is also its source's.
    pub(crate) fn name(contract: &Path) -> &str {
        contract.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// Collects findings while the values are read.
struct ConfigReader<'a> {
    file: &'a Path,
    text: &'a str,
    findings: Vec<Finding>,
}

impl ConfigReader<'_> {
    fn report(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.findings.push(Finding::new(self.file, self.text, span.start, span.len(), message));
    }

    fn parsed<T: std::str::FromStr>(&mut self, text: &Spanned<String>, shape: &str) -> Option<T> {
        let value = text.get_ref().parse().ok();
        if value.is_none() {
            self.report(text.span(), format!("must be {shape}"));
        }
        value
    }

    fn admin(&mut self, adapter: &AdapterTable) -> Option<SocketAddr> {
        let admin = adapter.admin.as_ref()?;
        if !admin.get_ref().ip().is_loopback() && !adapter.admin_beyond_loopback {
            let message = "`admin` is plain HTTP and not on loopback: whoever reaches it reads the metrics. If that is meant, write \
                           `admin_beyond_loopback = true`";
            self.report(admin.span(), message);
        }
        Some(*admin.get_ref())
    }

    /// The CAs whose signature makes a certificate the gateway's own. Where only one CA is trusted, that is
    /// the one.
    fn issuers(&mut self, adapter: &AdapterTable, folder: &Path) -> Vec<[u8; 32]> {
        let Some(named) = &adapter.gateway_issuers else {
            let mut files = adapter.identity.clone();
            files.resolve(folder);
            // A file that cannot be read is named when it is used.
            if tls::count_authorities(&files).is_ok_and(|count| count > 1) {
                let message = "`trust` holds several CAs, and any of them could speak for the gateway: name those that may, \
                               `gateway_issuers = [\"sha256:…\"]` (`chapar pki inspect` prints it)";
                self.report(adapter.gateways.span(), message);
            }
            return Vec::new();
        };
        if named.get_ref().is_empty() {
            self.report(named.span(), "name at least one CA, or leave the key out where only one is trusted");
        }
        let read = |text: &Spanned<String>| {
            let issuer = chapar_model::parse_sha256(text.get_ref());
            if issuer.is_none() {
                self.report(
                    text.span(),
                    "must be `sha256:` and the 64 hexadecimal digits of a CA's public key",
                );
            }
            issuer
        };
        named.get_ref().iter().filter_map(read).collect()
    }

    fn sources(&mut self, folder: &Path, raw: &File) -> BTreeMap<String, SourceConfig> {
        let mut names = Vec::new();
        // Sources are matched by the folder's name, so two folders of one name would share a database by
        // accident.
        for contract in raw.adapter.contracts.get_ref() {
            let name = Config::name(Path::new(contract.get_ref())).to_owned();
            let missing = !raw.source.keys().any(|source| *source.get_ref() == name);
            if name.is_empty() {
                // A path such as `..` has no name.
                self.report(contract.span(), "must be the path of a folder");
            } else if names.contains(&name) {
                self.report(contract.span(), format!("a second contract folder named `{name}`"));
            } else if missing {
                self.report(contract.span(), format!("there is no [source.{name}] for this contract"));
            }
            names.push(name);
        }
        let mut sources = BTreeMap::new();
        for (name, table) in &raw.source {
            if !names.contains(name.get_ref()) {
                let help = did_you_mean(name.get_ref(), names.iter().map(String::as_str));
                let message = format!("`{}` is the name of no contract folder", name.get_ref());
                self.report(name.span(), help.map_or(message.clone(), |help| format!("{message}; {help}")));
            }
            if let Some(source) = self.source(folder, table) {
                sources.insert(name.get_ref().clone(), source);
            }
        }
        sources
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) const GOOD: &str = r#"
[adapter]
identity  = { cert = "pki/civil.crt", key = "pki/civil.key", trust = "/etc/ca.crt" }
contracts = ["contracts/civil"]
listen    = "127.0.0.1:0"
gateways  = ["spiffe://lorestan.example/bus/lorestan/gateway"]
[source.civil]
url = "sqlite:databases/civil.db"
max_connections = 8
statement_timeout = "700ms"
"#;

    pub(crate) fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("/srv/adapter.toml"), text).map_err(|findings| findings.to_string())
    }

    #[test]
    fn paths_are_relative_to_the_files_folder() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.identity.cert, Path::new("/srv/pki/civil.crt"));
        assert_eq!(config.identity.trust, Path::new("/etc/ca.crt"));
        assert_eq!(config.sources["civil"].kind, SourceKind::Sqlite("/srv/databases/civil.db".into()));
        assert_eq!(config.sources["civil"].limits.statement_timeout, Duration::from_millis(700));
        assert_eq!(config.sources["civil"].limits.acquire_timeout, Duration::from_millis(250));
    }

    #[test]
    fn every_fault_is_found_at_once_with_its_place() {
        let text = GOOD
            .replace("127.0.0.1:0", "localhost")
            .replace("\"700ms\"", "\"700\"")
            .replace("sqlite:", "oracle:")
            .replace("= 8", "= 0")
            .replace("/bus/lorestan/gateway", "/bus");
        let error = parse(&text).unwrap_err();
        for place in [
            ":5:13: must be an address",
            ":6:14: must be an identity",
            ":8:7: must be `sqlite:PATH`",
            ":9:19: must be 1 to 256",
            ":10:21: must be a time",
        ] {
            assert!(error.contains(&format!("/srv/adapter.toml{place}")), "{place} in {error}");
        }
    }

    #[test]
    fn admin_pages_leave_loopback_only_if_that_is_written() {
        let listen = "listen    = \"127.0.0.1:0\"\n";
        let with = |admin: &str| parse(&GOOD.replace(listen, &format!("{listen}{admin}\n")));
        assert_eq!(parse(GOOD).unwrap().admin, None);
        assert!(with(r#"admin = "127.0.0.1:7481""#).unwrap().admin.is_some());
        let error = with(r#"admin = "10.0.0.5:7481""#).unwrap_err();
        assert!(
            error.starts_with("/srv/adapter.toml:6:9: `admin` is plain HTTP and not on loopback"),
            "{error}"
        );
        let meant = "admin = \"10.0.0.5:7481\"\nadmin_beyond_loopback = true";
        assert!(with(meant).unwrap().admin.is_some());
    }

    #[test]
    fn unknown_keys_are_refused_with_line_and_column() {
        let error = parse(&GOOD.replace("listen ", "lissten")).unwrap_err();
        assert!(error.starts_with("/srv/adapter.toml:5:1: unknown field `lissten`"), "{error}");
        let error = parse(&format!("{GOOD}passwort = \"x\"\n")).unwrap_err();
        assert!(error.starts_with("/srv/adapter.toml:11:1: unknown field `passwort`"), "{error}");
    }

    #[test]
    fn every_contract_has_a_source_and_every_source_a_contract() {
        let error = parse(&GOOD.replace("[source.civil]", "[source.civl]")).unwrap_err();
        assert!(error.contains(":4:14: there is no [source.civil]"), "{error}");
        assert!(
            error.contains(":7:9: `civl` is the name of no contract folder; did you mean `civil`?"),
            "{error}"
        );
    }

    #[test]
    fn where_several_cas_are_trusted_the_gateways_own_are_named() {
        let authority = || {
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertifiedIssuer::self_signed(params, key).unwrap().pem()
        };
        let folder = tempfile::tempdir().unwrap();
        let trust = folder.path().join("ca.crt");
        let text = GOOD.replace("/etc/ca.crt", trust.to_str().unwrap());
        std::fs::write(&trust, authority()).unwrap();
        assert!(parse(&text).unwrap().gateways[0].issuers.is_empty());

        std::fs::write(&trust, authority() + &authority()).unwrap();
        let error = parse(&text).unwrap_err();
        assert!(error.contains(":6:13: `trust` holds several CAs"), "{error}");
        let issuer = format!("gateway_issuers = [\"sha256:{}\"]\n[source.civil]", "ab".repeat(32));
        let named = parse(&text.replace("[source.civil]", &issuer)).unwrap();
        assert_eq!(named.gateways[0].issuers, [[0xab; 32]]);
    }

    #[test]
    fn the_published_examples_are_valid() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Config::load(&root.join("deploy/config/adapter.toml")).unwrap();
        let page = std::fs::read_to_string(root.join("docs/reference/adapter.md")).unwrap();
        let example = page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        parse(example).unwrap();
    }
}
