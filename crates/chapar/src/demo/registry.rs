//! This module writes the demo's policy: the templates in `registry/` with issuer, digests and dates filled
//! in. The cast is here too, so that certificates, adapters and policy name the same members.

use std::path::Path;

use jiff::civil::Date;

use crate::pki::{self, write_file};

/// The demo's trust domain.
pub(super) const TRUST_DOMAIN: &str = "lorestan.example";
/// The gateway's subsystem and the name in its certificate.
pub(super) const GATEWAY: &str = "bus/lorestan/gateway";
/// The DNS name that clients expect of the gateway.
pub(super) const SERVER_NAME: &str = "gateway.lorestan.example";
/// The clerk's system at the counter office.
pub(super) const COUNTER: &str = "office/khorramabad-12/counter";
/// The welfare agency's system.
pub(super) const WELFARE: &str = "gov/welfare/benefits";
/// Registered, and without a grant.
pub(super) const POLICE: &str = "gov/police/traffic";
/// The bank's loan department, whose rights the counter uses.
pub(super) const LOANS: &str = "com/agri-bank/loans";
/// Those who operate the bus; the registry gives them the role `viewer`.
pub(super) const OPERATIONS: &str = "bus/lorestan/operations";
/// Those who watch the bus from outside; the registry gives them the role `auditor`.
pub(super) const AUDITOR: &str = "bus/lorestan/auditor";
/// Whoever calls: each gets a certificate that `demo.json` names.
pub(super) const CALLERS: [&str; 6] = [COUNTER, WELFARE, POLICE, LOANS, OPERATIONS, AUDITOR];

/// One agency that answers calls.
#[derive(Debug)]
pub(super) struct Agency {
    /// Its register: the name of contract folder, database and adapter settings.
    pub(super) register: &'static str,
    /// The member, e.g. `gov/civil-registry`.
    pub(super) member: &'static str,
    /// The member's name in Persian.
    pub(super) persian: &'static str,
    /// The member's name in English.
    pub(super) english: &'static str,
    /// Its file in the registry, relative to the folder.
    file: &'static str,
    template: &'static str,
}

/// The five agencies in the order of the story.
pub(super) const AGENCIES: [Agency; 5] = [
    Agency {
        register: "civil",
        member: "gov/civil-registry",
        persian: "ثبت احوال",
        english: "Civil Registration",
        file: "gov/civil-registry.toml",
        template: include_str!("registry/gov/civil-registry.toml"),
    },
    Agency {
        register: "health",
        member: "gov/health-insurance",
        persian: "بیمه سلامت",
        english: "Health Insurance",
        file: "gov/health-insurance.toml",
        template: include_str!("registry/gov/health-insurance.toml"),
    },
    Agency {
        register: "education",
        member: "gov/education",
        persian: "آموزش و پرورش",
        english: "Education",
        file: "gov/education.toml",
        template: include_str!("registry/gov/education.toml"),
    },
    Agency {
        register: "agriculture",
        member: "gov/agriculture",
        persian: "جهاد کشاورزی",
        english: "Agriculture",
        file: "gov/agriculture.toml",
        template: include_str!("registry/gov/agriculture.toml"),
    },
    Agency {
        register: "banking",
        member: "com/agri-bank",
        persian: "بانک کشاورزی",
        english: "Agricultural Bank",
        file: "com/agri-bank.toml",
        template: include_str!("registry/com/agri-bank.toml"),
    },
];

/// Members that provide nothing, and the procedure of the story.
const OTHERS: [(&str, &str); 6] = [
    ("bus.toml", include_str!("registry/bus.toml")),
    ("bus/lorestan.toml", include_str!("registry/bus/lorestan.toml")),
    ("gov/welfare.toml", include_str!("registry/gov/welfare.toml")),
    ("gov/police.toml", include_str!("registry/gov/police.toml")),
    ("office/khorramabad-12.toml", include_str!("registry/office/khorramabad-12.toml")),
    ("procedures/farm-loan.toml", include_str!("registry/procedures/farm-loan.toml")),
];

/// The URI of a subsystem, e.g. of `gov/welfare/benefits`.
pub(super) fn identity(subsystem: &str) -> String {
    format!("spiffe://{TRUST_DOMAIN}/{subsystem}")
}

/// Writes the whole registry to `dir`, in place of what is there: grants are valid from `from` until `until`,
/// both included; `issuer` is the CA's hash; `digests` are those of the contracts, in the order of
/// [`AGENCIES`].
pub(super) fn write(
    dir: &Path,
    issuer: &str,
    (from, until): (Date, Date),
    digests: &[&str],
) -> Result<(), pki::Error> {
    // Removed first, so that a member of an earlier demo does not stay registered.
    match std::fs::remove_dir_all(dir) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(pki::Error::File { path: dir.to_owned(), source });
        }
        _ => {}
    }
    // Dates are filled in at each start, so that the demo's grants do not run out.
    let common = |template: &str| {
        let dates = template.replace("{from}", &from.to_string()).replace("{until}", &until.to_string());
        dates.replace("{issuer}", issuer)
    };
    for (file, template) in OTHERS {
        put(dir, file, &common(template))?;
    }
    for (agency, digest) in AGENCIES.iter().zip(digests) {
        put(dir, agency.file, &common(agency.template).replace("{digest}", digest))?;
    }
    Ok(())
}

fn put(dir: &Path, file: &str, text: &str) -> Result<(), pki::Error> {
    let path = dir.join(file);
    let folder = path.parent().unwrap_or(dir);
    std::fs::create_dir_all(folder).map_err(|source| pki::Error::File { path: folder.to_owned(), source })?;
    write_file(&path, text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use chapar_model::Clock;
    use chapar_registry::Registry;

    use super::*;
    use crate::demo::files;

    #[test]
    fn the_policy_loads_passes_its_own_tests_and_gives_the_office_what_the_bank_has() {
        let dir = tempfile::tempdir().unwrap();
        let contracts = files::contracts(dir.path()).unwrap();
        let digests: Vec<&str> = contracts.iter().map(chapar_contract::Contract::digest).collect();
        let now = Clock::system().now();
        let today = jiff::tz::TimeZone::UTC.to_datetime(now).date();
        let issuer = format!("sha256:{}", "0".repeat(64));
        write(
            dir.path().join("registry").as_path(),
            &issuer,
            (today.yesterday().unwrap(), today.tomorrow().unwrap()),
            &digests,
        )
        .unwrap();

        let registry = Registry::load(&dir.path().join("registry"), &contracts).unwrap();
        let callable = |caller: &str| registry.callable(&caller.parse().unwrap(), now).count();
        assert_eq!((callable(COUNTER), callable(LOANS)), (11, 11));
        assert_eq!((callable(WELFARE), callable(POLICE)), (1, 0));
    }
}
