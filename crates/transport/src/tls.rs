//! This module configures mutual TLS 1.3 from PEM files. Session resumption and early data are off, so that
//! every connection verifies the certificate. Where revocation lists are given, a certificate without a
//! current list is refused. A client knows a server by its SPIFFE ID or, without SPIFFE, by its DNS name.

mod by_identity;
mod own;
mod revocation;
mod server;
mod status;
mod trust;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chapar_files::SecretError;
use chapar_model::Identity;
use parking_lot::Mutex;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::error::Error;
use by_identity::ByIdentity;
use revocation::Known;
use server::LIST_GRACE;

pub use by_identity::Party;
pub use own::{OwnCertificate, Shown, own_certificate, own_certificate_alone};
pub(crate) use server::LoadedTls;
pub use server::{ServerTls, check, server, server_remembering, server_with_grace};
pub use status::{HumanDuration, Revocation, listed, log_revocation, unlisted};
pub(crate) use trust::Trust;

/// The application protocol of calls.
pub(crate) const CALLS: &[u8] = b"h2";
/// HTTP/1.1, for callers that send JSON.
pub(crate) const HTTP1: &[u8] = b"http/1.1";
/// The application protocol of a connection on which the dialling side serves.
pub const REVERSE: &[u8] = b"chapar-reverse/1";

/// PEM files of one side of a connection.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The certificate, and the intermediates after it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CAs that the other side's certificates are checked with.
    pub trust: PathBuf,
    /// Revocation lists of those CAs, one for each. Absent: revocation is not checked.
    pub crl: Option<PathBuf>,
}

impl Files {
    /// The files, of which those of revocation lists come last.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert, &self.key, &self.trust].into_iter().chain(&self.crl)
    }

    /// Makes relative paths relative to `base`.
    pub fn resolve(&mut self, base: &Path) {
        for path in [&mut self.cert, &mut self.key, &mut self.trust].into_iter().chain(&mut self.crl) {
            *path = base.join(&path);
        }
    }
}

/// Who a client expects at the other end.
#[derive(Clone, Debug)]
pub enum Expect {
    /// Whoever holds a certificate with the DNS name that was dialled.
    DnsName,
    /// One of these, whatever the address.
    Parties(Vec<Party>),
}

impl Expect {
    /// One of these identities, whichever trusted CA signed for it.
    pub fn identities(identities: Vec<Identity>) -> Self {
        Self::Parties(identities.into_iter().map(Party::from).collect())
    }
}

/// What a client remembers of the revocation lists that it has used, so that it does not go back to an older
/// one. Clones are the same memory.
#[derive(Clone, Default)]
pub struct ListsSeen(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    known: Known,
    /// The file that remembers it over restarts.
    memory: Option<PathBuf>,
}

impl ListsSeen {
    /// One that outlives the process in the file `memory`.
    ///
    /// # Errors
    /// [`Error`] if the file cannot be read, or is not what was written.
    pub fn remembered_in(memory: &Path) -> Result<Self, Error> {
        let known = Known::read(memory)?;
        Ok(Self(Arc::new(Mutex::new(Seen { known, memory: Some(memory.to_owned()) }))))
    }
}

/// TLS of a side that connects to others.
pub struct ClientTls {
    /// What a connection is opened with.
    pub config: Arc<ClientConfig>,
    /// What judges the other end's certificate: in a handshake, and later on a connection that is open.
    pub verifier: Arc<dyn ServerCertVerifier>,
    /// What is known of revocation.
    pub revocation: Vec<Revocation>,
}

/// TLS of a caller that shows its own certificate.
///
/// # Errors
/// [`Error`] naming the file that cannot be read or used.
pub fn client(files: &Files, expect: Expect) -> Result<Arc<ClientConfig>, Error> {
    client_remembering(files, expect, &ListsSeen::default()).map(|tls| tls.config)
}

/// A client of web servers, which shows no certificate; `ca` (PEM) certifies the servers. For HTTP/1.1.
///
/// # Errors
/// [`Error`] naming the file at fault.
pub fn web_client(ca: &Path) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(ca)? {
        roots.add(certificate).map_err(|error| unusable(ca, error))?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP1.to_vec()];
    Ok(Arc::new(config))
}

