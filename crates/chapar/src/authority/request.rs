//! This module reads certificate signing requests (PKCS #10, RFC 2986), as `openssl req` and Java's `keytool`
//! make them. Of a request the authority needs the key, proof that the requester has it, and the identity
//! that it asks for; every other extension is passed over, since it is the authority that decides.

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use super::Error;

/// What the authority takes from a request.
pub(super) struct Request {
    /// The public key, DER (SubjectPublicKeyInfo).
    pub(super) spki: Vec<u8>,
    /// The identities that it asks for.
    pub(super) uris: Vec<String>,
}

impl Request {
    /// Reads a PEM text.
    ///
    /// # Errors
    /// [`Error::NoRequest`], or [`Error::Request`] if it is not signed by its own key.
    pub(super) fn read(pem: &str) -> Result<Self, Error> {
        // Java's keytool writes the older label, which RFC 7468 §7 has parsers take.
        let pem = pem.replace("NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST");
        let der =
            CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::NoRequest)?;
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| Error::NoRequest)?;
        if !rest.is_empty() {
            return Err(Error::NoRequest);
        }
        // Whoever cannot sign with the key must not get a certificate for it (RFC 2986 §3).
        request.verify_signature().map_err(|error| match error {
            X509Error::SignatureVerificationError => Error::Request,
            _ => Error::Unfit(
                "the request's key or signature is of a kind that is not supported: use P-256, P-384, Ed25519, or \
                 RSA of 2048 bits or more"
                    .to_owned(),
            ),
        })?;
        let names =
            request.requested_extensions().into_iter().flatten().filter_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            });
        let uris = names.flatten().filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
        Ok(Self { uris: uris.collect(), spki: request.certification_request_info.subject_pki.raw.to_vec() })
    }
}
