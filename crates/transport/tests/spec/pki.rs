//! This module makes a throw-away CA, and certificates of every kind, good and bad, as PEM files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chapar_transport::tls::Files;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, DnType, IsCa, KeyIdMethod, KeyPair,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

pub(crate) const GATEWAY: &str = "spiffe://lorestan.example/bus/lorestan/gateway";
pub(crate) const ADAPTER: &str = "spiffe://lorestan.example/gov/civil-registry/adapter";
pub(crate) const WELFARE: &str = "spiffe://lorestan.example/gov/welfare/benefits";

/// 4000-01-01, in seconds since 1970.
const FRESH: u64 = 64_060_588_800;
/// 2026-01-02.
const STALE: u64 = 1_767_312_000;

/// A CA in a folder of its own.
pub(crate) struct Pki {
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// Parameters of a certificate for one SPIFFE ID.
pub(crate) fn named(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    params
}

pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Pki {
    pub(crate) fn new() -> Self {
        let ca =
            CertifiedIssuer::self_signed(authority("throw-away CA"), KeyPair::generate().unwrap()).unwrap();
        let pki = Self { folder: tempfile::tempdir().unwrap(), ca };
        pki.write("ca.crt", &pki.ca.pem());
        pki
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn ca(&self) -> &CertifiedIssuer<'static, KeyPair> {
        &self.ca
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A private key, for its owner alone.
    pub(crate) fn write_key(&self, name: &str, pem: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.write(name, pem);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// SHA-256 of the CA's SubjectPublicKeyInfo.
    pub(crate) fn spki_sha256(&self) -> [u8; 32] {
        let spki = rcgen::PublicKeyData::subject_public_key_info(self.ca.key());
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki).as_ref().try_into().unwrap()
    }

    /// A certificate signed by the CA, with this CA to check others by.
    pub(crate) fn issue(&self, name: &str, params: &CertificateParams) -> Files {
        self.issue_with(name, params, "")
    }

    /// As [`Pki::issue`], with more PEM after the certificate.
    pub(crate) fn issue_with(&self, name: &str, params: &CertificateParams, more: &str) -> Files {
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.ca).unwrap().pem();
        Files {
            cert: self.write(&format!("{name}.crt"), &format!("{pem}{more}")),
            key: self.write_key(&format!("{name}.key"), &key.serialize_pem()),
            trust: self.folder.path().join("ca.crt"),
            crl: None,
        }
    }

    /// A certificate signed by an intermediate of the CA, with the intermediate after it; and the
    /// intermediate's SPKI hash.
    pub(crate) fn issue_by_intermediate(&self, name: &str, params: &CertificateParams) -> (Files, [u8; 32]) {
        let key = KeyPair::generate().unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki).as_ref().try_into().unwrap();
        let between = CertifiedIssuer::signed_by(authority("intermediate"), key, &self.ca).unwrap();
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &between).unwrap().pem() + &between.pem();
        let cert = self.write(&format!("{name}.crt"), &pem);
        let key = self.write_key(&format!("{name}.key"), &key.serialize_pem());
        (Files { cert, key, trust: self.folder.path().join("ca.crt"), crl: None }, hash)
    }

    /// A revocation list of this CA, out of date if `fresh` is false.
    pub(crate) fn revoke(&self, serials: &[u8], fresh: bool) -> PathBuf {
        self.list(serials, if fresh { FRESH } else { STALE }, 1, None)
    }

    /// One with a `nextUpdate` in seconds since 1970.
    pub(crate) fn revoke_until(&self, serials: &[u8], next_update: u64) -> PathBuf {
        self.list(serials, next_update, 1, None)
    }

    /// A fresh one with another CRLNumber than 1.
    pub(crate) fn revoke_numbered(&self, serials: &[u8], number: u16) -> PathBuf {
        self.list(serials, FRESH, number, None)
    }

    /// One that covers certificates of users only.
    pub(crate) fn revoke_of_users(&self, serials: &[u8], number: u16) -> PathBuf {
        self.list(serials, FRESH, number, Some(CrlScope::UserCertsOnly))
    }

    fn list(&self, serials: &[u8], next_update: u64, number: u16, part: Option<CrlScope>) -> PathBuf {
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(1970, 1, 1) + Duration::from_secs(next_update),
            crl_number: SerialNumber::from_slice(&number.to_be_bytes()),
            issuing_distribution_point: part.map(|scope| CrlIssuingDistributionPoint {
                distribution_point: CrlDistributionPoint {
                    uris: vec!["http://ca.example/users.crl".to_owned()],
                },
                scope: Some(scope),
            }),
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        self.write("ca.crl", &list.signed_by(&self.ca).unwrap().pem().unwrap())
    }
}

/// With a serial number of its own.
pub(crate) fn with_serial(mut params: CertificateParams, serial: u8) -> CertificateParams {
    params.serial_number = Some(SerialNumber::from_slice(&[serial]));
    params
}
