//! This module decides which folders are contracts, by one rule for every command, key and flag that names
//! contract folders, and whether contracts can be used together. Compiling one is in `compile`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;

use crate::compile::SHARED;
use crate::contract::Contract;
use crate::finding::{Error, Finding};

impl Contract {
    /// Compiles `folder` if it is a contract, i.e. has a version folder such as `v1` with a `.proto` in it;
    /// else each contract directly beneath it, by name. Shared imports beside the contracts (`google/type`,
    /// `chapar/contract`) are none: a folder that holds them and nothing else is one of contracts, which has
    /// none yet. A folder with neither is compiled as it is.
    ///
    /// # Errors
    /// As [`Contract::load`].
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, Error> {
        Self::folders(folder)?.iter().map(|folder| Self::load(folder)).collect()
    }

    /// The folders that [`Contract::load_all`] compiles.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn folders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
        if is_contract(folder)? {
            return Ok(vec![folder.to_owned()]);
        }
        let mut found = Vec::new();
        for beneath in folders(folder)? {
            if is_contract(&beneath)? {
                found.push(beneath);
            }
        }
        found.sort();
        // A folder without version folders is one contract, e.g. a single `.proto`.
        if found.is_empty() {
            return Ok(if is_without_contracts(folder)? { Vec::new() } else { vec![folder.to_owned()] });
        }
        let strays = strays(folder, &found)?;
        if strays.is_empty() { Ok(found) } else { Err(Error::Stray { path: folder.to_owned(), strays }) }
    }

    /// Refuses a folder of contract folders: compiled as one it would be another contract than each of them.
    pub(crate) fn is_one(folder: &Path) -> Result<(), Error> {
        let found = Self::folders(folder)?;
        if found.iter().all(|found| found == folder) {
            return Ok(());
        }
        let name = |path: &PathBuf| {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        Err(Error::Several { path: folder.to_owned(), names: found.iter().map(name).collect() })
    }

    /// Says which files or types stand in two of these contracts with different contents. A caller that reads
    /// both from one server would take a message of one for the other's.
    ///
    /// # Errors
    /// [`Error::Invalid`] with one finding for each.
    pub fn agree(contracts: &[Self]) -> Result<(), Error> {
        let mut files: HashMap<String, (usize, Vec<u8>)> = HashMap::new();
        let mut types: HashMap<String, (usize, String)> = HashMap::new();
        let mut findings = Vec::new();
        for (number, contract) in contracts.iter().enumerate() {
            let name = |number: usize| contracts.get(number).map(Self::first_service).unwrap_or_default();
            let mut find = |file: &str, other: usize, what: &str| {
                let message = format!(
                    "{what} in the contracts of {} and {}: one name, two contents",
                    name(other),
                    name(number)
                );
                findings.push(Finding { file: file.to_owned(), line: 0, column: 0, message });
            };
            for (file, bare) in contract.bare_files()? {
                match files.get(&file) {
                    Some((other, known)) if *known != bare => find(&file, *other, "this file is"),
                    Some(_) => {}
                    None => {
                        files.insert(file, (number, bare));
                    }
                }
            }
            // A type is found by its full name alone, so one name in two files is a conflict even where the
            // files differ in name.
            for (full_name, file) in types_of(contract.pool()) {
                match types.get(&full_name) {
                    Some((other, known)) if *known != file => {
                        find(&file, *other, &format!("`{full_name}` is also in {known},"))
                    }
                    Some(_) => {}
                    None => {
                        types.insert(full_name, (number, file));
                    }
                }
            }
        }
        if findings.is_empty() { Ok(()) } else { Err(Error::Invalid(findings)) }
    }

    fn first_service(&self) -> &str {
        self.services().next().map_or("a contract without services", |service| service.name())
    }
}

/// Full names of messages, enums and services, with the files that declare them.
fn types_of(pool: &DescriptorPool) -> Vec<(String, String)> {
    let file = |file: prost_reflect::FileDescriptor| file.name().to_owned();
    let messages =
        pool.all_messages().map(|message| (message.full_name().to_owned(), file(message.parent_file())));
    let enums = pool.all_enums().map(|this| (this.full_name().to_owned(), file(this.parent_file())));
    let services =
        pool.services().map(|service| (service.full_name().to_owned(), file(service.parent_file())));
    messages.chain(enums).chain(services).collect()
}

