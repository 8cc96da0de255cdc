//! The files of a new bus, in the order in which they need each other. Each is made only if it is not there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chapar_contract::BUILT_IN;
use chapar_model::{Clock, Identity};
use chapar_tlog::SigningKey;

use crate::authority::{self, Authority};
use crate::exit::{Exit, Failure};
use crate::pki::write_file;

/// Days for which the authority's certificate is valid.
const AUTHORITY_DAYS: u32 = 3650;
/// Days for which a certificate is valid; `chapar pki renew` makes the next one.
const CERTIFICATE_DAYS: u32 = 90;

/// What stands in the texts.
pub(super) struct Files {
    pub(super) dir: PathBuf,
    pub(super) domain: String,
    /// The bus's own member is `bus/CODE`.
    pub(super) code: String,
    pub(super) gateway: Identity,
    pub(super) operator: Identity,
    pub(super) hosts: Vec<String>,
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) approver: String,
    /// The certificate of an authority that exists.
    pub(super) ca: Option<PathBuf>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Made {
    New,
    /// It was there.
    Kept,
}

/// Every file, and what became of it.
type Report = Vec<(PathBuf, Made)>;

impl Files {
    /// Makes what is missing.
    ///
    /// # Errors
    /// What could not be made. What was made before it stays, and the next run goes on from there.
    pub(super) fn make(&self) -> Result<Report, Failure> {
        let clock = Clock::system();
        let mut report = Report::new();
        for folder in ["pki", "keys", "registry/bus", "contracts", "systemd"] {
            let folder = self.dir.join(folder);
            std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        }
        let issuer = match &self.ca {
            Some(ca) => self.request(ca, &clock, &mut report)?,
            None => self.issue(&clock, &mut report)?,
        };
        self.evidence(&mut report)?;
        let approver = self.approver(&mut report)?;
        // The registry names the authority by the hash of its key, so the key comes first.
        let filled =
            |text: &str| self.filled(text).replace("{issuer}", &issuer).replace("{approver_key}", &approver);
        for (path, text) in [
            ("registry/bus.toml", include_str!("bus.toml")),
            (&format!("registry/bus/{}.toml", self.code), include_str!("member.toml")),
            ("gateway.toml", include_str!("gateway.toml")),
            (
                "systemd/chapar-gateway.service",
                include_str!("../../../../../deploy/systemd/chapar-gateway.service"),
            ),
            ("README.md", include_str!("README.md")),
        ] {
            self.text(path, &filled(text), &mut report)?;
        }
        // A list is renewed where its authority is: elsewhere the unit would fail each day.
        if self.ca.is_none() {
            for (path, text) in [
                ("systemd/chapar-crl.service", include_str!("chapar-crl.service")),
                ("systemd/chapar-crl.timer", include_str!("chapar-crl.timer")),
            ] {
                self.text(path, &filled(text), &mut report)?;
            }
        }
        for (path, text) in BUILT_IN {
            self.text(&format!("contracts/{path}"), text, &mut report)?;
        }
        Ok(report)
    }

    /// An authority of the bus's own, with its first list, and the certificates of gateway and operator.
    /// Gives the hash of its key.
    fn issue(&self, clock: &Clock, report: &mut Report) -> Result<String, Failure> {
        let pki = self.dir.join("pki");
        let failed = |error| Failure::error(Exit::Finding, error);
        let key = pki.join("ca.key");
        let authority = if key.exists() {
            report.push((key, Made::Kept));
            Authority::open(&pki, clock).map_err(failed)?
        } else {
            let name = format!("{} bus CA", self.domain);
            let authority = Authority::create(&pki, &name, AUTHORITY_DAYS, clock).map_err(failed)?;
            for name in ["ca.key", "ca.crt", "ca.crl"] {
                report.push((pki.join(name), Made::New));
            }
            authority
        };
        for (name, identity, hosts) in self.certified() {
            let [key, certificate] = ["key", "crt"].map(|extension| pki.join(format!("{name}.{extension}")));
            // A key without its certificate gets one, and never another key.
            if certificate.exists() {
                report.push((certificate, Made::Kept));
                continue;
            }
            if key.exists() {
                let text = format!(
                    "{} is there without {name}.crt: sign a request of it, or remove it",
                    key.display()
                );
                return Err(Failure::new(Exit::Finding, text));
            }
            let (chain, secret) = authority.issue(identity, hosts, CERTIFICATE_DAYS).map_err(failed)?;
            self.write(&key, &secret, 0o600, report)?;
            self.write(&certificate, &chain.pem, 0o644, report)?;
        }
        Ok(authority.spki_sha256())
    }

