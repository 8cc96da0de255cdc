//! This module writes the files by which the processes' listener identifies itself and others, and renews
//! them: each is written beside the old one and renamed over it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};

use crate::certificate::Authorities;
use crate::files::replace;

/// One authority, the certificates that it has signed, and its revocation list.
pub struct Pki {
    folder: PathBuf,
    authorities: Authorities,
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    serials: Vec<(String, u64)>,
    revoked: Vec<u64>,
    list: u64,
}

impl Pki {
    pub(crate) fn new(folder: &Path) -> Self {
        std::fs::create_dir(folder).expect("pki");
        let pki =
            Self { folder: folder.to_owned(), authorities: Authorities::new(), issued: Mutex::default() };
        std::fs::write(folder.join("ca.crt"), pki.authorities.own.pem()).expect("ca.crt");
        pki.renew_trust(false);
        pki.renew_list();
        pki
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn issuer(&self) -> String {
        self.authorities.issuer()
    }

    /// A new certificate and key under this name, renamed into the place of those that were there. The leaf,
    /// DER.
    ///
    /// # Panics
    /// If it cannot be made or written.
    pub fn issue(&self, subsystem: &str, name: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        let uri = format!("spiffe://lorestan.example/{subsystem}");
        params.subject_alt_names = vec![
            SanType::URI(uri.as_str().try_into().expect("ASCII")),
            SanType::DnsName("localhost".try_into().expect("ASCII")),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2098, 1, 1);
        let serial = {
            let mut issued = self.issued.lock();
            let serial = 1000 + issued.serials.len() as u64;
            issued.serials.push((name.to_owned(), serial));
            serial
        };
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authorities.own).expect("a certificate");
        let beside = self.folder.join(format!("{name}.key.next"));
        crate::certificate::write_key(&beside, &key.serialize_pem());
        std::fs::rename(beside, self.folder.join(format!("{name}.key"))).expect("a key file");
        replace(&self.folder.join(format!("{name}.crt")), &certificate.pem());
        certificate.der().to_vec()
    }

    /// Revokes the newest certificate of that name: a new list, renamed into place.
    ///
    /// # Panics
    /// If there is none, or the list cannot be written.
    pub fn revoke(&self, name: &str) {
        {
            let mut issued = self.issued.lock();
            let found =
                issued.serials.iter().rev().find(|(issued, _)| issued == name).map(|(_, serial)| *serial);
            issued.revoked.push(found.expect("a certificate of that name"));
        }
        self.renew_list();
    }

    /// A newer list of the same revocations.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn renew_list(&self) {
        self.list_until(2098);
    }

    /// A newer list of the same revocations whose time is over.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn let_list_end(&self) {
        self.list_until(2021);
    }

    fn list_until(&self, year: i32) {
        let mut issued = self.issued.lock();
        issued.list += 1;
        let revoked = issued.revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2020, 1, 2),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(issued.list),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.authorities.own).expect("a revocation list");
        replace(&self.folder.join("ca.crl"), &list.pem().expect("PEM"));
    }

    /// The trusted authorities anew: the bus's own, with a second one beside it or without.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn renew_trust(&self, with_second: bool) {
        let second = if with_second { self.authorities.second.pem() } else { String::new() };
        replace(&self.folder.join("trust.crt"), &(self.authorities.own.pem() + &second));
    }

    /// The leaf that a listener shows now, DER.
    ///
    /// # Panics
    /// If there is no connection to be had.
    pub async fn shown_at(&self, address: std::net::SocketAddr, as_name: &str) -> Vec<u8> {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
        let at = |extension: &str| self.folder.join(format!("{as_name}.{extension}"));
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.folder.join("ca.crt")).expect("ca.crt"))
            .expect("a root");
        let chain = vec![CertificateDer::from_pem_file(at("crt")).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(at("key")).expect("a key");
        let config =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key);
        let mut config = config.expect("a TLS configuration");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = tokio::net::TcpStream::connect(address).await.expect("the gateway");
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let handshake = tokio::time::timeout(Duration::from_secs(10), connector.connect(name, stream));
        let stream = handshake.await.expect("a handshake in time").expect("a handshake");
        let certificates = stream.get_ref().1.peer_certificates().expect("a certificate");
        certificates.first().expect("a leaf").to_vec()
    }
}
