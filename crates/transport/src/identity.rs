//! `identity` reads the one SPIFFE ID that a certificate names, in a URI of its subject alternative names
//! (SPIFFE X.509-SVID §2). Whether anyone vouches for the certificate is for `tls` to say.

use chapar_model::Identity;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

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
    // Exactly one URI name: with two, this side and another could each take a different one.
    match uris.as_slice() {
        [uri] => uri.parse().map_err(|_| IdentityError::NotSpiffe),
        other => Err(IdentityError::NotOne(other.len())),
    }
}