/// As [`client`], for one whose files are read again and again.
///
/// # Errors
/// As [`client`], also if a revocation list is older than the last one of its issuer, there was one and now
/// there is none, or `seen` cannot be written.
pub fn client_remembering(files: &Files, expect: Expect, seen: &ListsSeen) -> Result<ClientTls, Error> {
    // Locked over the whole load, so that of two reloads the later one compares its lists with the earlier
    // one's.
    let mut seen = seen.0.lock();
    let mut told = vec![Revocation::NotChecked];
    let mut now_seen = None;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match expect {
        Expect::DnsName => {
            // webpki's verifier has no grace after `nextUpdate`. It is used only where the server has a DNS
            // name and no SPIFFE ID.
            let mut roots = RootCertStore::empty();
            for certificate in chain(&files.trust)? {
                roots.add(certificate).map_err(|error| unusable(&files.trust, error))?;
            }
            let crls = files.crl.as_deref().map_or(Ok(Vec::new()), revocation::read)?;
            let mut verifier =
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
            if !crls.is_empty() {
                verifier = verifier.with_crls(crls).enforce_revocation_expiration();
            }
            verifier.build().map_err(|error| unusable(&files.trust, error))?
        }
        Expect::Parties(parties) => {
            let Seen { known, memory } = &mut *seen;
            server::check_lists(files, known, memory.as_deref())?;
            let (trust, known) = Trust::load(files, &seen.known, LIST_GRACE)?;
            now_seen = Some(known);
            told = trust.told();
            Arc::new(ByIdentity { parties, trust })
        }
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier))
        .with_client_auth_cert(own_chain(files)?, key(&files.key)?)
        .map_err(|error| unfit(files, &error))?;
    config.alpn_protocols = vec![CALLS.to_vec()];
    // A resumed session skips the verification of the certificate, and with it revocation.
    config.resumption = Resumption::disabled();
    // Only once all of it is good: what never came in force is not what later lists are held to.
    if let Some(known) = now_seen {
        server::remember(&seen.known, &known, seen.memory.as_deref())?;
        seen.known = known;
    }
    Ok(ClientTls { config: Arc::new(config), verifier, revocation: told })
}

fn unusable(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::Unusable { path: path.to_owned(), problem: problem.to_string() }
}

/// The certificates that a side shows.
fn own_chain(files: &Files) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain = chain(&files.cert)?;
    // Looked at before the key, because rustls reports certificates in another order as a key that does not
    // fit.
    match misplaced(&chain) {
        Some(problem) => Err(unusable(&files.cert, problem)),
        None => Ok(chain),
    }
}

/// A certificate and a key that each can be read, but do not go together.
fn unfit(files: &Files, error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InconsistentKeys(_) => unusable(
            &files.key,
            format_args!("is not the key of the certificate in {}", files.cert.display()),
        ),
        other => unusable(&files.key, other),
    }
}

/// How many CAs a side trusts.
///
/// # Errors
/// [`Error`] naming the file that cannot be read or used.
pub fn count_authorities(files: &Files) -> Result<usize, Error> {
    chain(&files.trust).map(|authorities| authorities.len())
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = chapar_files::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let damaged =
            || unusable(path, format_args!("its certificate number {} is damaged", found.len() + 1));
        let certificate = certificate.map_err(|_| damaged())?;
        // Parsed here as well, so that damage is reported with the file and the number of the certificate.
        X509Certificate::from_der(&certificate).map_err(|_| damaged())?;
        found.push(certificate);
    }
    if found.is_empty() { Err(unusable(path, "holds no PEM certificate")) } else { Ok(found) }
}

/// The smallest RSA key whose signatures TLS takes, in bits.
const SMALLEST_RSA: usize = 2048;

/// Why the first certificate of a chain cannot be a side's own, if it cannot.
fn misplaced(chain: &[CertificateDer<'_>]) -> Option<String> {
    let (_, first) = X509Certificate::from_der(chain.first()?).ok()?;
    // Path validation takes no CA's certificate as a peer's own (RFC 5280 §4.2.1.9), even with its key.
    if first.is_ca() {
        return Some(
            "begins with a CA's certificate: your own certificate must come first, then its issuers"
                .to_owned(),
        );
    }
    match first.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < SMALLEST_RSA => Some(format!(
            "has an RSA key of {} bits: {SMALLEST_RSA} or more are needed, or P-256",
            key.key_size()
        )),
        _ => None,
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = match chapar_files::read_secret(path) {
        Ok(pem) => pem,
        // Such as a key in DER.
        Err(SecretError::Read(error)) if error.kind() == std::io::ErrorKind::InvalidData => String::new(),
        Err(SecretError::Read(source)) => return Err(Error::Read { path: path.to_owned(), source }),
        // Where the file holds no key, as when the two paths are swapped, that is what is wrong with it.
        Err(shared @ SecretError::Shared) => match chapar_files::read_text(path).unwrap_or_default() {
            pem if PrivateKeyDer::from_pem_slice(pem.as_bytes()).is_ok() => {
                return Err(unusable(path, shared));
            }
            pem => pem,
        },
    };
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| unusable(path, no_key(&pem)))
}

/// Why a file gives no private key.
fn no_key(pem: &str) -> &'static str {
    // RFC 7468 §11, and RFC 1421's header as OpenSSL's older tools write it.
    let signs = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];
    match signs.iter().any(|sign| pem.contains(sign)) {
        true => "holds an encrypted private key: decrypt it, `openssl pkey -in FILE -out NEW`",
        false => "holds no PEM private key",
    }
}

/// Makes aws-lc-rs the process's provider of cryptography, for libraries that ask for a default. Harmless
/// when repeated.
pub fn install_provider() {
    // An error means that there is one already.
    CryptoProvider::install_default(aws_lc_rs::default_provider()).ok();
}
