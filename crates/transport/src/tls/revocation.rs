//! Revocation lists: read from a bounded file, checked before they are used as far as the trusted CAs allow, and never older
//! than those that were used before. A list whose `nextUpdate` has passed is used for a while longer, then no more.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::{BorrowedCertRevocationList, CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::unusable;
use crate::error::Error;

/// The largest file of lists.
const MAX_FILE: u64 = 16 << 20;
const ISSUING_DISTRIBUTION_POINT: x509_parser::der_parser::Oid<'static> = x509_parser::der_parser::oid!(2.5.29.28);

/// What a list is about: its issuer's name and, where an issuer has several, the part that it covers.
type Scope = (Vec<u8>, Vec<u8>);

/// The CRLNumber of the last list of each scope.
pub(super) type Numbers = HashMap<Scope, Number>;

/// A CRLNumber: its length and its bytes without leading zeros, which compare as the numbers do.
type Number = (usize, Vec<u8>);

/// The lists of a listener.
#[derive(Debug)]
pub(super) struct Lists {
    lists: Vec<(CertRevocationList<'static>, i64)>,
}

impl Lists {
    /// Reads the lists. `known` are the numbers of those before; with this result come the numbers to be known from now on.
    pub(super) fn load(
        path: &Path,
        roots: &[CertificateDer<'_>],
        known: &Numbers,
        grace: Duration,
    ) -> Result<(Self, Numbers), Error> {
        let (mut lists, mut numbers, mut here) = (Vec::new(), known.clone(), Numbers::new());
        for der in read(path)? {
            let (_, parsed) =
                CertificateRevocationList::from_der(&der).map_err(|error| unusable(path, format_args!("{error}")))?;
            let issuer = parsed.issuer();
            check_signature(&parsed, roots)
                .map_err(|()| unusable(path, format_args!("the list of `{issuer}` is not signed by it")))?;
            let number = number(&parsed)
                .ok_or_else(|| unusable(path, format_args!("the list of `{issuer}` has no CRLNumber")))?;
            let ends = parsed
                .next_update()
                .ok_or_else(|| unusable(path, format_args!("the list of `{issuer}` has no nextUpdate")))?;
            let scope = scope(&parsed);
            if known.get(&scope).is_some_and(|last| *last > number) {
                return Err(unusable(path, format_args!("the list of `{issuer}` is older than the last one")));
            }
            if here.insert(scope.clone(), number.clone()).is_some() {
                return Err(unusable(path, format_args!("holds two lists of `{issuer}`")));
            }
            numbers.insert(scope, number);
            let usable_until = ends.timestamp().saturating_add(i64::try_from(grace.as_secs()).unwrap_or(i64::MAX));
            let list = OwnedCertRevocationList::from_der(&der).map_err(|error| unusable(path, error))?;
            lists.push((list.into(), usable_until));
        }
        Ok((Self { lists }, numbers))
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
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut pem = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_FILE + 1).read_to_end(&mut pem).map_err(failed)?;
    if pem.len() as u64 > MAX_FILE {
        return Err(unusable(path, "is larger than 16 MiB"));
    }
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    let found: Vec<_> = found.ok_or_else(|| unusable(path, "holds no PEM revocation list"))?;
    for list in &found {
        BorrowedCertRevocationList::from_der(list).map_err(|error| unusable(path, error))?;
    }
    Ok(found)
}

/// Checks a list's signature with the trusted CA that bears its issuer's name. Where that is an intermediate, only a chain
/// shows its key: then the signature is checked when a certificate is.
fn check_signature(list: &CertificateRevocationList<'_>, roots: &[CertificateDer<'_>]) -> Result<(), ()> {
    let mut bearers = roots
        .iter()
        .filter_map(|root| X509Certificate::from_der(root).ok())
        .filter(|(_, root)| root.subject().as_raw() == list.issuer().as_raw())
        .peekable();
    if bearers.peek().is_none() || bearers.any(|(_, root)| list.verify_signature(root.public_key()).is_ok()) {
        Ok(())
    } else {
        Err(())
    }
}

fn number(list: &CertificateRevocationList<'_>) -> Option<Number> {
    let bytes = list.crl_number()?.to_bytes_be();
    Some((bytes.len(), bytes))
}

fn scope(list: &CertificateRevocationList<'_>) -> Scope {
    let part = list.extensions().iter().find(|extension| extension.oid == ISSUING_DISTRIBUTION_POINT);
    (list.issuer().as_raw().to_vec(), part.map(|part| part.value.to_vec()).unwrap_or_default())
}
