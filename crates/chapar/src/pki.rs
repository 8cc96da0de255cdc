//! This module makes a throw-away certificate authority for demos and tests, with P-256 keys, one URI SAN per
//! certificate, and PEM files. Keys stay on this machine and its one revocation list is empty; an agency
//! brings its own CA.

use std::path::{Path, PathBuf};

use chapar_model::{Clock, Identity, show_sha256};
use jiff::tz::TimeZone;
use jiff::{Span, civil};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    SanType, SerialNumber,
};

/// A certificate that cannot be made or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// What the library refuses, e.g. a DNS name with other bytes than ASCII.
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A validity that ends after the year 9999.
    #[error("a certificate cannot be valid for so long: {0}")]
    Validity(#[from] jiff::Error),
}

/// A self-signed authority that lives as long as the process.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    today: civil::Date,
}

/// One certificate with its key.
pub struct Issued {
    /// The certificate and the authority's, PEM, leaf first.
    pub cert: String,
    /// PKCS#8, PEM. A secret.
    pub key: String,
}

impl Authority {
    /// A new authority, valid from yesterday for `days` days by `clock`.
    ///
    /// # Errors
    /// [`Error::Validity`] for too many days.
    pub fn new(name: &str, days: u32, clock: &Clock) -> Result<Self, Error> {
        let today = TimeZone::UTC.to_datetime(clock.now()).date();
        let mut params = params(name, today, days)?;
        // A path length of 0: this authority signs leaf certificates, and no other authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?, today })
    }

    /// Issues a certificate for clients and servers with `identity` as its only URI SAN, besides `dns_names`,
    /// which may be addresses too.
    ///
    /// # Errors
    /// [`Error::Certificate`] for a DNS name that is not ASCII, [`Error::Validity`] for too many days.
    pub fn issue(&self, identity: &Identity, dns_names: &[&str], days: u32) -> Result<Issued, Error> {
        let uri = identity.to_string();
        let mut params = params(&uri, self.today, days)?;
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, dns_names)
    }

    /// Issues a certificate for a web page under `dns_names`, which may be addresses too. It has no URI SAN:
    /// no gateway takes it for a caller's.
    ///
    /// # Errors
    /// [`Error::Certificate`] for a DNS name that is not ASCII, [`Error::Validity`] for too many days.
    pub fn issue_for_page(&self, name: &str, dns_names: &[&str], days: u32) -> Result<Issued, Error> {
        let mut params = params(name, self.today, days)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, dns_names)
    }

    fn sign(&self, mut params: CertificateParams, dns_names: &[&str]) -> Result<Issued, Error> {
        for name in dns_names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into()?),
            });
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { cert: format!("{}{}", cert.pem(), self.pem()), key: key.serialize_pem() })
    }

    /// A revocation list that revokes nothing, valid from yesterday for `days` days, PEM.
    ///
    /// # Errors
    /// [`Error::Validity`] for too many days.
    pub fn empty_list(&self, days: u32) -> Result<String, Error> {
        let valid = params("", self.today, days)?;
        let list = CertificateRevocationListParams {
            this_update: valid.not_before,
            next_update: valid.not_after,
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    /// The authority's own certificate, PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// `sha256:` and the hash, in hexadecimal, of the authority's public key (SubjectPublicKeyInfo, DER):
    /// what a member's `issuers` in the registry holds.
    pub fn spki_sha256(&self) -> String {
        let digest = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            &self.issuer.key().subject_public_key_info(),
        );
        show_sha256(digest.as_ref())
    }
}

impl Issued {
    /// Writes `NAME.crt` and `NAME.key` in `dir`; the key is readable by its owner alone.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, dir: &Path, name: &str) -> Result<(), Error> {
        write_file(&dir.join(format!("{name}.crt")), self.cert.as_bytes(), 0o644)?;
        write_file(&dir.join(format!("{name}.key")), self.key.as_bytes(), 0o600)
    }
}

pub(crate) fn params(name: &str, today: civil::Date, days: u32) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // A common name has at most 64 characters (RFC 5280, ub-common-name).
    params.distinguished_name.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    // Valid from yesterday, because the clocks of the two ends may differ.
    let moment =
        |date: civil::Date| rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8);
    params.not_before = moment(today.checked_sub(Span::new().days(1))?);
    params.not_after = moment(today.checked_add(Span::new().try_days(days)?)?);
    Ok(params)
}

/// Replaces a file, with these permissions whatever those of the old file were.
pub(crate) fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    chapar_files::replace(path, bytes, mode).map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn issued() -> (Authority, Issued) {
        let authority = Authority::new("demo", 30, &Clock::system()).unwrap();
        let identity = "spiffe://lorestan.example/gov/welfare/benefits".parse().unwrap();
        let issued = authority.issue(&identity, &["welfare.lorestan.example"], 30).unwrap();
        (authority, issued)
    }

    #[test]
    fn a_certificate_is_followed_by_its_authority_and_its_key_is_for_its_owner_alone() {
        let (authority, issued) = issued();
        let dir = tempfile::tempdir().unwrap();
        issued.write(dir.path(), "welfare").unwrap();
        issued.write(dir.path(), "welfare").unwrap();
        let cert = std::fs::read_to_string(dir.path().join("welfare.crt")).unwrap();
        assert_eq!(cert.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(cert.ends_with(&authority.pem()));
        let mode = std::fs::metadata(dir.path().join("welfare.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_authority_is_named_by_the_hash_of_its_public_key() {
        let (authority, _) = issued();
        let name = authority.spki_sha256();
        assert!(name.len() == 7 + 64 && name.starts_with("sha256:"));
        assert_ne!(name, Authority::new("demo", 30, &Clock::system()).unwrap().spki_sha256());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_in_the_error() {
        let error = issued().1.write(Path::new("/nowhere"), "welfare").unwrap_err();
        assert_eq!(error.to_string(), "cannot write /nowhere/welfare.crt");
    }
}
