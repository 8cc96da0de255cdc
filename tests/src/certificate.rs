//! This module makes certificates of every kind that a stranger may show, signed by throw-away authorities.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SanType,
};

/// Three authorities: the bus's, a second one that it also trusts if a test says so, and a stranger's.
pub(crate) struct Authorities {
    pub(crate) own: CertifiedIssuer<'static, KeyPair>,
    pub(crate) second: CertifiedIssuer<'static, KeyPair>,
    stranger: CertifiedIssuer<'static, KeyPair>,
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

impl Authorities {
    pub(crate) fn new() -> Self {
        Self { own: authority("test CA"), second: authority("second CA"), stranger: authority("stranger") }
    }

    /// `sha256:…` of the bus's own authority, as a registry names it.
    pub(crate) fn issuer(&self) -> String {
        let spki = self.own.key().subject_public_key_info();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
        chapar_model::show_sha256(hash.as_ref())
    }
}

#[derive(Clone, Copy, Debug)]
enum Signer {
    Own,
    Second,
    Stranger,
}

/// A certificate to be made.
#[derive(Clone, Debug)]
pub struct Certificate {
    uris: Vec<String>,
    common_name: Option<String>,
    expired: bool,
    signer: Signer,
}

impl Certificate {
    /// The proper certificate of a subsystem.
    pub fn of(subsystem: &str) -> Self {
        Self::named(&format!("spiffe://lorestan.example/{subsystem}"))
    }

    /// One with another URI name.
    pub fn named(uri: &str) -> Self {
        Self { uris: vec![uri.to_owned()], common_name: None, expired: false, signer: Signer::Own }
    }

    /// One without any alternative name.
    pub fn with_common_name_only(name: &str) -> Self {
        Self { uris: Vec::new(), common_name: Some(name.to_owned()), ..Self::named("") }.without_uris()
    }

    fn without_uris(mut self) -> Self {
        self.uris.clear();
        self
    }

    /// A second URI name.
    pub fn also_named(mut self, uri: &str) -> Self {
        self.uris.push(uri.to_owned());
        self
    }

    /// One whose time is over.
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    /// Signed by someone whom nobody trusts.
    pub fn signed_by_a_stranger(mut self) -> Self {
        self.signer = Signer::Stranger;
        self
    }

    /// Signed by the authority that the gateway trusts and that no member names.
    pub fn signed_by_the_second_authority(mut self) -> Self {
        self.signer = Signer::Second;
        self
    }

    /// Writes `NAME.crt` and `NAME.key`.
    pub(crate) fn write(&self, authorities: &Authorities, folder: &Path, name: &str) {
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            self.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().expect("ASCII"))).collect();
        if !self.uris.is_empty() {
            for dns in ["localhost", "gateway.lorestan.example"] {
                params.subject_alt_names.push(SanType::DnsName(dns.try_into().expect("ASCII")));
            }
        }
        if let Some(common_name) = &self.common_name {
            params.distinguished_name.push(DnType::CommonName, common_name.as_str());
        }
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(if self.expired { 2021 } else { 2098 }, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let signer = match self.signer {
            Signer::Own => &authorities.own,
            Signer::Second => &authorities.second,
            Signer::Stranger => &authorities.stranger,
        };
        let certificate = params.signed_by(&key, signer).expect("a certificate");
        std::fs::write(folder.join(format!("{name}.crt")), certificate.pem()).expect("a certificate file");
        write_key(&folder.join(format!("{name}.key")), &key.serialize_pem());
    }
}

/// Writes a private key for its owner alone, as a key must lie.
pub(crate) fn write_key(path: &Path, pem: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(pem.as_bytes())).expect("a key file");
}