    /// Keys and requests for an authority that exists. Gives the hash of its key.
    fn request(&self, ca: &Path, clock: &Clock, report: &mut Report) -> Result<String, Failure> {
        let pki = self.dir.join("pki");
        let text = chapar_files::read_text(ca).map_err(|error| failed(ca, &error))?;
        let issuer = authority::spki_sha256_of(&text)
            .map_err(|error| Failure::new(Exit::Finding, format_args!("{}: {error}", ca.display())))?;
        self.text("pki/ca.crt", &text, report)?;
        for (name, identity, hosts) in self.certified() {
            let [key, request] = ["key", "csr"].map(|extension| pki.join(format!("{name}.{extension}")));
            if key.exists() {
                report.push((key, Made::Kept));
                continue;
            }
            let (text, secret) = authority::request(identity, hosts, clock)
                .map_err(|error| Failure::error(Exit::Finding, error))?;
            // The key is written first, because a request without its key is of no use.
            self.write(&key, &secret, 0o600, report)?;
            self.write(&request, &text, 0o644, report)?;
        }
        Ok(issuer)
    }

    fn certified(&self) -> [(&'static str, &Identity, &[String]); 2] {
        [("gateway", &self.gateway, &self.hosts), ("operator", &self.operator, &[])]
    }

    /// The keys of the evidence log: all three, or none.
    fn evidence(&self, report: &mut Report) -> Result<(), Failure> {
        let files =
            ["evidence.key", "evidence.pub", "period.key"].map(|name| self.dir.join("keys").join(name));
        let [signing, public, period] = &files;
        let made = if files.iter().any(|file| file.exists()) {
            // What a log was signed and pseudonymised with cannot be made again.
            if let Some(missing) = files.iter().find(|file| !file.exists()) {
                let text = format!("{} is not there, and the other keys of the log are", missing.display());
                return Err(Failure::new(Exit::Finding, text));
            }
            Made::Kept
        } else {
            chapar_evidence::create_keys(&self.origin(), signing, public, period)
                .map_err(|error| Failure::error(Exit::Finding, error))?;
            Made::New
        };
        report.extend(files.into_iter().map(|file| (file, made)));
        Ok(())
    }

    /// The first approver's key. Gives its public half.
    fn approver(&self, report: &mut Report) -> Result<String, Failure> {
        let path = self.dir.join("keys").join(format!("{}.key", self.approver));
        if path.exists() {
            let text = chapar_files::read_secret(&path).map_err(|error| failed(&path, &error))?;
            let key: SigningKey = text.trim().parse().map_err(|_| {
                Failure::new(Exit::Finding, format_args!("{} holds no approver's key", path.display()))
            })?;
            report.push((path, Made::Kept));
            return Ok(key.verifier().to_string());
        }
        let key = SigningKey::generate(&self.approver)
            .map_err(|_| Failure::usage("an approver's name must have no space and no `+`"))?;
        self.write(&path, &format!("{}\n", key.to_secret_text()), 0o600, report)?;
        Ok(key.verifier().to_string())
    }

    fn origin(&self) -> String {
        format!("bus.{}/evidence", self.domain)
    }

    /// Fills in what stands in braces.
    fn filled(&self, text: &str) -> String {
        let host = self.hosts.first().map_or("", String::as_str);
        let values = [
            ("{dir}", self.dir.display().to_string()),
            ("{domain}", self.domain.clone()),
            ("{code}", self.code.clone()),
            ("{gateway}", self.gateway.to_string()),
            ("{host}", host.to_owned()),
            ("{listen}", self.listen.to_string()),
            ("{port}", self.listen.port().to_string()),
            ("{admin}", self.admin.to_string()),
            ("{approver}", self.approver.clone()),
            ("{origin}", self.origin()),
            // An authority that exists says itself where its lists are.
            ("{crl}", if self.ca.is_some() { "" } else { ", crl = \"pki/ca.crl\"" }.to_owned()),
            ("/etc/chapar/gateway.toml", self.dir.join("gateway.toml").display().to_string()),
            ("StateDirectory=chapar", format!("ReadWritePaths={}", self.dir.display())),
        ];
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    fn text(&self, path: &str, text: &str, report: &mut Report) -> Result<(), Failure> {
        let path = self.dir.join(path);
        if path.exists() {
            report.push((path, Made::Kept));
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        }
        self.write(&path, text, 0o644, report)
    }

    fn write(&self, path: &Path, text: &str, mode: u32, report: &mut Report) -> Result<(), Failure> {
        write_file(path, text.as_bytes(), mode).map_err(|error| Failure::error(Exit::Finding, error))?;
        report.push((path.to_owned(), Made::New));
        Ok(())
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Finding, format_args!("{}: {error}", path.display()))
}
