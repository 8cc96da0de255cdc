//! This module makes throw-away certificates that all entries share, and TLS settings from them: TLS 1.3,
//! both sides show a certificate.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;

/// Name of the caller's system, as the registry writes it.
pub(crate) const CALLER: &str = "gov/welfare/benefits";
/// The caller's common name, for proxies that cannot read a URI name.
pub(crate) const CALLER_CN: &str = "gov-welfare-benefits";

/// The URI name of a system.
pub(crate) fn uri(subsystem: &str) -> String {
    format!("spiffe://lorestan.example/{subsystem}")
}

/// Writes `ca.crt` and, for caller, gateway and upstream, `NAME.crt`, `NAME.key` and both in `NAME.pem`.
/// Gives the authority's key as a registry names it.
pub(crate) fn write(folder: &Path) -> Result<String, Error> {
    std::fs::create_dir_all(folder)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "benchmark CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(folder.join("ca.crt"), authority.pem())?;
    for (name, common_name, subsystem) in [
        ("caller", CALLER_CN, CALLER),
        ("gateway", "gateway", "bus/lorestan/gateway"),
        ("upstream", "upstream", "gov/records/adapter"),
    ] {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = vec![
            SanType::URI(uri(subsystem).as_str().try_into()?),
            SanType::DnsName("localhost".try_into()?),
        ];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2098, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?.pem();
        let key = key.serialize_pem();
        std::fs::write(folder.join(format!("{name}.pem")), format!("{certificate}{key}"))?;
        std::fs::write(folder.join(format!("{name}.crt")), certificate)?;
        let path = folder.join(format!("{name}.key"));
        std::fs::write(&path, key)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    }
    let spki = authority.key().subject_public_key_info();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{hex}"))
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, Arc<rustls::RootCertStore>);

fn own(folder: &Path, name: &str) -> Result<Own, Error> {
    let chain =
        CertificateDer::pem_file_iter(folder.join(format!("{name}.crt")))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key")))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(folder.join("ca.crt"))? {
        roots.add(certificate?)?;
    }
    Ok((chain, key, Arc::new(roots)))
}

/// For dialling as `name`.
pub(crate) fn client(folder: &Path, name: &str) -> Result<Arc<rustls::ClientConfig>, Error> {
    let (chain, key, roots) = own(folder, name)?;
    let mut config = rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// For serving as `name`.
pub(crate) fn server(folder: &Path, name: &str) -> Result<Arc<rustls::ServerConfig>, Error> {
    let (chain, key, roots) = own(folder, name)?;
    let verifier = rustls::server::WebPkiClientVerifier::builder(roots).build()?;
    let mut config = rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
