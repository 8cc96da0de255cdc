//! Looks at a side's own certificate as its peers will: files that can be loaded may still hold a certificate
//! that every peer refuses. Loading the files is in `tls`.

use jiff::Timestamp;
use rustls::CertificateError;
use rustls_pki_types::UnixTime;
use webpki::KeyUsage;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::revocation::Known;
use super::server::LIST_GRACE;
use super::status::HumanDuration;
use super::{Files, Trust, chain, unusable};
use crate::error::Error;
use crate::peer;

/// A certificate that ends sooner than this is told of.
const RENEW_BEFORE_SECONDS: i64 = 3 * 24 * 60 * 60;

/// What operators should know of a side's own certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnCertificate {
    /// Each a sentence with the file's name; none if all is well.
    pub remarks: Vec<String>,
    /// Whether peers that trust the same CAs can accept it now.
    pub is_usable: bool,
}

impl OwnCertificate {
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
pub fn own_certificate(files: &Files, now: Timestamp) -> Result<OwnCertificate, Error> {
    let mut own = OwnCertificate { remarks: Vec::new(), is_usable: true };
    let chain = chain(&files.cert)?;
    let Some((leaf, intermediates)) = chain.split_first() else { return Ok(own) };
    let (_, certificate) =
        X509Certificate::from_der(leaf).map_err(|_| unusable(&files.cert, "is damaged"))?;
    peer::identity(&certificate).map_err(|error| unusable(&files.cert, error))?;

    let cert = files.cert.display();
    let now = now.as_second();
    let begins = certificate.validity().not_before.timestamp();
    let ends = certificate.validity().not_after.timestamp();
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
    // Judged by this side's own CAs and lists: peers have others, and in most buses the same.
    let (trust, _) = Trust::load(files, &Known::default(), LIST_GRACE)?;
    // Its time was judged above, in words.
    let within =
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.clamp(begins, ends).unsigned_abs()));
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        let problem = match trust.verify(leaf, intermediates, within, usage) {
            Err(CertificateError::Revoked) => {
                "is revoked by its issuer's list, and peers refuse it: renew it"
            }
            // Another CA of the same name shows as a signature that does not verify.
            Err(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                "is issued by none of the CAs in `trust`: peers that trust the same CAs refuse it"
            }
            Err(CertificateError::InvalidPurpose) => {
                "may not be used for both sides of TLS: its extended key usage must have serverAuth and clientAuth"
            }
            // What is known of revocation is told by itself.
            _ => continue,
        };
        own.is_usable = false;
        own.remarks.push(format!("{cert}: the certificate {problem}"));
        break;
    }
    Ok(own)
}
