//! These tests compare `docs/reference/registry.md` with the real loader: its example loads, and it explains
//! every kind of error.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};

use chapar_contract::Contract;
use chapar_registry::{Kind, Registry};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    std::fs::read_to_string(repository().join("docs/reference/registry.md")).unwrap()
}

/// Writes every TOML block that begins with `# PATH.toml`, with hashes in place of `sha256:…`.
fn write_example(dir: &Path, page: &str, digest: &str) -> usize {
    let blocks = page.split("```toml\n# ").skip(1).filter_map(|rest| rest.split_once("\n```"));
    let mut written = 0;
    for (block, _) in blocks {
        let (path, text) = block.split_once('\n').unwrap();
        let text = text.replace("digest    = \"sha256:…\"", &format!("digest = \"{digest}\""));
        let text = text.replace("sha256:…", &format!("sha256:{}", "5f".repeat(32)));
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        written += 1;
    }
    written
}

#[test]
fn the_example_of_the_reference_loads_from_a_folder() {
    let contract = Contract::load(&repository().join("proto/civil")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(write_example(dir.path(), &page(), contract.digest()), 5);
    std::fs::write(dir.path().join("README.md"), "not policy").unwrap();
    std::fs::create_dir(dir.path().join(".git")).unwrap();
    std::fs::write(dir.path().join(".git/config.toml"), "not policy").unwrap();

    let registry = Registry::load(dir.path(), &[contract]).unwrap_or_else(|errors| panic!("{errors}"));

    assert_eq!(registry.trust_domain().as_str(), "lorestan.example");
    assert_eq!(registry.grants().count(), 2);
    let counter = "office/khorramabad-12/counter".parse().unwrap();
    assert_eq!(registry.rights(&counter, "2027-01-01T00:00:00Z".parse().unwrap()).count(), 1);
}

#[test]
fn the_reference_explains_every_kind_of_mistake() {
    let page = page();
    for kind in Kind::ALL {
        assert!(page.contains(&format!("`{}`", kind.as_str())), "{}", kind.as_str());
    }
}

#[test]
fn a_folder_that_is_not_there_or_holds_nothing_is_told_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Registry::load(&dir.path().join("nowhere"), &[]).unwrap_err().to_string();
    assert!(missing.contains("nowhere"), "{missing}");
    let empty = Registry::load(dir.path(), &[]).unwrap_err().to_string();
    assert!(empty.contains("bus.toml") && empty.contains("is missing"), "{empty}");
}

#[test]
fn a_file_that_is_not_text_is_told_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bus.toml"), "[bus]\ntrust_domain = \"Bad Domain\"\n").unwrap();
    std::fs::create_dir(dir.path().join("gov")).unwrap();
    std::fs::write(dir.path().join("gov/binary.toml"), [0xff, 0xfe, 0x00]).unwrap();
    let errors = Registry::load(dir.path(), &[]).unwrap_err();
    let text = errors.to_string();
    assert!(text.contains("binary.toml") && text.contains("bus.toml:2:16"), "{text}");
    assert_eq!(errors.iter().count(), 2);
}

/// The names of an object's properties, and of those of the objects in it.
fn names(schema: &serde_json::Value) -> Vec<String> {
    let properties = schema["properties"].as_object().or_else(|| schema["items"]["properties"].as_object());
    let of = |(name, inner): (&String, &serde_json::Value)| [vec![name.clone()], names(inner)].concat();
    properties.into_iter().flatten().flat_map(of).collect()
}

#[test]
fn the_reference_names_every_key_that_an_editor_offers() {
    let page = page();
    for name in names(&chapar_registry::schema()) {
        let written = [
            format!("`{name}`"),
            format!(".{name}`"),
            format!("[{name}]"),
            format!("`{name},"),
            format!(" {name},"),
            format!(" {name} "),
            format!("`{{ {name}"),
        ];
        assert!(written.iter().any(|written| page.contains(written)), "{name}");
    }
}
