//! Looks at a side's own certificate as its peers will: files that can be loaded may still hold a certificate
//! that every peer refuses. Loading the files is in `tls`.

use std::path::Path;

use chapar_model::Identity;
use jiff::Timestamp;
use rustls::CertificateError;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::KeyUsage;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::revocation::Known;
use super::server::LIST_GRACE;
use super::status::HumanDuration;
use super::{Files, Trust, chain, unusable};
use crate::error::Error;
use crate::identity::identity;

/// A certificate that ends sooner than this is told of.
const RENEW_BEFORE_SECONDS: i64 = 3 * 24 * 60 * 60;

/// Which sides of a connection a certificate is shown on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shown {
    /// To those who connect.
    AsServer,
    /// To those that it connects to.
    AsClient,
    /// Both.
    OnBothSides,
}

impl Shown {
    fn usages(self) -> &'static [KeyUsage] {
        const SERVER: KeyUsage = KeyUsage::server_auth();
        const CLIENT: KeyUsage = KeyUsage::client_auth();
        match self {
            Self::AsServer => &[SERVER],
            Self::AsClient => &[CLIENT],
            Self::OnBothSides => &[SERVER, CLIENT],
        }
    }
}

/// What operators should know of a side's own certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnCertificate {
    /// Whom it names.
    pub identity: Identity,
    /// When it ends, in seconds since the epoch.
    pub not_after: i64,
    /// Each a sentence with the file's name; none if all is well.
    pub remarks: Vec<String>,
    /// False if no peer can accept it, whichever CAs it trusts.
    pub is_usable: bool,
}

impl OwnCertificate {
    /// The time until its end in words, e.g. `89 d 23 h`.
    pub fn left(&self, now: Timestamp) -> String {
        HumanDuration((self.not_after - now.as_second()).max(0)).to_string()
    }

    /// Writes the remarks to the log, as warnings.
    pub fn log(&self) {
        for remark in &self.remarks {
            tracing::warn!("{remark}");
        }
    }
}

/// Looks at the certificate in `files`.
///
/// # Errors
/// [`Error`] naming the file that cannot be read, and if the certificate names no identity of the bus: no
/// peer could know it.
pub fn own_certificate(files: &Files, shown: Shown, now: Timestamp) -> Result<OwnCertificate, Error> {
    let chain = chain(&files.cert)?;
    let (mut own, begins) = dated(&files.cert, &chain, now)?;
    let (trust, _) = Trust::load(files, &Known::default(), LIST_GRACE)?;
    judge(&mut own, &chain, begins, &trust, files, shown, now);
    Ok(own)
}

/// Looks at the certificate in a file by itself: whom it names and its time, and not whether a CA of this
/// side's has issued or revoked it.
///
/// # Errors
/// As [`own_certificate`].
pub fn own_certificate_alone(cert: &Path, now: Timestamp) -> Result<OwnCertificate, Error> {
    dated(cert, &chain(cert)?, now).map(|(own, _)| own)
}

/// Whom the certificate names, with remarks on its time; and its begin, in seconds since the epoch.
fn dated(file: &Path, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<(OwnCertificate, i64), Error> {
    let leaf = chain.first().ok_or_else(|| unusable(file, "has no certificate"))?;
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| unusable(file, "is damaged"))?;
    let identity = identity(&certificate).map_err(|error| unusable(file, error))?;

    let cert = file.display();
    let now = now.as_second();
    let begins = certificate.validity().not_before.timestamp();
    let ends = certificate.validity().not_after.timestamp();
    let mut own = OwnCertificate { identity, not_after: ends, remarks: Vec::new(), is_usable: true };
    if begins > ends {
        return Err(unusable(file, "the certificate ends before it begins"));
    }
    if now < begins {
        own.is_usable = false;
        let ahead = HumanDuration(begins - now);
        own.remarks.push(format!("{cert}: the certificate is not valid for another {ahead}"));
    } else if now > ends {
        own.is_usable = false;
        let ago = HumanDuration(now - ends);
        own.remarks.push(format!("{cert}: the certificate expired {ago} ago, and peers refuse it: renew it"));
    } else if ends - now < RENEW_BEFORE_SECONDS {
        let left = HumanDuration(ends - now);
        own.remarks.push(format!("{cert}: the certificate expires in {left}: renew it"));
    }
    Ok((own, begins))
}

/// Judges the certificate by this side's own CAs and lists: peers have others, and in most buses the same.
fn judge(
    own: &mut OwnCertificate,
    chain: &[CertificateDer<'_>],
    begins: i64,
    trust: &Trust,
    files: &Files,
    shown: Shown,
    now: Timestamp,
) {
    let Some((leaf, intermediates)) = chain.split_first() else { return };
    let cert = files.cert.display();
    // Its time was judged by itself, in words.
    let within = now.as_second().clamp(begins, own.not_after).unsigned_abs();
    let within = UnixTime::since_unix_epoch(std::time::Duration::from_secs(within));
    for usage in shown.usages() {
        let problem = match trust.verify(leaf, intermediates, within, *usage) {
            Err(CertificateError::Revoked) => {
                own.is_usable = false;
                "is revoked by its issuer's list, and peers refuse it: renew it"
            }
            // Another CA of the same name shows as a signature that does not verify. A side need not trust
            // the CA of its own certificate; its peers must.
            Err(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                "is issued by none of the CAs in `trust`: peers must trust another CA than this side does"
            }
            Err(CertificateError::InvalidPurpose) => {
                own.is_usable = false;
                match shown {
                    Shown::AsServer => {
                        "may not be used by a server: its extended key usage must have serverAuth"
                    }
                    Shown::AsClient => {
                        "may not be used by a client: its extended key usage must have clientAuth"
                    }
                    Shown::OnBothSides => {
                        "may not be used for both sides of TLS: its extended key usage must have serverAuth and clientAuth"
                    }
                }
            }
            // What is known of revocation is told by itself.
            _ => continue,
        };
        own.remarks.push(format!("{cert}: the certificate {problem}"));
        break;
    }
}
