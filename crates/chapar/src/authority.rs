//! This module is a certificate authority in a folder: its key, what it has issued, what it has revoked, and
//! its revocation list. It is for a bus that has no authority of its own; one with an HSM or an existing PKI
//! needs none of this. What it issues has one URI SAN: the identity that the operator names, never one that a
//! request asks for.

mod certificate;
mod list;
mod read_back;
mod records;
mod request;

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use chapar_model::{Clock, Identity, show_sha256, to_hex};
use jiff::civil;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::DnsName;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::pki::{self, params, write_file};
use certificate::leaf;
use records::Revoked;
use request::Request;

pub use certificate::{inspect, spki_sha256_of};
pub use records::{Entry, Reason};

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// Length of a serial number (RFC 5280 §4.1.2.2: at most 20).
const SERIAL_BYTES: usize = 16;

/// Why an authority did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, or what the library refuses.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// A file of the authority that cannot be read or is no such file.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A request that is not signed as it should be.
    #[error("the certificate signing request is not signed with its own key")]
    Request,
    /// A request for another identity than the operator says.
    #[error("the certificate signing request asks for {asked}, not for {said}")]
    Other {
        /// The identity in the request.
        asked: String,
        /// The identity that the operator named.
        said: String,
    },
    /// No request at all.
    #[error("the file holds no PEM certificate signing request")]
    NoRequest,
    /// How long, or for which name, a certificate cannot be made.
    #[error("{0}")]
    Unfit(String),
    /// The certificate or list that was made is not what was asked for; nothing was written.
    #[error(
        "what was made is not what was asked for, and was not written. If the request's key is none of P-256, use one \
         (`openssl ecparam -name prime256v1 -genkey`)"
    )]
    Unfaithful,
    /// A file that holds none.
    #[error("the file holds no PEM certificate")]
    NoCertificate,
    /// A certificate that this authority did not issue.
    #[error("this certificate authority has not issued this certificate")]
    Stranger,
    /// The key of a certificate that was revoked because its key is, or may be, in other hands.
    #[error("the key is that of the certificate {0}, which was revoked for `key-compromise`: make a new key")]
    Compromised(String),
    /// It was revoked before.
    #[error("the certificate {0} is revoked")]
    Revoked(String),
    /// No randomness.
    #[error("the system gives no random bytes")]
    Random,
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Pki(error.into())
    }
}

/// An authority whose files lie in a folder.
pub struct Authority {
    dir: PathBuf,
    cert: String,
    issuer: Issuer<'static, KeyPair>,
    spki: Vec<u8>,
    /// When its own certificate ends, in seconds since 1970.
    not_after: i64,
    clock: Clock,
}

/// What was issued: the certificate followed by the authority's, PEM.
pub struct Chain {
    /// PEM, leaf first.
    pub pem: String,
    /// The serial number, in hexadecimal.
    pub serial: String,
}

