//! This module makes the demo's keys. Certificates are issued again at every start; the evidence log's keys
//! are made once, because a log outlives its process.

use std::path::Path;

use chapar_model::{Clock, Identity};

use super::files::{Numbered, key_name};
use super::page;
use super::registry::{AGENCIES, CALLERS, GATEWAY, SERVER_NAME, identity};
use crate::exit::{Exit, Failure};
use crate::pki::{Authority, write_file};

/// For how many days a certificate is valid.
const DAYS: u32 = 30;

/// Writes the authority, every certificate and the keys of as many logs as there are gateways; gives the hash
/// by which the registry names the authority.
pub(super) fn write(dir: &Path, gateways: u16, clock: &Clock) -> Result<String, Failure> {
    let failed = |error| Failure::error(Exit::Finding, error);
    let pki = dir.join("pki");
    let authority = Authority::new("Chapar demo", DAYS, clock).map_err(failed)?;
    write_file(&pki.join("ca.crt"), authority.pem().as_bytes(), 0o644).map_err(failed)?;
    let list = authority.empty_list(DAYS).map_err(failed)?;
    write_file(&pki.join("ca.crl"), list.as_bytes(), 0o644).map_err(failed)?;
    let adapters =
        AGENCIES.iter().map(|agency| (format!("{}/adapter", agency.member), agency.register.to_owned()));
    let callers = CALLERS.iter().map(|caller| ((*caller).to_owned(), key_name(caller)));
    let all = std::iter::once((GATEWAY.to_owned(), "gateway".to_owned())).chain(adapters).chain(callers);
    for (subsystem, name) in all {
        let uri: Identity =
            identity(&subsystem).parse().map_err(|error| Failure::error(Exit::Finding, error))?;
        let dns_names: &[&str] =
            if subsystem == GATEWAY { &[SERVER_NAME, "localhost", "127.0.0.1"] } else { &[] };
        authority
            .issue(&uri, dns_names, DAYS)
            .and_then(|issued| issued.write(&pki, &name))
            .map_err(failed)?;
    }
    authority
        .issue_for_page("Chapar demo counter", &["localhost", "127.0.0.1"], DAYS)
        .and_then(|issued| issued.write(&pki, page::KEY_NAME))
        .map_err(failed)?;
    (1..=gateways).try_for_each(|number| evidence(dir, Numbered(number)))?;
    Ok(authority.spki_sha256())
}

/// The log's signing key, its public half, and the period's key; all three or none are there from an earlier
/// demo.
fn evidence(dir: &Path, number: Numbered) -> Result<(), Failure> {
    let files = [("evidence", ".key"), ("evidence", ".pub"), ("period", ".key")];
    let [signing, public, period] = files.map(|(stem, extension)| dir.join(number.name(stem, extension)));
    if signing.exists() && public.exists() && period.exists() {
        return Ok(());
    }
    // A start that was broken off may have left some of the three, and a log needs keys that belong together.
    for half in [&signing, &public, &period] {
        std::fs::remove_file(half).ok();
    }
    let made = chapar_evidence::create_keys(&number.origin(), &signing, &public, &period);
    made.map_err(|error| Failure::error(Exit::Finding, error))
}
