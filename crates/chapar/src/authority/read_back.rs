//! This module reads back what the certificate library wrote, before it is given to anyone: the library knows
//! fewer kinds of keys than requests may have, and a certificate that says something else than was asked for
//! must not leave the authority.

use rcgen::CertificateParams;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, SubjectPublicKeyInfo, X509Certificate};

/// Whether a certificate (DER) has the key, serial number, names, validity and uses that were asked for, and
/// is signed by the authority with the key `issuer_spki`.
pub(super) fn is_faithful(
    der: &[u8],
    asked: &CertificateParams,
    spki: &[u8],
    serial: &[u8],
    names: &[String],
    issuer_spki: &[u8],
) -> bool {
    let Ok((rest, read)) = X509Certificate::from_der(der) else { return false };
    let alternative = read.subject_alternative_name().ok().flatten();
    let found = alternative.map(|found| found.value.general_names.as_slice()).unwrap_or_default();
    let found = found.iter().map(|name| match name {
        GeneralName::URI(name) | GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let usage = read.extended_key_usage().ok().flatten();
    // Bytes after the certificate would be something that this check has not read.
    rest.is_empty()
        && read.public_key().raw == spki
        && read.raw_serial() == serial
        && found.eq(names.iter().map(|name| Some(name.as_str())))
        && usage.is_some_and(|usage| usage.value.client_auth && usage.value.server_auth)
        && read.validity().not_before.timestamp() == asked.not_before.unix_timestamp()
        && read.validity().not_after.timestamp() == asked.not_after.unix_timestamp()
        && !read.is_ca()
        && key(issuer_spki).is_some_and(|issuer| read.verify_signature(Some(&issuer)).is_ok())
}

/// Whether a certificate (DER) is one of an authority with this key, until then.
pub(super) fn is_authority(der: &[u8], spki: &[u8], not_after: i64) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(rest, read)| {
        rest.is_empty()
            && read.is_ca()
            && read.public_key().raw == spki
            && read.validity().not_after.timestamp() == not_after
            && read.verify_signature(None).is_ok()
    })
}

/// Whether a revocation list (DER) is signed by the authority with the key `issuer_spki`, and has this number
/// and exactly these serial numbers, in order.
pub(super) fn is_list(der: &[u8], issuer_spki: &[u8], number: u64, serials: &[Vec<u8>]) -> bool {
    CertificateRevocationList::from_der(der).is_ok_and(|(rest, read)| {
        rest.is_empty()
            && key(issuer_spki).is_some_and(|issuer| read.verify_signature(&issuer).is_ok())
            && read.crl_number().is_some_and(|found| *found == number.into())
            && read
                .iter_revoked_certificates()
                .map(|revoked| revoked.raw_serial())
                .eq(serials.iter().map(Vec::as_slice))
    })
}

/// The number of a revocation list (PEM).
pub(super) fn number(pem: &str) -> Option<u64> {
    let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, list) = CertificateRevocationList::from_der(&der).ok()?;
    u64::try_from(list.crl_number()?).ok()
}

/// The serial numbers in a revocation list (PEM); none if it cannot be read.
pub(super) fn serials(pem: &str) -> Vec<Vec<u8>> {
    let Ok(der) = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()) else { return Vec::new() };
    let Ok((_, list)) = CertificateRevocationList::from_der(&der) else { return Vec::new() };
    list.iter_revoked_certificates().map(|revoked| revoked.raw_serial().to_vec()).collect()
}

fn key(spki: &[u8]) -> Option<SubjectPublicKeyInfo<'_>> {
    SubjectPublicKeyInfo::from_der(spki).ok().map(|(_, key)| key)
}
