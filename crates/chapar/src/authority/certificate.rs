//! This module reads certificates (PEM): what one says, and the hash of an authority's key.

use aws_lc_rs::digest::{SHA256, digest};
use chapar_model::{show_sha256, to_hex};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Error;

/// `sha256:…` of the public key of an authority's certificate (PEM): what a member's `issuers` holds.
///
/// # Errors
/// [`Error::NoCertificate`], [`Error::Unfit`] for a certificate that is no authority's.
pub fn spki_sha256_of(pem: &str) -> Result<String, Error> {
    let der = leaf(pem)?;
    let (_, cert) = X509Certificate::from_der(&der).map_err(|_| Error::NoCertificate)?;
    if !cert.is_ca() {
        return Err(Error::Unfit("the certificate is no authority's (RFC 5280 §4.2.1.9)".to_owned()));
    }
    Ok(show_sha256(digest(&SHA256, cert.public_key().raw).as_ref()))
}

/// What a certificate says, line by line.
///
/// # Errors
/// [`Error::NoCertificate`].
pub fn inspect(pem: &str) -> Result<Vec<String>, Error> {
    let der = leaf(pem)?;
    let (_, cert) = X509Certificate::from_der(&der).map_err(|_| Error::NoCertificate)?;
    let names = cert.subject_alternative_name().ok().flatten().map(|names| names.value.general_names.clone());
    let names = names.unwrap_or_default().into_iter().map(|name| match name {
        GeneralName::URI(uri) => format!("identity  {}", uri.escape_debug()),
        GeneralName::DNSName(name) => format!("dns       {}", name.escape_debug()),
        other => format!("other     {other}"),
    });
    let moment = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_or_else(|_| "?".to_owned(), |moment| moment.to_string())
    };
    let mut lines: Vec<String> = names.collect();
    lines.push(format!("serial    {}", to_hex(cert.raw_serial())));
    lines.push(format!("issuer    {}", cert.issuer().to_string().escape_debug()));
    lines.push(format!("from      {}", moment(cert.validity().not_before)));
    lines.push(format!("until     {}", moment(cert.validity().not_after)));
    lines.push(format!("key       sha256:{}", to_hex(digest(&SHA256, cert.public_key().raw).as_ref())));
    if cert.is_ca() {
        lines.push(
            "this is an authority: `key` is what a member's `issuers` in the registry holds".to_owned(),
        );
    }
    Ok(lines)
}

/// The first certificate of a PEM text, DER.
pub(super) fn leaf(pem: &str) -> Result<Vec<u8>, Error> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map(|der| der.to_vec()).map_err(|_| Error::NoCertificate)
}
