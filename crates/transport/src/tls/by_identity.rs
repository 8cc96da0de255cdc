//! Knows a server by its SPIFFE ID: the chain must verify, and the certificate's one URI name must be among those expected.
//! The address that was dialled plays no part.

use std::sync::Arc;

use chapar_model::Identity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::peer;

#[derive(Debug)]
pub(super) struct ByIdentity {
    identities: Vec<Identity>,
    roots: Arc<RootCertStore>,
    crls: Vec<CertRevocationList<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ByIdentity {
    /// `crls` have been read once already; none: revocation is not checked.
    pub(super) fn new(
        identities: Vec<Identity>,
        roots: Arc<RootCertStore>,
        crls: &[CertificateRevocationListDer<'_>],
        provider: &CryptoProvider,
    ) -> Self {
        let crls = crls.iter().filter_map(|list| OwnedCertRevocationList::from_der(list).ok()).map(Into::into);
        let (crls, algorithms) = (crls.collect(), provider.signature_verification_algorithms);
        Self { identities, roots, crls, algorithms }
    }

    /// Refuses a certificate that a list names, that no list speaks of, or whose list is out of date.
    fn not_revoked(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        let lists: Vec<&CertRevocationList<'_>> = self.crls.iter().collect();
        let Ok(options) = RevocationOptionsBuilder::new(&lists) else { return Ok(()) };
        let options = options.with_expiration_policy(ExpirationPolicy::Enforce).build();
        let leaf = EndEntityCert::try_from(leaf).map_err(|_| CertificateError::BadEncoding)?;
        leaf.verify_for_usage(
            self.algorithms.all,
            &self.roots.roots,
            intermediates,
            now,
            KeyUsage::server_auth(),
            Some(options),
            None,
        )
        .map(drop)
        .map_err(|error| match error {
            webpki::Error::CertRevoked => CertificateError::Revoked,
            webpki::Error::CrlExpired { .. } => CertificateError::ExpiredRevocationList,
            _ => CertificateError::UnknownRevocationStatus,
        })
    }
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
        let parsed = ParsedCertificate::try_from(leaf)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        self.not_revoked(leaf, intermediates, now)?;
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
        match peer::identity(&certificate) {
            Ok(identity) if self.identities.contains(&identity) => Ok(ServerCertVerified::assertion()),
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
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
