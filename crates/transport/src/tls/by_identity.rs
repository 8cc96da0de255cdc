//! `ByIdentity` verifies a server by its SPIFFE ID: the chain must verify as a caller's does ([`Trust`]), the
//! certificate's one URI name must be expected, and a CA that may speak for it must have signed it. The
//! address that was dialled is not checked.

use chapar_model::Identity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::KeyUsage;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Trust;
use crate::identity::identity;

/// Someone by its identity and by the CAs that may speak for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Party {
    /// The SPIFFE ID.
    pub identity: Identity,
    /// SHA-256 of the SubjectPublicKeyInfo (DER) of each CA whose signature counts; empty: of any that is
    /// trusted.
    pub issuers: Vec<[u8; 32]>,
}

impl Party {
    /// Whether a verified certificate with this identity, signed by the CA with this SubjectPublicKeyInfo
    /// (SHA-256), is its own.
    pub fn is(&self, identity: &Identity, issuer_spki_sha256: &[u8; 32]) -> bool {
        self.identity == *identity && (self.issuers.is_empty() || self.issuers.contains(issuer_spki_sha256))
    }
}

impl From<Identity> for Party {
    /// The identity, whichever trusted CA signed for it.
    fn from(identity: Identity) -> Self {
        Self { identity, issuers: Vec::new() }
    }
}

#[derive(Debug)]
pub(super) struct ByIdentity {
    pub(super) parties: Vec<Party>,
    pub(super) trust: Trust,
}

impl ServerCertVerifier for ByIdentity {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The chain is verified before the name is read: a name in a certificate that nobody signed says
        // nothing.
        let issuer = self.trust.verify(leaf, intermediates, now, KeyUsage::server_auth())?;
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
        match identity(&certificate) {
            Ok(identity) if self.parties.iter().any(|party| party.is(&identity, &issuer)) => {
                Ok(ServerCertVerified::assertion())
            }
            _ => Err(CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.trust.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms().supported_schemes()
    }
}
