//! This module reads the files of TLS towards a database server: the CAs that its certificate is checked
//! with, and the adapter's own certificate. The server's name is always checked.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::config::ServerTls;

/// The client side of TLS by these files.
///
/// # Errors
/// A sentence that names the file and what is wrong with it.
pub(crate) fn client(files: &ServerTls) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|error| wrong(&files.ca, &error))?;
    }
    let builder = builder()?.with_root_certificates(roots);
    let Some((cert, key)) = &files.client else { return Ok(builder.with_no_client_auth()) };
    let text = chapar_files::read_secret(key).map_err(|error| wrong(key, &error))?;
    let secret = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| wrong(key, &error))?;
    builder.with_client_auth_cert(certificates(cert)?, secret).map_err(|error| wrong(cert, &error))
}

/// The client side of TLS for connections in clear only: no server is trusted.
///
/// # Errors
/// As [`client`].
pub(crate) fn without_roots() -> Result<ClientConfig, String> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = chapar_files::read(file).map_err(|error| wrong(file, &error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| wrong(file, &error))?;
    if certificates.is_empty() {
        return Err(format!("`{}` holds no certificate", file.display()));
    }
    Ok(certificates)
}

fn wrong(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("`{}`: {error}", file.display())
}

/// The password in a file, without the newline at its end.
///
/// # Errors
/// As [`client`].
pub(crate) fn password(file: &Path) -> Result<String, String> {
    let text = chapar_files::read_secret(file).map_err(|error| wrong(file, &error))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
}
