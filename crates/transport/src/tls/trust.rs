//! `Trust` verifies certificate chains against trusted CAs and revocation lists: of callers, of servers known
//! by SPIFFE ID, and of connected peers again later. A server known by DNS name is verified in `tls`. The
//! identity in a certificate is read in `peer`.

use std::time::Duration;

use ::aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, ExpirationPolicy, KeyUsage, RevocationOptionsBuilder};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

use super::revocation::{Known, Lists};
use super::status::Revocation;
use super::{Files, chain, unusable};
use crate::error::Error;

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
    /// Reads the CAs and lists of `files`. `known` is what is remembered of the lists before; with this
    /// result comes what is to be remembered from now on.
    ///
    /// # Errors
    /// [`Error`] naming the file that cannot be read or used.
    pub(super) fn load(files: &Files, known: &Known, grace: Duration) -> Result<(Self, Known), Error> {
        let authorities = chain(&files.trust)?;
        let mut roots = RootCertStore::empty();
        // A CA that cannot be used fails the load. Left out, its members would be refused without a reason.
        for (number, authority) in authorities.iter().enumerate() {
            if !is_authority(authority) {
                let problem = format_args!("its certificate number {} is no CA's", number + 1);
                return Err(unusable(&files.trust, problem));
            }
            roots.add(authority.clone()).map_err(|error| unusable(&files.trust, error))?;
        }
        let (lists, known) = match &files.crl {
            None => (None, known.clone()),
            Some(path) => {
                let (lists, known) = Lists::load(path, &authorities, known, grace)?;
                (Some(lists), known)
            }
        };
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Ok((Self { names: roots.subjects(), roots, lists, algorithms }, known))
    }

    /// What is known of revocation, for operators.
    pub(super) fn told(&self) -> Vec<Revocation> {
        self.lists.as_ref().map_or_else(|| vec![Revocation::NotChecked], |lists| lists.told().to_vec())
    }

    pub(super) fn algorithms(&self) -> WebPkiSupportedAlgorithms {
        self.algorithms
    }

    /// Verifies a chain for `usage` and gives SHA-256 of the SubjectPublicKeyInfo of the CA that signed the
    /// leaf, as path validation found it: a peer chooses the certificates that it sends along.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<[u8; 32], CertificateError> {
        let bytes = intermediates.iter().map(|certificate| certificate.len()).sum::<usize>() + leaf.len();
        // Bounded before any signature is verified, because a peer that is not known yet chooses the chain.
        if intermediates.len() >= MAX_CHAIN.0 || bytes > MAX_CHAIN.1 {
            return Err(CertificateError::BadEncoding);
        }
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let usable = self.lists.as_ref().map(|lists| lists.usable(seconds));
        let revocation = match &usable {
            // No list is configured: revocation is not checked.
            None => None,
            // webpki's own check of nextUpdate is off because `usable` has applied it, with the grace that it
            // lacks.
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
                usage,
                revocation,
                None,
            )
            .map_err(in_tls)
            .map_err(|error| match error {
                // webpki reports a list that is missing. Here it may also be one that is too old, which an
                // operator treats otherwise.
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
}

/// Whether a certificate may be a CA's. Those of version 1 do not say, and some old roots are of it.
fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, read)| read.is_ca() || read.version() == X509Version::V1)
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
        self.verify(leaf, intermediates, now, KeyUsage::client_auth())?;
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
