//! This module loads revocation lists (CRL, RFC 5280 §5) from a file of at most 16 MiB, verifies those that a
//! trusted CA issued, and refuses a CRLNumber lower than the last one. A list is used for a grace period
//! after its `nextUpdate`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chapar_model::{Clock, to_hex};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::{Deserialize, Serialize};
use webpki::{BorrowedCertRevocationList, CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::status::Revocation;
use super::unusable;
use crate::error::Error;

/// The largest file of lists.
const MAX_FILE: u64 = 16 << 20;
const ISSUING_DISTRIBUTION_POINT: x509_parser::der_parser::Oid<'static> =
    x509_parser::der_parser::oid!(2.5.29.28);

/// What is remembered of lists that were used, so that revocation never goes back: the last one of each
/// scope. It is written to a file, so that it outlives the process.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    /// By SHA-256 of the scope, in hexadecimal.
    list: BTreeMap<String, Last>,
}

/// The last list of a scope.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Last {
    /// The issuer's name, for people.
    issuer: String,
    /// SHA-256 of the trusted CA's public key that signed it; empty for an intermediate's.
    signer: String,
    /// CRLNumber (RFC 5280 §5.2.3), in hexadecimal without leading zeros.
    number: String,
    /// SHA-256 of the list, in hexadecimal.
    sha256: String,
    /// Until when it may be used, in seconds since 1970.
    usable_until: i64,
}

impl Last {
    /// As the numbers compare.
    fn order(&self) -> (usize, &str) {
        (self.number.len(), &self.number)
    }
}

