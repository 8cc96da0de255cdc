//! Who is at the other end of a connection, read once from its verified certificate. What the identity may do is for others.

use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use chapar_model::{Clock, Identity};
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why a certificate names no identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdentityError {
    /// It has another number of URI names than one.
    #[error("the certificate has {0} URI names where it must have one")]
    NotOne(usize),
    /// Its URI name is not a SPIFFE ID of the bus.
    #[error("the certificate's URI name is not a SPIFFE ID of the bus")]
    NotSpiffe,
}

/// The peer of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The one SPIFFE ID in the certificate's URI names; its common name and other names say nothing.
    pub identity: Result<Identity, IdentityError>,
    /// SHA-256 of the DER SubjectPublicKeyInfo of the CA that signed the certificate, as path validation found it.
    pub issuer_spki_sha256: [u8; 32],
    /// The certificate's serial number, as encoded.
    pub serial: Vec<u8>,
    /// When the certificate ends.
    pub not_after: Timestamp,
    /// Where the connection comes from.
    pub remote: SocketAddr,
}

impl Peer {
    /// Reads a chain that the handshake has verified, leaf first. The path is built once more, because only path validation
    /// knows which CA really signed: a peer chooses the certificates that it sends along. Nothing if the chain does not verify.
    pub(crate) fn read(
        chain: &[CertificateDer<'_>],
        roots: &RootCertStore,
        clock: &Clock,
        remote: SocketAddr,
    ) -> Option<Self> {
        let (leaf, intermediates) = chain.split_first()?;
        let end_entity = EndEntityCert::try_from(leaf).ok()?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(clock.now().as_second().unsigned_abs()));
        let path = end_entity
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &roots.roots,
                intermediates,
                now,
                KeyUsage::client_auth(),
                None,
                None,
            )
            .ok()?;
        let issuer_spki_sha256 = digest(&SHA256, path.issuer_spki().as_ref()).as_ref().try_into().ok()?;
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        Some(Self {
            identity: identity(&certificate),
            issuer_spki_sha256,
            serial: certificate.raw_serial().to_vec(),
            not_after: Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?,
            remote,
        })
    }
}

/// The one identity that a certificate names.
pub(crate) fn identity(certificate: &X509Certificate<'_>) -> Result<Identity, IdentityError> {
    let names = certificate.subject_alternative_name().ok().flatten().map(|names| &names.value.general_names);
    let uris: Vec<&str> = names
        .into_iter()
        .flatten()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    match uris.as_slice() {
        [uri] => uri.parse().map_err(|_| IdentityError::NotSpiffe),
        other => Err(IdentityError::NotOne(other.len())),
    }
}
