//! Whom a listener believes: the one place where a caller's chain is verified, in the handshake and whenever its standing is
//! asked for again. Which identity the certificate names is read in `peer`.

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, ExpirationPolicy, KeyUsage, RevocationOptionsBuilder};

use super::revocation::Lists;

/// The most certificates in a chain, and the most bytes.
const MAX_CHAIN: (usize, usize) = (5, 16 << 10);

/// Trusted CAs and their revocation lists.
#[derive(Debug)]
pub(crate) struct Trust {
    roots: RootCertStore,
    names: Vec<DistinguishedName>,
    lists: Option<Lists>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// `lists`: absent, revocation is not checked.
    pub(super) fn new(roots: RootCertStore, lists: Option<Lists>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { names: roots.subjects(), roots, lists, algorithms }
    }

    /// Verifies a caller's chain and gives SHA-256 of the SubjectPublicKeyInfo of the CA that signed the leaf, as path
    /// validation found it: a peer chooses the certificates that it sends along.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<[u8; 32], CertificateError> {
        let bytes = intermediates.iter().map(|certificate| certificate.len()).sum::<usize>() + leaf.len();
        if intermediates.len() >= MAX_CHAIN.0 || bytes > MAX_CHAIN.1 {
            return Err(CertificateError::BadEncoding);
        }
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let usable = self.lists.as_ref().map(|lists| lists.usable(seconds));
        let revocation = match &usable {
            None => None,
            // Those that may be used may be used, whatever their date says.
            Some(usable) => Some(
                RevocationOptionsBuilder::new(usable)
                    .map_err(|_| CertificateError::ExpiredRevocationList)?
                    .with_expiration_policy(ExpirationPolicy::Ignore)
                    .build(),
            ),
        };
        let certificate = EndEntityCert::try_from(leaf).map_err(in_tls)?;
        let path = certificate
            .verify_for_usage(
                self.algorithms.all,
                &self.roots.roots,
                intermediates,
                now,
                KeyUsage::client_auth(),
                revocation,
                None,
            )
            .map_err(in_tls)
            .map_err(|error| match error {
                CertificateError::UnknownRevocationStatus
                    if self.lists.as_ref().is_some_and(|lists| lists.some_are_stale(seconds)) =>
                {
                    CertificateError::ExpiredRevocationList
                }
                other => other,
            })?;
        let spki = digest(&SHA256, path.issuer_spki().as_ref());
        spki.as_ref().try_into().map_err(|_| CertificateError::BadEncoding)
    }

    /// When next a verdict may change by time alone, in seconds since 1970.
    pub(crate) fn next_change(&self, now: i64) -> i64 {
        self.lists.as_ref().map_or(i64::MAX, |lists| lists.next_change(now))
    }

    pub(super) fn checks_revocation(&self) -> bool {
        self.lists.is_some()
    }
}

/// The error of path validation as the handshake tells it.
fn in_tls(error: webpki::Error) -> CertificateError {
    use webpki::Error as E;
    match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        E::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        E::InvalidCertValidity => CertificateError::Expired,
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::CertRevoked => CertificateError::Revoked,
        E::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        E::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        E::CaUsedAsEndEntity => CertificateError::BadEncoding,
        E::InvalidSignatureForPublicKey
        | E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(std::sync::Arc::new(other))),
    }
}

impl ClientCertVerifier for Trust {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(leaf, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
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