impl Known {
    /// Reads what an earlier process remembered; nothing if the file does not exist.
    ///
    /// # Errors
    /// [`Error`] if the file cannot be read, or is not what was written.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = chapar_files::read_text_if_any(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        text.map_or(Ok(Self::default()), |text| {
            toml::from_str(&text).map_err(|error| unusable(path, error.message()))
        })
    }

    /// Writes it, whole and durably.
    ///
    /// # Errors
    /// [`Error`] naming the file.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |error: std::io::Error| unusable(path, format_args!("cannot be written: {error}"));
        let text = toml::to_string(self).map_err(|error| unusable(path, error))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        chapar_files::replace(path, text.as_bytes(), 0o644).map_err(failed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// The lists of a listener.
#[derive(Debug)]
pub(super) struct Lists {
    lists: Vec<(CertRevocationList<'static>, i64)>,
    told: Vec<Revocation>,
}

impl Lists {
    /// Reads the lists. `known` are the numbers of those before; with this result come the numbers to be
    /// known from now on.
    pub(super) fn load(
        path: &Path,
        roots: &[CertificateDer<'_>],
        known: &Known,
        grace: Duration,
    ) -> Result<(Self, Known), Error> {
        let mut lists = Vec::new();
        let mut told = Vec::new();
        let mut here = Known::default();
        for der in read(path)? {
            let (_, parsed) = CertificateRevocationList::from_der(&der)
                .map_err(|error| unusable(path, format_args!("{error}")))?;
            let issuer = parsed.issuer();
            let signer = signer(&parsed, roots)
                .map_err(|()| unusable(path, format_args!("the list of `{issuer}` is not signed by it")))?;
            let number = number(&parsed)
                .ok_or_else(|| unusable(path, format_args!("the list of `{issuer}` has no CRLNumber")))?;
            // Without `nextUpdate` a list would be in force for ever, and an old one could be put back.
            let ends = parsed
                .next_update()
                .ok_or_else(|| unusable(path, format_args!("the list of `{issuer}` has no nextUpdate")))?;
            let usable_until =
                ends.timestamp().saturating_add(i64::try_from(grace.as_secs()).unwrap_or(i64::MAX));
            told.push(Revocation::List {
                issuer: issuer.to_string(),
                number: decimal(&number),
                this_update: parsed.last_update().timestamp(),
                next_update: ends.timestamp(),
                usable_until,
            });
            let last = Last {
                issuer: issuer.to_string(),
                signer,
                number,
                sha256: to_hex(&sha256(&der)),
                usable_until,
            };
            let scope = scope(&parsed, &last.signer);
            // CRLNumbers only increase (RFC 5280 §5.2.3): a lower one is an old list, which may lack later
            // revocations.
            match known.list.get(&scope) {
                Some(before) if before.order() > last.order() => {
                    let before = decimal(&before.number);
                    let now = decimal(&last.number);
                    return Err(unusable(
                        path,
                        format_args!("list {now} of `{issuer}` is older than the last one, list {before}"),
                    ));
                }
                Some(before) if before.number == last.number && before.sha256 != last.sha256 => {
                    let problem = format_args!(
                        "the list of `{issuer}` has the number of the last one, and other content"
                    );
                    return Err(unusable(path, problem));
                }
                _ => {}
            }
            // A second list of one scope would make the outcome depend on their order.
            if here.list.insert(scope, last).is_some() {
                return Err(unusable(path, format_args!("holds two lists of `{issuer}`")));
            }
            let list =
                OwnedCertRevocationList::from_der(&der).map_err(|error| unusable(path, in_words(&error)))?;
            lists.push((list.into(), usable_until));
        }
        let has_list = |key: &str| here.list.values().any(|last| last.signer == key);
        let without = named_keys(roots).filter(|(_, key)| !has_list(key));
        told.extend(without.map(|(issuer, _)| Revocation::NoList { issuer }));
        here.keep_of(known, roots, path)?;
        Ok((Self { lists, told }, here))
    }

    /// What is known, for operators.
    pub(super) fn told(&self) -> &[Revocation] {
        &self.told
    }

    /// Those that may still be used at a time, in seconds since 1970.
    pub(super) fn usable(&self, now: i64) -> Vec<&CertRevocationList<'static>> {
        self.lists.iter().filter(|(_, until)| now <= *until).map(|(list, _)| list).collect()
    }

    /// Whether some may no longer be used.
    pub(super) fn some_are_stale(&self, now: i64) -> bool {
        self.lists.iter().any(|(_, until)| now > *until)
    }

    /// When next one of them may no longer be used.
    pub(super) fn next_change(&self, now: i64) -> i64 {
        self.lists.iter().map(|(_, until)| *until).filter(|until| *until >= now).min().unwrap_or(i64::MAX)
    }
}

/// Reads the lists of a file, each of which can be understood.
pub(super) fn read(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let pem = chapar_files::read_at_most(path, MAX_FILE)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?
        .ok_or_else(|| unusable(path, "is larger than 16 MiB"))?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    let found: Vec<_> = found.ok_or_else(|| unusable(path, "holds no PEM revocation list"))?;
    // webpki is asked too, because it refuses lists that x509-parser takes, and refusals belong to the load
    // and not to a handshake.
    for list in &found {
        BorrowedCertRevocationList::from_der(list).map_err(|error| unusable(path, in_words(&error)))?;
    }
    Ok(found)
}

/// Why a list cannot be used, for someone who knows `openssl` and not webpki.
fn in_words(error: &webpki::Error) -> String {
    use webpki::Error as E;
    let words = match error {
        E::UnsupportedCrlVersion => {
            "is a revocation list of version 1: version 2 is needed, with a CRLNumber (RFC 5280 §5.1.2.1)"
        }
        E::UnsupportedDeltaCrl => "is a delta list: the complete one is needed (RFC 5280 §5.2.4)",
        E::UnsupportedIndirectCrl => {
            "is an indirect list, signed by another than the issuer of the certificates: not supported (RFC 5280 §5.2.5)"
        }
        E::UnsupportedCrlIssuingDistributionPoint => {
            "covers a part of the certificates in a way that is not supported (RFC 5280 §5.2.5)"
        }
        E::UnsupportedRevocationReasonsPartitioning => {
            "covers some reasons of revocation only: not supported (RFC 5280 §5.2.5)"
        }
        E::InvalidCrlNumber => "has a CRLNumber that is not one (RFC 5280 §5.2.3)",
        E::UnsupportedCriticalExtension => "has a critical extension that is not known",
        E::BadDer | E::BadDerTime | E::TrailingData(_) => "is damaged, or is no revocation list",
        other => return format!("cannot be used: {other}"),
    };
    words.to_owned()
}

/// The trusted CAs' names, each with SHA-256 of its public key: two of one name are two.
fn named_keys(roots: &[CertificateDer<'_>]) -> impl Iterator<Item = (String, String)> {
    let read = roots.iter().filter_map(|root| X509Certificate::from_der(root).ok());
    read.map(|(_, root)| (root.subject().to_string(), to_hex(&sha256(root.public_key().raw))))
}

/// The trusted CA that bears a list's issuer's name and signed it, by SHA-256 of its public key. Where the
/// issuer is an intermediate, only a chain shows its key: then the signature is checked when a certificate
/// is, and the text is empty.
fn signer(list: &CertificateRevocationList<'_>, roots: &[CertificateDer<'_>]) -> Result<String, ()> {
    let mut bearers = roots
        .iter()
        .filter_map(|root| X509Certificate::from_der(root).ok())
        .filter(|(_, root)| root.subject().as_raw() == list.issuer().as_raw())
        .peekable();
    // An intermediate is not in `roots`, so its key is not known here.
    if bearers.peek().is_none() {
        return Ok(String::new());
    }
    let signed = bearers.find(|(_, root)| list.verify_signature(root.public_key()).is_ok());
    signed.map(|(_, root)| to_hex(&sha256(root.public_key().raw))).ok_or(())
}

impl Known {
    /// Holds the lists of a file to those before: one that may still be used may not go away, nor make room
    /// for one of another part (RFC 5280 §5.2.5), unless its issuer is no longer trusted.
    fn keep_of(&mut self, before: &Self, roots: &[CertificateDer<'_>], path: &Path) -> Result<(), Error> {
        let now = Clock::system().now().as_second();
        let signers: Vec<String> = roots
            .iter()
            .filter_map(|root| X509Certificate::from_der(root).ok())
            .map(|(_, root)| to_hex(&sha256(root.public_key().raw)))
            .collect();
        for (scope, last) in &before.list {
            if self.list.contains_key(scope) {
                continue;
            }
            // Of an intermediate without a list no certificate is believed, so nothing is lost with its list.
            let is_trusted = signers.contains(&last.signer);
            if is_trusted && last.usable_until >= now {
                let problem = format_args!(
                    "holds no list of `{}` of the same scope as the last one, which is still in force",
                    last.issuer
                );
                return Err(unusable(path, problem));
            }
            if is_trusted {
                self.list.insert(scope.clone(), last.clone());
            }
        }
        Ok(())
    }
}

/// A number in hexadecimal as people write it; as it is if it is longer than theirs.
fn decimal(hexadecimal: &str) -> String {
    u128::from_str_radix(hexadecimal, 16).map_or_else(|_| hexadecimal.to_owned(), |number| number.to_string())
}

fn number(list: &CertificateRevocationList<'_>) -> Option<String> {
    Some(list.crl_number()?.to_str_radix(16))
}

/// What a list is about: its issuer's name and key and, where an issuer has several, the part that it covers.
fn scope(list: &CertificateRevocationList<'_>, signer: &str) -> String {
    let part = list.extensions().iter().find(|extension| extension.oid == ISSUING_DISTRIBUTION_POINT);
    let issuer = list.issuer().as_raw();
    // The length keeps the issuer's name and what follows it apart in the hash.
    let length = (issuer.len() as u64).to_be_bytes();
    to_hex(&sha256(
        &[&length[..], issuer, signer.as_bytes(), part.map_or(&[][..], |part| part.value)].concat(),
    ))
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}
