//! Tests that the workspace is what `docs/architecture.md` says it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use chapar_tests::repository;

fn read(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `a -> b` of the fenced block `arrows`, e.g. `gateway -> registry`.
fn arrows_in_the_document() -> BTreeSet<String> {
    let text = read("docs/architecture.md");
    let block =
        text.split("```arrows").nth(1).and_then(|rest| rest.split("```").next()).expect("a block ```arrows");
    block.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn short(name: &str) -> String {
    name.strip_prefix("chapar-").unwrap_or(name).to_owned()
}

fn packages() -> Vec<serde_json::Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .expect("cargo metadata runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn arrows_in_the_workspace() -> BTreeSet<String> {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut arrows = BTreeSet::new();
    for package in &packages {
        let from = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            // `chapar` and `tests` may import all; what a crate's own tests import is not an arrow of the
            // design.
            if ours.contains(to)
                && from != "chapar"
                && from != "chapar-tests"
                && dependency["kind"].as_str() != Some("dev")
            {
                arrows.insert(format!("{} -> {}", short(from), short(to)));
            }
        }
    }
    arrows
}

#[test]
fn the_arrows_between_crates_are_those_of_the_document() {
    assert_eq!(arrows_in_the_workspace(), arrows_in_the_document());
}

/// Every Rust file of a package, in one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        // The fuzz targets are a package of their own, with dependencies of its own.
        if path.is_dir() && path.ends_with("tests/fuzz") {
            continue;
        }
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &std::fs::read_to_string(&path).expect("a source file");
        }
    }
    text
}

#[test]
fn every_dependency_is_used() {
    // Whose library has another name than the package; and what only generated code uses.
    let named_otherwise = [("iban_validate", "iban"), ("rustls-webpki", "webpki"), ("tonic-prost", "tonic")];
    for package in packages() {
        let manifest = package["manifest_path"].as_str().expect("a path");
        let text = sources(Path::new(manifest).parent().expect("a folder"));
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().expect("a name");
            let library =
                named_otherwise.iter().find(|(known, _)| *known == name).map_or(name, |(_, library)| library);
            let library = library.replace('-', "_");
            let is_used = text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == library);
            assert!(is_used, "{}: `{name}` is in its Cargo.toml and nowhere in its sources", package["name"]);
        }
    }
}

#[test]
fn registry_limit_evidence_and_adapter_never_import_each_other() {
    let apart = ["registry", "limit", "evidence", "adapter"];
    for arrow in arrows_in_the_workspace() {
        let (from, to) = arrow.split_once(" -> ").expect("an arrow");
        assert!(!(apart.contains(&from) && apart.contains(&to)), "{arrow}");
    }
}

#[test]
fn every_crate_opens_with_what_it_owns() {
    for entry in std::fs::read_dir(repository().join("crates")).expect("crates") {
        let folder = entry.expect("a crate").path();
        let text = read(folder.join("src/lib.rs"));
        assert!(text.starts_with("//! "), "{} has no module doc", folder.display());
    }
}

/// The Rust files below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_module_opens_with_a_sentence_and_no_comment_is_wider_than_110_columns() {
    let files = rust_files(&repository().join("crates"));
    assert!(files.len() > 300, "{}", files.len());
    for file in files {
        let text = read(&file);
        if file.components().any(|part| part.as_os_str() == "src") {
            assert!(text.starts_with("//! "), "{} has no module doc", file.display());
        }
        for (number, line) in text.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            // rustfmt wraps code, and leaves comments as they are.
            assert!(!is_comment || line.chars().count() <= 110, "{}:{}", file.display(), number + 1);
        }
    }
}

#[test]
fn every_reason_has_its_page() {
    for reason in chapar_model::Reason::ALL {
        let page = read(format!("docs/errors/{reason}.md"));
        assert!(page.contains(reason.as_str()), "{reason}: the page does not name it");
        assert!(page.contains(reason.persian()), "{reason}: the page lacks its Persian sentence");
        assert!(page.len() > 300, "{reason}: the page says too little");
    }
    let pages = std::fs::read_dir(repository().join("docs/errors")).expect("docs/errors");
    for page in pages {
        let name = page.expect("a page").file_name().to_string_lossy().into_owned();
        let word = name.trim_end_matches(".md");
        assert!(
            word == "README" || word.parse::<chapar_model::Reason>().is_ok(),
            "{name} is the page of no reason"
        );
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    let mut pages = vec![repository().join("README.md"), repository().join("CHANGELOG.md")];
    let mut folders = vec![repository().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("docs") {
            let path = entry.expect("a page").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page");
        let base = page.parent().expect("a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !base.join(target).exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