impl Authority {
    /// Makes a new authority in `dir`, valid for `days`, and its first revocation list.
    ///
    /// # Errors
    /// [`Error::File`] if there is one already.
    pub fn create(dir: &Path, name: &str, days: u32, clock: &Clock) -> Result<Self, Error> {
        // The key may be kept elsewhere, and then its certificate alone is here.
        for name in ["ca.key", "ca.crt"] {
            if dir.join(name).symlink_metadata().is_ok() {
                return Err(file(&dir.join(name), "there is an authority already"));
            }
        }
        at_least_one(days)?;
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return Err(Error::Unfit("an authority needs a name, without control characters".to_owned()));
        }
        std::fs::create_dir_all(dir).map_err(|error| file(dir, &error.to_string()))?;
        let mut params = params(name, today(clock), days)?;
        // A path length of 0: this authority signs leaf certificates, and no other authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let until = params.not_after.unix_timestamp();
        let made = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let spki = made.key().subject_public_key_info();
        if !read_back::is_authority(made.der(), &spki, until) {
            return Err(Error::Unfaithful);
        }
        // The key is written first, because a certificate without its key is of no use.
        write_file(&dir.join("ca.key"), made.key().serialize_pem().as_bytes(), 0o600)?;
        write_file(&dir.join("ca.crt"), made.pem().as_bytes(), 0o644)?;
        // Opened from the files, which shows that what was written can be read.
        let authority = Self::open(dir, clock)?;
        authority.write_crl()?;
        Ok(authority)
    }

    /// The authority in `dir`.
    ///
    /// # Errors
    /// [`Error::File`] if it is none.
    pub fn open(dir: &Path, clock: &Clock) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = dir.join(name);
            chapar_files::read_text(&path).map_err(|error| file(&path, &error.to_string()))
        };
        let cert = read("ca.crt")?;
        let secret = dir.join("ca.key");
        let key = chapar_files::read_secret(&secret).map_err(|error| file(&secret, &error.to_string()))?;
        let key = KeyPair::from_pem(&key)?;
        let spki = key.subject_public_key_info();
        let issuer = Issuer::from_ca_cert_pem(&cert, key)?;
        let der = leaf(&cert)?;
        let (_, own) = X509Certificate::from_der(&der).map_err(|error| file(dir, &error.to_string()))?;
        let not_after = own.validity().not_after.timestamp();
        // What such a pair signs, nobody accepts.
        if own.public_key().raw != spki || !own.is_ca() {
            return Err(file(&secret, "is not the key of an authority's certificate in ca.crt"));
        }
        Ok(Self { dir: dir.to_owned(), cert, issuer, spki, not_after, clock: clock.clone() })
    }

    /// `sha256:…` of its public key: what a member's `issuers` holds.
    pub fn spki_sha256(&self) -> String {
        show_sha256(digest(&SHA256, &self.spki).as_ref())
    }

    /// Issues a certificate with a new key; gives both.
    ///
    /// # Errors
    /// [`Error`].
    pub fn issue(&self, identity: &Identity, dns: &[String], days: u32) -> Result<(Chain, String), Error> {
        let key = KeyPair::generate()?;
        let _alone = self.lock()?;
        Ok((self.certify(identity, dns, days, &key, &key.subject_public_key_info())?, key.serialize_pem()))
    }

    /// Signs a request (PEM) for `identity`. Of the request only the key counts, and that it asks for this
    /// identity, if it asks for any.
    ///
    /// # Errors
    /// [`Error::Request`] if it is not signed by its own key, [`Error::Other`] if it asks for another
    /// identity.
    pub fn sign(
        &self,
        request: &str,
        identity: &Identity,
        dns: &[String],
        days: u32,
    ) -> Result<Chain, Error> {
        let request = Request::read(request)?;
        let said = identity.to_string();
        // A request without an identity is signed, because the operator names it. A request for another
        // identity is most likely a mix-up of files.
        if let Some(asked) = request.uris.into_iter().find(|uri| *uri != said) {
            return Err(Error::Other { asked, said });
        }
        let key = SubjectPublicKeyInfo::from_der(&request.spki)?;
        let _alone = self.lock()?;
        self.certify(identity, dns, days, &key, &request.spki)
    }

    /// Another certificate for the same key, identity and names; the old one stays valid until its end.
    ///
    /// # Errors
    /// [`Error::Stranger`] if it is not this authority's, [`Error::Revoked`] if it was revoked.
    pub fn renew(&self, pem: &str, days: u32) -> Result<Chain, Error> {
        let der = leaf(pem)?;
        let (_, cert) =
            X509Certificate::from_der(&der).map_err(|error| file(&self.dir, &error.to_string()))?;
        // Held from here on, so that no revocation comes between the look and the signature.
        let _alone = self.lock()?;
        let entry = self.entry_of(&der)?;
        if self.revoked()?.iter().any(|revoked| revoked.serial == entry.serial) {
            return Err(Error::Revoked(entry.serial));
        }
        let names =
            cert.subject_alternative_name().ok().flatten().map(|names| names.value.general_names.clone());
        // The DNS names are taken from the certificate, and the identity from `issued.jsonl`.
        let dns = names.unwrap_or_default().into_iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_owned()),
            _ => None,
        });
        let dns: Vec<String> = dns.collect();
        let identity: Identity = entry.identity.parse().map_err(|_| Error::Stranger)?;
        let key = SubjectPublicKeyInfo::from_der(cert.public_key().raw)?;
        self.certify(&identity, &dns, days, &key, cert.public_key().raw)
    }

    /// Revokes what it has issued, by certificate (PEM) or serial number, and writes a new revocation list.
    /// For
    /// [`Reason::KeyCompromise`] all certificates of the same key are revoked, as after a renewal. Gives what
    /// was revoked.
    ///
    /// # Errors
    /// [`Error::Stranger`], or [`Error::Revoked`] if it was revoked before and stands in the list.
    pub fn revoke(&self, what: &str, reason: Reason) -> Result<Vec<Entry>, Error> {
        let _alone = self.lock()?;
        let entry = if what.contains("BEGIN CERTIFICATE") {
            self.entry_of(&leaf(what)?)?
        } else {
            // Tools print serial numbers in upper case and with colons.
            let serial = what.trim().to_lowercase().replace(':', "");
            self.issued()?.into_iter().find(|entry| entry.serial == serial).ok_or(Error::Stranger)?
        };
        let before = self.revoked()?;
        let is_revoked = |entry: &Entry| before.iter().any(|revoked| revoked.serial == entry.serial);
        if is_revoked(&entry) {
            // An earlier command may have ended before it wrote the list.
            if self.list_holds(&entry.serial)? {
                return Err(Error::Revoked(entry.serial));
            }
            self.next_list()?;
            return Ok(vec![entry]);
        }
        let mut revoked = Vec::new();
        if reason == Reason::KeyCompromise && !entry.key.is_empty() {
            let same = |other: &Entry| other.key == entry.key && other.serial != entry.serial;
            revoked.extend(self.issued()?.into_iter().filter(|other| same(other) && !is_revoked(other)));
        }
        revoked.insert(0, entry);
        for entry in &revoked {
            let revoked = Revoked { serial: entry.serial.clone(), reason, at: self.clock.now() };
            self.append("revoked.jsonl", &revoked)?;
        }
        self.next_list()?;
        Ok(revoked)
    }

    /// Signs a new revocation list, valid for seven days, with the next number. Returns the number.
    ///
    /// # Errors
    /// [`Error`].
    pub fn write_crl(&self) -> Result<u64, Error> {
        let _alone = self.lock()?;
        self.next_list()
    }

    /// The authority's folder, for one command at a time: two would use one list number for two contents, or
    /// write a list without the other's revocation.
    fn lock(&self) -> Result<chapar_files::FolderLock, Error> {
        chapar_files::lock(&self.dir).map_err(|error| file(&self.dir, &error.to_string()))
    }

    /// Signs and notes a certificate. The folder is locked by who calls this.
    fn certify(
        &self,
        identity: &Identity,
        dns: &[String],
        days: u32,
        key: &impl PublicKeyData,
        spki: &[u8],
    ) -> Result<Chain, Error> {
        let mut params = leaf_params(identity, dns, today(&self.clock), days)?;
        let key_sha256 = to_hex(digest(&SHA256, spki).as_ref());
        self.check_key(&key_sha256)?;
        let until = params.not_after.unix_timestamp();
        // A certificate that outlived its authority would be refused on its last days.
        if until > self.not_after {
            // Whole days from the midnight that the certificate's days are counted from.
            let midnight = until - i64::from(days) * DAY_SECONDS;
            let left = (self.not_after - midnight).div_euclid(DAY_SECONDS).max(0);
            return Err(Error::Unfit(format!("the authority itself ends before that: at most {left} days")));
        }
        let mut serial = [0; SERIAL_BYTES];
        aws_lc_rs::rand::fill(&mut serial).map_err(|_| Error::Random)?;
        // The first byte makes the serial number positive and always 16 bytes long (RFC 5280 §4.1.2.2).
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let made = params.signed_by(key, &self.issuer)?;
        let names: Vec<String> = std::iter::once(identity.to_string()).chain(dns.iter().cloned()).collect();
        if !read_back::is_faithful(made.der(), &params, spki, &serial, &names, &self.spki) {
            return Err(Error::Unfaithful);
        }
        let entry = Entry {
            serial: to_hex(&serial),
            identity: identity.to_string(),
            sha256: to_hex(digest(&SHA256, made.der()).as_ref()),
            key: key_sha256,
            at: self.clock.now(),
        };
        // Noted before the certificate is returned, because one that is not noted could not be revoked.
        self.append("issued.jsonl", &entry)?;
        Ok(Chain { pem: format!("{}{}", made.pem(), self.cert), serial: entry.serial })
    }
}

