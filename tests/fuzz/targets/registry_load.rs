//! This target reads arbitrary text as files of a registry. The registry loads, or every finding has a place
//! in its file and can be shown. A registry that loads has the same digest again, and answers questions.
//!
//! An input is up to four files with a line `%%` between them, in the order of [`FILES`]; the rest are good
//! ones.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use chapar_contract::Contract;
use chapar_fuzz::{allow_caught_panics, assert_inside, assert_renders, folder};
use chapar_model::show_sha256;
use chapar_registry::Registry;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const PROTO: &str = include_str!("../seeds/contract_compile/desk.proto");

const FILES: [(&str, &str); 4] = [
    (
        "gov/welfare.toml",
        "[member]\nname = { fa = \"رفاه\", en = \"Welfare\" }\nissuers = [\"@ISSUER@\"]\n\n\
         [[subsystem]]\nid = \"benefits\"\n",
    ),
    ("bus.toml", "[bus]\ntrust_domain = \"bus.example\"\n"),
    ("suspensions.toml", ""),
    (
        "gov/desk.toml",
        "[member]\nname = { fa = \"میز\", en = \"Desk\" }\nissuers = [\"@ISSUER@\"]\n\n\
         [[subsystem]]\nid = \"adapter\"\n\n[[service]]\n\
         contract = \"desk.v1.Desk\"\ndigest = \"@DIGEST@\"\n\
         adapters = [\"spiffe://bus.example/gov/desk/adapter\"]\nendpoints = [\"https://10.0.0.5:8443\"]\n",
    ),
];

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let folder = folder("registry-contract").join("desk");
    std::fs::create_dir_all(folder.join("v1")).expect("a folder");
    std::fs::write(folder.join("v1/desk.proto"), PROTO).expect("a file");
    Contract::load(&folder).expect("a good contract")
});

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = folder("registry");
    std::fs::create_dir_all(folder.join("gov")).expect("a folder");
    folder
});

fuzz_target!(|data: &[u8]| {
    allow_caught_panics();
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split("\n%%\n");
    let texts = FILES.map(|(path, good)| {
        let part = parts.next().filter(|part| !part.is_empty()).unwrap_or(good);
        let issuer = show_sha256(&[0xab; 32]);
        (path, part.replace("@DIGEST@", CONTRACT.digest()).replace("@ISSUER@", &issuer))
    });
    for (path, text) in &texts {
        std::fs::write(FOLDER.join(path), text).expect("a writable folder");
    }
    let contracts = std::slice::from_ref(&*CONTRACT);
    match Registry::load(&FOLDER, contracts) {
        Ok(registry) => {
            let again = Registry::load(&FOLDER, contracts).expect("the same files");
            assert_eq!(registry.digest(), again.digest());
            let now: Timestamp = "2026-06-01T00:00:00Z".parse().expect("a time");
            for subsystem in registry.subsystems() {
                for right in registry.rights(&subsystem.id, now) {
                    assert!(registry.method(right.method.as_str()).is_some(), "a right to a known method");
                }
                registry.callable(&subsystem.id, now).for_each(drop);
            }
            registry.endings();
        }
        Err(errors) => {
            assert!(errors.iter().next().is_some(), "an error without a finding");
            for finding in errors.iter() {
                let file =
                    texts.iter().find(|(path, _)| FOLDER.join(path).display().to_string() == finding.file());
                let (_, text) = file.expect("a finding is about a file of the registry");
                assert_inside(text, finding.position(), 1);
                assert_renders(finding);
            }
            assert_renders(&errors);
        }
    }
});