fn is_contract(folder: &Path) -> Result<bool, Error> {
    for version in folders(folder)? {
        // A version folder is a `v` and a digit: `v1`, `v1beta1`.
        let is_version = version.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
            name.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        if is_version && holds_proto(&version)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the folder holds shared imports, and no other `.proto`.
fn is_without_contracts(folder: &Path) -> Result<bool, Error> {
    let has_imports = SHARED.iter().any(|name| folder.join(name).is_dir());
    Ok(has_imports && strays(folder, &[])?.is_empty())
}

/// Files of contracts beside contract folders that are in none of them: passed over, they would be published
/// unchecked.
fn strays(folder: &Path, contracts: &[PathBuf]) -> Result<Vec<String>, Error> {
    let mut strays = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Hidden files and shared imports are expected beside contracts.
        let is_known = name.starts_with('.') || contracts.contains(&path) || SHARED.contains(&name.as_str());
        if !is_known && holds_proto(&path)? {
            strays.push(name);
        }
    }
    strays.sort();
    Ok(strays)
}

fn holds_proto(path: &Path) -> Result<bool, Error> {
    if !path.is_dir() {
        return Ok(path.extension().is_some_and(|extension| extension == "proto"));
    }
    for beneath in entries(path)? {
        if !is_hidden(&beneath) && holds_proto(&beneath)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir() && !is_hidden(path)).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::Read { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn service(package: &str, imports: &str, rest: &str) -> String {
        format!(
            "syntax = \"proto3\";\npackage {package};\nimport \"chapar/contract/v1/options.proto\";\n{imports}service S {{ rpc Get(Ask) returns (Say); }}\n\
             message Ask {{ string id = 1; }}\nmessage Say {{ string id = 1 [(chapar.contract.v1.field).class = CLASS_PUBLIC]; }}\n{rest}"
        )
    }

    #[test]
    fn a_folder_of_contracts_with_the_shared_imports_beside_them_is_each_contract_by_itself() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a/v1/a.proto", &service("a.v1", "import \"google/type/date.proto\";\n", ""));
        write(root.path(), "b/v1/b.proto", &service("b.v1", "", ""));
        for (name, text) in crate::BUILT_IN {
            write(root.path(), name, text);
        }
        let together = Contract::load_all(root.path()).unwrap();
        let alone = Contract::load(&root.path().join("a")).unwrap();
        assert_eq!(together.len(), 2);
        assert_eq!(together[0].digest(), alone.digest());
        Contract::agree(&together).unwrap();
    }

    #[test]
    fn a_folder_of_shared_imports_alone_has_no_contracts_yet_and_an_empty_one_is_none() {
        let root = tempfile::tempdir().unwrap();
        assert!(Contract::load_all(root.path()).is_err());
        for (name, text) in crate::BUILT_IN {
            write(root.path(), name, text);
        }
        assert_eq!(Contract::load_all(root.path()).unwrap().len(), 0);
        write(root.path(), "other.proto", &service("a.v1", "", ""));
        assert!(!Contract::load_all(root.path()).is_ok_and(|contracts| contracts.is_empty()));
    }

    #[test]
    fn what_is_in_no_contract_folder_is_not_passed_over() {
        for stray in ["c.proto", "ministry/c/v1/c.proto", "other/c.proto"] {
            let root = tempfile::tempdir().unwrap();
            write(root.path(), "a/v1/a.proto", &service("a.v1", "", ""));
            write(root.path(), "b/v1/sub/b.proto", &service("b.v1", "", ""));
            write(root.path(), ".old/v1/a.proto", &service("a.v1", "", ""));
            assert_eq!(Contract::load_all(root.path()).unwrap().len(), 2, "hidden folders are left out");
            write(root.path(), stray, &service("c.v1", "", ""));
            let error = Contract::load_all(root.path()).unwrap_err().to_string();
            let name = stray.split('/').next().unwrap();
            assert!(error.contains(&format!("{name}: in no contract folder")), "{error}");
        }
    }

    #[test]
    fn a_contract_that_carries_its_imports_inside_is_the_same_contract() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a/v1/a.proto", &service("a.v1", "import \"google/type/date.proto\";\n", ""));
        let bare = Contract::load(&root.path().join("a")).unwrap();
        for (name, text) in crate::BUILT_IN {
            write(&root.path().join("a"), name, text);
        }
        let carrying = Contract::load(&root.path().join("a")).unwrap();
        assert_eq!(carrying.digest(), bare.digest());
    }

    #[test]
    fn two_contents_under_one_name_do_not_stand_side_by_side() {
        let shared = |first: &str, second: &str| {
            format!(
                "syntax = \"proto3\";\npackage common.v1;\nmessage Name {{ string {first} = 1; string {second} = 2; }}\n"
            )
        };
        let roots = [("given", "family"), ("family", "given")].map(|(first, second)| {
            let root = tempfile::tempdir().unwrap();
            write(root.path(), "common/v1/t.proto", &shared(first, second));
            root
        });
        let imports = "import \"common/v1/t.proto\";\n";
        write(roots[0].path(), "a/v1/a.proto", &service("a.v1", imports, ""));
        write(roots[1].path(), "b/v1/b.proto", &service("b.v1", imports, ""));
        let contracts = [roots[0].path().join("a"), roots[1].path().join("b")]
            .map(|folder| Contract::load(&folder).unwrap());
        let error = Contract::agree(&contracts).unwrap_err().to_string();
        assert!(
            error.contains("common/v1/t.proto:0:0: this file is in the contracts of a.v1.S and b.v1.S"),
            "{error}"
        );
        write(roots[0].path(), "c/v1/c.proto", &service("a.v1", "", ""));
        let twice = [roots[0].path().join("a"), roots[0].path().join("c")]
            .map(|folder| Contract::load(&folder).unwrap());
        let error = Contract::agree(&twice).unwrap_err().to_string();
        assert!(error.contains("`a.v1.Ask` is also in a/v1/a.proto"), "{error}");
    }

    #[test]
    fn a_byte_order_mark_before_a_proto_file_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a/v1/a.proto", &format!("\u{FEFF}{}", service("a.v1", "", "")));
        let marked = Contract::load(&root.path().join("a")).unwrap();
        write(root.path(), "a/v1/a.proto", &service("a.v1", "", ""));
        assert_eq!(marked.digest(), Contract::load(&root.path().join("a")).unwrap().digest());
    }
}
