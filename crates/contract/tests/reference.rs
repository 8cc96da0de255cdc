//! These tests compare `docs/reference/contract.md` with the code: every word of `contract breaking`, and
//! every rule that is built in.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use chapar_contract::{BUILT_IN, Break};

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/contract.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_reference_explains_every_breaking_change() {
    let page = page();
    for kind in Break::ALL {
        assert!(page.contains(&format!("`{}`", kind.as_str())), "{}", kind.as_str());
    }
}

#[test]
fn the_reference_names_every_rule_of_buf_validate_and_every_built_in_file() {
    let page = page();
    let (_, rules) = BUILT_IN.iter().find(|(name, _)| *name == "buf/validate/validate.proto").unwrap();
    for line in rules.lines().filter_map(|line| line.trim().strip_prefix("optional ")) {
        let name = line.split(' ').nth(1).unwrap();
        assert!(name == "field" || page.contains(&format!("`{name}`")), "{name}");
    }
    for (name, _) in BUILT_IN {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