/// A request for a certificate (PEM), and its key.
///
/// # Errors
/// [`Error`] for a DNS name that is not ASCII.
pub fn request(identity: &Identity, dns: &[String], clock: &Clock) -> Result<(String, String), Error> {
    let key = KeyPair::generate()?;
    // The number of days is not part of a request, so any will do.
    let made = leaf_params(identity, dns, today(clock), 1)?;
    // A request says who; how the certificate may be used is the authority's to say.
    let mut params = CertificateParams::default();
    params.distinguished_name = made.distinguished_name;
    params.subject_alt_names = made.subject_alt_names;
    Ok((params.serialize_request(&key)?.pem()?, key.serialize_pem()))
}

fn at_least_one(days: u32) -> Result<(), Error> {
    match days {
        0 => Err(Error::Unfit("a certificate is valid for at least one day".to_owned())),
        _ => Ok(()),
    }
}

fn leaf_params(
    identity: &Identity,
    dns: &[String],
    today: civil::Date,
    days: u32,
) -> Result<CertificateParams, Error> {
    at_least_one(days)?;
    if let Some(name) = dns.iter().find(|name| name.parse::<std::net::IpAddr>().is_ok()) {
        return Err(Error::Unfit(format!(
            "`{name}` is an address and no DNS name: peers are known by identity"
        )));
    }
    // RFC 6125 §6.4.3: a wildcard stands for the whole first label.
    let is_name = |name: &str| DnsName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_ok();
    if let Some(name) = dns.iter().find(|name| !is_name(name)) {
        return Err(Error::Unfit(format!("`{}` is no DNS name", name.escape_debug())));
    }
    let uri = identity.to_string();
    let mut params = params(&uri, today, days)?;
    params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
    for name in dns {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // One certificate is for both sides of TLS, because an adapter may dial its gateways or listen for them.
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn today(clock: &Clock) -> civil::Date {
    TimeZone::UTC.to_datetime(clock.now()).date()
}

fn file(path: &Path, what: &str) -> Error {
    Error::File { path: path.to_owned(), what: what.to_owned() }
}
