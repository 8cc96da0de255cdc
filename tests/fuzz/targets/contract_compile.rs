//! This target reads arbitrary text as the one `.proto` file of a contract. It compiles, or every finding has
//! a place in the file. A contract that compiles is the same when it is read from its descriptors.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use chapar_contract::{Contract, Error};
use chapar_fuzz::{allow_caught_panics, assert_inside, folder};
use libfuzzer_sys::fuzz_target;

const NAME: &str = "desk/v1/desk.proto";
/// protoc counts a tab as up to 8 columns.
const TAB_WIDTH: usize = 8;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = folder("compile");
    std::fs::create_dir_all(folder.join("desk/v1")).expect("a folder");
    folder
});

fuzz_target!(|data: &[u8]| {
    // `Contract` catches panics of the descriptor library (decision 0003).
    allow_caught_panics();
    let Ok(text) = std::str::from_utf8(data) else { return };
    std::fs::write(FOLDER.join(NAME), text).expect("a writable folder");
    match Contract::load(&FOLDER.join("desk")) {
        Ok(contract) => {
            let again = Contract::from_descriptor_set(contract.descriptor_bytes().clone());
            let again = again.expect("what was compiled can be read");
            assert_eq!(again.digest(), contract.digest());
            for service in contract.services() {
                for method in service.methods() {
                    assert!(contract.method(method.path()).is_some(), "a method is found by its path");
                }
            }
        }
        Err(Error::Invalid(findings)) => {
            assert!(!findings.is_empty(), "an error without a finding");
            for finding in findings.iter().filter(|finding| finding.file == NAME) {
                // Column 0 is the whole line.
                assert_inside(text, (finding.line, finding.column), TAB_WIDTH);
            }
        }
        Err(other) => panic!("{other}"),
    }
});
